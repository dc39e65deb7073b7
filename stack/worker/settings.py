"""What the indexer needs to know."""

from typing import Annotated

from pydantic import Field

from stack.infra.operations import Family
from stack.infra.settings import StackSettings


class IndexerSettings(StackSettings):
    """Settings of the indexer; it cannot run without a search index to write to."""

    elasticsearch_url: Annotated[str, Field(pattern=r"^https?://.+")]
    cache_cleared_by_update: frozenset[Family] = frozenset({Family.LISTING, Family.SEARCH})

    @property
    def clears_searches(self) -> bool:
        """Whether cached searches are void once a change can be found."""
        return Family.SEARCH in self.cache_cleared_by_update and self.redis_url is not None
