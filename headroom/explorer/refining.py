"""What takes longer than a moment: the compiled engine, simulated months, room for more users.

A refinement is a generator, so that whoever runs it can stop between two simulations.
"""

from collections.abc import Iterator

from headroom.artefacts import Calibration, Capacity, CurvePoint, Record
from headroom.availability import AvailabilityArtefact, available
from headroom.demands import Target
from headroom.explorer.figures import planner_of, spread
from headroom.plan_records import Figure
from headroom.predict import LoadSearch
from sim.cost import price_book
from sim.plan import MeasuredDemands, own_candidate
from sim.plan.effects import growth_that_fits
from sim.scenario import Scenario


class Refined(Record):
    """What is known so far; None is not known yet.

    Args:
        growth: factor on the users up to which p95 and errors hold, as `headroom whatif` finds it.
        at_peak: the compiled engine at the daily peak.
        availability: simulated months, as `headroom availability` prints them.
        capacity, curve: of the engine, in production, as `headroom predict` stores them.
        complete: nothing more will come.
    """

    growth: Figure | None = None
    at_peak: CurvePoint | None = None
    availability: AvailabilityArtefact | None = None
    capacity: Capacity | None = None
    curve: tuple[CurvePoint, ...] = ()
    complete: bool = False


def refined(
    scenario: Scenario, measured: MeasuredDemands, calibration: Calibration, api_needed: int
) -> Iterator[Refined]:
    """Ever more of the figures of a scenario, each step within a second or two.

    Args:
        api_needed: API servers that the peak takes, for the simulated months.
    """
    planner = planner_of(scenario, measured)
    found = Refined(growth=spread(growth_that_fits(planner, own_candidate(scenario))))
    yield found
    peak = scenario.workload.peak_load_per_s
    search = LoadSearch(scenario, calibration, Target.PRODUCTION)
    found = found.model_copy(update={"at_peak": search.point(peak)})
    yield found
    book = price_book(scenario.prices.book)
    months = available(scenario, book, api_needed=api_needed)
    found = found.model_copy(update={"availability": months})
    yield found
    capacity = search.capacity()
    found = found.model_copy(update={"capacity": capacity})
    yield found
    for load_per_s in search.curve_loads(capacity, [peak]):
        # The same load, seed and replications: the point is there already.
        known = found.at_peak if load_per_s == peak else None
        point = known or search.point(load_per_s)
        found = found.model_copy(update={"curve": (*found.curve, point)})
        yield found
    yield found.model_copy(update={"complete": True})
