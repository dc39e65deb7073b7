"""What `headroom plan` leaves on disk: plan.json."""

from typing import ClassVar

from headroom.artefacts import Artefact, Estimate, Record


class Figure(Record):
    """A figure over the futures with its 5 and 95 % quantiles; None where a tier is overloaded."""

    value: float | None
    low: float | None
    high: float | None


class MissRecord(Record):
    """The objective that a rejected candidate misses most often, and by how much.

    `reached` is what it reaches with the stated probability; it and `by` are None where a tier is
    overloaded.
    """

    objective: str
    target: float
    reached: float | None
    by: float | None
    probability: float


class PlannedRecord(Record):
    """One candidate: what it is, what it costs, what it reaches and how surely."""

    architecture: str
    api_type: str
    api_replicas: int
    cache_type: str
    cache_nodes: int
    cache_ttl_factor: float
    database_type: str
    database_members: int
    search_type: str | None
    search_nodes: int
    purchase: str
    zones: int = 1
    usd_per_month: Estimate
    figures: dict[str, Figure]
    probability: float
    each: dict[str, float]
    miss: MissRecord | None
    dearer_usd: float | None  # than the chosen one, where that is all that speaks against it
    regret_usd: float
    mean_regret_usd: float


class CheckedRecord(Record):
    """A candidate's p95 by the analytic screen and by the compiled engine."""

    place: int
    load_per_s: float
    screen_p95_s: float | None
    kernel_p95_s: Estimate | None
    target_s: float
    disagree: bool


class UsersRecord(Record):
    """How many users an architecture holds with the stated probability."""

    registered: float
    concurrent: float
    probability: float


class BreakingRecord(Record):
    """What gives way as the users grow."""

    what: str
    load_per_s: float
    registered_users: float
    growth: float


class InputRecord(Record):
    """An uncertain input: its 5 % quantile, median and 95 % quantile, and who says so."""

    name: str
    label: str
    low: float
    centre: float
    high: float
    stated: bool
    basis: str


class PlanArtefact(Artefact):
    """A plan: `chosen`, or why there is none; all other places count into `candidates`."""

    FILE: ClassVar[str] = "plan.json"

    scenario_sha256: str
    scenario: str
    demands: str
    demands_assumed: bool
    book: str
    seed: int
    futures: int
    confidence_fraction: float
    survive: str
    targets: dict[str, float]
    candidates: tuple[PlannedRecord, ...]
    not_sold: int
    chosen: int | None
    reasons: tuple[str, ...]
    unattainable: tuple[str, ...]
    fallback: int | None
    own: int | None
    least_regret: int | None
    frontier: tuple[int, ...]
    relaxed: dict[str, int]
    checked: tuple[CheckedRecord, ...]
    users: dict[int, UsersRecord]
    breaks: dict[int, tuple[BreakingRecord, ...]]
    doubled: "DoubledRecord | None"
    inputs: tuple[InputRecord, ...]
    unmoved: tuple[str, ...]
    stale: tuple[str, ...] = ()  # prices of the answer and the design: too old, or of unknown date

    @property
    def answer(self) -> int | None:
        """Place of the chosen candidate; else of the one that meets all that can be met."""
        return self.chosen if self.chosen is not None else self.fallback


class DoubledRecord(Record):
    """The answer for twice the users: what to buy then, and what it costs."""

    architecture: str
    usd_per_month: Estimate
    feasible: bool
