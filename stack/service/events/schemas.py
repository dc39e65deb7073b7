"""What goes in and out of the event endpoints."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from stack.infra.event_stream import EventKind

MOST_EVENTS = 100
PRODUCT_KINDS = frozenset(EventKind) - {EventKind.SEARCH}


class Event(BaseModel):
    """One thing a shopper did."""

    model_config = ConfigDict(extra="forbid")

    kind: EventKind
    # Of the client's making, with `at`, so that sending a batch again counts nothing twice.
    id: UUID | None = None
    session: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    at: AwareDatetime | None = None  # None: now
    product: Annotated[str, Field(pattern=r"^[0-9a-f]{24}$")] | None = None
    query: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    seconds: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if (self.product is None) == (self.kind in PRODUCT_KINDS):
            raise ValueError("`product` goes with every kind but `search`, and only with those")
        if (self.query is None) == (self.kind is EventKind.SEARCH):
            raise ValueError("`query` goes with `kind: search`, and only with it")
        if (self.seconds is None) == (self.kind is EventKind.TIME_ON_PAGE):
            raise ValueError("`seconds` goes with `kind: time_on_page`, and only with it")
        if self.id is not None and self.at is None:
            raise ValueError("`id` goes with `at`: one event has one moment, however often sent")
        return self


class EventBatch(BaseModel):
    """Events in one request."""

    model_config = ConfigDict(extra="forbid")

    events: Annotated[list[Event], Field(min_length=1, max_length=MOST_EVENTS)]


class Taken(BaseModel):
    """What became of a batch: the dropped ones are lost, because the buffer is full."""

    accepted: int
    dropped: int


class FunnelStep(BaseModel):
    """One step of the funnel, and the sessions that reached it."""

    step: str
    sessions: int


class Funnel(BaseModel):
    """View, favourite, cart, purchase: each counts after the one before, within a day."""

    start: datetime
    end: datetime
    steps: list[FunnelStep]


class Ranked(BaseModel):
    """One place of a ranking."""

    name: str
    figure: float


What = Literal[
    "viewed_products",
    "favourite_products",
    "searches",
    "answered_searches",
    "searches_without_result",
    "seconds_on_product",
]


class Ranking(BaseModel):
    """The first of a ranking."""

    what: What
    start: datetime
    end: datetime
    first: list[Ranked]
