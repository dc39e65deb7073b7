"""What every open single-station model returns: the same words for the same things."""

from dataclasses import dataclass

from sim.queueing.distribution import TimeDistribution


@dataclass(frozen=True)
class Station:
    """The steady state of one station.

    Attributes:
        model: name in Kendall's notation.
        arrivals_per_s: offered rate λ, jobs/s, lost jobs included.
        throughput_per_s: rate at which jobs complete service, jobs/s.
        servers: parallel servers c.
        utilisation_fraction: mean share of time that one server works, 0..1.
        delayed_fraction: share of admitted jobs that do not start at once, 0..1.
        lost_fraction: share of offered jobs that leave unserved (turned away or impatient), 0..1.
        mean_queue_wait_s: mean time between arrival and start of service (or leaving), s.
        mean_sojourn_s: mean time between arrival and leaving, s.
        jobs_waiting: mean number that queue, jobs.
        jobs_present: mean number in the station, jobs.
        queue_wait: distribution of the queue wait; MeanOnly where theory gives no more.
        sojourn: distribution of the sojourn; MeanOnly where theory gives no more.
    """

    model: str
    arrivals_per_s: float
    throughput_per_s: float
    servers: int
    utilisation_fraction: float
    delayed_fraction: float
    lost_fraction: float
    mean_queue_wait_s: float
    mean_sojourn_s: float
    jobs_waiting: float
    jobs_present: float
    queue_wait: TimeDistribution
    sojourn: TimeDistribution
