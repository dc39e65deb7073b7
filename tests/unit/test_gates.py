"""Emulated machines: the gate in virtual time, the draws, and what a replica is told."""

import asyncio
import heapq
from itertools import count
from time import monotonic

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sim.draws import Demand, demand_s
from sim.kernel import simulate
from sim.model import Route, StackModel, Station, Visit
from sim.workload import Trace
from stack.gates.addressed import identity_of, operation_of, run_id_with_seed
from stack.gates.client import GateLost, NodeClient
from stack.gates.draws import drawn_s
from stack.gates.emulation import Emulation, HeldVisit, Identity, Machine
from stack.gates.node import Node
from stack.gates.settling import GRACE_S, SETTLE_S
from stack.gates.shared import SharedGate
from stack.gates.virtual import Gate
from stack.infra.catalogue import Catalogue
from stack.infra.operations import Operation
from stack.load.requests import Credentials, RequestBook

TIMES = st.floats(0, 1e4)


def test_a_free_slot_is_taken_at_once_and_a_busy_one_when_it_is_free():
    gate = Gate(1)
    assert gate.book(10.0, 2.0).done_s == 12.0
    waiting = gate.book(11.0, 3.0)
    assert (waiting.start_s, waiting.done_s) == (12.0, 15.0)


def test_two_slots_serve_two_visits_side_by_side_and_the_third_after_the_first_to_end():
    gate = Gate(2)
    gate.book(0.0, 5.0)
    gate.book(0.0, 1.0)
    assert gate.book(0.5, 1.0).start_s == 1.0


def test_a_late_wake_up_costs_the_queue_nothing():
    # The visits behind are told when their turn is, whenever the one in front really wakes up.
    gate = Gate(1)
    dones = [gate.book(0.0, 1.0).done_s for _ in range(5)]
    assert dones == [1.0, 2.0, 3.0, 4.0, 5.0]


@given(st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=60), st.integers(1, 5))
def test_a_gate_is_a_first_come_first_served_station(visits, slots):
    arrivals = np.cumsum([gap for gap, _ in visits])
    gate = Gate(slots)
    free = [0.0] * slots
    for now_s, (_, need_s) in zip(arrivals, visits, strict=True):
        place = free.index(min(free))
        start_s = max(now_s, free[place])
        free[place] = start_s + need_s
        booking = gate.book(now_s, need_s)
        assert booking.start_s == start_s
        assert booking.done_s == start_s + need_s


def test_a_gate_without_slots_is_refused():
    with pytest.raises(ValueError, match="0 slots; allowed: at least 1"):
        Gate(0)
    with pytest.raises(ValueError, match="0 slots; allowed: at least 1"):
        SharedGate(0, Virtual())


class Virtual:
    """The settling of visits without a real clock: all that is due, in order."""

    def __init__(self) -> None:
        self.entries = []
        self.numbers = count()

    def put(self, due_s, book):
        heapq.heappush(self.entries, (due_s, next(self.numbers), book))

    def run(self):
        while self.entries:
            heapq.heappop(self.entries)[2]()


@settings(deadline=None)  # the first example compiles the engine
@given(
    st.lists(st.tuples(st.floats(0.01, 3.0), st.floats(0.01, 3.0)), min_size=1, max_size=40),
    st.integers(1, 4),
)
def test_a_shared_gate_ends_each_visit_when_the_models_do(visits, slots):
    arrival_s = np.cumsum([gap_s for gap_s, _ in visits])
    needs_s = [need_s for _, need_s in visits]
    settling, ends_s = Virtual(), {}
    gate = SharedGate(slots, settling)
    for number, (at_s, need_s) in enumerate(zip(arrival_s, needs_s, strict=True)):

        def join(number=number, at_s=at_s, need_s=need_s):
            gate.join(at_s, need_s, lambda booking: ends_s.update({number: booking.done_s}))

        settling.put(at_s + SETTLE_S, join)
    settling.run()
    # Each request with a route, so a demand, of its own.
    names = tuple(str(number) for number in range(len(visits)))
    routes = tuple(
        Route(name, (Visit("web", Demand(need_s, distribution="deterministic")),))
        for name, need_s in zip(names, needs_s, strict=True)
    )
    numbers = np.arange(len(visits))
    trace = Trace(arrival_s, names, numbers.astype(np.int16), numbers, numbers)
    model = StackModel((Station("web", slots, "ps"),), routes)
    expected = simulate(model, trace, seed=1)
    found = np.array([ends_s[number] for number in range(len(visits))]) - arrival_s
    np.testing.assert_allclose(found, expected.sojourn_s, rtol=1e-9, atol=1e-9)


def test_a_shared_gate_that_loses_slots_is_slower_from_the_next_visit_on():
    settling, ends_s = Virtual(), []
    gate = SharedGate(2, settling)
    for _ in range(2):
        gate.join(0.0, 2.0, lambda booking: ends_s.append(booking.done_s))
    gate.leave(1)
    gate.join(1.0, 1.0, lambda booking: ends_s.append(booking.done_s))  # three share one slot
    settling.run()
    assert ends_s == pytest.approx([4.0, 4.0, 4.0])
    with pytest.raises(ValueError, match="0 slots; allowed: at least 1"):
        gate.leave(0)


def test_only_the_api_may_be_shared_and_who_comes_from_it_may_be_told_later():
    data = _emulation().model_dump()
    data["machines"] = {"api": {"slots": 2, "discipline": "ps"}, "redis": {"slots": 1}}
    shared = Emulation.model_validate(data)
    assert shared.late_s("redis") > _emulation().late_s("redis") == GRACE_S
    assert shared.late_s("api") == GRACE_S
    data["machines"]["redis"]["discipline"] = "ps"
    with pytest.raises(ValidationError, match=r"redis\.discipline` is ps; allowed: fifo"):
        Emulation.model_validate(data)


@given(
    seed=st.integers(0, 2**64 - 1),
    component=st.sampled_from(["api", "redis", "mongo", "elasticsearch"]),
    visit=st.tuples(st.integers(0, 10**9), st.integers(0, 50), st.integers(0, 5)),
    table=st.lists(TIMES, min_size=2, max_size=40).map(sorted),
)
def test_gates_draw_the_demands_of_the_models_to_the_bit(seed, component, visit, table):
    request, number, attempt = visit
    modelled = Demand(0.0, distribution="empirical", quantiles_s=tuple(table))
    expected = demand_s(modelled, seed, component, request, visit=number, attempt=attempt)
    assert drawn_s(table, seed, component, request, number, attempt=attempt) == expected


def _emulation() -> Emulation:
    visit = HeldVisit(component="api", visit=0, quantiles_s=(0.1, 0.3))
    late = HeldVisit(component="api", visit=1, quantiles_s=(1.0, 1.0))
    after_miss = HeldVisit(component="api", visit=1, quantiles_s=(2.0, 2.0))
    return Emulation(
        scale=20,
        seed=7,
        machines={"api": Machine(slots=2)},
        routes={Operation.LIST: {"hit": (visit, late), "miss": (visit, after_miss)}},
    )


def test_a_visit_after_the_look_up_takes_the_demand_of_what_was_found():
    emulation, who = _emulation(), Identity(request=3, seed=None)
    assert emulation.demand_s(Operation.LIST, "hit", "api", 1, who) == 1.0
    assert emulation.demand_s(Operation.LIST, "miss", "api", 1, who) == 2.0


def test_a_visit_before_the_look_up_has_its_demand_and_a_further_one_has_none():
    emulation, who = _emulation(), Identity(request=3, seed=9)
    before = emulation.demand_s(Operation.LIST, "none", "api", 0, who)
    assert before == drawn_s((0.1, 0.3), 9, "api", 3, 0)
    assert emulation.demand_s(Operation.LIST, "hit", "api", 2, who) is None
    assert emulation.demand_s(Operation.SEARCH, "none", "api", 0, who) is None


def test_an_emulation_names_the_machine_that_a_route_visits_and_it_lacks():
    whole = _emulation().model_dump()
    whole["machines"] = {"redis": {"slots": 1}}
    with pytest.raises(ValidationError, match="`machines` lacks api"):
        Emulation.model_validate(whole)


def test_a_table_of_quantiles_must_ascend():
    with pytest.raises(ValidationError, match="must ascend"):
        HeldVisit(component="api", visit=0, quantiles_s=(0.2, 0.1))


def test_the_path_tells_the_operation_of_every_request_that_the_generator_makes():
    book = RequestBook("http://127.0.0.1:1", Catalogue(), Credentials("s" * 32), "run")
    for operation in Operation:
        method, target, _ = book.request(operation, 3, 3, 1).head.split(b" ", 2)
        path = target.split(b"?")[0].decode()
        assert operation_of(method.decode(), path) is operation, path


@pytest.mark.parametrize("path", ["/readyz", "/metrics", "/api/v1/products/", "/", "/docs"])
def test_what_is_no_operation_is_not_held(path):
    assert operation_of("GET", path) is None


def test_the_id_of_a_request_tells_its_number_and_the_seed_of_its_run():
    run_id = run_id_with_seed("a-very-long-name-" * 6, 2**32 - 1)
    assert len(run_id) <= 64
    assert identity_of(f"{run_id}-17") == Identity(request=17, seed=2**32 - 1)
    assert identity_of("calibration-4") == Identity(request=4, seed=None)
    assert identity_of("0123456789abcdef") is None
    assert identity_of("calibration-4", "2") == Identity(request=4, seed=None, attempt=2)
    assert identity_of("calibration-4", "-2") == Identity(request=4, seed=None)


def test_members_are_chosen_in_turn_and_the_others_are_left_out():
    node = Node({"mongo-1": 1, "mongo-2": 1, "mongo-3": 1})
    chosen = [node.booked(["mongo-2", "mongo-3"], 0.0, 1.0) for _ in range(4)]
    assert [member for member, *_ in chosen] == ["mongo-2", "mongo-3", "mongo-2", "mongo-3"]
    assert [start for _, start, _ in chosen] == [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "question", [(["mongo-9"], 0.0, 1.0), ([], 0.0, 1.0), (["mongo-1"], 0.0, float("nan"))]
)
def test_the_node_refuses_a_question_that_makes_no_sense(question):
    with pytest.raises(ValueError, match="allowed: a list of known machines"):
        Node({"mongo-1": 1}).booked(*question)


def test_requests_of_one_replica_share_a_connection_to_the_node():
    async def talk():
        server = await asyncio.start_server(Node({"redis": 1}).serve, "127.0.0.1", 0)
        client = NodeClient(server.sockets[0].getsockname()[1])
        now_s = monotonic()
        answers = await asyncio.gather(*(client.book(["redis"], now_s, 0.5) for _ in range(3)))
        await client.close()
        server.close()
        return [round(booking.done_s - now_s, 6) for _, booking in answers]

    assert asyncio.run(talk()) == [0.5, 1.0, 1.5]


def test_a_gate_process_that_is_gone_is_an_error_and_not_an_open_gate():
    async def talk():
        server = await asyncio.start_server(Node({"redis": 1}).serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        await NodeClient(port).book(["redis"], 0.0, 0.5)

    with pytest.raises(GateLost, match="no gate process"):
        asyncio.run(talk())
