"""The two constants of an emulation, fitted at low load; and whether its scale is large enough."""

from pathlib import Path

import numpy as np

from headroom.dilation import held_visits
from headroom.errors import CalibrationError, ScaleTooSmall
from headroom.fidelity.artefacts import Constants, FittedConstants
from headroom.fidelity.cells import Cell
from headroom.fidelity.measured import Offered, Requests, offered
from headroom.fidelity.predicted import Simulated, model_of, simulated
from headroom.fidelity.topologies import Topology
from stack.local import StackInfo

# Of a request's time in holds: what is real and not emulated may be this much of it. Its jitter is
# a small part of it, and the constants take out its mean.
OVERHEAD_LIMIT = 0.15
TRIMMED = 0.02  # of the requests at either end: a stall of the machine is no constant


def fitted(topology: Topology, cell: Cell, info: StackInfo, folder: Path) -> FittedConstants:
    """Offer a low load and fit the constants to it.

    Raises CalibrationError when the run is not valid, ScaleTooSmall with the scale that is needed.
    """
    bare = simulated(topology, cell, model_of(topology))
    found = offered(topology, cell, bare.trace, info, folder)
    if not found.conditions.valid:
        raise CalibrationError(
            f"{topology.name}: the low load was disturbed: {'; '.join(found.conditions.reasons)}"
        )
    constants = fit(topology, bare, found)
    require_scale(topology, constants)
    return FittedConstants(
        topology=topology.name,
        scale=topology.scenario.time.scale,
        load_per_s=cell.load_per_s,
        constants=constants,
        conditions=found.conditions,
    )


def require_scale(topology: Topology, constants: Constants) -> None:
    """Raise ScaleTooSmall, with the scale needed, when real work is too much of the holds."""
    scale = topology.scenario.time.scale
    if constants.needed_scale > scale:
        raise ScaleTooSmall(
            f"{topology.name}: real overheads are {constants.overhead_fraction:.0%} of the holds, "
            f"limit {OVERHEAD_LIMIT:.0%}; time.scale is {scale:g}, "
            f"needed: {constants.needed_scale:.0f}"
        )


def fit(topology: Topology, bare: Simulated, found: Offered) -> Constants:
    """Least squares of (measured - bare model) on the number of holds, the ends trimmed."""
    visits = visits_of(topology, bare, found.requests)
    usable = found.requests.answered & (bare.run.cache_outcome == _as_codes(found.requests))
    beyond_s = (found.requests.latency_s - bare.run.sojourn_s)[usable]
    count = visits[usable]
    low, high = np.quantile(beyond_s, [TRIMMED, 1 - TRIMMED])
    kept = (beyond_s >= low) & (beyond_s <= high)
    rows = np.column_stack([np.ones(int(kept.sum())), count[kept]])
    (outside_s, visit_s), *_ = np.linalg.lstsq(rows, beyond_s[kept], rcond=None)
    if visit_s < 0 or outside_s < 0:  # too few kinds of request to tell the two apart
        outside_s, visit_s = float(beyond_s[kept].mean()), 0.0
    held_s = sum(found.counted.held_s.values()) / len(bare.trace)
    overhead_fraction = float(outside_s + visit_s * count.mean()) / held_s
    scale = topology.scenario.time.scale
    return Constants(
        outside_s=max(0.0, float(outside_s)),
        visit_s=float(visit_s),
        requests=int(kept.sum()),
        overhead_fraction=overhead_fraction,
        needed_scale=scale * max(1.0, overhead_fraction / OVERHEAD_LIMIT),
        overruns_fraction=found.counted.overruns_fraction,
    )


def _as_codes(requests: Requests) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    """Cache outcomes as the models code them: none, hit, miss, coalesced."""
    coalesced = requests.looked_up & ~requests.hit & ~requests.missed
    codes = np.select([requests.hit, requests.missed, coalesced], [1, 2, 3], 0)
    return codes.astype(np.int8)


def visits_of(
    topology: Topology, bare: Simulated, requests: Requests
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """How often each request was held."""
    table = held_visits(model_of(topology))
    names = [bare.trace.operations[index] for index in bare.trace.operation]
    outcomes = np.select([requests.missed, requests.looked_up], ["miss", "hit"], "none")
    pairs = zip(names, outcomes.tolist(), strict=True)
    return np.array([table.get((str(name), outcome), 0) for name, outcome in pairs], float)
