"""A scenario in dilated time: what stretches, what does not, and the machines of its model."""

import numpy as np
import pytest

from headroom.dilation import (
    dilated,
    dilated_demands,
    emulation_of,
    held_visits,
    label,
    tabulated,
)
from headroom.fidelity.predicted import model_of
from headroom.fidelity.topologies import DESIGNS, topology
from sim.draws import Demand, demand_s
from sim.kernel import simulate
from sim.model import VisitDemand, stack_model
from sim.workload import open_trace
from stack.gates.emulation import Identity
from stack.infra.operations import Operation


def test_every_time_stretches_and_every_rate_shrinks_by_the_scale():
    scenario = topology("three-replicas", scale=20.0).scenario
    slow = dilated(scenario)
    assert scenario.time.scale == 20
    for family, policy in scenario.topology.cache.families.items():
        assert slow.topology.cache.families[family].ttl_s == 20 * policy.ttl_s
    assert slow.topology.api.timeout_s == 20 * scenario.topology.api.timeout_s
    assert slow.topology.database.election_timeout_s == 20 * 10.0
    assert slow.workload.think_time_s == 20 * scenario.workload.think_time_s
    assert slow.workload.mean_load_per_s == pytest.approx(scenario.workload.mean_load_per_s / 20)
    assert slow.experiment.loads_per_s == tuple(x / 20 for x in scenario.experiment.loads_per_s)
    assert slow.experiment.cell_s == scenario.experiment.cell_s


def test_a_native_scenario_is_left_alone_and_has_no_label():
    native = topology("three-replicas", scale=1.0).scenario
    assert dilated(native) is native
    assert label(native) == ""
    assert label(topology("three-replicas", scale=20.0).scenario) == "emulation (dilated ×20)"


@pytest.mark.parametrize("cv", [0.2, 1.0, 2.0])
def test_a_tabulated_demand_keeps_its_mean_and_nearly_its_quantiles(cv):
    whole = VisitDemand("api", 0.004, cv)
    table = tabulated(whole, 10.0).demand
    assert table.expected_s == pytest.approx(0.04, rel=1e-12)
    for u in (0.1, 0.5, 0.9):
        assert table.at(u) == pytest.approx(10 * whole.demand.at(u), rel=0.03)


def test_dilation_keeps_every_time_as_a_multiple_of_every_other():
    # The same requests, twenty times as slow: each takes twenty times as long, to rounding.
    base = topology("three-replicas", scale=20.0)
    rng = np.random.default_rng
    native = stack_model(
        base.scenario.model_copy(update={"time": base.scenario.time}),
        dilated_demands(base.demands, 1.0),
    )
    slow = stack_model(dilated(base.scenario), dilated_demands(base.demands, 20.0))
    fast = simulate(native, open_trace(base.scenario.workload, 1000.0, 3.0, rng(1)), seed=5)
    late = simulate(slow, open_trace(base.scenario.workload, 50.0, 60.0, rng(1)), seed=5)
    assert fast.sojourn_s.size > 2_000
    np.testing.assert_allclose(late.sojourn_s, 20 * fast.sojourn_s, rtol=1e-6)
    assert (late.cache_outcome == fast.cache_outcome).all()


@pytest.mark.parametrize("name", list(DESIGNS))
def test_gates_hold_what_the_models_visits_need(name):
    model = model_of(topology(name))
    emulation = emulation_of(model, 20.0)
    slots = {station.name: station.slots for station in model.stations}
    for component, machine in emulation.machines.items():
        assert machine.slots == (slots.get(component) or slots[f"{component}-1"])
    for (operation, outcome), count in held_visits(model).items():
        held = emulation.routes[Operation(operation)][outcome]
        assert len(held) == count
        for visit in held:
            gate_s = emulation.demand_s(
                Operation(operation),
                outcome,
                visit.component,
                visit.visit,
                Identity(request=4, seed=11),
            )
            table = Demand(0.0, distribution="empirical", quantiles_s=visit.quantiles_s)
            assert gate_s == demand_s(table, 11, visit.component, 4, visit=visit.visit)


def test_a_model_whose_demands_are_no_tables_cannot_be_emulated():
    base = topology("no-cache")
    with pytest.raises(ValueError, match="the demand of api is lognormal, no table"):
        emulation_of(stack_model(base.scenario, base.demands), 20.0)
