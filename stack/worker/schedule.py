"""What is done when nobody asks: jobs at fixed times of the day.

A slot's job has the slot in its key, so any number of workers may ask for it and it runs once. What
was missed while no worker ran is caught up with one job, not with one for each slot.
"""

from dataclasses import dataclass

from stack.infra.jobs import JobKind

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400


@dataclass(frozen=True)
class Every:
    """A job each `period_s`, `after_s` past the even moment (UTC)."""

    kind: JobKind
    period_s: int
    after_s: int = 0

    def slot(self, now_s: float) -> int:
        """The number of the period that `now_s` lies in.

        >>> Every(JobKind.REPORT, 86_400, 600).slot(86_400 + 599.0)
        0
        """
        return int((now_s - self.after_s) // self.period_s)

    def begins_s(self, slot: int) -> float:
        """When that period begins."""
        return slot * self.period_s + self.after_s


SCHEDULE = (
    Every(JobKind.MISSED_WELCOMES, MINUTE_S),
    Every(JobKind.SESSION_CLEANUP, 10 * MINUTE_S),
    Every(JobKind.RECOMMENDATIONS, HOUR_S),
    Every(JobKind.SEARCH_CHECK, HOUR_S, 30 * MINUTE_S),
    Every(JobKind.REPORT, DAY_S, 10 * MINUTE_S),
)
