"""M/M/c: Poisson arrivals, exponential service, c identical servers, one queue without limit.

Assumes: arrivals are Poisson and the rate is constant; service times are exponential and
    independent; any free server takes the next job, first come first served; nobody leaves the
    queue and nobody is turned away.
Lies when: arrivals come in bursts (waits are longer than it says); service varies more than an
    exponential (longer) or less (shorter): see mgc; jobs are spread over c separate queues by a
    load balancer rather than taken from one (longer); clients give up and retry; the rate changes
    within the time a queue needs to settle, which near saturation is 1/(1-ρ)² services.
"""

import math

from sim.errors import require
from sim.queueing.distribution import ExponentialWait, WaitPlusExponential
from sim.queueing.domain import non_negative, positive, servers_count, stable
from sim.queueing.station import Station


def erlang_b_fraction(offered_erlangs: float, servers: int) -> float:
    """Share of jobs turned away when c servers have no queue (M/G/c/c).

    Args:
        offered_erlangs: offered load a = λ/μ, erlangs, 0 or 1e-15..1e15.
        servers: c, 1..1_000_000.
    Returns: blocking probability B(c, a), 0..1.
    Raises: InvalidScenario outside those domains.
    Source: [shortle2018, §3.6]; the recursion 1/B(k) = 1 + k/(a B(k-1)) never overflows.

    >>> round(erlang_b_fraction(1.0, 2), 6)  # (1/2) / (1 + 1 + 1/2)
    0.2
    """
    load = non_negative("offered_erlangs", offered_erlangs)
    blocked = 1.0
    for busy in range(1, servers_count(servers) + 1):
        blocked = load * blocked / (busy + load * blocked)
    return blocked


def erlang_c_fraction(offered_erlangs: float, servers: int) -> float:
    """Share of jobs that must queue in a stable M/M/c station.

    Args:
        offered_erlangs: offered load a = λ/μ, erlangs, below `servers`.
        servers: c, 1..1_000_000.
    Returns: delay probability C(c, a), 0..1.
    Raises: InvalidScenario outside those domains; UnstableStation if a >= c.
    Source: [shortle2018, §3.3], from Erlang B: C = B / (1 - ρ (1 - B)).

    >>> round(erlang_c_fraction(1.0, 2), 6)  # B = 1/5, ρ = 1/2: 0.2 / (1 - 0.4)
    0.333333
    """
    load = non_negative("offered_erlangs", offered_erlangs)
    utilisation = stable("M/M/c", load / servers_count(servers))
    blocked = erlang_b_fraction(load, servers)
    return blocked / (1 - utilisation * (1 - blocked))


def erlang_c_wait_s(arrivals_per_s: float, service_s: float, servers: int) -> float:
    """Mean time a job queues before service in a stable M/M/c station.

    Args:
        arrivals_per_s: Poisson arrival rate λ, jobs/s, > 0.
        service_s: mean of the exponential service time 1/μ, s, > 0.
        servers: identical parallel servers c, 1..1_000_000.
    Returns: Wq in s, service excluded; mean sojourn is Wq + service_s.
    Raises: InvalidScenario outside those domains; UnstableStation if λ/μ >= c.
    Source: [shortle2018, §3.3]; Erlang B by recursion, so c = 10_000 is safe.

    >>> round(erlang_c_wait_s(8.0, 0.1, 1), 6)  # M/M/1: ρ/(μ-λ) = 0.8/2
    0.4
    """
    return mmc(arrivals_per_s, service_s, servers).mean_queue_wait_s


def mmc(arrivals_per_s: float, service_s: float, servers: int) -> Station:
    """The steady state of M/M/c, with the distributions of wait and sojourn.

    Args:
        arrivals_per_s: Poisson arrival rate λ, jobs/s, > 0.
        service_s: mean of the exponential service time 1/μ, s, > 0.
        servers: identical parallel servers c, 1..1_000_000.
    Returns: a Station; sojourn is queue wait plus service, network time excluded.
    Raises: InvalidScenario outside those domains; UnstableStation if λ/μ >= c.
    Source: [shortle2018, §3.3]: P(Wq > t) = C e^-(cμ-λ)t.

    >>> station = mmc(8.0, 0.1, 1)
    >>> round(station.mean_sojourn_s, 6)  # 1/(μ-λ) = 1/2
    0.5
    >>> round(station.sojourn.quantile_s(0.95), 4)  # exponential: 0.5 ln 20
    1.4979
    """
    rate = positive("arrivals_per_s", arrivals_per_s)
    service = positive("service_s", service_s)
    load = rate * service
    utilisation = stable("M/M/c", load / servers_count(servers))
    delayed = erlang_c_fraction(load, servers)
    # c μ (1-ρ) rather than cμ - λ: the difference keeps its digits when ρ is close to 1.
    wait = ExponentialWait(delayed, servers / service * (1 - utilisation))
    waiting = delayed * utilisation / (1 - utilisation)
    return Station(
        model="M/M/c",
        arrivals_per_s=rate,
        throughput_per_s=rate,
        servers=servers,
        utilisation_fraction=utilisation,
        delayed_fraction=delayed,
        lost_fraction=0.0,
        mean_queue_wait_s=wait.mean_s,
        mean_sojourn_s=wait.mean_s + service,
        jobs_waiting=waiting,
        jobs_present=waiting + load,
        queue_wait=wait,
        sojourn=WaitPlusExponential(wait, 1 / service),
    )


def servers_for_sojourn(
    arrivals_per_s: float, service_s: float, sojourn_s: float, fraction: float = 0.95
) -> int:
    """Fewest servers of an M/M/c with which `fraction` of the jobs leave within `sojourn_s`.

    Args:
        arrivals_per_s: Poisson arrival rate λ, jobs/s, > 0.
        service_s: mean of the exponential service time, s, > 0.
        sojourn_s: the time allowed for wait and service together, s, > 0.
        fraction: share of jobs that must make it, 0..0.999999.
    Returns: c, 1..1_000_000.
    Raises: InvalidScenario outside those domains, and where no number of servers suffices
        because service alone takes too long.
    Source: [shortle2018, §3.3]; bisection, as the tail falls with c.

    >>> servers_for_sojourn(8.0, 0.1, 1.5)  # one server: p95 = 0.5 ln 20 = 1.498 s
    1
    >>> servers_for_sojourn(8.0, 0.1, 1.4)
    2
    """
    allowed = positive("sojourn_s", sojourn_s)
    load = positive("arrivals_per_s", arrivals_per_s) * positive("service_s", service_s)
    low = high = servers_count(int(min(load, 1e7)) + 1)

    def enough(servers: int) -> bool:
        return mmc(arrivals_per_s, service_s, servers).sojourn.quantile_s(fraction) <= allowed

    require(0 <= fraction <= 0.999999, "fraction", fraction, "a number from 0 to 0.999999")
    alone_s = -service_s * math.log(1 - fraction)
    require(alone_s < allowed, "sojourn_s", sojourn_s, f"more than {alone_s:.4g}, service alone")
    while not enough(high):
        low, high = high + 1, servers_count(high + max(1, high - low + 1) * 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low
