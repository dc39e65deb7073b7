"""`headroom up --emulated`: a stack on emulated machines, with its autoscaler."""

import re
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from headroom.console import say
from headroom.dilation import emulation_of
from headroom.emulated import (
    SCALE,
    measured_overheads,
    on_machines,
    state_in_words,
)
from headroom.errors import CalibrationError, ScaleTooSmall
from headroom.fidelity.predicted import model_of
from headroom.fidelity.topologies import Topology
from headroom.live import seed_stack, stack_spec
from sim.scenario import Autoscaling, Scenario
from stack.local import (
    StackInfo,
    autoscale_from,
    hold_autoscaler,
    stack_folder,
    start_detached,
    stop,
)

Emulated = Annotated[
    bool, typer.Option("--emulated", help="on emulated machines, in dilated time, autoscaled")
]
Scale = Annotated[
    float | None,
    typer.Option(min=1, help=f"of --emulated: real seconds per modelled second; default {SCALE:g}"),
]
Machines = Annotated[
    str,
    typer.Option(help="of --emulated: fewest-most, where the scenario has no autoscaler"),
]
Pace = Annotated[
    float,
    typer.Option(min=1, help="of --emulated: how much faster the autoscaler's clock and TTLs go"),
]
_RANGE = re.compile(r"([1-9]\d?)-([1-9]\d?)")


def emulated_topology(
    scenario: Scenario, scale: float | None, machines: str, pace: float
) -> Topology:
    """The scenario on emulated machines; raises BadParameter for a range that is none."""
    found = _RANGE.fullmatch(machines)
    if found is None or int(found[1]) > int(found[2]):
        raise typer.BadParameter(f"--machines {machines!r}; allowed: fewest-most, such as 3-10")
    fallback = Autoscaling(min_replicas=int(found[1]), max_replicas=int(found[2]))
    if scale is None:
        scale = scenario.time.scale if scenario.time.scale > 1 else SCALE
    return on_machines(scenario, scale=scale, autoscaling=fallback, pace=pace)


def started_emulated(
    topology: Topology, *, name: str, port: int, tls: bool, faults: bool
) -> StackInfo:
    """Start, seed and check it, and leave it running.

    Raises CalibrationError, after which nothing is left, when this machine is too slow for it.
    """
    folder = stack_folder(name)
    emulation = emulation_of(model_of(topology), topology.scenario.time.scale)
    spec = stack_spec(
        topology.scenario, name=name, http_port=port, tls=tls, emulation=emulation, faults=faults
    )
    info = start_detached(spec, folder, progress=say)
    try:
        seed_stack(topology.scenario, info, say)
        hold_autoscaler(folder)
        check_scale(topology, info)
        hold_autoscaler(folder)  # what the check did is of no period
        autoscale_from(folder, time.monotonic())
    except BaseException:
        stop(folder)
        raise
    say(state_in_words(info))
    return info


def check_scale(topology: Topology, info: StackInfo) -> None:
    """Say what real work costs beside the holds; raise when the scale does not bear it."""
    say("measuring the real work beside the holds, at low load (25 s)")
    with tempfile.TemporaryDirectory() as place:
        try:
            constants = measured_overheads(topology, info, Path(place)).constants
        except ScaleTooSmall:
            raise
        except CalibrationError as error:
            say(f"whether this machine bears the scale is not known: {error}")
            return
    say(
        f"real work is {constants.overhead_fraction:.0%} of the holds: "
        f"×{topology.scenario.time.scale:g} is enough here"
    )
