"""The stack at work: requests walk their routes through stations, caches and protections.

The rules of `sim.model.stack` say what happens when; numbers in comments refer to them.
"""

import math
from collections.abc import Generator
from typing import Any

from simpy import Interrupt
from simpy.events import Event

from sim.des.attempts import Attempt
from sim.des.balancing import Balancer, Members
from sim.des.caches import FamilyState, Flight
from sim.des.clock import Clock
from sim.des.demands import Demands
from sim.des.protection import Buckets, Connections, Fuse, RetryBudget
from sim.des.servers import (
    Cores,
    OnHost,
    OwnMachine,
    Refused,
    SharedCores,
    Sharing,
    StationState,
)
from sim.draws import uniform
from sim.model.parts import Crash, Pool, Station
from sim.model.run import CacheOutcome, Outcome
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
from sim.workload.trace import Trace
from sim.workload.users import UserTrace

Walk = Generator[Event, Any, None]
RETRIED = (Outcome.TIMEOUT, Outcome.REJECTED, Outcome.FAILED)


class Stack:
    """All parts of a model, brought to life on one clock."""

    def __init__(
        self, model: StackModel, trace: Trace, seed: int, users: UserTrace | None = None
    ) -> None:
        self.model, self.trace, self.seed, self.closed = model, trace, seed, users
        self.clock = Clock()
        self.hosts: dict[str, Cores] = {
            host.name: (SharedCores if host.discipline == "ps" else Cores)(self.clock, host)
            for host in model.hosts
        }
        crashing = {d.station for d in model.disruptions if isinstance(d, Crash)}
        self.stations = {s.name: self._station(s, s.name in crashing) for s in model.stations}
        self.groups = {g.name: Balancer(g, self.stations, seed) for g in model.groups}
        self.replica_sets = {
            s.name: Members(self.clock, s, self.stations) for s in model.replica_sets
        }
        self.pools = {pool.name: self._pools(pool) for pool in model.pools}
        self.families = {f.name: FamilyState(self.clock, f) for f in model.families}
        self.caches_down = 0
        self.buckets = {limit.name: Buckets(self.clock, limit) for limit in model.limits}
        self.fuses = {breaker.name: Fuse(self.clock, breaker) for breaker in model.breakers}
        self.budget = RetryBudget(model.client)
        self.jobs_completed = 0

        # Of closed users only the first requests come by themselves.
        first_s = trace.arrival_s if users is None else users.first_s
        self.arrival_s: list[float] = first_s.tolist()
        self.think_s: list[float] = [] if users is None else users.think_s.tolist()
        self.sent_s = self.arrival_s + [math.nan] * (len(trace) - len(self.arrival_s))
        self.keys: list[int] = trace.key.tolist()
        self.users: list[int] = trace.user.tolist()
        steps = [model.route_of[o].steps if o in model.route_of else () for o in trace.operations]
        self.steps_of = [steps[operation] for operation in trace.operation.tolist()]
        self.demands = Demands(model, len(trace), seed)

        self.sojourn_s = [0.0] * len(trace)
        self.outcome = [0] * len(trace)
        self.cache_outcome = [0] * len(trace)
        self.attempts = [1] * len(trace)
        self.job_s = [math.nan] * len(trace)
        self.unfinished = len(self.arrival_s)
        self.finished = Event(self.clock)

    def run(self) -> None:
        """Let all requests of the trace arrive, and wait until each has ended."""
        if self.unfinished:
            self.clock.call_at(self.arrival_s[0], lambda _: self._arrive(0))
            self.clock.run(until=self.finished)

    # Parts that come in kinds

    def _station(self, station: Station, crashes: bool) -> StationState:
        if station.discipline == "ps":
            return Sharing(self.clock, station, crashes)
        if station.host is not None:
            return OnHost(self.clock, station, crashes, self.hosts[station.host])
        return OwnMachine(self.clock, station, crashes)

    def _pools(self, pool: Pool) -> dict[StationState | None, Connections]:
        if pool.group is None:
            return {None: Connections(self.clock, pool)}
        return {member: Connections(self.clock, pool) for member in self.groups[pool.group].members}

    # Requests and their attempts

    def _arrive(self, request: int) -> None:
        following = request + 1
        if following < len(self.arrival_s):  # rule 1
            self.clock.call_at(self.arrival_s[following], lambda _: self._arrive(following))
        self._ask(request)

    def _ask(self, request: int) -> None:
        self.budget.first_attempt()
        self._begin(Attempt(request, 0, self.keys[request], self.users[request], is_job=False))

    def _begin(self, attempt: Attempt) -> None:
        timeout_s = self.model.client.timeout_s
        if timeout_s < float("inf"):  # rule 6
            self.clock.call_at(self.clock.now + timeout_s, lambda _: self._lose_patience(attempt))
        self._start(attempt, self.steps_of[attempt.request])

    def _start(self, attempt: Attempt, steps: tuple[Step, ...]) -> None:
        attempt.process = self.clock.process(self._attempt(attempt, steps))

    def _attempt(self, attempt: Attempt, steps: tuple[Step, ...]) -> Walk:
        try:
            yield from self._walk(attempt, steps)
            outcome = Outcome.OK
        except Refused as refused:
            outcome = refused.outcome
        except Interrupt:  # the station it was at has crashed
            outcome = Outcome.FAILED
        self._conclude(attempt, outcome)

    def _conclude(self, attempt: Attempt, outcome: Outcome) -> None:
        """Give back what the attempt holds (rule 7), then end its request or retry."""
        attempt.ended = True
        if attempt.connection is not None:
            attempt.connection.give_back()
        if attempt.fuse is not None:
            attempt.fuse.report(good=False)
        if attempt.flight is not None:
            attempt.flight.land(good=False)
        for replica in attempt.replicas.values():
            replica.connections -= 1
        if attempt.is_job:
            self.jobs_completed += outcome is Outcome.OK
            if outcome is Outcome.OK and attempt.asked_s is not None:
                self.job_s[attempt.request] = self.clock.now - attempt.asked_s
        elif not attempt.abandoned:
            self._answer(attempt, outcome)

    def _lose_patience(self, attempt: Attempt) -> None:
        if not attempt.ended:
            attempt.abandoned = True
            self._answer(attempt, Outcome.TIMEOUT)

    def _answer(self, attempt: Attempt, outcome: Outcome) -> None:
        client, retry = self.model.client, attempt.number + 1
        if outcome in RETRIED and retry <= client.retries and self.budget.allows_retry():
            wait_s = min(client.backoff_cap_s, client.backoff_s * 2.0 ** (retry - 1))
            if client.jitter:
                wait_s *= uniform(self.seed, "retry", attempt.request, 0, retry)
            again = Attempt(attempt.request, retry, attempt.key, attempt.user, is_job=False)
            self.clock.call_at(self.clock.now + wait_s, lambda _: self._begin(again))
            return
        request = attempt.request
        self.sojourn_s[request] = self.clock.now - self.sent_s[request]
        self.outcome[request] = outcome
        self.cache_outcome[request] = attempt.cache_outcome
        self.attempts[request] = retry
        if self.closed is not None and self._asks_again(self.closed, request):
            return
        self.unfinished -= 1
        if not self.unfinished:
            self.clock.stop(self.finished)  # rule 10

    def _asks_again(self, users: UserTrace, request: int) -> bool:
        """A closed user has an answer (rule 11); returns whether another request will come."""
        following = request + users.users
        if following >= len(self.think_s):
            return False
        due_s = self.clock.now + self.think_s[following]
        if due_s >= users.until_s:
            return False
        self.sent_s[following] = due_s
        self.clock.call_at(due_s, lambda _: self._ask(following))
        return True

    # Steps

    def _walk(self, attempt: Attempt, steps: tuple[Step, ...]) -> Walk:
        clock, cancels = self.clock, self.model.client.cancels
        for step in steps:
            if cancels and attempt.abandoned:
                raise Refused(Outcome.TIMEOUT)
            if isinstance(step, Visit):
                station: StationState | None = self.stations.get(step.target)
                if station is None:
                    group = self.groups.get(step.target)
                    if group is None:
                        yield from self._visit_member(attempt, step)
                        continue
                    station = group.station_for(attempt)
                yield station.join(attempt, self.demands.of(step, attempt))
                station.leave(attempt)
            elif isinstance(step, Delay):
                yield clock.at(clock.now + self.demands.of(step, attempt))
            elif isinstance(step, Beat):
                yield clock.at(step.next_s(clock.now))
            elif isinstance(step, Lookup):
                yield from self._look_up(attempt, step)
            elif isinstance(step, Hold):
                yield from self._hold(attempt, step)
            elif isinstance(step, Guard):
                yield from self._guard(attempt, step)
            else:
                self._do_at_once(attempt, step)

    def _do_at_once(self, attempt: Attempt, step: Step) -> None:
        """The steps that take no time."""
        if isinstance(step, Fill):
            if not self.caches_down:
                self.families[step.family].fill(attempt, step.variant)
            flight = attempt.flight
            if flight is not None and flight.family is self.families[step.family]:
                attempt.flight = None
                flight.land(good=True)
        elif isinstance(step, Invalidate):
            asked = attempt.user if step.by == "user" else attempt.key
            group = None if step.everything else step.first_group + asked % step.modulus
            self.families[step.family].invalidate(group)
        elif isinstance(step, Limit):
            if not self.buckets[step.limit].admits(attempt.user):
                raise Refused(Outcome.SHED)
        elif isinstance(step, Spawn):
            self._spawn(attempt, step.steps)
        elif isinstance(step, Replicate):
            self._replicate(attempt, step)

    def _visit_member(self, attempt: Attempt, step: Visit) -> Walk:
        """Visit the primary of a replica set, or a secondary."""
        members = self.replica_sets[step.target]
        while True:
            secondary = step.prefer == "secondary"
            station = members.secondary() if secondary else members.primary
            if station is not None:
                break
            if not members.electing or not (yield members.wait_for_election()):
                raise Refused(Outcome.FAILED)
        yield station.join(attempt, self.demands.of(step, attempt))
        station.leave(attempt)
        if secondary:
            members.count_read(attempt, station)

    def _look_up(self, attempt: Attempt, step: Lookup) -> Walk:
        state = self.families[step.family]
        key = state.key_of(attempt)
        stamp = attempt.stamps[step.family] = state.stamp(key)
        if not self.caches_down and state.holds((step.variant, key), stamp):
            state.hits += 1
            attempt.cache_outcome = CacheOutcome.HIT
            yield from self._walk(attempt, step.hit)
            return
        if state.family.coalesce:
            replica = self._place(attempt, state.family.flights_per)
            where = (replica, step.variant, key, stamp)
            flight = state.flights.get(where)
            if flight is not None:
                state.coalesced += 1
                attempt.cache_outcome = CacheOutcome.COALESCED
                landed = Event(self.clock)
                flight.waiting.append(landed)
                if not (yield landed):
                    raise Refused(Outcome.FAILED)
                yield from self._walk(attempt, step.hit)
                return
            if attempt.flight is None:
                attempt.flight = state.flights[where] = Flight(state, where)
        state.misses += 1
        attempt.cache_outcome = CacheOutcome.MISS
        yield from self._walk(attempt, step.miss)

    def _place(self, attempt: Attempt, group: str | None) -> int:
        """Which replica of a group the attempt holds; 0 when none."""
        if group is None or group not in attempt.replicas:
            return 0
        return self.groups[group].members.index(attempt.replicas[group])

    def _hold(self, attempt: Attempt, step: Hold) -> Walk:
        pools = self.pools[step.pool]
        group = next(pool.group for pool in self.model.pools if pool.name == step.pool)
        if group is None:
            pool = pools[None]
        else:
            pool = pools[self.groups[group].members[self._place(attempt, group)]]
        handed_over = pool.take()
        if handed_over is not None:
            yield handed_over
        attempt.connection = pool
        yield from self._walk(attempt, step.steps)
        attempt.connection = None
        pool.give_back()

    def _guard(self, attempt: Attempt, step: Guard) -> Walk:
        fuse = self.fuses[step.breaker]
        if not fuse.admits():
            raise Refused(Outcome.SHED)
        attempt.fuse, attempt.fuse_entered_s = fuse, self.clock.now
        yield from self._walk(attempt, step.steps)
        attempt.fuse = None
        fuse.report(good=self.clock.now - attempt.fuse_entered_s <= fuse.breaker.slow_s)

    # Jobs

    def _job(self, attempt: Attempt) -> Attempt:
        return Attempt(attempt.request, attempt.number, attempt.key, attempt.user, is_job=True)

    def _spawn(self, attempt: Attempt, steps: tuple[Step, ...]) -> None:
        job = self._job(attempt)
        job.asked_s = self.clock.now
        self.clock.call_at(self.clock.now, lambda _: self._start(job, steps))  # rule 5

    def _replicate(self, attempt: Attempt, step: Replicate) -> None:
        """Count the write and send a job to each live secondary that applies it there."""
        members = self.replica_sets[step.replica_set]
        members.writes += 1
        members.last_write[attempt.key % members.set.keys] = members.writes
        for place, member in enumerate(members.members):
            if member is not members.primary and not member.down:
                self._replicate_to(place, self._job(attempt), step)

    def _replicate_to(self, place: int, job: Attempt, step: Replicate) -> None:
        members = self.replica_sets[step.replica_set]
        member, write = members.members[place], members.writes

        def applied() -> Walk:
            yield self.clock.at(self.clock.now + self.demands.of(step, job, 2 * place))
            try:
                yield member.join(job, self.demands.of(step, job, 2 * place + 1))
                member.leave(job)
            except Refused as refused:
                return self._conclude(job, refused.outcome)
            except Interrupt:
                return self._conclude(job, Outcome.FAILED)
            members.applied[member] = max(members.applied[member], write)
            self._conclude(job, Outcome.OK)

        def start(_: Event) -> None:
            job.process = self.clock.process(applied())

        self.clock.call_at(self.clock.now, start)
