"""The metrics of the indexer."""

import time
from collections.abc import Iterable
from datetime import datetime
from math import nan

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

BUCKETS_S = tuple(round(0.01 * 1.5**step, 6) for step in range(24))  # 10 ms … 112 s


class IndexMetrics:
    """How far the index is behind the database, and what was written to it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._in_step_s: float | None = None
        lag = Gauge(
            "headroom_indexer_lag_seconds",
            "Age of the moment up to which the index is known to hold every change: about 0.2 s at "
            "rest, rising while the indexer is busy, or cannot read or write.",
            registry=self.registry,
        )
        lag.set_function(self._lag_s)
        self._changes = Counter(
            "headroom_indexer_changes_total",
            "Changes written to the index; after a crash some are written twice.",
            registry=self.registry,
        )
        self._delay = Histogram(
            "headroom_indexer_change_seconds",
            "Time from a change in the database until searches find it.",
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._scans = Counter(
            "headroom_indexer_scans_total",
            "Times that everything was read again: a new index, or a place that was lost.",
            registry=self.registry,
        )
        self._failures = Counter(
            "headroom_indexer_failures_total",
            "Times that a server failed and the indexer began again from its checkpoint.",
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)

    def in_step(self, until_s: float) -> None:
        """The index holds every change up to this moment (of the clock, not monotonic)."""
        self._in_step_s = until_s

    def found(self, changed_at: Iterable[datetime]) -> None:
        """Changes of these moments can be found by searches now."""
        now_s = time.time()
        for moment in changed_at:
            self._changes.inc()
            self._delay.observe(max(0.0, now_s - moment.timestamp()))

    def scanned(self) -> None:
        """Count one reading of everything."""
        self._scans.inc()

    def failed(self) -> None:
        """Count one failure of a server."""
        self._failures.inc()

    def _lag_s(self) -> float:
        return nan if self._in_step_s is None else max(0.0, time.time() - self._in_step_s)
