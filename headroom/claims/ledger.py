"""A ledger of claims: what a design document states, as data that can be tested."""

import math
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sim.checked_yaml import load_checked
from sim.errors import require
from sim.scenario import FieldError, Part

Text = Annotated[str, Field(min_length=1, max_length=400)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Stated(Part):
    """What the document says of the figure: one of `equals`, `at_least`, `at_most`, `between`."""

    equals: Finite | None = None
    within_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0  # with `equals`: rounding allowed
    at_least: Finite | None = None
    at_most: Finite | None = None
    between: tuple[Finite, Finite] | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        said = [
            name
            for name in ("equals", "at_least", "at_most", "between")
            if getattr(self, name) is not None
        ]
        if len(said) != 1:
            allowed = "exactly one of equals, at_least, at_most, between"
            raise ValueError(allowed)
        if self.within_fraction and self.equals is None:
            raise FieldError(("within_fraction",), self.within_fraction, "it goes with `equals`")
        if self.between is not None and self.between[0] > self.between[1]:
            raise FieldError(("between",), list(self.between), "the lower end first")
        return self

    @property
    def range(self) -> tuple[float, float]:
        """The values with which the statement is true; an open end is infinite."""
        if self.equals is not None:
            margin = abs(self.equals) * self.within_fraction
            return self.equals - margin, self.equals + margin
        if self.between is not None:
            return self.between
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        return low, high


class Varied(Part):
    """An input of the scenario whose threshold is looked for when the claim does not hold as is."""

    input: Text  # path of a number in the scenario
    low: Finite
    high: Finite

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low < self.high:
            raise FieldError(("low",), self.low, "less than `high`")
        return self


class Claim(Part):
    """One figure of a document and how it is tested: by a `formula`, or why it cannot be."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    section: Text
    statement: Text
    formula: Text | None = None
    unit: Annotated[str, Field(max_length=40)] = ""
    stated: Stated | None = None
    holds_if: tuple[Varied, ...] = ()
    untestable: Text | None = None
    remark: Annotated[str, Field(max_length=400)] = ""

    @model_validator(mode="after")
    def _testable_or_not(self) -> Self:
        if (self.formula is None) == (self.untestable is None):
            raise ValueError("either `formula` or `untestable` (why it cannot be tested)")
        if (self.formula is None) != (self.stated is None):
            raise FieldError(("stated",), self.stated, "a value beside `formula`, and only there")
        return self


class Ledger(Part):
    """All claims of one document about one scenario."""

    schema_version: Literal[1] = 1
    document: Text
    scenario: Text  # a name in scenarios/
    claims: Annotated[tuple[Claim, ...], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _ids_differ(self) -> Self:
        seen: set[str] = set()
        for number, claim in enumerate(self.claims):
            if claim.id in seen:
                raise FieldError(("claims", str(number), "id"), claim.id, "an id used once")
            seen.add(claim.id)
        return self

    def only(self, ids: Collection[str]) -> Self:
        """The ledger with the claims of these ids alone; all of them for no ids.

        Raises: InvalidScenario naming an id that the ledger does not have.
        """
        if not ids:
            return self
        known = [claim.id for claim in self.claims]
        for wanted in ids:
            require(wanted in known, "only", wanted, f"one of {', '.join(known)}")
        return self.model_copy(update={"claims": tuple(c for c in self.claims if c.id in ids)})


def load_ledger(path: Path) -> Ledger:
    """Read and check a ledger; raises InvalidScenario naming every fault and its line."""
    return load_checked(Ledger, path)
