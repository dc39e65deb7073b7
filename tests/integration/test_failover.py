"""A primary is killed under writes: nothing that was acknowledged is lost."""

from pathlib import Path

import pytest

from headroom.failover import failovers
from headroom.fidelity.parts.kills import part_kills
from headroom.fidelity.topologies import topology

pytestmark = pytest.mark.alone

TIMEOUT_S = 2.0


def test_a_killed_primary_costs_at_least_an_election_and_no_acknowledged_write(
    tmp_path: Path,
) -> None:
    base = topology("no-cache", scale=1.0).scenario
    database = base.topology.database.model_copy(update={"election_timeout_s": TIMEOUT_S})
    shape = base.topology.model_copy(update={"database": database})
    scenario = base.model_copy(update={"name": "failover", "topology": shape})
    found = failovers(scenario, tmp_path / "killed", lambda _: None, kills=1)
    (kill,) = found.kills
    assert kill.member == "mongo-1"  # it was the first, and the set was formed around it
    assert kill.outage_s >= 0.9 * TIMEOUT_S  # some of the timeout may have passed at the kill
    assert found.forecast.low_s > TIMEOUT_S
    assert kill.acknowledged > 50
    assert kill.lost == 0
    assert kill.failed == 0  # the driver waits for the next primary
    assert (tmp_path / "killed" / "forecast.json").is_file()


def test_a_killed_api_server_costs_three_second_tries_and_its_forecast_was_there_before(
    tmp_path: Path,
) -> None:
    found = part_kills("api", tmp_path / "killed-api", "now", lambda _: None, kills=1)
    (kill,) = found.kills
    assert kill.member.startswith("api-")
    assert kill.requests > 300
    assert kill.failed <= 2  # only a write that was under way at the dead one can fail
    assert kill.forecast.slowed.low <= kill.slowed <= kill.forecast.slowed.high + 2
    assert kill.outage_s > 0
    assert (tmp_path / "killed-api" / "api-1000.forecast.json").is_file()
