"""A scenario's stack on emulated machines: dilated time, its autoscaler, and whether it holds."""

from dataclasses import replace
from pathlib import Path

from headroom.fidelity.artefacts import FittedConstants
from headroom.fidelity.cells import LOW_S, LOW_TARGET, WARMUP_S, Cell
from headroom.fidelity.constants import fitted
from headroom.fidelity.predicted import load_for
from headroom.fidelity.topologies import Topology, stated
from sim.scenario import Autoscaling, Scenario
from stack.local import StackInfo, autoscaler_entries

SCALE = 20.0
LOW_SEED = 20


def on_machines(
    scenario: Scenario,
    *,
    scale: float,
    autoscaling: Autoscaling | None = None,
    pace: float = 1.0,
    api_factor: float = 1.0,
) -> Topology:
    """The scenario on emulated machines with stated demands.

    Args:
        scale: real seconds per modelled second.
        autoscaling: where the scenario has none.
        pace: how many times faster what is slow goes by: the autoscaler's times and the lives of
            cached entries. Demands, timeouts and rates stay.
        api_factor: on the demands at the API machines.
    """
    topology = scenario.topology
    scaling = topology.api.autoscaling or autoscaling
    if scaling is not None:
        times = ("evaluation_period_s", "boot_s", "cooldown_s")
        faster = {name: getattr(scaling, name) / pace for name in times}
        scaling = scaling.model_copy(update=faster)
    cache = topology.cache
    if cache is not None:
        families = {
            family: policy.model_copy(update={"ttl_s": policy.ttl_s / pace})
            for family, policy in cache.families.items()
        }
        cache = cache.model_copy(update={"families": families})
    api = topology.api.model_copy(
        update={"autoscaling": scaling, "replicas": first_replicas(topology.api.replicas, scaling)}
    )
    topology = topology.model_copy(update={"api": api, "cache": cache})
    time = scenario.time.model_copy(update={"scale": scale})
    # No cells are offered at them; dilated, they would be too low for a cell to be judged.
    loads_per_s = tuple(load * scale for load in scenario.experiment.loads_per_s)
    experiment = scenario.experiment.model_copy(update={"loads_per_s": loads_per_s})
    changed = {"topology": topology, "time": time, "experiment": experiment}
    return stated(scenario.model_copy(update=changed), api_factor=api_factor)


def first_replicas(replicas: int, scaling: Autoscaling | None) -> int:
    """How many serve before the autoscaler's first look."""
    if scaling is None:
        return replicas
    return min(max(replicas, scaling.min_replicas), scaling.max_replicas)


def without_autoscaler(topology: Topology) -> Topology:
    """The same with the replicas it begins with."""
    shape = topology.scenario.topology
    api = shape.api.model_copy(update={"autoscaling": None})
    scenario = topology.scenario.model_copy(
        update={"topology": shape.model_copy(update={"api": api})}
    )
    return replace(topology, scenario=scenario)


def measured_overheads(topology: Topology, info: StackInfo, folder: Path) -> FittedConstants:
    """What real work costs beside the holds, at low load on the replicas it begins with (25 s).

    Raises CalibrationError when the machine was disturbed, ScaleTooSmall when it is too slow.
    """
    still = without_autoscaler(topology)
    cell = Cell("low", LOW_TARGET, 1.0, LOW_SEED, WARMUP_S, WARMUP_S + LOW_S)
    cell = replace(cell, load_per_s=load_for(still, cell, LOW_TARGET))
    return fitted(still, cell, info, folder)


def utilisation_of(info: StackInfo) -> dict[str, float]:
    """How busy each API machine was in the autoscaler's last period."""
    looks = [entry for entry in autoscaler_entries(info.folder) if entry.event == "looked"]
    return looks[-1].utilisation if looks else {}


def state_in_words(info: StackInfo) -> str:
    """Scale, machines, and what the autoscaler last did; empty where nothing is emulated."""
    emulation, policy = info.spec.emulation, info.spec.autoscaling
    if emulation is None:
        return ""
    words = f"emulation (dilated ×{emulation.scale:g})"
    slots = {name: machine.slots for name, machine in emulation.machines.items()}
    machines = len(info.parts_of("api"))
    words += f": {machines} API machines of {slots['api']} slots" if "api" in slots else ""
    if policy is None:
        return words
    words += (
        f"; autoscaler: {policy.min_replicas} to {policy.max_replicas} at "
        f"{policy.target_fraction:.0%}, looks every {policy.period_s:g} s"
    )
    entries = autoscaler_entries(info.folder)
    if not entries:
        return f"{words}, has not looked yet"
    used = [entry.used_fraction for entry in entries if entry.event == "looked"]
    last = entries[-1]
    return (
        f"{words}; {last.active} serve, {last.wanted} wanted"
        + (f", {used[-1]:.0%} used in the last period" if used else "")
        + (f"; last: {last.says}" if last.says else "")
    )
