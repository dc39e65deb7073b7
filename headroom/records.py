"""The base of all that the steps leave on disk."""

from datetime import UTC, datetime
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field


def now() -> datetime:
    """The current time, UTC."""
    return datetime.now(UTC)


class Record(BaseModel):
    """Base of everything stored: frozen, unknown fields refused, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Estimate(Record):
    """A figure with its 95 % interval; `low` and `high` equal `value` where nothing varies."""

    value: float
    low: float
    high: float

    @classmethod
    def exact(cls, value: float) -> Self:
        """A figure without spread."""
        return cls(value=value, low=value, high=value)


class Artefact(Record):
    """A file of a run; FILE is its name there where the class stands outside this module."""

    FILE: ClassVar[str] = ""

    schema_version: Literal[1] = 1
    created_at: datetime = Field(default_factory=now)
