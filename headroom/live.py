"""A scenario's architecture, live: which stack it means, seeded and ready for load."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import psutil
import redis

from headroom.dilation import dilated
from sim.scenario import Api, Scenario
from stack.errors import PartFailed
from stack.gates.emulation import Emulation
from stack.infra.catalogue import Catalogue
from stack.infra.limits import Limits
from stack.infra.settings import SeedSettings
from stack.load.priority import run_in_real_time
from stack.load.requests import Credentials
from stack.local import AutoscalingPolicy, RunningStack, StackInfo, StackSpec, stack_folder, start
from stack.worker.changes import BATCH as INDEX_BATCH
from stack.worker.rebuild import rebuild
from stack.worker.settings import IndexerSettings

if TYPE_CHECKING:
    from stack.infra.seed import Seeded

Say = Callable[[str], None]
RELOAD_S = 20.0
PROGRESS_EVERY_S = 10.0


def stack_spec(
    scenario: Scenario,
    *,
    name: str | None = None,
    http_port: int = 0,
    tls: bool = False,
    emulation: Emulation | None = None,
    faults: bool = False,
) -> StackSpec:
    """The local stack of a scenario's topology; with an emulation in that one's dilated time.

    `faults`: that can be switched on while it runs (`stack.local.faults`).
    """
    if emulation is not None:
        scenario = dilated(scenario)
    topology = scenario.topology
    scaling = None if emulation is None else autoscaling_of(topology.api)
    environment = {
        "HEADROOM_CATALOGUE": json.dumps(scenario.workload.catalogue.model_dump()),
        "HEADROOM_PAGING": topology.api.paging,
        "HEADROOM_READ_FROM_SECONDARIES": json.dumps(
            sorted(topology.database.read_from_secondaries)
        ),
    }
    if topology.cache is not None:
        families = topology.cache.families
        environment["HEADROOM_CACHE_TTL_S"] = json.dumps(
            {family.value: policy.ttl_s for family, policy in families.items()}
        )
        environment["HEADROOM_CACHE_CLEARED_BY_UPDATE"] = json.dumps(
            [f.value for f, policy in families.items() if policy.cleared_by_product_update]
        )
        environment["HEADROOM_CACHE_TTL_JITTER_FRACTION"] = json.dumps(
            {f.value: policy.ttl_jitter_fraction for f, policy in families.items()}
        )
        environment["HEADROOM_CACHE_EARLY_RECOMPUTE_BETA"] = json.dumps(
            {f.value: policy.early_recompute_beta for f, policy in families.items()}
        )
        environment["HEADROOM_CACHE_SHARED_FLIGHTS"] = json.dumps(
            [f.value for f, policy in families.items() if policy.single_flight == "replicas"]
        )
    return StackSpec(
        name=name or scenario.name,
        api_replicas=topology.api.replicas,
        load_balancer=topology.load_balancer.policy,
        cache_memory_mib=topology.cache.memory_mib if topology.cache else None,
        database_members=topology.database.members,
        election_timeout_s=topology.database.election_timeout_s,
        search_engine=topology.search.engine,
        workers=topology.worker.replicas if topology.worker else 0,
        images=topology.worker is not None and topology.worker.images,
        events=topology.events,
        http_port=http_port,
        service_env=environment,
        limits=Limits(**topology.limits.model_dump()) if topology.limits else None,
        # The load comes from one address and speaks for many users.
        trust_forwarded_for=topology.limits is not None,
        tls=tls,
        takes_faults=faults,
        emulation=emulation,
        autoscaling=scaling,
    )


def autoscaling_of(api: Api) -> AutoscalingPolicy | None:
    """The policy of API servers in the words of the stack."""
    scaling = api.autoscaling
    if scaling is None:
        return None
    return AutoscalingPolicy(
        min_replicas=scaling.min_replicas,
        max_replicas=scaling.max_replicas,
        target_fraction=scaling.target_cpu_fraction,
        period_s=scaling.evaluation_period_s,
        boot_s=scaling.boot_s,
        cooldown_s=scaling.cooldown_s,
    )


class SeedingProgress:
    """Says how far each part of a seeding is: at its quarters, and every few seconds between."""

    def __init__(
        self,
        say: Say,
        every_s: float = PROGRESS_EVERY_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._every_s = every_s
        self._clock_s = clock_s
        self._began_s: dict[str, float] = {}
        self._said: dict[str, tuple[float, int]] = {}  # when, and which quarter

    def __call__(self, what: str, done: int, total: int) -> None:
        """Of this part so many are done."""
        now_s, quarter = self._clock_s(), done * 4 // total
        began_s = self._began_s.setdefault(what, now_s)
        said_s, said_quarter = self._said.get(what, (began_s, 0))
        if quarter == said_quarter and now_s - said_s < self._every_s:
            return
        self._said[what] = now_s, quarter
        left_s = (now_s - began_s) * (total - done) / done if done else 0.0
        left = f", {left_s / 60:.0f} min left" if left_s >= 60 else ""
        self._say(f"{what} {done:,}/{total:,}{left}")


def seed_stack(
    scenario: Scenario, info: StackInfo, say: Say, *, products: int | None = None
) -> "Seeded":
    """Fill a running stack with the scenario's catalogue (idempotent)."""
    catalogue = catalogue_of(scenario)
    if products is not None:
        catalogue = catalogue.model_copy(update={"products": products})
    assert info.mongo_url is not None
    from stack.infra.seed import seed  # the clients of both databases: half a second

    settings = SeedSettings.model_validate(
        {
            "mongo_url": info.mongo_url,
            "redis_url": info.redis_url,
            "elasticsearch_url": info.elasticsearch_url,
            "catalogue": catalogue.model_dump(),
            "admin_password": info.admin_password,
        }
    )

    seeded = seed(settings, catalogue, SeedingProgress(say))
    state = "in" if seeded.written else "already there; checked in"
    say(
        f"{seeded.products:,} products and {seeded.users:,} users {state} {seeded.duration_s:.1f} s"
    )
    return seeded


def reindex_stack(info: StackInfo, say: Say) -> None:
    """Build the search index of a running stack anew; searches and updates go on meanwhile."""
    if info.elasticsearch_url is None:
        say("this stack has no search index: MongoDB answers its searches")
        return
    settings = IndexerSettings.model_validate(
        {
            "mongo_url": info.mongo_url,
            "redis_url": info.redis_url,
            "elasticsearch_url": info.elasticsearch_url,
        }
    )

    def tenths(done: int, total: int) -> None:
        if done * 10 // max(total, 1) > max(0, done - INDEX_BATCH) * 10 // max(total, 1):
            say(f"search index {done:,}/{total:,}")

    done = rebuild(settings, tenths)
    say(
        f"{done.index} serves, with {done.products:,} products and {done.changes:,} changes that "
        f"came meanwhile, after {done.duration_s:.1f} s"
    )


def catalogue_of(scenario: Scenario) -> Catalogue:
    """The catalogue in the words of the stack."""
    return Catalogue.model_validate(scenario.workload.catalogue.model_dump())


def credentials_of(info: StackInfo) -> Credentials:
    """What the load generator needs to speak for any user of this stack."""
    return Credentials(jwt_secret=info.jwt_secret, own_addresses=info.spec.trust_forwarded_for)


def pids_of(info: StackInfo) -> dict[str, tuple[int, ...]]:
    """Processes by part; the supervisor and its guard are the part `supervisor`."""
    own = {"supervisor": (info.guard_pid, info.supervisor_pid)}
    return {part.name: part.pids() for part in info.parts} | own


def kind_of(part: str) -> str:
    """The component that a part belongs to: `api-2` is an `api`."""
    return part.rstrip("0123456789").rstrip("-")


def by_component(values: Mapping[str, float]) -> dict[str, float]:
    """Values by part, summed over the parts of each component."""
    sums: dict[str, float] = {}
    for part, value in values.items():
        sums[kind_of(part)] = sums.get(kind_of(part), 0.0) + value
    return sums


def empty_cache(info: StackInfo) -> None:
    """Forget all cached keys, so that the next cell starts cold, as its prediction does."""
    if info.redis_url is not None:
        with redis.Redis.from_url(info.redis_url) as client:
            client.flushdb()


def fresh_balancer(info: StackInfo) -> None:
    """Let the load balancer forget whose turn it was, so that its next cell begins as a model's.

    Raises PartFailed when it does not take up anew.
    """
    pid = info.part("nginx").pid
    assert pid is not None
    master = psutil.Process(pid)
    old = {worker.pid for worker in master.children()}
    os.kill(pid, signal.SIGHUP)
    deadline_s = time.monotonic() + RELOAD_S
    while not (now := {worker.pid for worker in master.children()}) or now & old:
        if time.monotonic() > deadline_s:
            lines = info.part("nginx").log.read_text(errors="replace").splitlines()[-20:]
            raise PartFailed(part="nginx", what="did not begin anew", last_lines=lines)
        time.sleep(0.02)
    if info.spec.emulation is not None:
        for worker in now:
            run_in_real_time(worker)


@contextlib.contextmanager
def running_stack(
    scenario: Scenario,
    say: Say,
    *,
    name: str | None = None,
    emulation: Emulation | None = None,
    faults: bool = False,
) -> Iterator[StackInfo]:
    """The scenario's stack, seeded; it ends with the block, and with this process.

    With `faults` they can be switched on inside it (`stack.local.faults`). Raises a StackError
    that says what to do when it cannot start.
    """
    spec = stack_spec(scenario, name=name, emulation=emulation, faults=faults)
    running: RunningStack
    with start(spec, stack_folder(spec.name), progress=say) as running:
        seed_stack(scenario, running.info, say)
        running.check()
        yield running.info
