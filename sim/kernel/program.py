"""A StackModel translated into the kernel's arrays."""

from typing import Any

from sim import draws
from sim.kernel import layout as at
from sim.kernel.draws import DETERMINISTIC, EMPIRICAL, EXPONENTIAL, LOGNORMAL
from sim.model.parts import Group, ReplicaSet
from sim.model.stack import StackModel
from sim.model.steps import (
    Beat,
    Delay,
    Fill,
    Guard,
    Hold,
    Invalidate,
    Limit,
    Lookup,
    Replicate,
    Spawn,
    Step,
    Visit,
)


class Program:
    """Routes as instructions, parts as numbers."""

    def __init__(self, model: StackModel, seed: int) -> None:
        self.model, self.seed = model, seed
        self.station = {s.name: i for i, s in enumerate(model.stations)}
        self.group = {g.name: i for i, g in enumerate(model.groups)}
        self.set = {s.name: i for i, s in enumerate(model.replica_sets)}
        self.family = {f.name: i for i, f in enumerate(model.families)}
        self.limit = {limit.name: i for i, limit in enumerate(model.limits)}
        self.breaker = {b.name: i for i, b in enumerate(model.breakers)}
        self.members: list[int] = []
        self.first_member: dict[str, int] = {}
        sets: tuple[Group | ReplicaSet, ...] = (*model.groups, *model.replica_sets)
        for each in sets:
            self.first_member[each.name] = len(self.members)
            self.members += [self.station[name] for name in each.members]
        self.pools: list[int] = []  # sizes
        self.pool_at: dict[str, int] = {}
        self.pool_group = {pool.name: pool.group for pool in model.pools}
        sizes = {group.name: len(group.members) for group in model.groups}
        for pool in model.pools:
            self.pool_at[pool.name] = len(self.pools)
            self.pools += [pool.size] * (1 if pool.group is None else sizes[pool.group])
        self.code: list[dict[str, Any]] = []
        self.tables: list[float] = []
        self.agenda: list[tuple[int, int, int]] = []
        self.variants = [1] * len(model.families)
        self.jobs: list[tuple[int, tuple[Step, ...]]] = []  # SPAWNs whose steps come later
        self.widest = 4  # attempts that one event can start, at most
        self.start = {route.operation: self._route(route.steps) for route in model.routes}

    # Instructions

    def _emit(self, op: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0) -> int:
        self.code.append({"op": op, "a": a, "b": b, "c": c, "d": d})
        return len(self.code) - 1

    def _draws(self, pc: int, demand: draws.Demand, component: str, visit: int) -> None:
        base = draws.stream_base(self.seed, component)
        row = self.code[pc]
        row.update(visit=visit, base=base, stream=draws.stream(base, visit))
        if demand.distribution == "empirical":
            row.update(kind=EMPIRICAL, table_at=len(self.tables))
            row["table_last"] = len(demand.quantiles_s) - 1
            self.tables += demand.quantiles_s
        elif demand.mean_s == 0 or demand.distribution == "deterministic":
            row.update(kind=DETERMINISTIC, p0=demand.mean_s)
        elif demand.distribution == "exponential":
            row.update(kind=EXPONENTIAL, p0=demand.mean_s)
        else:
            mu, sigma = demand.lognormal_parameters()
            row.update(kind=LOGNORMAL, p0=mu, p1=sigma)

    def _route(self, steps: tuple[Step, ...]) -> int:
        start = len(self.code)
        self._steps(steps)
        self._emit(at.END)
        while self.jobs:
            pc, job_steps = self.jobs.pop()
            self.code[pc]["a"] = len(self.code)
            self._steps(job_steps)
            self._emit(at.END)
        return start

    def _steps(self, steps: tuple[Step, ...]) -> None:
        for step in steps:
            if isinstance(step, Visit):
                self._visit(step)
            elif isinstance(step, Delay):
                pc = self._emit(at.DELAY)
                self._draws(pc, step.demand, step.component, step.visit)
            elif isinstance(step, Beat):
                self.code[self._emit(at.BEAT)]["p0"] = step.every_s
            elif isinstance(step, Lookup):
                self._lookup(step)
            elif isinstance(step, Hold):
                group = self.pool_group[step.pool]
                replica_of = -1 if group is None else self.group[group]
                self._emit(at.TAKE, self.pool_at[step.pool], replica_of)
                self._steps(step.steps)
                self._emit(at.GIVE)
            elif isinstance(step, Guard):
                self._emit(at.ENTER, self.breaker[step.breaker])
                self._steps(step.steps)
                self._emit(at.EXIT)
            elif isinstance(step, Replicate):
                self._replicate(step)
            else:
                self._at_once(step)

    def _at_once(self, step: Fill | Invalidate | Limit | Spawn) -> None:
        if isinstance(step, Fill):
            family = self.family[step.family]
            self.variants[family] = max(self.variants[family], step.variant + 1)
            self._emit(at.FILL, family, step.variant)
        elif isinstance(step, Invalidate):
            group = -1 if step.everything else step.first_group
            by_user = int(step.by == "user")
            self._emit(at.INVALIDATE, self.family[step.family], group, step.modulus, by_user)
        elif isinstance(step, Limit):
            self._emit(at.LIMITED, self.limit[step.limit])
        else:
            self.jobs.append((self._emit(at.SPAWN), step.steps))
            self.widest += 1

    def _visit(self, step: Visit) -> None:
        if step.target in self.station:
            pc = self._emit(at.VISIT, self.station[step.target])
        elif step.target in self.group:
            pc = self._emit(at.VISIT_GROUP, self.group[step.target])
        else:
            secondary = int(step.prefer == "secondary")
            pc = self._emit(at.VISIT_MEMBER, self.set[step.target], secondary)
        self._draws(pc, step.demand, step.component, step.visit)

    def _lookup(self, step: Lookup) -> None:
        family = self.family[step.family]
        self.variants[family] = max(self.variants[family], step.variant + 1)
        pc = self._emit(at.LOOKUP, family, step.variant)
        self._steps(step.hit)
        jump = self._emit(at.JUMP)
        self.code[pc]["c"] = len(self.code)
        self._steps(step.miss)
        self.code[jump]["a"] = len(self.code)

    def _replicate(self, step: Replicate) -> None:
        """The write, then a jump over one job of four instructions per member."""
        members = self.model.replica_sets[self.set[step.replica_set]].members
        pc = self._emit(at.REPLICATE, self.set[step.replica_set])
        jump = self._emit(at.JUMP)
        self.code[pc]["b"] = len(self.code)
        for place, member in enumerate(members):
            delay = self._emit(at.DELAY)
            self._draws(delay, step.lag, step.component, step.visit + 2 * place)
            visit = self._emit(at.VISIT, self.station[member])
            self._draws(visit, step.apply, step.component, step.visit + 2 * place + 1)
            self._emit(at.APPLIED, self.set[step.replica_set], place)
            self._emit(at.END)
        self.code[jump]["a"] = len(self.code)
        self.widest += len(members)

    def remember(self, kind: int, a: int = 0, b: int = 0) -> int:
        """Add a row to the agenda of events that belong to no attempt; returns its place."""
        self.agenda.append((kind, a, b))
        return len(self.agenda) - 1
