"""What goes in and out of the job endpoints."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class DeadLetter(BaseModel):
    """A job that was given up."""

    key: str
    kind: str
    payload: dict[str, Any]
    attempts: int
    error: str
    died_s: float


class JobOverview(BaseModel):
    """The queue. `waiting` jobs may run now, `later` ones have their moment to come."""

    waiting: int
    running: int
    later: int
    dead: int
    dead_letters: list[DeadLetter]


class JobRequest(BaseModel):
    """A job to be done now."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["recommendations", "search_check", "search_rebuild", "session_cleanup", "report"]
    # Of a report; without it, the day before.
    day: Annotated[date, Field(ge=date(2020, 1, 1), le=date(2100, 1, 1))] | None = None


class JobState(BaseModel):
    """Where a job is."""

    key: str
    state: Literal["waiting", "running", "done", "dead"]
