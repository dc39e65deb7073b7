"""What keeps a stack from drowning: connection pools, rate limits, breakers, retry budgets."""

from collections import deque
from enum import Enum

from simpy.events import Event

from sim.des.clock import Clock
from sim.model.parts import Breaker, Client, Pool, RateLimit


class Connections:
    """A pool of connections; who finds none waits, first come first served."""

    def __init__(self, clock: Clock, pool: Pool) -> None:
        self.clock = clock
        self.free = pool.size
        self.waiting: deque[Event] = deque()

    def take(self) -> Event | None:
        """Take a connection now (None), or the event at which one is handed over."""
        if self.free:
            self.free -= 1
            return None
        event = Event(self.clock)
        self.waiting.append(event)
        return event

    def give_back(self) -> None:
        """Hand the connection to the first that waits."""
        if self.waiting:
            self.waiting.popleft().succeed()
        else:
            self.free += 1


class Buckets:
    """Token buckets of one rate limit, refilled when looked at."""

    def __init__(self, clock: Clock, limit: RateLimit) -> None:
        self.clock = clock
        self.limit = limit
        self.tokens: dict[int, float] = {}
        self.seen_s: dict[int, float] = {}

    def admits(self, user: int) -> bool:
        """Take a token of this user's bucket, if there is one."""
        now = self.clock.now
        bucket = user % self.limit.users if self.limit.per == "user" else 0
        tokens = self.tokens.get(bucket, self.limit.burst)
        elapsed = now - self.seen_s.get(bucket, 0.0)
        tokens = min(self.limit.burst, tokens + elapsed * self.limit.rate_per_s)
        self.seen_s[bucket] = now
        admitted = tokens >= 1.0
        self.tokens[bucket] = tokens - 1.0 if admitted else tokens
        return admitted


class State(Enum):
    """Of a circuit breaker."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2


class Fuse:
    """A circuit breaker at work."""

    def __init__(self, clock: Clock, breaker: Breaker) -> None:
        self.clock = clock
        self.breaker = breaker
        self.state = State.CLOSED
        self.failures = 0
        self.open_until_s = 0.0
        self.probing = False

    def admits(self) -> bool:
        """Whether a call may pass now."""
        if self.state is State.OPEN and self.clock.now >= self.open_until_s:
            self.state, self.probing = State.HALF_OPEN, False
        if self.state is State.CLOSED:
            return True
        if self.state is State.OPEN or self.probing:
            return False
        self.probing = True
        return True

    def report(self, good: bool) -> None:
        """Learn the result of a call that had passed."""
        if self.state is State.OPEN:
            return
        if good:
            self.state, self.failures = State.CLOSED, 0
            return
        self.failures += 1
        if self.state is State.HALF_OPEN or self.failures >= self.breaker.failures:
            self.state, self.failures = State.OPEN, 0
            self.open_until_s = self.clock.now + self.breaker.open_s


class RetryBudget:
    """Retries as a fraction of first attempts, with a reserve."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.tokens = client.budget_cap

    def first_attempt(self) -> None:
        """A request began."""
        added = self.tokens + self.client.budget_fraction
        self.tokens = min(self.client.budget_cap, added)

    def allows_retry(self) -> bool:
        """Take a token for a retry, if there is one."""
        if self.tokens < 1.0:
            return False
        if self.client.budget_fraction < float("inf"):
            self.tokens -= 1.0
        return True
