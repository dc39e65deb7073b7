"""One try at serving a request, or one job."""

from simpy.events import Process

from sim.des.caches import Flight
from sim.des.protection import Connections, Fuse
from sim.des.servers import StationState
from sim.model.run import CacheOutcome


class Attempt:
    """What a try holds and knows while it is under way."""

    __slots__ = (
        "abandoned",
        "asked_s",
        "cache_outcome",
        "connection",
        "ended",
        "flight",
        "fuse",
        "fuse_entered_s",
        "is_job",
        "key",
        "number",
        "process",
        "replicas",
        "request",
        "stamps",
        "user",
    )

    def __init__(self, request: int, number: int, key: int, user: int, is_job: bool) -> None:
        self.request = request
        self.number = number
        self.key = key
        self.user = user
        self.is_job = is_job
        self.asked_s: float | None = None  # of a job: when a request left it behind
        self.abandoned = False  # its request no longer waits for it
        self.ended = False
        self.process: Process | None = None
        self.replicas: dict[str, StationState] = {}  # by group
        self.connection: Connections | None = None
        self.fuse: Fuse | None = None
        self.fuse_entered_s = 0.0
        self.flight: Flight | None = None  # the cache fill that it leads
        self.stamps: dict[str, int] = {}  # by family: generations as of the last lookup
        self.cache_outcome = CacheOutcome.NONE
