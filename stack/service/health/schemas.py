"""What readiness says."""

from typing import Literal

from pydantic import BaseModel

State = Literal["ok", "unavailable"]
Status = Literal["ready", "degraded", "unavailable"]


class Readiness(BaseModel):
    """Whether the replica can serve, and how each part it depends on is."""

    status: Status
    replica: str
    dependencies: dict[str, State]
