"""The metrics of one replica, in a registry of its own so that two apps can live in one process."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import nan
from time import monotonic, perf_counter

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from stack.infra.operations import Family, Operation
from stack.service.trace import current_trace

ACTIVE_USER_WINDOW_S = 300.0
# Fine enough that a percentile read off the buckets is within a fifth of the true one.
BUCKETS_S = tuple(round(0.0005 * 1.25**step, 6) for step in range(45))  # 0.5 ms … 9.2 s


class Metrics:
    """Request rate, latency, errors, database time, cache outcomes, process use, active users."""

    def __init__(self, replica: str) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "headroom_requests_total",
            "Requests answered; their rate is the request rate.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self._errors = Counter(
            "headroom_errors_total",
            "Requests answered with a server error (5xx).",
            ["route", "method"],
            registry=self.registry,
        )
        self._latency = Histogram(
            "headroom_request_seconds",
            "Time from a request's arrival in the replica to the end of its answer.",
            ["route", "method"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._database = Histogram(
            "headroom_database_seconds",
            "Time spent waiting for MongoDB, per request and operation.",
            ["operation"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._cache = Counter(
            "headroom_cache_requests_total",
            "Cache look-ups by key family; hit ratio = hit / all. A coalesced look-up missed, "
            "and waited for another request's read instead of reading itself.",
            ["family", "result"],
            registry=self.registry,
        )
        self._fills = Counter(
            "headroom_cache_fills_total",
            "How look-ups that missed got their answer: read (from the source, by this replica), "
            "waited (for another replica's read), gave_up (waited in vain, then read); early: read "
            "anew before an entry's end.",
            ["family", "how"],
            registry=self.registry,
        )
        fraction = Gauge(
            "headroom_cache_hit_fraction",
            "Hits over look-ups since the start, by key family; NaN before the first.",
            ["family"],
            registry=self.registry,
        )
        self._lookups: dict[Family, dict[str, int]] = {family: {} for family in Family}
        for family, results in self._lookups.items():
            fraction.labels(family.value).set_function(partial(_hit_fraction, results))
        # `labels` takes a lock and makes a tuple of texts; these are asked for at every request.
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._outcomes: dict[tuple[Family, str], Counter] = {}
        self._auth = Counter(
            "headroom_auth_total",
            "Logins, refreshes by what became of them, and ends of sessions.",
            ["event"],
            registry=self.registry,
        )
        self._limited = Counter(
            "headroom_limits_total",
            "Requests that were counted against a budget, by what was answered.",
            ["budget", "result"],
            registry=self.registry,
        )
        self._events = Counter(
            "headroom_events_total",
            "Shoppers' events: accepted from clients, handed over to be stored, or dropped.",
            ["result"],
            registry=self.registry,
        )
        self._users: dict[str, float] = {}
        active = Gauge(
            "headroom_active_users",
            f"Users who sent a request in the last {ACTIVE_USER_WINDOW_S:.0f} s.",
            registry=self.registry,
        )
        active.set_function(self._active_users)
        info = Gauge("headroom_replica", "Name of the replica.", ["name"], registry=self.registry)
        info.labels(replica).set(1)
        ProcessCollector(registry=self.registry)

    def request_done(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        counted = self._answered.get((route, method, status))
        if counted is None:
            requests = self._requests.labels(route, method, str(status))
            counted = requests, self._latency.labels(route, method)
            self._answered[route, method, status] = counted
        counted[0].inc()
        counted[1].observe(seconds)
        if status >= 500:
            self._errors.labels(route, method).inc()

    def cache_asked(self, family: Family, result: str) -> None:
        """Count one look-up: hit, miss, coalesced or unavailable."""
        outcome = self._outcomes.get((family, result))
        if outcome is None:
            outcome = self._outcomes[family, result] = self._cache.labels(family.value, result)
        outcome.inc()
        results = self._lookups[family]
        results[result] = results.get(result, 0) + 1

    def cache_filled(self, family: Family, how: str) -> None:
        """Count how one miss was answered: read, waited, gave_up or early."""
        self._fills.labels(family.value, how).inc()

    def auth_event(self, event: str) -> None:
        """Count one event of logins and sessions; the names are few and fixed."""
        self._auth.labels(event).inc()

    def budget_asked(self, budget: str, result: str) -> None:
        """Count one request against a budget: admitted, refused or uncounted (no Redis)."""
        self._limited.labels(budget, result).inc()

    def events(self, result: str, count: int) -> None:
        """Count events: accepted, handed_over or dropped."""
        self._events.labels(result).inc(count)

    def user_seen(self, user: str) -> None:
        """Note that a user is active."""
        self._users[user] = monotonic()

    @contextmanager
    def database(self, operation: Operation) -> Iterator[None]:
        """Time the block as database time of this operation and of the current request."""
        began = perf_counter()
        try:
            with current_trace().timed("db", operation.value):
                yield
        finally:
            self._database.labels(operation.value).observe(perf_counter() - began)

    def exposition(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self.registry)

    def _active_users(self) -> float:
        oldest = monotonic() - ACTIVE_USER_WINDOW_S
        self._users = {user: seen for user, seen in self._users.items() if seen >= oldest}
        return float(len(self._users))


def _hit_fraction(results: dict[str, int]) -> float:
    asked = sum(results.values())
    return results.get("hit", 0) / asked if asked else nan
