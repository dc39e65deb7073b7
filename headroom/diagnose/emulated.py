"""The evidence of one cell of an emulated stack: every machine's visits, holds and waits are known.

Predicted and measured figures are of the very same requests, so that nothing here is sampling
error; what is left is the noise of the machine below, which `limits` knows from healthy runs.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headroom.diagnose.entries import Lookups, lives_of
from headroom.diagnose.records import EntryLives, Evidence, Figure, Measure
from headroom.fidelity.cells import Cell
from headroom.fidelity.measured import Offered
from headroom.fidelity.predicted import Simulated
from headroom.fidelity.topologies import Topology
from headroom.live import by_component, kind_of
from sim.model import CacheOutcome, StackModel
from sim.scenario import FAMILY_OF, Operation
from stack.local import StackInfo
from stack.observe.plans import read_plans

COMPONENTS = ("api", "redis", "mongo", "elasticsearch")


def evidence_of(
    topology: Topology,
    cell: Cell,
    model: StackModel,
    exact: Simulated,
    found: Offered,
    *,
    info: StackInfo,
    place: Path,
) -> Evidence:
    """What a cell tells that was offered just now.

    Args:
        topology: that the prediction is of.
        cell: that was offered.
        model: that predicted it, constants included.
        exact: the prediction of its very requests.
        found: what was measured.
        info: of the stack, which still runs.
        place: where the cell's files are.
    """
    assert info.mongo_url is not None
    plans = read_plans(info.mongo_url)
    there = tuple(part.name for part in info.parts_of("api"))
    replicas = answered_by(place / f"{cell.name}.load.parquet", there)
    wanted = topology.scenario.topology.api.replicas
    figures = [
        *_of_the_load(found),
        *_shares(exact, replicas, wanted),
        *_hits(exact, found),
        Figure(
            measure="examined",
            where="mongo",
            predicted=1.0,
            measured=plans.examined_per_returned,
            deviation=plans.examined_per_returned - 1.0,
        ),
        *_machines(model, exact, found),
    ]
    return Evidence(
        run=f"{topology.name}/{cell.name}",
        source="emulated",
        figures=tuple(figures),
        lives=tuple(_lives(topology, exact, found)),
        replicas_gone=max(0, wanted - len(replicas)),
        missing_indexes=plans.missing_indexes,
        valid=found.conditions.valid,
        reasons=found.conditions.reasons,
    )


def answered_by(path: Path, there: tuple[str, ...]) -> dict[str, int]:
    """Requests that each replica answered, of those that are there."""
    names = pq.read_table(path, columns=["replica"])["replica"].to_pylist()
    return {name: names.count(name) for name in there}


def _of_the_load(found: Offered) -> Iterator[Figure]:
    seen = found.result.validity
    requests = max(1, seen.requests)
    gives_no_way = max(0.0, seen.foreign_cpu_fraction - seen.lower_cpu_fraction)
    found_to_be: tuple[tuple[Measure, float], ...] = (
        ("dropped", seen.dropped / requests),
        ("unsent", max(0.0, 1 - seen.achieved_per_s / max(1e-9, seen.planned_per_s))),
        ("generator_cpu", seen.generator_cpu_fraction),
        ("lag", seen.dispatch_lag_p99_s),
        ("foreign_cpu", gives_no_way),
        ("wrong_status", seen.wrong_status / requests),
        ("errors", seen.failed / requests),
    )
    for measure, value in found_to_be:
        yield Figure(measure=measure, predicted=0.0, measured=value, deviation=value)


def _shares(exact: Simulated, replicas: dict[str, int], wanted: int) -> Iterator[Figure]:
    """The replica whose share is furthest below the prediction; numbering is the balancer's own."""
    if wanted < 2:
        return
    visits = sorted(load.visits for load in exact.run.stations if kind_of(load.name) == "api")
    predicted = np.array(visits) / max(1, sum(visits))
    total = max(1, sum(replicas.values()))
    counts = sorted((count / total, name) for name, count in replicas.items())
    counts = [(0.0, "one that is gone")] * (wanted - len(counts)) + counts
    share, name = counts[0]
    yield Figure(
        measure="share",
        where=name,
        predicted=float(predicted[0]),
        measured=share,
        deviation=share - float(predicted[0]),
    )


def _hits(exact: Simulated, found: Offered) -> Iterator[Figure]:
    for family, asked in _families(exact, found):
        hit = exact.run.cache_outcome[: asked.size] == CacheOutcome.HIT
        predicted, measured = float(hit[asked].mean()), float(found.requests.hit[asked].mean())
        yield Figure(
            measure="hits",
            where=family,
            predicted=predicted,
            measured=measured,
            deviation=measured - predicted,
        )


def _families(exact: Simulated, found: Offered) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Family, and which requests looked something of it up."""
    size = found.requests.latency_s.size
    for family in sorted({family.value for family in FAMILY_OF.values()}):
        names = [operation for operation, each in FAMILY_OF.items() if each.value == family]
        asked = found.requests.looked_up & exact.trace.is_operation(*names)[:size]
        if asked.any():
            yield family, asked


def _lives(topology: Topology, exact: Simulated, found: Offered) -> Iterator[EntryLives]:
    cache = topology.scenario.topology.cache
    if cache is None:
        return
    trace, requests = exact.trace, found.requests
    ttl_s = {family.value: policy.ttl_s for family, policy in cache.families.items()}
    for family, asked in _families(exact, found):
        places = np.flatnonzero(asked)
        places = places[np.argsort(requests.arrival_s[places], kind="stable")]
        names = [trace.operations[trace.operation[place]] for place in places]
        keys = trace.user if family == FAMILY_OF[Operation.FAVOURITES].value else trace.key
        at_s = requests.arrival_s[places]
        yield lives_of(
            family,
            ttl_s[family] * topology.scenario.time.scale,
            Lookups(
                at_s=at_s,
                done_s=at_s + np.nan_to_num(requests.latency_s[places]),
                entry=[(name, int(key)) for name, key in zip(names, keys[places], strict=True)],
                hit=requests.hit[places],
                filled=requests.missed[places],
                expected=exact.run.cache_outcome[places] == CacheOutcome.HIT,
            ),
        )


def _machines(model: StackModel, exact: Simulated, found: Offered) -> Iterator[Figure]:
    slots = {station.name: station.slots for station in model.stations}
    visits: dict[str, float] = {}
    held_s: dict[str, float] = {}
    waited_s: dict[str, float] = {}
    for load in exact.run.stations:
        kind = kind_of(load.name)
        if kind not in COMPONENTS:  # no request waits for a worker
            continue
        busy_s = load.utilisation * slots[load.name] * exact.run.end_s
        visits[kind] = visits.get(kind, 0.0) + load.visits
        held_s[kind] = held_s.get(kind, 0.0) + busy_s
        waited_s[kind] = waited_s.get(kind, 0.0) + load.visits * load.mean_wait_s
    counted = found.counted
    seen = tuple(map(by_component, (counted.visits, counted.held_s, counted.waited_s)))
    yield _relative("attempts", "api", visits["api"], seen[0].get("api", 0.0))
    for name in COMPONENTS:
        asked = visits.get(name, 0.0), seen[0].get(name, 0.0)
        if not all(asked):
            continue
        hold_s = held_s[name] / asked[0], seen[1][name] / asked[1]
        wait_s = waited_s[name] / asked[0], seen[2][name] / asked[1]
        yield _relative("hold", name, *hold_s)
        yield Figure(
            measure="wait",
            where=name,
            predicted=wait_s[0],
            measured=wait_s[1],
            deviation=(wait_s[1] - wait_s[0]) / hold_s[0],
        )
    yield _outside(exact, found, sum(held_s.values()) + sum(waited_s.values()))


def _outside(exact: Simulated, found: Offered, inside_s: float) -> Figure:
    """Time of a request that no machine has: network, balancer, what another's read took."""
    requests = found.requests
    count = max(1, int(requests.answered.sum()))
    spent_s = float(np.nansum(requests.latency_s[requests.answered]))
    counted_s = sum(found.counted.held_s.values()) + sum(found.counted.waited_s.values())
    sent = np.isfinite(exact.run.sojourn_s)  # closed users do not come to all they would ask
    predicted_s = (float(exact.run.sojourn_s[sent].sum()) - inside_s) / max(1, int(sent.sum()))
    measured_s = (spent_s - counted_s) / count
    return Figure(
        measure="outside",
        predicted=predicted_s,
        measured=measured_s,
        deviation=measured_s - predicted_s,
    )


def _relative(measure: Measure, where: str, predicted: float, measured: float) -> Figure:
    return Figure(
        measure=measure,
        where=where,
        predicted=predicted,
        measured=measured,
        deviation=measured / predicted - 1 if predicted else 0.0,
    )
