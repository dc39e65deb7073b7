"""The metrics of one worker."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from stack.infra.jobs import Backlog, Job

BUCKETS_S = tuple(round(0.005 * 2**step, 6) for step in range(16))  # 5 ms … 164 s


class WorkerMetrics:
    """Outcomes, durations and delays by kind, and the queue's length."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._outcomes = Counter(
            "headroom_jobs_total",
            "Jobs that this worker ended, by how: done, skipped, off, refused, retried, dead, "
            "released at a stop, or lost to another worker.",
            ["kind", "outcome"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "headroom_job_seconds",
            "Time that a job took, however it came out.",
            ["kind"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._delay = Histogram(
            "headroom_job_delay_seconds",
            "Time between the moment a job was due and its start.",
            ["kind"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._backlog = Gauge(
            "headroom_job_backlog",
            "Jobs in the queue by state, as this worker last saw them.",
            ["state"],
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)

    def began(self, job: Job, now_s: float) -> None:
        """Note how late a job starts."""
        self._delay.labels(job.kind).observe(max(0.0, now_s - job.due_s))

    def ended(self, job: Job, outcome: str, seconds: float) -> None:
        """Count an ended job."""
        self._outcomes.labels(job.kind, outcome).inc()
        self._seconds.labels(job.kind).observe(seconds)

    def saw(self, backlog: Backlog) -> None:
        """Show the queue's state."""
        for state in ("waiting", "running", "later", "dead"):
            self._backlog.labels(state).set(getattr(backlog, state))
