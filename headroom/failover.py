"""Kill the primary under load, again and again: the outage that was forecast, beside the real ones.

Native time and real elections. Each kill has a load of its own, of writes only, open loop; every
write that was acknowledged is looked for at the end.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from pymongo import MongoClient
from pymongo.read_concern import ReadConcern

from headroom.artefacts import Artefact, Record, Run
from headroom.errors import HeadroomError
from headroom.fidelity.artefacts import stored
from headroom.live import catalogue_of, credentials_of, pids_of, running_stack
from headroom.traces import write_trace
from sim.availability import ElectionOutage, election_outage
from sim.scenario import Operation, Scenario
from sim.workload import Trace
from stack.infra.catalogue import product_id, user_id
from stack.infra.connections import DATABASE
from stack.load.generator import Progress
from stack.load.run import run_load
from stack.local import StackInfo, kill_part, start_part

Say = Callable[[str], None]
FAILOVER = "failover"  # the folder of an occasion's kills
KILLS = 10
WRITES_PER_S = 10.0
BEFORE_S = 3.0  # of load before the kill, and up to a second more
AFTER_FACTOR, AFTER_S = 1.3, 3.0  # of load after it: times the longest outage forecast, and more
PATIENCE_S = 60.0  # of a write, and of a member that comes back
TOLERANCE = 0.20


class FailoverLost(HeadroomError):
    """The replica set did not come back after a kill."""


class Forecast(Artefact):
    """What is expected of every kill, written before the first."""

    election_timeout_s: float
    members: int
    mean_s: float
    low_s: float
    high_s: float


class Kill(Record):
    """One kill of the primary under load."""

    member: str
    outage_s: float  # the longest time between two acknowledgements
    acknowledged: int
    failed: int
    lost: int  # acknowledged, and not there at the end

    def error(self, forecast: Forecast) -> float:
        """Forecast to outage, less one."""
        return forecast.mean_s / self.outage_s - 1


class Failovers(Artefact):
    """All kills of an experiment."""

    forecast: Forecast
    forecast_sha256: str
    writes_per_s: float
    kills: tuple[Kill, ...]

    @property
    def inside(self) -> int:
        """Kills whose outage was forecast within the tolerance."""
        return sum(abs(kill.error(self.forecast)) <= TOLERANCE for kill in self.kills)


@dataclass
class _Killer:
    """Kills the primary once the load has run for so long."""

    info: StackInfo
    at_s: float
    member: str = ""

    def __call__(self, progress: Progress) -> None:
        if not self.member and progress.elapsed_s >= self.at_s:
            self.member = primary(self.info)
            kill_part(self.info.folder, self.member)


def failovers(
    scenario: Scenario, folder: Path, say: Say, *, kills: int = KILLS, seed: int = 1
) -> Failovers:
    """Forecast, then kill the primary so often, under load; stores both."""
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    database = scenario.topology.database
    outage = election_outage(database.election_timeout_s, database.members - 1, rng)
    forecast = Forecast(
        election_timeout_s=database.election_timeout_s,
        members=database.members,
        mean_s=outage.mean_s,
        low_s=outage.low_s,
        high_s=outage.high_s,
    )
    sha256 = stored(folder / "forecast.json", forecast)
    say(f"forecast: {outage.mean_s:.1f} s, nine of ten {outage.low_s:.1f} to {outage.high_s:.1f} s")
    found = []
    with running_stack(scenario, lambda _: None, name=folder.name) as info:
        pairs = _unused_pairs(scenario, info, rng)
        experiment = _Experiment(scenario, info, folder, outage, pairs, rng)
        for number in range(kills):
            kill = experiment.kill(f"kill-{number + 1}")
            found.append(kill)
            say(
                f"{kill.member} killed: {kill.outage_s:.2f} s without an acknowledged write, "
                f"{kill.failed} failed, {kill.lost} of {kill.acknowledged} lost"
            )
    result = Failovers(
        forecast=forecast, forecast_sha256=sha256, writes_per_s=WRITES_PER_S, kills=tuple(found)
    )
    stored(folder / "failovers.json", result)
    return result


@dataclass(frozen=True)
class _Experiment:
    """A running stack whose primary is killed under load."""

    scenario: Scenario
    info: StackInfo
    folder: Path
    outage: ElectionOutage
    pairs: list[tuple[int, int]]  # (user, product) not written yet
    rng: np.random.Generator

    def kill(self, name: str) -> Kill:
        """Write, kill the primary, go on writing; then start it again and look for the writes."""
        info = self.info
        killer = _Killer(info, BEFORE_S + self.rng.uniform())
        trace = self._writes()
        out = self.folder / f"{name}.load.parquet"
        assert info.base_url is not None
        run_load(
            write_trace(Run(self.folder), name, trace),
            info.base_url,
            out,
            catalogue=catalogue_of(self.scenario),
            credentials=credentials_of(info),
            run_id=name,
            timeout_s=PATIENCE_S,
            pids_by_part=pids_of(info),
            progress=killer,
        )
        start_part(info.folder, killer.member)
        _wait_for_all(info)
        rows = pq.read_table(out).to_pandas()
        is_done = rows["status"].between(200, 299).to_numpy()
        done_s = np.sort(rows["done_s"].to_numpy(dtype=float)[is_done])
        users, products = trace.user[: len(rows)][is_done], trace.key[: len(rows)][is_done]
        return Kill(
            member=killer.member,
            outage_s=float(np.diff(done_s).max()),
            acknowledged=int(is_done.sum()),
            failed=int((~is_done).sum()),
            lost=_lost(info, users.tolist(), products.tolist()),
        )

    def _writes(self) -> Trace:
        """Favourites that nobody has yet, at even distances, so that a gap is told to a tenth."""
        length_s = BEFORE_S + 1.0 + AFTER_FACTOR * self.outage.high_s + AFTER_S
        count = int(length_s * WRITES_PER_S)
        taken = [self.pairs.pop() for _ in range(count)]
        return Trace(
            arrival_s=np.arange(count) / WRITES_PER_S,
            operations=(Operation.FAVOURITE_ADD.value,),
            operation=np.zeros(count, np.int16),
            key=np.array([product for _, product in taken]),
            user=np.array([user for user, _ in taken]),
        )


def _unused_pairs(
    scenario: Scenario, info: StackInfo, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """(user, product) that are no favourites yet, in random order."""
    catalogue = scenario.workload.catalogue
    with _client(info) as client:
        kept = {
            document["_id"]: set(document.get("favorites", ()))
            for document in client[DATABASE]["users"].find({}, {"favorites": 1})
        }
    pairs = [
        (user, product)
        for user in range(catalogue.users)
        for product in range(min(100, catalogue.products))
        if product_id(product) not in kept.get(user_id(user), ())
    ]
    return [pairs[place] for place in rng.permutation(len(pairs))]


def _lost(info: StackInfo, users: list[int], products: list[int]) -> int:
    """Of these favourites, how many are not there for a majority of the members."""
    with _client(info) as client:
        stored_ones = client[DATABASE].get_collection("users", read_concern=ReadConcern("majority"))
        kept = {
            document["_id"]: set(document["favorites"])
            for document in stored_ones.find({}, {"favorites": 1})
        }
    return sum(
        product_id(product) not in kept.get(user_id(user), ())
        for user, product in zip(users, products, strict=True)
    )


def primary(info: StackInfo) -> str:
    """The part that is primary now."""
    with _client(info) as client:
        client.admin.command("ping")
        address = client.primary
    assert address is not None
    return next(part.name for part in info.parts_of("mongo") if part.port == address[1])


def _wait_for_all(info: StackInfo) -> None:
    """Until every member is back in its place."""
    deadline_s = time.monotonic() + PATIENCE_S
    wanted = ["PRIMARY", *["SECONDARY"] * (len(info.parts_of("mongo")) - 1)]
    while time.monotonic() < deadline_s:
        with _client(info) as client:
            members = client.admin.command("replSetGetStatus")["members"]
        if sorted(member["stateStr"] for member in members) == wanted:
            return
        time.sleep(0.2)
    raise FailoverLost(f"not all members are back {PATIENCE_S:g} s after a kill")


def _client(info: StackInfo) -> MongoClient[dict[str, Any]]:
    assert info.mongo_url is not None
    return MongoClient(info.mongo_url, serverSelectionTimeoutMS=int(PATIENCE_S * 1e3))
