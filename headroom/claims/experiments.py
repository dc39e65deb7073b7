"""All live experiments of a ledger: stacks up, each tried, what failed said, stacks down."""

from collections.abc import Callable, Mapping
from functools import partial
from http.client import HTTPException

import numpy as np
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from headroom.artefacts import Experiments, Run, now
from headroom.claims.compressed import hit_ratio_of_a_day
from headroom.claims.keeping import failover, lives_of_entries_and_tokens, reads_after_updates
from headroom.claims.live import Live, Results
from headroom.claims.reads import cached_against_uncached, depth_of_lists, search_engines
from headroom.live import running_stack
from headroom.variants import variant
from sim.scenario import Scenario
from stack.errors import StackError
from stack.observe.machine import facts_sha256, machine_facts

Say = Callable[[str], None]
Experiment = Callable[[Live], Results]

# In this order: the last one leaves the database without one of its members.
IN_TURN: Mapping[str, Experiment] = {
    "lives of entries and tokens": lives_of_entries_and_tokens,
    "depth of lists": depth_of_lists,
    "cached against uncached": cached_against_uncached,
    "search engines": search_engines,
    "reads after updates": reads_after_updates,
    "failover": failover,
}


# Of an experiment, not of this code: what stacks and their clients raise.
FAILURES = (
    AssertionError,
    HTTPException,
    LookupError,
    OSError,
    PyMongoError,
    RedisError,
    StackError,
    ValueError,
)


def baseline_of(scenario: Scenario) -> Scenario:
    """The design's catalogue on the document's baseline: one server, no cache, $text."""
    return variant(
        scenario,
        {
            "name": f"{scenario.name}-baseline",
            "topology.api.replicas": 1,
            "topology.api.autoscaling": None,
            "topology.cache": None,
            "topology.database.members": 1,
            "topology.database.read_from_secondaries": [],
            "topology.search": {"engine": "mongo_text"},
            "objectives.hit_ratio_fraction": None,
        },
    )


def try_live(run: Run, say: Say, *, seed: int = 1) -> Experiments:
    """Try everything on live stacks of the run's scenario and store what was found.

    An experiment that fails is noted with its reason and the others go on. Takes about four
    minutes. Raises: StackError when a stack cannot start.
    """
    scenario = run.scenario
    started_at = now()
    results: Results = {}
    failed: dict[str, str] = {}
    rng = np.random.default_rng(seed)
    name = run.folder.name[:50]
    with (
        running_stack(scenario, say, name=f"design-{name}") as design,
        running_stack(baseline_of(scenario), say, name=f"baseline-{name}") as baseline,
    ):
        live = Live(scenario, design, baseline, run.folder, rng)
        for what, experiment in IN_TURN.items():
            say(f"trying: {what}")
            _tried(what, partial(experiment, live), results, failed, say)
    if scenario.topology.cache is not None:
        say("trying: a day of the cache, compressed")
        folder = run.folder / "compressed"
        folder.mkdir(exist_ok=True)
        _tried(
            "a day of the cache",
            partial(hit_ratio_of_a_day, scenario, folder, say),
            results,
            failed,
            say,
        )
    found = Experiments(
        scenario_sha256=run.scenario_sha256,
        machine_sha256=facts_sha256(machine_facts()),
        started_at=started_at,
        seed=seed,
        results=results,
        failed=failed,
    )
    run.write(found)
    return found


def _tried(
    what: str,
    experiment: Callable[[], Results],
    results: Results,
    failed: dict[str, str],
    say: Say,
) -> None:
    try:
        results.update(experiment())
    except FAILURES as error:
        failed[what] = f"{type(error).__name__}: {error}"
        say(f"{what} failed: {failed[what]}")
