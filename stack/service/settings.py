"""What one API replica needs to know."""

from typing import Annotated

from pydantic import Field, SecretStr

from stack.infra.operations import READS, Family, Operation
from stack.infra.settings import StackSettings


class Settings(StackSettings):
    """Settings of the service; every field is read from HEADROOM_<NAME>."""

    jwt_secret: Annotated[SecretStr, Field(min_length=32)]
    replica: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "api-1"
    # Seconds each family is kept. A family that is not named is not cached.
    cache_ttl_s: dict[Family, Annotated[float, Field(gt=0, le=10**7)]] = Field(
        default={Family.LISTING: 300, Family.FAVOURITES: 600, Family.SEARCH: 180}
    )
    cache_cleared_by_update: frozenset[Family] = frozenset({Family.LISTING, Family.SEARCH})
    read_from_secondaries: frozenset[Operation] = frozenset()

    def reads_from_secondary(self, operation: Operation) -> bool:
        """Whether this operation may read a value that is some milliseconds old."""
        return operation in READS and operation in self.read_from_secondaries
