"""What is stored, how popular each of it is, and when it is asked for."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sim.scenario_base import Count, Part


class Catalogue(Part):
    """What is stored. Product p belongs to category p mod `categories`, live and modelled."""

    products: Count = 20_000
    users: Count = 2_000
    categories: Count = 20
    pages_per_category: Annotated[int, Field(ge=1, le=10_000)] = 10
    page_size: Annotated[int, Field(ge=1, le=100)] = 20
    search_queries: Count = 2_000

    @property
    def listing_keys(self) -> int:
        """Distinct listing pages: every category, and all products together, times the pages."""
        return (self.categories + 1) * self.pages_per_category


class Popularity(Part):
    """Zipf exponents: rank r is asked for in proportion to r ** -exponent. 0 is uniform."""

    products_zipf: Annotated[float, Field(ge=0, le=5)] = 0.9
    listing_zipf: Annotated[float, Field(ge=0, le=5)] = 1.0
    search_zipf: Annotated[float, Field(ge=0, le=5)] = 0.9
    users_zipf: Annotated[float, Field(ge=0, le=5)] = 0.6


class Profile(Part):
    """How demand moves over time, as a rate curve that averages 1 over a day."""

    kind: Literal["constant", "diurnal", "recorded"] = "diurnal"
    peak_to_mean: Annotated[float, Field(ge=1, le=1000)] = 2.5
    peak_hour: Annotated[float, Field(ge=0, lt=24)] = 20.0
    recording: str | None = None  # name of a data set in sim/data, for kind: recorded
    index_of_dispersion: Annotated[float, Field(ge=1, le=1000)] = 1.0  # 1: Poisson

    @model_validator(mode="after")
    def _recording_named(self) -> Self:
        if (self.kind == "recorded") != (self.recording is not None):
            raise ValueError("`recording` goes with `kind: recorded`, and only with it")
        return self
