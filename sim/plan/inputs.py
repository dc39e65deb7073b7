"""Which numbers of a plan are uncertain, by how much, and who says so."""

from collections.abc import Iterable

from sim.cost.pricebook import PriceBook
from sim.cpu import SCORE_SPREAD_FRACTION, cpu_scores
from sim.errors import require
from sim.plan.demand import MeasuredDemands
from sim.plan.futures import Input
from sim.plan.offers import core_of
from sim.plan.space import NO_CACHE, Candidate
from sim.scenario import BillComponent, Scenario

# A core of the measured machine against a vCPU of the reference type, where neither is known.
REFERENCE = "m5.large"
UNSCORED_RANGE = (0.5, 2.0)
HIT_RATIO_SPREAD = 0.05  # how far the cache model was off a live stack, at most (notebook 02)

# Paths of `uncertainty` that a plan moves, with what the number can be at all.
MOVED: dict[str, tuple[float, float]] = {
    "workload.registered_users": (1.0, 1e12),
    "workload.daily_active_fraction": (1e-9, 1.0),
    "workload.sessions_per_active_user_per_day": (1e-9, 1e9),
    "workload.requests_per_session": (1e-9, 1e9),
    "workload.profile.peak_to_mean": (1.0, 1e3),
    "workload.think_time_s": (0.0, 1e9),
    "prices.egress_gib_per_month": (0.0, 1e12),
    "plan.growth_factor": (1e-3, 1e3),
    "plan.demand_factor": (1e-3, 1e3),
    "plan.hit_ratio_shift": (-1.0, 1.0),
    "plan.price_factor": (1e-3, 1e3),
}
_FAMILIAR = {
    "workload.registered_users": "registered users",
    "workload.daily_active_fraction": "share of users active in a day",
    "workload.sessions_per_active_user_per_day": "sessions a day",
    "workload.requests_per_session": "requests a session",
    "workload.profile.peak_to_mean": "daily peak over mean",
    "workload.think_time_s": "think time",
    "prices.egress_gib_per_month": "egress",
    "plan.growth_factor": "growth",
    "plan.demand_factor": "demand of a request",
    "plan.hit_ratio_shift": "hit ratio",
    "plan.price_factor": "all prices",
    "cpu.machine": "speed of the measured machine",
}


def label(name: str) -> str:
    """An input's name for a reader.

    Args:
        name: of an input.
    Returns: words.
    Source: the project's glossary.

    >>> label("plan.hit_ratio_shift"), label("cpu.c7g.large"), label("demand.api")
    ('hit ratio', 'speed of c7g.large', 'demand at api')
    """
    if name in _FAMILIAR:
        return _FAMILIAR[name]
    kind, _, rest = name.partition(".")
    words = {"cpu": "speed of", "demand": "demand at", "price": "price of"}
    return f"{words.get(kind, kind)} {rest.replace('_', ' ')}"


def inputs_of(
    scenario: Scenario,
    measured: MeasuredDemands,
    candidates: Iterable[Candidate],
    book: PriceBook,
) -> tuple[Input, ...]:
    """The uncertain inputs of a plan.

    Those of the scenario's `uncertainty` that a plan knows; and, unless stated there: the spread
    of the calibrated demands, the speed of each instance type, the hit ratio, and the prices.

    Args:
        scenario: its `uncertainty`.
        measured: its spread.
        candidates: whose instance types have a speed.
        book: whose prices have a range.
    Returns: the inputs, each named once.
    Raises: InvalidScenario for an interval that does not hold the scenario's own value.
    Source: the scenario, the calibration, the CPU scores and the price book; `basis` says which.

    >>> from sim.cost import price_book
    >>> from sim.example import shop, shop_demands
    >>> found = inputs_of(shop(), shop_demands(), [], price_book("2026-07"))
    >>> [each.name for each in found if each.basis == "model error"]
    ['plan.hit_ratio_shift']
    """
    found = {
        path: Input(path, interval.low, _at(scenario, path), interval.high, True, "the scenario",
                    *MOVED[path])
        for path, interval in scenario.uncertainty.items()
        if path in MOVED
    }  # fmt: skip
    for component, (low, high) in measured.spread.items():
        name = f"demand.{component}"
        found[name] = Input(name, min(low, 1.0), 1.0, max(high, 1.0), False, "calibration")
    if scenario.plan.calibrated_on is None:
        basis = f"assumption: the measured machine's speed beside {REFERENCE} is not known"
        found["cpu.machine"] = Input(
            "cpu.machine", UNSCORED_RANGE[0], 1.0, UNSCORED_RANGE[1], False, basis
        )
    for sku in sorted({core_of(s) for c in candidates for s in types_of(c)}):
        found[f"cpu.{sku}"] = _speed_input(sku)
    if "plan.hit_ratio_shift" not in found:
        shift, spread = scenario.plan.hit_ratio_shift, HIT_RATIO_SPREAD
        found["plan.hit_ratio_shift"] = Input(
            "plan.hit_ratio_shift", shift - spread, shift, shift + spread, False, "model error"
        )
    for component in BillComponent:
        name = f"price.{component.value}"
        found[name] = Input(name, -1.0, 0.0, 1.0, False, f"price book {book.name}")
    return tuple(found.values())


def left_out(scenario: Scenario) -> tuple[str, ...]:
    """Paths of the scenario's `uncertainty` that a plan does not move."""
    return tuple(path for path in scenario.uncertainty if path not in MOVED)


def types_of(candidate: Candidate) -> tuple[str, ...]:
    """Instance types of a candidate.

    Args:
        candidate: the architecture.
    Returns: instance types, those it does not have left out.
    Source: the candidate.

    >>> from sim.example import shop
    >>> from sim.plan import own_candidate
    >>> types_of(own_candidate(shop()))
    ('m5.large', 'cache.m5.large', 'M30')
    """
    found = (
        candidate.api_type,
        candidate.cache_type,
        candidate.database_type,
        candidate.search_type,
    )
    return tuple(sku for sku in found if sku is not None and sku != NO_CACHE)


def speed_of(scenario: Scenario, sku: str) -> float:
    """Speed of an instance type's vCPU beside a core of the measured machine; 1 if unscored.

    Raises: InvalidScenario when `plan.calibrated_on` names a type without a score.
    """
    scores = cpu_scores()
    measured_on = scenario.plan.calibrated_on or REFERENCE
    require(measured_on in scores, "plan.calibrated_on", measured_on, f"one of {', '.join(scores)}")
    own = scores.get(core_of(sku))
    if own is None:
        return 1.0
    return own.coremark_per_vcpu / scores[measured_on].coremark_per_vcpu


def _speed_input(sku: str) -> Input:
    if sku in cpu_scores():
        low, high = 1 - SCORE_SPREAD_FRACTION, 1 + SCORE_SPREAD_FRACTION
        return Input(f"cpu.{sku}", low, 1.0, high, False, "one CoreMark run per type")
    basis = f"assumption: {sku} has no CPU score and is taken for {REFERENCE}"
    return Input(f"cpu.{sku}", *(UNSCORED_RANGE[0], 1.0, UNSCORED_RANGE[1]), False, basis)


def _at(scenario: Scenario, path: str) -> float:
    value: object = scenario
    for name in path.split("."):
        value = getattr(value, name)
    assert isinstance(value, int | float)
    return float(value)
