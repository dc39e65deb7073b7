"""The first ten times that Redis was down, explained afterwards: no forecast, and labelled so."""

from headroom.fidelity.parts.breakers import Usual
from headroom.fidelity.parts.forecasts import even_trace, forecast, scenario_of
from headroom.fidelity.parts.kills import PartKill, PartKills

SEED = 1_000  # of the first kill of an occasion; each has the next
# Start times that explain an outage and its look-ups best, one a kill of 2026-11-25-parts, searched
# in steps of 10 ms; the other times are those of a stack like it, later on the same machine.
READ_BACK = Usual(
    before_s=(0.0004, 0.0006, 0.0006, 0.0006, 0.0007, 0.0010, 0.0024),
    refused_s=(0.0004, 0.0005, 0.0006, 0.0006, 0.0008, 0.0018),
    kills_s=(0.004,),
    starts_s=(0.18, 0.12, 0.22, 0.18, 0.12, 0.10, 0.17, 0.15, 0.10, 0.10),
)


def fitted_afterwards(found: PartKills) -> tuple[PartKill, ...]:
    """The kills beside what would have been said, had these start times been known."""
    scenario = scenario_of(found.part)
    told = []
    for number, kill in enumerate(found.kills):
        trace = even_trace(scenario, SEED + number)
        at_s = kill.forecast.at_s
        said = forecast(found.part, scenario, trace, at_s, SEED + number, usual=READ_BACK)
        fitted = kill.forecast.model_copy(
            update={"outage_s": said.outage_s, "failed": said.failed, "slowed": said.slowed}
        )
        told.append(kill.model_copy(update={"forecast": fitted}))
    return tuple(told)
