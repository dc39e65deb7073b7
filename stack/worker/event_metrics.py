"""The metrics of the owner of the events."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector


class EventMetrics:
    """What was stored, how long it took, and what waits."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._stored = Counter(
            "headroom_events_stored_total",
            "Events written to ClickHouse; after a crash a batch may be written twice.",
            registry=self.registry,
        )
        self._seconds = Histogram(
            "headroom_events_insert_seconds",
            "Time of one insert.",
            registry=self.registry,
        )
        self._waiting = Gauge(
            "headroom_events_waiting_batches",
            "Batches in the stream that are not stored yet.",
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)

    def stored(self, events: int, seconds: float) -> None:
        """Count one insert."""
        self._stored.inc(events)
        self._seconds.observe(seconds)

    def waiting(self, batches: int) -> None:
        """Show the stream's length."""
        self._waiting.set(batches)
