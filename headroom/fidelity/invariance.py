"""The emulation's own test: the same requests at several dilations, the same modelled times.

The topology is made slower first, so that even at the smallest scale its holds are long beside the
real work; each scale is fitted, predicted, offered and compared like any other cell.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from headroom.dilation import emulation_of
from headroom.fidelity.artefacts import MeasuredFidelity, read, stored
from headroom.fidelity.campaign import measured_cell
from headroom.fidelity.cells import LOW_S, LOW_TARGET, Cell, seed_of
from headroom.fidelity.constants import fitted
from headroom.fidelity.predicted import load_for, model_of
from headroom.fidelity.topologies import Topology, topology
from headroom.live import running_stack

FOLDER = "invariance"  # in that of the occasion
SCALES = (10.0, 20.0, 40.0)
SLOWER = 4.0  # at the smallest scale the holds of the other cells
MODELLED_S, WARMUP_MODELLED_S = 1.75, 0.25
TARGET = 0.70

Say = Callable[[str], None]


def slower(base: Topology, factor: float) -> Topology:
    """The same architecture of machines so much slower, whose cache keeps so much longer."""
    scenario = base.scenario
    cache = scenario.topology.cache
    if cache is not None:
        families = {
            family: policy.model_copy(update={"ttl_s": policy.ttl_s * factor})
            for family, policy in cache.families.items()
        }
        cache = cache.model_copy(update={"families": families})
    shape = scenario.topology.model_copy(update={"cache": cache})
    visits = {
        key: tuple(replace(visit, mean_s=visit.mean_s * factor) for visit in each)
        for key, each in base.demands.visits.items()
    }
    return replace(
        base,
        scenario=scenario.model_copy(update={"topology": shape}),
        demands=replace(base.demands, visits=visits, beat_s=base.demands.beat_s * factor),
    )


def cell_at(name: str, scale: float, occasion: str) -> tuple[Topology, Cell]:
    """The topology at a scale, and its cell: at every scale the same requests."""
    last = SCALES[-1]
    seed = seed_of(occasion, name, FOLDER)
    reference = slower(topology(name, last), SLOWER)
    cell = Cell(
        FOLDER, TARGET, 1.0, seed, warmup_s=WARMUP_MODELLED_S * last, duration_s=MODELLED_S * last
    )
    load_per_s = load_for(reference, cell, TARGET) * last / scale
    at = Cell(
        f"scale-{scale:g}",
        TARGET,
        load_per_s,
        seed,
        warmup_s=WARMUP_MODELLED_S * scale,
        duration_s=MODELLED_S * scale,
    )
    return slower(topology(name, scale), SLOWER), at


def invariant(name: str, folder: Path, occasion: str, say: Say) -> tuple[MeasuredFidelity, ...]:
    """Offer what is missing, an INVALID cell once more; returns the cells of all scales."""
    place = folder / occasion / FOLDER / name
    for scale in SCALES:
        at_scale, cell = cell_at(name, scale, occasion)
        if (place / f"{cell.name}.json").is_file():
            continue
        emulation = emulation_of(model_of(at_scale), scale)
        with running_stack(
            at_scale.scenario, lambda _: None, name=f"fidelity-{name}", emulation=emulation
        ) as info:
            low = Cell("low", LOW_TARGET, 1.0, cell.seed, duration_s=LOW_S + cell.warmup_s)
            low = replace(low, load_per_s=load_for(at_scale, low, LOW_TARGET))
            constants = fitted(at_scale, low, info, place).constants
            found = measured_cell(at_scale, cell, constants, info, place)
            if not found.valid:
                say(f"{name} ×{scale:g}: again, {'; '.join(found.conditions.reasons)}")
                found = measured_cell(at_scale, cell, constants, info, place)
        stored(place / f"{cell.name}.json", found)
        times = {metric.metric: metric.measured / scale * 1e3 for metric in found.metrics}
        say(f"{name} ×{scale:g}: mean {times['mean_s']:.2f} ms, p95 {times['p95_s']:.2f} ms")
    return tuple(read(place / f"scale-{scale:g}.json", MeasuredFidelity) for scale in SCALES)


def found_in(folder: Path, names: Iterable[str]) -> dict[str, tuple[MeasuredFidelity, ...]]:
    """What an occasion's folder holds of them, by topology."""
    cells = {
        name: tuple(
            read(path, MeasuredFidelity)
            for scale in SCALES
            if (path := folder / FOLDER / name / f"scale-{scale:g}.json").is_file()
        )
        for name in names
    }
    return {name: each for name, each in cells.items() if each}
