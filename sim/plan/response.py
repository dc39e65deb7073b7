"""Response times of a chain of tiers, for many architectures and futures at once.

Each tier is M/G/c by Allen and Cunneen (`sim.queueing.mgc`), the API if so told one of processor
sharing; a request class waits at each of its visits and is served there; its response time is taken
as lognormal with the mean and variance of that sum, and the p95 is that of the mixture of the
classes.

Assumes: steady state; visits independent of each other; retries and coalesced misses left out.
Lies when: a tier is within a few per cent of saturation (waits go together along the path); a
    balancer spreads unevenly. The kernel is run on the plans that matter, and both are shown.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from sim.errors import require
from sim.plan.demand import TIERS, Floats, Work

Singles = NDArray[np.float32]

WIDE = 32  # from so many slots an instance on, waiting is left out: the provider's balancer
FULL = 0.999_999
ROUNDS = 5
MORE_ROUNDS = 40
CLOSE_ENOUGH = 1e-5  # of the logarithm of a time
_API, _API_THREADS, _SEARCH = (TIERS.index(n) for n in ("api", "api_threads", "elasticsearch"))
_SECONDARY = TIERS.index("secondary")
Z95 = 1.6448536269514722


@dataclass(frozen=True)
class Servers:
    """How many instances and slots each tier has; [tier, …], broadcast against the futures.

    Args:
        instances: of each tier, >= 1, balanced round robin.
        slots: served at once by one instance, >= 1.
        pooled_api: the balancer sends to the least busy replica, so that replicas share a queue.
        shared_api: each replica serves all its requests at once, each the slower for it.
    """

    instances: Floats
    slots: NDArray[np.int64]
    pooled_api: bool = False
    shared_api: bool = False


@dataclass(frozen=True)
class Response:
    """What requests find, for each case.

    Args:
        mean_s, p95_s: response time, s; infinite where a tier is overloaded.
        error_fraction: requests that outlast the timeout; of an overloaded tier, what it loses.
        utilisation: busy share of each tier's slots, [tier, …]; 1 and more is overload.
    """

    mean_s: Floats
    p95_s: Floats
    error_fraction: Floats
    utilisation: Floats


def respond(
    work: Work,
    load_per_s: Floats,
    hit_fraction: Floats,
    stretch: Floats,
    servers: Servers,
    *,
    timeout_s: float,
) -> Response:
    """Response times at a load.

    Args:
        work: the request classes.
        load_per_s: all requests, 1/s, > 0; any shape.
        hit_fraction: of each family of `work`, [family, …].
        stretch: factor on the measured demands of each tier, [tier, …], > 0.
        servers: what serves them.
        timeout_s: patience of a caller, s, > 0.
    Returns: arrays of the common shape.
    Raises: InvalidScenario without patience; the planner checks the rest.
    Source: M/M/c and M/G/c waits [shortle2018, §3.3 and §6.2] and shifted lognormals added along
        the path; tests hold it against the engine.

    >>> one = np.ones((7, 1))
    >>> tiers = np.zeros((1, 7)); tiers[0, 1] = 1.0
    >>> work = Work((), np.ones(1), np.full(1, -1), np.zeros(1, bool),
    ...             tiers, 0.1 * tiers, 0.02 * tiers, 0.01 * tiers, np.zeros(1))
    >>> found = respond(work, np.array([5.0]), np.empty((0, 1)), one,
    ...                 Servers(one, np.ones((7, 1), np.int64)), timeout_s=10.0)
    >>> round(found.mean_s.item(), 6), found.utilisation[1].item()  # M/M/1: 0.1 / (1 - 0.5)
    (0.2, 0.5)
    """
    require(timeout_s > 0.0, "timeout_s", timeout_s, "more than 0")
    weights = work.weights(hit_fraction)
    shape = weights.shape[1:]
    flat = weights.reshape(weights.shape[0], -1)
    visits = (work.visits.T @ flat).reshape(-1, *shape)
    asked = np.maximum(visits, 1e-300)
    mean_s = (work.mean_s.T @ flat).reshape(-1, *shape) / asked * stretch
    scv = (work.square_s2.T @ flat).reshape(-1, *shape) / asked * stretch**2
    scv /= np.maximum(mean_s**2, 1e-300)
    scv -= 1.0
    offered = load_per_s * visits * mean_s / servers.instances
    utilisation = offered / servers.slots
    worst = utilisation.max(axis=0)
    wait_s, wait_s2 = _waits(offered, utilisation, mean_s, scv, servers)
    if servers.shared_api:
        stretch = _slowed(stretch, mean_s, wait_s)
    class_mean, class_variance = _of_classes(work, wait_s, wait_s2, stretch, shape)
    spread = np.log1p(class_variance / class_mean**2)
    place = np.log(class_mean) - spread / 2
    deviation = np.sqrt(spread)
    overloaded = worst >= 1.0
    p95_s = np.exp(mixture_quantile(weights, place, deviation))
    late = np.einsum("k...,k...->...", weights, _tail((math.log(timeout_s) - place) / deviation))
    return Response(
        mean_s=np.where(overloaded, np.inf, np.einsum("k...,k...->...", weights, class_mean)),
        p95_s=np.where(overloaded, np.inf, p95_s),
        error_fraction=np.where(overloaded, 1.0 - 1.0 / np.maximum(worst, 1.0 + 1e-9), late),
        utilisation=utilisation,
    )


def _waits(
    offered: Floats, utilisation: Floats, mean_s: Floats, scv: Floats, servers: Servers
) -> tuple[Floats, Floats]:
    """Mean and variance of the wait of a visit to each tier."""
    wait_s, wait_s2 = np.zeros_like(offered), np.zeros_like(offered)
    instances = np.broadcast_to(servers.instances, offered.shape)
    slots = np.broadcast_to(servers.slots, offered.shape)
    for tier in range(len(TIERS)):
        if slots[tier].min() >= WIDE or not utilisation[tier].any():
            continue
        busy = np.minimum(utilisation[tier], FULL)
        count = slots[tier]
        arrivals_scv: Floats | float = 1.0
        if tier == _API and servers.pooled_api:
            count = (count * instances[tier]).astype(np.int64)
        elif tier == _API:  # one of the two visits comes when the back ends let it
            arrivals_scv = (1.0 + 1.0 / instances[tier]) / 2
        elif tier in (_API_THREADS, _SEARCH, _SECONDARY):
            arrivals_scv = 1.0 / instances[tier]
        delayed = erlang_c(busy, count)
        shares = tier == _API and servers.shared_api
        service_scv = 1.0 if shares else scv[tier]  # whatever it is: sharing is insensitive to it
        per_wait_s = mean_s[tier] / count / (1.0 - busy) * (arrivals_scv + service_scv) / 2
        wait_s[tier] = delayed * per_wait_s
        wait_s2[tier] = (2.0 - delayed) * delayed * per_wait_s**2
        if shares:  # of M/M/1-PS, beside that of the service itself; see `_slowed`
            whole_s = wait_s[tier] + mean_s[tier]
            wait_s2[tier] = whole_s**2 * 2.0 * delayed / (2.0 - delayed)
    return wait_s, wait_s2


def _slowed(stretch: Floats, mean_s: Floats, wait_s: Floats) -> Floats:
    """Demands stretched by what sharing slows them, in place of a wait at the API.

    A visit that needs x takes x / (1 - ρ) in M/G/1-PS [kleinrock1976, §4.4], and the variance of
    M/M/1-PS is (2 + ρ) / ((2 - ρ) μ² (1 - ρ)²) [coffman1970]; with c slots, by the wait of M/M/c.
    """
    slowed = np.array(np.broadcast_to(stretch, wait_s.shape))
    slowed[_API] *= 1.0 + wait_s[_API] / np.maximum(mean_s[_API], 1e-300)
    wait_s[_API] = 0.0
    return slowed


def erlang_c(utilisation: Floats, servers: NDArray[np.int64]) -> Floats:
    """Chance to wait in M/M/c, by the recursion of Erlang B.

    Args:
        utilisation: of each server, in [0, 1).
        servers: c, >= 1, of the same shape.

    >>> erlang_c(np.array([0.5, 0.5]), np.array([1, 2])).round(6).tolist()
    [0.5, 0.333333]
    """
    load = utilisation * servers
    blocked = np.ones_like(load)
    found = utilisation.copy()  # what c = 1 gives
    most = int(servers.max())
    for count in range(1, most + 1):
        blocked = load * blocked / (count + load * blocked)
        if count > 1:
            here = servers == count
            if here.any():
                chance = blocked / (1.0 - utilisation * (1.0 - blocked))
                found = np.where(here, chance, found)
    return found


def _of_classes(
    work: Work, wait_s: Floats, wait_s2: Floats, stretch: Floats, shape: tuple[int, ...]
) -> tuple[Floats, Floats]:
    """Mean and variance of each class's response time."""
    wide = np.broadcast_to(stretch, (len(TIERS), *shape)).reshape(len(TIERS), -1)
    mean = work.visits @ wait_s.reshape(len(TIERS), -1) + work.mean_s @ wide
    mean += work.delay_s[:, None]
    variance = work.visits @ wait_s2.reshape(len(TIERS), -1) + work.variance_s2 @ wide**2
    rows = work.share.size
    return np.maximum(mean, 1e-12).reshape(rows, *shape), np.maximum(variance, 1e-24).reshape(
        rows, *shape
    )


def mixture_quantile(
    weights: Floats, place: Floats, deviation: Floats, fraction: float = 0.95
) -> Floats:
    """Logarithm of a quantile of a mixture of lognormals, [class, …].

    Newton's steps inside a bracket that each one narrows, in single precision: a few for all, then
    more for the few cases that need them. The normal distribution by a logistic one (error below
    2e-4 of probability, [bowling2009]). A test holds the quantile within 1 % of the exact one.

    >>> one = np.ones((1, 1))
    >>> round(mixture_quantile(one, 0 * one, one).item(), 2)
    1.64
    """
    rows, shape = weights.shape[0], weights.shape[1:]
    mixture = _Mixture(
        weights.reshape(rows, -1).astype(np.float32),
        np.broadcast_to(place, weights.shape).reshape(rows, -1).astype(np.float32),
        (1.0 / np.broadcast_to(deviation, weights.shape)).reshape(rows, -1).astype(np.float32),
    )
    z = Z95 if fraction == 0.95 else NormalDist().inv_cdf(fraction)
    ends = mixture.place + np.float32(z) / mixture.inverse
    low, high = ends.min(axis=0), ends.max(axis=0)
    x = np.clip(np.einsum("kn,kn->n", mixture.weights, ends), low, high)
    state = (x, low, high)
    for _ in range(ROUNDS):
        state = mixture.narrowed(*state, np.float32(fraction))
    found = state[0].copy()
    places = np.arange(found.size)  # of the cases that still move
    for _ in range(MORE_ROUNDS):
        if not places.size:
            break
        before = state[0]
        state = mixture.narrowed(*state, np.float32(fraction))
        found[places] = state[0]
        moving = np.abs(state[0] - before) > CLOSE_ENOUGH
        places, mixture = places[moving], mixture.of(moving)
        state = (state[0][moving], state[1][moving], state[2][moving])
    return np.asarray(found, np.float64).reshape(shape)


@dataclass(frozen=True)
class _Mixture:
    """Mixtures of normals side by side, [class, case]; `inverse` is 1 over the deviation."""

    weights: Singles
    place: Singles
    inverse: Singles

    def of(self, chosen: NDArray[np.bool_]) -> "_Mixture":
        """Some of the cases."""
        return _Mixture(self.weights[:, chosen], self.place[:, chosen], self.inverse[:, chosen])

    def narrowed(
        self, x: Singles, low: Singles, high: Singles, wanted: np.float32
    ) -> tuple[Singles, Singles, Singles]:
        """The next x and its bracket."""
        z = x - self.place
        z *= self.inverse
        np.clip(z, -8.0, 8.0, out=z)
        square = z * z
        below = square * np.float32(-0.07056)
        below -= np.float32(1.5976)
        below *= z
        np.exp(below, out=below)
        below += np.float32(1.0)
        np.reciprocal(below, out=below)
        density = below * (np.float32(1.0) - below)
        square *= np.float32(3 * 0.07056)
        square += np.float32(1.5976)
        density *= square
        density *= self.inverse
        reached = np.einsum("kn,kn->n", self.weights, below)
        slope = np.einsum("kn,kn->n", self.weights, density)
        low = np.where(reached < wanted, x, low)
        high = np.where(reached < wanted, high, x)
        step = x - (reached - wanted) / np.maximum(slope, np.float32(1e-12))
        inside = (step >= low) & (step <= high)
        return np.where(inside, step, (low + high) / np.float32(2)), low, high


def _tail(z: Floats) -> Floats:
    """P(Z > z) of the standard normal; absolute error below 1e-7 [abramowitz1964, 7.1.26]."""
    z = np.clip(z, -12.0, 12.0)  # beyond, exp() would slow down over numbers next to nothing
    t = 1.0 / (1.0 + 0.3275911 * np.abs(z) / math.sqrt(2.0))
    series = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    upper = 0.5 * series * np.exp(-(z**2) / 2.0)
    return np.asarray(np.where(z >= 0, upper, 1.0 - upper))
