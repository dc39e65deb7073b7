"""What a local stack consists of."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from stack.gates.emulation import Emulation
from stack.infra.limits import Limits
from stack.local.autoscaling import MOST_REPLICAS, AutoscalingPolicy

EnvironmentName = Annotated[str, Field(pattern=r"^HEADROOM_[A-Z0-9_]+$")]

# Set by the supervisor for every API process and the indexer; `service_env` may not touch them.
RESERVED_ENVIRONMENT = frozenset(
    {
        "HEADROOM_MONGO_URL",
        "HEADROOM_REDIS_URL",
        "HEADROOM_ELASTICSEARCH_URL",
        "HEADROOM_JWT_SECRET",
        "HEADROOM_ADMIN_PASSWORD",
        "HEADROOM_REPLICA",
        "HEADROOM_LIMITS",
        "HEADROOM_EMULATION_FILE",
        "HEADROOM_FAULTS_FILE",
        "HEADROOM_QUEUE_URL",
        "HEADROOM_OBJECTS_URL",
        "HEADROOM_EVENTS_URL",
        "HEADROOM_CLICKHOUSE_URL",
    }
)
Origin = Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$")]


class StackSpec(BaseModel):
    """The parts of one local stack. `headroom` derives it from a scenario."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")] = "default"
    api_replicas: Annotated[int, Field(ge=1, le=MOST_REPLICAS)] = 2
    load_balancer: Literal["round_robin", "least_connections", "power_of_two"] = "round_robin"
    cache_memory_mib: Annotated[int, Field(ge=1, le=10**6)] | None = 256
    database_members: Literal[1, 3, 5, 7] = 3
    election_timeout_s: Annotated[float, Field(ge=0.1, le=600)] = 10.0
    search_engine: Literal["elasticsearch", "mongo_text"] = "elasticsearch"
    elasticsearch_heap_mib: Annotated[int, Field(ge=256, le=32_000)] = 384
    workers: Annotated[int, Field(ge=0, le=64)] = 0  # of background jobs
    images: bool = False  # uploads, into a folder
    events: bool = False  # what shoppers do, into chDB
    http_port: Annotated[int, Field(ge=0, le=65_535)] = 0  # 0: any free one
    service_env: dict[EnvironmentName, str] = {}
    limits: Limits | None = None  # None: every request is admitted
    # Whoever is on this machine may name any client address: for a load generator that speaks
    # for many users, and never where strangers can connect.
    trust_forwarded_for: bool = False
    tls: bool = False  # HTTPS on a port of its own, beside HTTP
    cors_origins: tuple[Origin, ...] = ()  # web pages from there may call the API
    takes_faults: bool = False  # that are switched on while it runs (stack.local.faults)
    emulation: Emulation | None = None  # machines in dilated time; None: as fast as it goes
    autoscaling: AutoscalingPolicy | None = None  # of emulated API machines; None: none come or go

    def model_post_init(self, _context: object) -> None:
        """Refuse settings that the supervisor itself must choose."""
        taken = RESERVED_ENVIRONMENT & self.service_env.keys()
        if taken:
            raise ValueError(f"`service_env` may not set {', '.join(sorted(taken))}")

        if self.images and not self.workers:
            raise ValueError("`images` needs `workers`, which make their sizes")
        if self.autoscaling is not None and (
            self.emulation is None or "api" not in self.emulation.machines
        ):
            raise ValueError("`autoscaling` needs an `emulation` with API machines to look at")

    @property
    def queues(self) -> bool:
        """Whether anything goes through a queue."""
        return bool(self.workers or self.events)

    @property
    def needed_disk_mib(self) -> int:
        """Room the servers' data may take: each mongod preallocates 300 MiB of journal."""
        search = 256 if self.search_engine == "elasticsearch" else 0
        return 256 + 400 * self.database_members + search
