"""Connection pools, rate limits, breakers, retry budgets; the twin of `sim.des.protection`."""

from typing import Any

import numpy as np

from sim.kernel.compiled import compiled
from sim.kernel.events import append, take_first, wake
from sim.kernel.layout import HANDED, WAITS, World

CLOSED, OPEN, HALF_OPEN = range(3)


@compiled
def take(w: World, a: int, step: Any) -> bool:
    """Take a connection, or queue for one."""
    attempt = w.attempts[a]
    replica = 0
    if step.b >= 0:
        replica = max(0, int(w.picked[a, step.b]))
    p = w.member_pools[step.a + replica]
    pool = w.pools[p]
    if pool.free:
        pool.free -= 1
        attempt.connection = p
        attempt.pc += 1
        return True
    attempt.state = WAITS
    attempt.order = p  # the pool it waits for
    append(w, pool, a)
    return False


@compiled
def give_back(w: World, p: int) -> None:
    """Hand a connection to the first that waits."""
    pool = w.pools[p]
    if pool.first >= 0:
        wake(w, take_first(w, pool), HANDED, w.g[0].now)
    else:
        pool.free += 1


@compiled
def limit_admits(w: World, a: int, number: int) -> bool:
    """Take a token of a rate limit, if there is one."""
    now, limit = w.g[0].now, w.limits[number]
    bucket = w.buckets[limit.at + w.attempts[a].user % limit.users]
    tokens = min(limit.burst, bucket.tokens + (now - bucket.seen_s) * limit.rate_per_s)
    bucket.seen_s = now
    if tokens >= 1.0:
        bucket.tokens = tokens - 1.0
        return True
    bucket.tokens = tokens
    return False


@compiled
def breaker_admits(now: float, breaker: Any) -> bool:
    """Whether a breaker lets a call pass."""
    if breaker.state == OPEN and now >= breaker.until_s:
        breaker.state, breaker.probing = HALF_OPEN, 0
    if breaker.state == CLOSED:
        return True
    if breaker.state == OPEN or breaker.probing:
        return False
    breaker.probing = 1
    return True


@compiled
def report(now: float, breaker: Any, good: bool) -> None:
    """Tell a breaker the result of a call that it had let pass."""
    if breaker.state == OPEN:
        return
    if good:
        breaker.state, breaker.failures = CLOSED, 0
        return
    breaker.failures += 1
    if breaker.state == HALF_OPEN or breaker.failures >= breaker.limit:
        breaker.state, breaker.failures = OPEN, 0
        breaker.until_s = now + breaker.open_s


@compiled
def may_retry(g: Any) -> bool:
    """Take a token of the retry budget, if there is one."""
    if g.budget < 1.0:
        return False
    if g.budget_fraction < np.inf:
        g.budget -= 1.0
    return True
