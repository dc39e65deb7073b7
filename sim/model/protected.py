"""A scenario's protections and background work, as parts and steps of a StackModel."""

import math

from sim.draws import Demand
from sim.model.parts import Breaker, Client, Pool, RateLimit
from sim.model.steps import Beat, Delay, Guard, Hold, Limit, Replicate, Route, Spawn, Step, Visit
from sim.scenario import Operation, Scenario

WORKER = "worker"
ADDRESS = "address"
BUDGET_OF = {
    Operation.LOGIN: "auth",
    Operation.REGISTER: "auth",
    Operation.SEARCH: "search",
    Operation.LIST: "listing",
    Operation.LIST_CURSOR: "listing",
    Operation.FAVOURITES: "favourites",
    Operation.FAVOURITE_ADD: "favourites",
}
DATABASE_WRITES = (Operation.FAVOURITE_ADD, Operation.PRODUCT_UPDATE, Operation.REGISTER)


def client(scenario: Scenario) -> Client:
    """How the scenario's callers wait and retry."""
    api, retrying = scenario.topology.api, scenario.topology.api.retrying
    budget = retrying.budget_fraction
    return Client(
        timeout_s=api.timeout_s,
        retries=api.retries,
        backoff_s=retrying.backoff_s,
        backoff_cap_s=retrying.backoff_cap_s,
        jitter=retrying.jitter,
        budget_fraction=math.inf if budget is None else budget,
        budget_cap=retrying.budget_cap,
    )


def rate_limits(scenario: Scenario, operations: list[Operation]) -> tuple[RateLimit, ...]:
    """A bucket per user for every budget that an operation of the mix counts against."""
    limits, users = scenario.topology.limits, scenario.workload.catalogue.users
    if limits is None:
        return ()
    per_min = {
        "auth": limits.auth_per_min,
        "search": limits.search_per_min,
        "listing": limits.listing_per_min,
        "favourites": limits.favourites_per_min,
    }
    counted = {BUDGET_OF[operation] for operation in operations if operation in BUDGET_OF}
    return (
        RateLimit(ADDRESS, float(limits.address_per_s), limits.address_burst, users=users),
        *(
            RateLimit(name, quota / 60, quota, users=users)
            for name, quota in per_min.items()
            if name in counted
        ),
    )


def pools(scenario: Scenario, used: set[str]) -> tuple[Pool, ...]:
    """The connection pools of each API replica, to parts that some visit names."""
    group = "api" if "api" in used else None
    sizes = scenario.topology.api.connections
    return tuple(Pool(part, size, group) for part, size in sizes.items() if part in used)


def breakers(scenario: Scenario, used: set[str]) -> tuple[Breaker, ...]:
    """The circuit breakers around parts that some visit names."""
    return tuple(
        Breaker(part, each.failures, math.inf if each.slow_s is None else each.slow_s, each.open_s)
        for part, each in scenario.topology.api.breakers.items()
        if part in used
    )


def protected(scenario: Scenario, visit: Visit) -> Step:
    """A visit with a connection in hand, behind a breaker, where the scenario has them."""
    api = scenario.topology.api
    step: Step = visit
    if visit.target in api.connections:
        step = Hold(visit.target, (step,))
    if visit.target in api.breakers:
        step = Guard(visit.target, (step,))
    return step


def replication(scenario: Scenario, operation: Operation) -> tuple[Step, ...]:
    """What follows a write in the replica set."""
    database = scenario.topology.database
    follows = database.replication
    if follows is None or database.members == 1 or operation not in DATABASE_WRITES:
        return ()
    lag = Demand(follows.lag_s, distribution="exponential")
    return (Replicate("mongo", lag, Demand(follows.apply_s, distribution="exponential")),)


def has_jobs(scenario: Scenario, operations: list[Operation]) -> bool:
    """Whether any operation of the mix leaves work behind."""
    worker = scenario.topology.worker
    return worker is not None and any(operation in worker.jobs for operation in operations)


def _is_own(step: Step) -> bool:
    """Whether a step is the API's own, or the way of the answer."""
    own = ("nginx", "api", "api_threads")
    return isinstance(step, Delay | Beat) or (isinstance(step, Visit) and step.target in own)


def guarded_route(scenario: Scenario, operation: Operation, steps: tuple[Step, ...]) -> Route:
    """A route behind the rate limits, with the job that it leaves behind when its calls are done.

    The service asks for a job after its last call to another part, before it writes the answer.
    """
    topology = scenario.topology
    if topology.limits is not None:
        budget = BUDGET_OF.get(operation)
        arrived = next(
            (i for i, s in enumerate(steps) if not (isinstance(s, Visit) and s.target == "nginx")),
            len(steps),
        )
        own = () if budget is None else (Limit(budget),)
        steps = (Limit(ADDRESS), *steps[:arrived], *own, *steps[arrived:])
    job = None if topology.worker is None else topology.worker.jobs.get(operation)
    if job is not None:
        called = [place for place, step in enumerate(steps) if not _is_own(step)]
        after = called[-1] + 1 if called else len(steps)
        left = Spawn((Visit(WORKER, Demand(job.mean_s, job.cv)),))
        steps = (*steps[:after], left, *steps[after:])
    return Route(operation.value, steps)
