"""What one API replica needs to know."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from stack.infra.limits import Limits
from stack.infra.operations import READS, Family, Operation
from stack.infra.settings import BackgroundSettings
from stack.service.cache import FamilyPolicy


class Settings(BackgroundSettings):
    """Settings of the service; every field is read from HEADROOM_<NAME>."""

    jwt_secret: Annotated[SecretStr, Field(min_length=32)]
    replica: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "api-1"
    # Seconds each family is kept. A family that is not named is not cached.
    cache_ttl_s: dict[Family, Annotated[float, Field(gt=0, le=10**7)]] = Field(
        default={Family.LISTING: 300, Family.FAVOURITES: 600, Family.SEARCH: 180}
    )
    cache_cleared_by_update: frozenset[Family] = frozenset({Family.LISTING, Family.SEARCH})
    # Against stampedes; `FamilyPolicy` says what each does. A scenario sets all three.
    cache_ttl_jitter_fraction: dict[Family, Annotated[float, Field(ge=0, lt=1)]] = Field(
        default=dict.fromkeys(Family, 0.1)
    )
    cache_early_recompute_beta: dict[Family, Annotated[float, Field(ge=0, le=100)]] = Field(
        default=dict.fromkeys(Family, 1.0)
    )
    cache_shared_flights: frozenset[Family] = frozenset(Family)
    # offset: the baseline's API, v1 with numbered pages and nothing beyond it.
    paging: Literal["cursor", "offset"] = "cursor"
    read_from_secondaries: frozenset[Operation] = frozenset()
    # Logging in once more ends the session that was not used for longest. 0: no limit.
    sessions_per_user: Annotated[int, Field(ge=0, le=10_000)] = 10
    limits: Limits | None = None  # None: every request is admitted
    # Who may say, by X-Real-IP, whose request it hands on: the load balancer.
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = (IPv4Network("127.0.0.0/8"),)
    # Emulated machines in dilated time (stack.gates); none: the stack runs as fast as it can.
    emulation_file: Path | None = None
    # What is made wrong on purpose (stack.infra.faults); none: nothing ever is.
    faults_file: Path | None = None

    def cache_policies(self) -> dict[Family, FamilyPolicy]:
        """How each cached family is kept."""
        return {
            family: FamilyPolicy(
                ttl_s,
                self.cache_ttl_jitter_fraction.get(family, 0.0),
                self.cache_early_recompute_beta.get(family, 0.0),
                family in self.cache_shared_flights,
            )
            for family, ttl_s in self.cache_ttl_s.items()
        }

    graphql_introspection: bool = True  # the schema is no secret here; a private API would say no

    def reads_from_secondary(self, operation: Operation) -> bool:
        """Whether this operation may read a value that is some milliseconds old."""
        return operation in READS and operation in self.read_from_secondaries
