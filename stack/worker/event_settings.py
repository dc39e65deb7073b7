"""What the owner of the events needs to know."""

from typing import Annotated

from pydantic import Field

from stack.infra.settings import BackgroundSettings


class EventSettings(BackgroundSettings):
    """Settings of the owner of the events: where they come from, and where they are kept."""

    queue_url: Annotated[str, Field(pattern=r"^(rediss?|unix)://.+")]
    clickhouse_url: Annotated[str, Field(pattern=r"^(chdb:///.+|(clickhouses?|https?)://.+)$")]
