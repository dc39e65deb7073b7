"""What differs between two runs, and how sure that is."""

from headroom.artefacts import Artefact, Estimate, Record, Status
from headroom.wording import amount, metric_name, unit_of

NO_CHANGE = "no significant change"


class LoadFigures(Record):
    """The figures of one load offered once."""

    load_per_s: float
    repeat: int
    valid: bool
    requests: int
    metrics: dict[str, Estimate]


class RunFigures(Record):
    """All that a difference is judged by, of one run."""

    name: str
    machine: str
    loads: tuple[LoadFigures, ...]


class Change(Record):
    """One figure before and after.

    `change` is a share of the figure before (0.5: half as much again), or for shares the
    difference itself; with the interval in which it lies at 95 % for all figures together.
    """

    metric: str
    before: Estimate
    after: Estimate
    at_load_per_s: float | None  # where before and after were measured; None for a model's figure
    change: Estimate
    is_relative: bool
    loads: int  # that both runs measured
    valid: bool  # False: a side had no valid run, so this judges nothing
    significant: bool

    def in_words(self) -> str:
        """The change with its interval, such as `p95 latency +45 % (38 to 52)`."""
        unit = "%" if self.is_relative else "pp"
        value, low, high = (
            f"{end * 100:+.{0 if abs(end) >= 0.0995 else 1}f}".replace("-", "−")
            for end in (self.change.value, self.change.low, self.change.high)
        )
        return f"{metric_name(self.metric)} {value} {unit} ({low} to {high})"

    def shown(self, which: Estimate) -> str:
        """`before` or `after` with its unit."""
        return amount(which.value, unit_of(self.metric))


class Lane(Record):
    """Where a request spends its time: one component's share of the change of the mean."""

    component: str
    change_s: float
    of_change_fraction: float


class RunDiff(Artefact):
    """Two runs side by side, the second judged by the first."""

    before: str
    after: str
    status_before: Status | None
    status_after: Status | None
    objectives: tuple[str, ...]  # those whose status differs, in words
    scenario: tuple[str, ...]  # fields that differ, in words
    machine: tuple[str, ...]
    changes: tuple[Change, ...]
    lanes: tuple[Lane, ...]  # of a significant change of latency, the largest first
    sentence: str

    @property
    def significant(self) -> tuple[Change, ...]:
        """The changes that are more than runs of the same thing differ by."""
        return tuple(change for change in self.changes if change.significant)
