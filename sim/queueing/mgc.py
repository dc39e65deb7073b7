"""M/G/c and G/G/c: the two-moment approximation of Allen and Cunneen.

Assumes: first come first served from one queue; arrivals and service known by mean and squared
    coefficient of variation alone; jobs that wait do so for an exponential time.
Lies when: more than two moments matter: many servers, low load or very uneven service. With gamma
    service and Poisson arrivals, against simulation over c in 1..64, ρ in 0.5..0.9, scv in 0..4,
    the mean sojourn is off by at most 4 % and the p95 sojourn by at most 9 % (constant service at
    low load is worst); bench/mgc_error.py measures both, a test pins them. The mean queue wait
    alone, where it is short beside the service, is off by far more. Outside that range: unknown.
"""

from sim.errors import require
from sim.queueing.distribution import (
    ExponentialWait,
    Shifted,
    TimeDistribution,
    WaitPlusExponential,
)
from sim.queueing.domain import non_negative, positive, servers_count, stable
from sim.queueing.mg1 import WaitPlusService
from sim.queueing.mmc import erlang_c_fraction
from sim.queueing.service import Gamma, service_time
from sim.queueing.station import Station

# Fitted by nothing, measured by bench/mgc_error.py: largest relative errors in the range above.
MEAN_SOJOURN_ERROR = 0.04
P95_SOJOURN_ERROR = 0.09


def mgc(
    arrivals_per_s: float,
    service_s: float,
    servers: int,
    service_scv: float,
    arrivals_scv: float = 1.0,
) -> Station:
    """The approximate steady state of M/G/c (or G/G/c), with its distributions.

    Args:
        arrivals_per_s: arrival rate λ, jobs/s, > 0.
        service_s: mean service time, s, > 0.
        servers: identical parallel servers c, 1..1_000_000.
        service_scv: squared coefficient of variation of service, 0 or 0.001..100.
        arrivals_scv: the same of the gaps between arrivals, 0..100; 1 is Poisson.
    Returns: a Station; Wq = Wq(M/M/c) (scv_a + scv_s) / 2, and waits that happen are exponential.
        Exact for M/M/c, exact in the mean for M/G/1.
    Raises: InvalidScenario outside those domains; UnstableStation if λ E[S] >= c.
    Source: [allen1990, §5.3], Allen–Cunneen; the exponential shape of the wait after [bolch2006,
        §6.2].

    >>> round(mgc(5.0, 0.1, 1, 0.0).mean_queue_wait_s, 6)  # M/D/1: half of M/M/1's 0.1 s
    0.05
    """
    rate = positive("arrivals_per_s", arrivals_per_s)
    service = service_time(service_s, service_scv)
    require(
        non_negative("arrivals_scv", arrivals_scv) <= 100,
        "arrivals_scv",
        arrivals_scv,
        "a number from 0 to 100",
    )
    load = rate * service.mean_s
    utilisation = stable("M/G/c", load / servers_count(servers))
    delayed = erlang_c_fraction(load, servers)
    variability = (arrivals_scv + service_scv) / 2
    if variability > 0:
        decay = servers / service.mean_s * (1 - utilisation) / variability
        wait = ExponentialWait(delayed, decay)
    else:  # D/D/c never queues
        delayed, wait = 0.0, ExponentialWait(0.0, 1 / service.mean_s)
    sojourn: TimeDistribution
    if not isinstance(service, Gamma):
        sojourn = Shifted(wait, service.mean_s)
    elif service.scv == 1.0:
        sojourn = WaitPlusExponential(wait, 1 / service.mean_s)
    else:
        sojourn = WaitPlusService(wait, service)
    return Station(
        model="M/G/c" if arrivals_scv == 1 else "G/G/c",
        arrivals_per_s=rate,
        throughput_per_s=rate,
        servers=servers,
        utilisation_fraction=utilisation,
        delayed_fraction=delayed,
        lost_fraction=0.0,
        mean_queue_wait_s=wait.mean_s,
        mean_sojourn_s=wait.mean_s + service.mean_s,
        jobs_waiting=rate * wait.mean_s,
        jobs_present=rate * wait.mean_s + load,
        queue_wait=wait,
        sojourn=sojourn,
    )
