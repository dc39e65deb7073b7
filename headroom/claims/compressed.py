"""A day's cache, in minutes: the live hit ratio of the design with time compressed."""

from collections.abc import Callable
from pathlib import Path

from headroom.artefacts import Estimate, ExperimentResult
from headroom.claims.live import Results
from headroom.live import running_stack
from headroom.trial import trial
from headroom.variants import variant
from sim.scenario import Operation, Scenario
from stack.local import StackInfo

COMPRESSION = 20.0  # modelled seconds per real second
WARM_LIVES = 1.2  # of the longest-lived family, before hits are counted
COUNTED_S = 45.0


def compressed(scenario: Scenario) -> Scenario:
    """The design with every life divided by COMPRESSION, to be met by that many times the load.

    Hit ratios are kept: they depend on arrival rate × life alone. As many users are stored as come
    in a day, for each has a key of their own. Logins, which no cache knows but which would keep
    the cores busy with passwords, are left out. Waits are not kept, and not looked at.
    """
    cache, workload = scenario.topology.cache, scenario.workload
    assert cache is not None
    lives = {
        f"topology.cache.families.{family.value}.ttl_s": policy.ttl_s / COMPRESSION
        for family, policy in cache.families.items()
    }
    changes = {
        "name": f"{scenario.name}-compressed",
        "workload.catalogue.users": workload.active_users_per_day,
        "workload.mix": {o.value: s / kept_share(scenario) for o, s in _kept(scenario).items()},
    }
    return variant(scenario, lives | changes)


def _kept(scenario: Scenario) -> dict[Operation, float]:
    left_out = (Operation.LOGIN, Operation.REGISTER)
    return {o: s for o, s in scenario.workload.mix.items() if o not in left_out}


def kept_share(scenario: Scenario) -> float:
    """Share of a scenario's requests that its compressed form has."""
    return sum(_kept(scenario).values())


def hit_ratio_of_a_day(scenario: Scenario, folder: Path, say: Callable[[str], None]) -> Results:
    """Start the compressed design, offer a day's mean load to it, and count its hits."""
    quick = compressed(scenario)
    cache = quick.topology.cache
    assert cache is not None
    load_per_s = scenario.workload.mean_load_per_s * COMPRESSION * kept_share(scenario)
    warm_s = WARM_LIVES * max(policy.ttl_s for policy in cache.families.values())

    with running_stack(quick, say, name=f"claims-{folder.name}"[:60]) as info:
        return _counted(quick, info, folder, load_per_s, warm_s)


def _counted(
    scenario: Scenario, info: StackInfo, folder: Path, load_per_s: float, warm_s: float
) -> Results:
    found = trial(scenario, info, folder, load_per_s, warm_s + COUNTED_S, warmup_s=warm_s)
    if not found.measured.conditions.valid:
        raise ValueError(f"INVALID: {'; '.join(found.measured.conditions.reasons)}")
    ratio = found.measured.metrics["hit_ratio.all"]
    how = (
        f"{found.measured.requests:,} requests at {load_per_s:.0f} req/s after {warm_s:.0f} s of "
        f"warming; every life and gap divided by {COMPRESSION:g}, so rate × life is that of a day"
    )
    relief = Estimate(
        value=1 / (1 - ratio.value), low=1 / (1 - ratio.low), high=1 / (1 - ratio.high)
    )
    samples = found.measured.requests
    return {
        "live.hit_ratio": ExperimentResult(value=ratio, unit="fraction", samples=samples, how=how),
        "live.database_relief": ExperimentResult(value=relief, unit="×", samples=samples, how=how),
    }
