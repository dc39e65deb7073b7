"""All live experiments of a ledger: stacks up, each tried, what failed said, stacks down."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from http.client import HTTPException

import numpy as np
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from headroom.artefacts import Experiments, Run, now
from headroom.claims.compressed import hit_ratio_of_a_day
from headroom.claims.gateway import budgets, edge_on_and_off, guarded, pictures
from headroom.claims.keeping import failover, lives_of_entries, reads_after_updates
from headroom.claims.live import Live, Results
from headroom.claims.reads import cached_against_uncached, depth_of_lists, search_engines
from headroom.claims.signing_in import sessions
from headroom.live import running_stack
from headroom.variants import variant
from sim.scenario import Scenario
from stack.errors import StackError
from stack.observe.machine import facts_sha256, machine_facts

Say = Callable[[str], None]


@dataclass(frozen=True)
class Experiment:
    """What is tried, and the figures that it finds."""

    what: str
    try_on: Callable[[Live], Results]
    finds: tuple[str, ...]


# Design and baseline side by side. In this order: the last one leaves the design's database
# without one of its members.
ON_BOTH = (
    Experiment(
        "lives of entries",
        lives_of_entries,
        ("live.listing_ttl_s", "live.favourites_ttl_s", "live.search_ttl_s"),
    ),
    Experiment(
        "sessions",
        sessions,
        ("live.access_token_s", "live.refresh_token_s", "live.ended_tokens_accepted"),
    ),
    Experiment(
        "depth of lists", depth_of_lists, ("live.offset_over_cursor", "live.offset_depth_cost")
    ),
    Experiment("cached against uncached", cached_against_uncached, ("live.cached_speedup",)),
    Experiment(
        "search engines",
        search_engines,
        (
            "live.text_over_elasticsearch",
            "live.text_typo_recall",
            "live.elasticsearch_typo_recall",
        ),
    ),
    Experiment(
        "reads after updates", reads_after_updates, ("live.stale_reads", "live.index_lag_s")
    ),
    Experiment("failover", failover, ("live.failover_s", "live.lost_writes")),
)
# A small stack with budgets and workers.
GUARDED = (
    Experiment("edge on and off", edge_on_and_off, ("live.edge_speedup", "live.edge_hit_ratio")),
    Experiment(
        "pictures",
        pictures,
        ("live.image_files", "live.webp_over_jpeg", "live.thumbnail_over_original"),
    ),
    Experiment(
        "budgets",
        budgets,
        (
            "live.auth_budget",
            "live.search_budget",
            "live.listing_budget",
            "live.favourites_budget",
            "live.limit_layers",
        ),
    ),
)
DAY = "a day of the cache, compressed"
OF_A_DAY = ("live.hit_ratio", "live.database_relief")


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


@dataclass
class _Found:
    """What the experiments have given so far."""

    say: Say
    results: Results = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def tried(self, what: str, experiment: Callable[[], Results]) -> None:
        """Keep what an experiment gives, or why it gave nothing."""
        self.say(f"trying: {what}")
        try:
            self.results.update(experiment())
        except FAILURES as error:
            self.failed[what] = f"{type(error).__name__}: {error}"
            self.say(f"{what} failed: {self.failed[what]}")


def try_live(
    run: Run, say: Say, *, seed: int = 1, figures: Collection[str] | None = None
) -> Experiments:
    """Try things on live stacks of the run's scenario and store what was found.

    An experiment that fails is noted with its reason and the others go on. All of them take about
    five minutes; `figures` limits them to those that find one of these. What the run holds of
    others, found on this machine, stays. Raises: StackError when a stack cannot start.
    """
    scenario, started_at = run.scenario, now()
    found = _Found(say)
    rng = np.random.default_rng(seed)
    name = run.folder.name[:50]

    both, apart = (
        [e for e in group if figures is None or set(e.finds) & set(figures)]
        for group in (ON_BOTH, GUARDED)
    )
    if both:
        with (
            running_stack(scenario, say, name=f"design-{name}") as design,
            running_stack(baseline_of(scenario), say, name=f"baseline-{name}") as baseline,
        ):
            live = Live(scenario, design, baseline, run.folder, rng)
            for experiment in both:
                found.tried(experiment.what, partial(experiment.try_on, live))
    if apart:
        small = guarded(scenario)
        with running_stack(small, say, name=f"guarded-{name}") as info:
            live = Live(small, info, info, run.folder, rng)
            for experiment in apart:
                found.tried(experiment.what, partial(experiment.try_on, live))
    if scenario.topology.cache and (figures is None or set(OF_A_DAY) & set(figures)):
        folder = run.folder / "compressed"
        folder.mkdir(exist_ok=True)
        found.tried(DAY, partial(hit_ratio_of_a_day, scenario, folder, say))
    return _stored(run, found, started_at, seed)


def _stored(run: Run, found: _Found, started_at: datetime, seed: int) -> Experiments:
    """Write what was found, beside what the run holds of other experiments on this machine."""
    machine = facts_sha256(machine_facts())
    before = run.read(Experiments) if run.has(Experiments) else None
    results, failed = found.results, found.failed
    if before is not None and before.machine_sha256 == machine:
        results = before.results | results
        again = {e.what for e in (*ON_BOTH, *GUARDED) if set(e.finds) <= set(results)}
        again |= {DAY} if set(OF_A_DAY) <= set(results) else set()
        failed = {k: v for k, v in before.failed.items() if k not in again} | failed
    stored = Experiments(
        scenario_sha256=run.scenario_sha256,
        machine_sha256=machine,
        started_at=started_at,
        seed=seed,
        results=results,
        failed=failed,
    )
    run.write(stored)
    return stored
