"""The answer first: does the architecture carry its users, how far, and at what price."""

from headroom.artefacts import (
    BillArtefact,
    Estimate,
    ObjectiveResult,
    ObjectiveStatus,
    Prediction,
    Status,
    Summary,
    Verdict,
)
from headroom.availability import AvailabilityArtefact
from headroom.availability import action as remedy_of
from headroom.availability import objective as availability_objective
from headroom.compare import measured_at
from headroom.proportion import wilson
from sim.scenario import Scenario

MIN_VALID_FRACTION = 0.5


def verdict(
    scenario: Scenario,
    prediction: Prediction,
    summary: Summary,
    bill: BillArtefact,
    advised: BillArtefact,
    *,
    modelled: AvailabilityArtefact | None = None,
) -> Verdict:
    """Judge every objective and state the outcome in one sentence.

    `bill` is that of the topology as it stands, `advised` that of the replicas which the peak
    needs: the price in the sentence. Without a modelled availability that objective is UNTESTED.

    INVALID when the evidence does not carry a judgement (no valid cell at or above the daily peak,
    or fewer than half of the cells valid); else FAIL when any objective is missed; else PASS.
    """
    peak = peak_estimate(scenario)
    capacity = prediction.production.load_per_s
    objectives = (
        _latency(scenario, prediction, summary, peak),
        _errors(scenario, summary),
        *_hit_ratio(scenario, prediction, summary),
        *_concurrent_users(scenario, prediction),
        _capacity(prediction, peak),
        availability_objective(scenario, modelled),
    )
    valid = sum(cell.conditions.valid for cell in summary.cells)
    statuses = {objective.status for objective in objectives}
    status: Status = "PASS"
    if "INVALID" in statuses or valid < MIN_VALID_FRACTION * len(summary.cells):
        status = "INVALID"
    elif "FAIL" in statuses:
        status = "FAIL"
    headroom = Estimate(
        value=_headroom(peak.value, capacity.value),
        low=_headroom(peak.high, capacity.low),
        high=_headroom(peak.low, capacity.high),
    )
    result = Verdict(
        status=status,
        sentence="",
        capacity_per_s=capacity,
        peak_per_s=peak,
        bound_by=prediction.production.bound_by,
        headroom_fraction=headroom,
        instances=prediction.replicas_for_peak,
        usd_per_month=advised.total_usd,
        objectives=objectives,
        actions=actions(scenario, prediction, summary, objectives, bill, modelled=modelled),
        valid_cells=valid,
        cells=len(summary.cells),
    )
    return result.model_copy(update={"sentence": _sentence(scenario, result)})


def _headroom(peak_per_s: float, capacity_per_s: float) -> float:
    """Unused share of a capacity; -1 where the demand is twice the capacity or more."""
    return max(-1.0, 1 - peak_per_s / capacity_per_s) if capacity_per_s > 0 else -1.0


def peak_estimate(scenario: Scenario) -> Estimate:
    """Arrival rate at the daily peak, with the range that the uncertain inputs give it."""
    workload = scenario.workload
    ends = {"low": 1.0, "high": 1.0}
    for path, interval in scenario.uncertainty.items():
        stated = _stated(scenario, path)
        if path.startswith("workload.") and path.rsplit(".", 1)[-1] in _PEAK_FACTORS and stated:
            ends["low"] *= interval.low / stated
            ends["high"] *= interval.high / stated
    peak = workload.peak_load_per_s
    return Estimate(value=peak, low=peak * ends["low"], high=peak * ends["high"])


_PEAK_FACTORS = frozenset(  # the peak is the product of these, so their ratios multiply
    {
        "registered_users",
        "daily_active_fraction",
        "sessions_per_active_user_per_day",
        "requests_per_session",
        "peak_to_mean",
    }
)


def _stated(scenario: Scenario, path: str) -> float:
    value: object = scenario
    for name in path.split("."):
        value = value[name] if isinstance(value, dict) else getattr(value, name)
    assert isinstance(value, int | float)
    return float(value)


def _latency(
    scenario: Scenario, prediction: Prediction, summary: Summary, peak: Estimate
) -> ObjectiveResult:
    target = scenario.objectives.p95_s
    at_or_above = sorted({c.load_per_s for c in summary.cells if c.load_per_s >= peak.value})
    modelled = None
    for point in prediction.production_curve:
        if point.load_per_s >= peak.value:
            modelled = point.metrics["p95_s"]
            break
    found = None
    load = 0.0
    for load in at_or_above:
        found = measured_at([c for c in summary.cells if c.load_per_s == load], "p95_s")
        if found and found[1]:
            break
    status: ObjectiveStatus = "INVALID"
    note = f"no valid run at or above the peak of {peak.value:.3g} req/s"
    if found and found[1]:
        missed = found[0].value > target or (modelled is not None and modelled.value > target)
        status = "FAIL" if missed else "PASS"
        note = f"measured at {load:g} req/s with every part on this machine's cores"
        if found[0].low <= target <= found[0].high:
            note += "; the interval reaches across the target"
    return ObjectiveResult(
        name="p95 latency at the peak",
        target=f"≤ {target * 1000:g} ms",
        measured=found[0] if found else None,
        modelled=modelled,
        unit="s",
        status=status,
        note=note,
    )


def _errors(scenario: Scenario, summary: Summary) -> ObjectiveResult:
    target = scenario.objectives.error_fraction
    valid = [cell for cell in summary.cells if cell.conditions.valid]
    requests = sum(cell.requests for cell in valid)
    failed = round(sum(cell.metrics["error_fraction"].value * cell.requests for cell in valid))
    measured = wilson(failed, requests) if requests else None
    status: ObjectiveStatus = "INVALID"
    note = "no valid run"
    if measured is not None:
        status = "PASS" if measured.value <= target else "FAIL"
        note = f"{failed} of {requests:,} requests failed"
        if status == "PASS" and measured.high > target:
            note += f"; to exclude {target:.2%} at 95 % takes {3 / target:,.0f} without a failure"
    return ObjectiveResult(
        name="errors",
        target=f"≤ {target:.2%}",
        measured=measured,
        modelled=None,
        unit="fraction",
        status=status,
        note=note,
    )


def _hit_ratio(
    scenario: Scenario, prediction: Prediction, summary: Summary
) -> tuple[ObjectiveResult, ...]:
    target = scenario.objectives.hit_ratio_fraction
    if target is None or "all" not in prediction.steady_hit_ratio:
        return ()
    modelled = prediction.steady_hit_ratio["all"]
    errors = []
    for cell in prediction.cells:
        found = measured_at([c for c in summary.cells if c.cell == cell.cell], "hit_ratio.all")
        if found and found[1]:
            errors.append(abs(cell.metrics["hit_ratio.all"].value - found[0].value))
    if not errors:
        status: ObjectiveStatus = "INVALID"
        note = "no valid run to check the cache model against"
    else:
        status = "PASS" if modelled.value >= target else "FAIL"
        note = (
            "steady state at a day's mean load, by the model; in the measured windows (cold start) "
            f"it was at most {max(errors) * 100:.1f} percentage points off"
        )
    return (
        ObjectiveResult(
            name="cache hit ratio",
            target=f"≥ {target:.0%}",
            measured=None,
            modelled=modelled,
            unit="fraction",
            status=status,
            note=note,
        ),
    )


def _concurrent_users(scenario: Scenario, prediction: Prediction) -> tuple[ObjectiveResult, ...]:
    target = scenario.objectives.concurrent_users
    if target is None:
        return ()
    cycle_s = scenario.workload.think_time_s + prediction.mean_sojourn_s
    capacity = prediction.production.load_per_s
    users = Estimate(
        value=capacity.value * cycle_s, low=capacity.low * cycle_s, high=capacity.high * cycle_s
    )
    workload = scenario.workload
    session_s = workload.requests_per_session * cycle_s
    present = workload.peak_load_per_s / workload.requests_per_session * session_s
    needed_s = target / (workload.peak_load_per_s / workload.requests_per_session)
    return (
        ObjectiveResult(
            name="concurrent users",
            target=f"≥ {target:,}",
            measured=None,
            modelled=users,
            unit="users",
            status="PASS" if users.value >= target else "FAIL",
            note=(
                f"capacity × (think time + response time); the stated demand itself puts only "
                f"{present:,.0f} users on line at the peak: {target:,} would need sessions of "
                f"{needed_s / 60:,.0f} min"
            ),
        ),
    )


def _capacity(prediction: Prediction, peak: Estimate) -> ObjectiveResult:
    capacity = prediction.production.load_per_s
    return ObjectiveResult(
        name="load at the p95 objective",
        target=f"≥ {peak.value:.3g} req/s",
        measured=None,
        modelled=capacity,
        unit="req/s",
        status="PASS" if capacity.value >= peak.value else "FAIL",
        note=(
            f"bound by {prediction.production.bound_by}"
            + (
                f"; the peak may be {peak.low:.3g} to {peak.high:.3g}"
                if peak.low < peak.high
                else ""
            )
        ),
    )


def actions(
    scenario: Scenario,
    prediction: Prediction,
    summary: Summary,
    objectives: tuple[ObjectiveResult, ...],
    bill: BillArtefact,
    *,
    modelled: AvailabilityArtefact | None = None,
) -> tuple[str, ...]:
    """Three things to do next, the most pressing first."""
    steps = []
    missed = {objective.name for objective in objectives if objective.status == "FAIL"}
    invalid = [cell for cell in summary.cells if not cell.conditions.valid]
    if len(invalid) > (1 - MIN_VALID_FRACTION) * len(summary.cells):
        reason = invalid[0].conditions.reasons[0] if invalid[0].conditions.reasons else "disturbed"
        steps.append(
            f"Repeat on a quieter machine: {len(invalid)} of {len(summary.cells)} runs do not "
            f"count ({reason})."
        )
    if "cache hit ratio" in missed:
        families = {k: v.value for k, v in prediction.steady_hit_ratio.items() if k != "all"}
        worst = min(families, key=lambda family: families[family])
        steps.append(
            f"Do not plan with a hit ratio of {scenario.objectives.hit_ratio_fraction:.0%}: the "
            f"{worst} family reaches {families[worst]:.0%}; lengthen its TTL or clear fewer of "
            "its keys on an update, or size the database for the misses."
        )
    if {"p95 latency at the peak", "load at the p95 objective", "concurrent users"} & missed:
        steps.append(
            f"Add capacity where it binds: {prediction.production.bound_by}; "
            f"{_replicas_wanted(prediction)} API replicas carry the target."
        )
    remedy = remedy_of(modelled) if modelled else None
    if "availability" in missed and remedy:
        steps.append(remedy)
    replicas = scenario.topology.api.replicas
    spare = replicas - (prediction.replicas_for_peak + 1)
    if spare > 0:
        steps.append(
            f"Drop {spare} of {replicas} API replicas: {_carrying(prediction)} the "
            "peak and one more covers the loss of any."
        )
    if bill.stated_total_usd:
        gap = bill.total_usd.value - bill.stated_total_usd
        steps.append(
            f"Budget ${bill.total_usd.value:,.0f} a month, not ${bill.stated_total_usd:,.0f} "
            f"({_signed_usd(gap)}): {_largest_gap(bill)}."
        )
    if spare <= 0:
        steps.append(
            f"Keep {prediction.replicas_for_peak + 1} API replicas: {_carrying(prediction)} "
            "the peak and one more covers the loss of any."
        )
    busiest, share = max(prediction.production.utilisation.items(), key=lambda item: item[1])
    steps.append(
        f"Watch {busiest}: at the capacity limit it is {share:.0%} busy and the first to saturate."
    )
    return tuple(steps[:3])


def _carrying(prediction: Prediction) -> str:
    """So many replicas and their verb."""
    count = prediction.replicas_for_peak
    return f"{count} {'carries' if count == 1 else 'carry'}"


def _signed_usd(amount: float) -> str:
    return f"{'+' if amount >= 0 else '−'}${abs(amount):,.0f}"


def _replicas_wanted(prediction: Prediction) -> int:
    return max(prediction.replicas_for_peak, prediction.replicas_for_concurrent_users or 0)


def _largest_gap(bill: BillArtefact) -> str:
    priced = [
        (row.item, row.stated_usd, row.repriced_usd.value)
        for row in bill.repriced
        if row.stated_usd is not None and row.repriced_usd is not None
    ]
    if not priced:
        return "see the bill"
    item, stated, found = max(priced, key=lambda row: abs(row[2] - row[1]))
    return f"{item} is ${found:,.0f} where ${stated:,.0f} was stated"


def _share(fraction: float) -> str:
    """A share in whole per cent, with a decimal where whole ones would say all or nothing."""
    return f"{fraction:.1%}" if fraction > 0.99 else f"{fraction:.0%}"


def _sentence(scenario: Scenario, found: Verdict) -> str:
    capacity, peak = found.capacity_per_s, found.peak_per_s
    missed = [o.name for o in found.objectives if o.status == "FAIL"]
    text = (
        f"{capacity.value:,.0f} req/s ({capacity.low:,.0f}–{capacity.high:,.0f}) at p95 ≤ "
        f"{scenario.objectives.p95_s * 1000:g} ms, bound by {found.bound_by}: "
        f"{_share(found.headroom_fraction.value)} headroom → {found.instances} × "
        f"{scenario.topology.api.instance_type} for a peak of {peak.value:,.3g} req/s, "
        f"${found.usd_per_month.value:,.0f} a month"
    )
    return f"{text}; missed: {', '.join(missed)}" if missed else text
