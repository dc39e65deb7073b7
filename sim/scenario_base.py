"""What every section of a scenario is built of: strict, frozen parts and the kinds of numbers."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10**12)]


class Part(BaseModel):
    """Base of every section: frozen, no unknown field, no silent conversion from text."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class FieldError(ValueError):
    """A fault at a place that the check of a whole part found: where in it, and what was there."""

    def __init__(self, where: tuple[str, ...], value: object, allowed: str) -> None:
        super().__init__(allowed)
        self.where, self.value = where, value


class Interval(Part):
    """A range that an input may take; read as its 5 % and 95 % quantiles."""

    low: float
    high: float

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low <= self.high:
            raise ValueError("`low` is larger than `high`")
        return self


class PositiveInterval(Interval):
    """A range of numbers above 0."""

    low: Positive
    high: Positive


class FractionInterval(Interval):
    """A range of shares."""

    low: Annotated[float, Field(gt=0, le=1)]
    high: Annotated[float, Field(gt=0, le=1)]


def number_at(part: Part, path: str) -> float:
    """The number at a dotted path, such as workload.requests_per_session.

    Args:
        part: where the path begins, such as a scenario.
        path: names joined by dots.
    Returns: the number there, in its own unit.
    Raises: FieldError when there is none.
    Source: the fields of the part.

    >>> number_at(Interval(low=1.0, high=2.0), "high")
    2.0
    """
    value: object = part
    for name in path.split("."):
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, Part) and name in type(value).model_fields:
            value = getattr(value, name)
        else:
            value = None
    if isinstance(value, bool) or not isinstance(value, int | float):
        allowed = "the path of a number in the scenario, such as workload.requests_per_session"
        raise FieldError(("uncertainty", path), path, allowed)
    return value
