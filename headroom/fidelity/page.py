"""docs/fidelity.md: every cell with its error, the bad ones too, written from the record."""

from collections.abc import Iterable, Sequence
from statistics import median

from headroom.failover import TOLERANCE
from headroom.fidelity.artefacts import ComparedMetric, MeasuredFidelity
from headroom.fidelity.cells import LOW_TARGET
from headroom.fidelity.native_page import native_section
from headroom.fidelity.page_sections import (
    invariance_section,
    overload_section,
    sameness_section,
    warm_up_section,
)
from headroom.fidelity.parts.page import parts_section
from headroom.fidelity.predicted import REPLICATIONS
from headroom.fidelity.promises import Promise, promises, shown
from headroom.fidelity.record import COVERED, FidelityRecord, Occasion, RecordedCell, of_kind
from headroom.fidelity.replay.page import replay_section
from headroom.proportion import wilson

HEAD = """# How far the predictions can be trusted

This page is about an **emulation in dilated time**. Each machine of the architecture under test is
a gate that holds a request in one of its slots for a stated service demand, stretched by the scale,
while the real nginx, API, Redis, MongoDB and Elasticsearch do the real work inside the hold. What
that proves: that the model has the structure of the system (routing, caches, expiry, clearing,
joined reads, replica sets, and how waiting at one machine moves the next) and follows it request by
request, tails included. What it does not prove: how fast any hardware is, nor that a machine queues
as its gate does, for the gate's queue (slots, first come first served, or all at once) is
arithmetic that the model shares. That comes from native calibration, whose errors are wider and are
told in the capacity report.

Each cell was predicted, and the prediction stored and hashed, before its load was offered. The
model's only fitted figures are two constants (real time outside the holds, and after each hold),
fitted once per start of a stack at {low:.0%} utilisation, where nothing is judged. Model and gates
draw the same demand for the same visit, and a request carries the time at which it is due, so a
prediction is free of sampling error; the 90 % range beside it is over other arrivals and demands.
A cell is INVALID when the dispatch was late, the hypervisor took time, somebody of the same
priority used the cores, answers were wrong, or real work outlasted its holds; work that gives way
(of a lower priority) may go on beside it and is stated. Written by `make fidelity` from
`docs/fidelity.json`; edit nothing here.
"""
SHOWN = ("throughput_per_s", "mean_s", "p50_s", "p95_s", "p99_s")


def page(record: FidelityRecord) -> str:
    """The whole page, of one or more occasions."""
    occasions = record.occasions
    cells = [cell for occasion in occasions for cell in occasion.cells]
    sections = [HEAD.format(low=LOW_TARGET), _summary(cells, occasions), _occasions(occasions)]
    sections += [_gain(occasions), _hit_ratios(occasions), invariance_section(occasions)]
    sections += [sameness_section(occasions), overload_section(occasions)]
    sections += [warm_up_section(occasions), _failovers(occasions)]
    sections.append(replay_section(record.replays))
    sections.append(parts_section(record.parts))
    sections.append(native_section(record.natives))
    for occasion in occasions:
        title = "Every cell" if occasion.cells else "The machine"
        sections.append(f"## {title}: {occasion.name}\n")
        facts = "; ".join(f"{k.replace('_', ' ')} {v}" for k, v in occasion.machine.items())
        sections.append(f"The machine: {facts or 'not recorded'}.\n")
        sections.extend(_topologies(occasion))
    return "\n".join(section for section in sections if section).rstrip() + "\n"


def _summary(cells: Sequence[MeasuredFidelity], occasions: Sequence[Occasion]) -> str:
    valid = [cell for cell in cells if cell.valid]
    lines = [
        "## In short\n",
        f"{len(cells)} cells over {len({cell.topology for cell in cells})} topologies on "
        f"{sum(bool(each.cells) for each in occasions)} occasion(s); {len(valid)} valid "
        f"({_share(len(valid), len(cells))}).\n",
    ]
    if not valid:
        return "\n".join([*lines, "No valid cell: nothing can be said.\n"])
    lines += [
        "| figure | promised | valid cells inside | median error | worst | inside the 90 % range |",
        "|---|---|---|---|---|---|",
        *(_promise(promise) for promise in promises(valid)),
    ]
    correlations = [cell.correlation for cell in valid if cell.correlation is not None]
    same = [cell.same_outcome_fraction for cell in valid]
    lines += [
        "",
        f"Correlation of single requests' times, predicted and measured: median "
        f"{median(correlations):.4f}, worst {min(correlations):.4f}. Look-ups that found what they "
        f"were predicted to find: median {median(same):.2%}, worst {min(same):.2%}.\n",
        "Behind the share inside the 90 % range is its 95 % interval, as if all were independent; "
        f"figures of one cell are not, so the true one is wider.{_narrower(occasions)}\n",
    ]
    return "\n".join(lines)


def _narrower(occasions: Sequence[Occasion]) -> str:
    """Which occasions had ranges that cover less than they say."""
    names: dict[float, list[str]] = {}
    for each in occasions:
        if each.cells and each.ranges_cover < COVERED:
            names.setdefault(each.ranges_cover, []).append(each.name)
    return "".join(
        f" The ranges of {', '.join(each)} cover {share:.0%} by construction: they were read off "
        f"{REPLICATIONS} draws as if those were the whole distribution."
        for share, each in sorted(names.items())
    )


def _promise(promise: Promise) -> str:
    """The row of one figure: in how many valid cells all its parts kept the promise."""
    inside = f"{promise.kept} of {promise.cells} ({_share(promise.kept, promise.cells)})"
    covered = promise.covered
    return (
        f"| {promise.name} | ±{promise.shown(promise.limit)} | {inside} "
        f"| {promise.shown(promise.median_error)} "
        f"| {promise.shown(promise.worst_error, sign=True)} "
        f"| {_share(sum(covered), len(covered))} of {len(covered)}{_known(covered)} |"
    )


def _known(covered: Sequence[bool]) -> str:
    """The 95 % interval of a share."""
    if not covered:
        return ""
    share = wilson(sum(covered), len(covered))
    return f" ({share.low:.0%} to {share.high:.0%})"


def _occasions(occasions: Sequence[Occasion]) -> str:
    lines = [
        "## Occasions\n",
        "| occasion | from | to (UTC) | cells | valid | all promises kept | steal, median "
        "| foreign CPU, median | of it lower priority | dispatch lag p99, median |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for occasion in occasions:
        cells = occasion.cells
        if not cells:
            lines.append(
                f"| {occasion.name} | {occasion.begun_at:%Y-%m-%d %H:%M} | – | 0{' | –' * 6} |"
            )
            continue
        valid = [cell for cell in cells if cell.valid]
        whole = sum(all(metric.inside for metric in cell.metrics) for cell in valid)
        seen = [cell.conditions for cell in cells]
        first = min(cell.started_at for cell in cells)
        last = max(cell.finished_at for cell in cells)
        lines.append(
            f"| {occasion.name} | {first:%Y-%m-%d %H:%M} | {last:%Y-%m-%d %H:%M} "
            f"| {len(cells)} | {len(valid)} | {whole} "
            f"| {median(each.steal_fraction for each in seen):.1%} "
            f"| {median(each.foreign_cpu_fraction for each in seen):.0%} "
            f"| {median(each.lower_cpu_fraction for each in seen):.0%} "
            f"| {median(each.dispatch_lag_p99_s for each in seen) * 1e3:.1f} ms |"
        )
    lines += ["", *(f"{each.name}: {each.note}\n" for each in occasions if each.note)]
    return "\n".join(lines) + "\n"


def _gain(occasions: Sequence[Occasion]) -> str:
    """The same valid cells by plainer models."""
    errors: dict[str, dict[str, list[float]]] = {}
    unsteady: dict[str, int] = {}
    for cell in _recorded(occasions):
        if not cell.found.valid:
            continue
        figures = {metric.metric: metric for metric in cell.found.metrics}
        full = {name: figures[name].predicted for name in ("mean_s", "p95_s")}
        models: dict[str, dict[str, float | None]] = {"the full model": {**full}}
        models |= {
            each.model: {"mean_s": each.mean_s, "p95_s": each.p95_s} for each in cell.plainer
        }
        for model, told in models.items():
            for name, value in told.items():
                kept_errors = errors.setdefault(model, {}).setdefault(name, [])
                if value is not None:
                    kept_errors.append(abs(value / figures[name].measured - 1))
            unsteady[model] = unsteady.get(model, 0) + (told["mean_s"] is None)
    lines = [
        "## What the full model gains\n",
        "The same valid cells, by plainer models that see the demands and formulas for the hit "
        "ratio, not the very requests; they speak of the long run, and a cell is short.\n",
        "| model | mean, median error | worst | p95, median error | worst | no steady state |",
        "|---|---|---|---|---|---|",
    ]
    for model, found in errors.items():
        if not all(found.values()):
            continue
        texts = [
            text
            for name in ("mean_s", "p95_s")
            for text in (f"{median(found[name]):.1%}", f"{max(found[name]):.1%}")
        ]
        lines.append(f"| {model} | {' | '.join(texts)} | {unsteady[model]} |")
    return "\n".join(lines) + "\n" if errors else ""


def _recorded(occasions: Sequence[Occasion]) -> list[RecordedCell]:
    return [cell for each in occasions for topology in each.topologies for cell in topology.cells]


def _hit_ratios(occasions: Sequence[Occasion]) -> str:
    """Each family of each valid cell."""
    found: dict[str, list[ComparedMetric]] = {}
    widths = []
    for cell in _recorded(occasions):
        if cell.found.valid:
            for metric in of_kind(cell.found, "hit_ratio"):
                found.setdefault(metric.metric.partition(".")[2], []).append(metric)
            widths += list(cell.hit_ratio_spread.values())
    if not found:
        return ""
    lines = [
        "## Hit ratios\n",
        "By key family, live beside predicted, over several TTLs, update rates, catalogues and "
        "popularities. Over other arrivals the ratio of one cell would spread by "
        f"±{median(widths) * 100:.1f} pp (half the 90 % range, median).\n",
        "| family | cells | within ±0.5 pp | median error | worst | live, lowest to highest |",
        "|---|---|---|---|---|---|",
    ]
    for family, metrics in sorted(found.items()):
        inside = sum(metric.inside for metric in metrics)
        worst = max(metrics, key=lambda metric: abs(metric.error))
        live = [metric.measured for metric in metrics]
        middle = median(abs(metric.error) for metric in metrics)
        lines.append(
            f"| {family} | {len(metrics)} | {inside} ({_share(inside, len(metrics))}) "
            f"| {middle * 100:.2f} pp | {shown(worst.error, is_points=True)} "
            f"| {min(live):.0%} to {max(live):.0%} |"
        )
    return "\n".join(lines) + "\n"


def _failovers(occasions: Sequence[Occasion]) -> str:
    """Kills of the primary, each beside the forecast."""
    lines = []
    for occasion in occasions:
        found = occasion.failovers
        if found is None:
            continue
        forecast, kills = found.forecast, found.kills
        covered = sum(forecast.low_s <= kill.outage_s <= forecast.high_s for kill in kills)
        lines += [
            f"{occasion.name}: forecast {forecast.mean_s:.1f} s (nine of ten "
            f"{forecast.low_s:.1f} to {forecast.high_s:.1f} s) at an election timeout of "
            f"{forecast.election_timeout_s:g} s and {forecast.members} members, under "
            f"{found.writes_per_s:g} writes/s. "
            f"{found.inside} of {len(kills)} kills within {TOLERANCE:.0%}, {covered} in the range; "
            f"{sum(kill.lost for kill in kills)} of {sum(kill.acknowledged for kill in kills):,} "
            "acknowledged writes lost.\n",
            "| killed | outage s | error of the forecast | failed | acknowledged | lost |",
            "|---|---|---|---|---|---|",
            *(
                f"| {kill.member} | {kill.outage_s:.2f} "
                f"| {shown(kill.error(forecast), is_points=False)} "
                f"| {kill.failed} | {kill.acknowledged} | {kill.lost} |"
                for kill in kills
            ),
            "",
        ]
    if not lines:
        return ""
    head = (
        "## A killed primary\n\n"
        "Not dilated: real elections in real time. The primary is killed under a load of "
        "writes that a majority must acknowledge; the outage is the longest time without an "
        "acknowledgement. It was forecast, and the forecast stored, before the first kill.\n"
    )
    return "\n".join([head, *lines])


def _topologies(occasion: Occasion) -> Iterable[str]:
    for topology in occasion.topologies:
        yield (
            f"### {topology.name}\n\n{topology.says[0].upper()}{topology.says[1:]}. "
            f"Emulation (dilated ×{topology.scale:g}); times are divided by {topology.scale:g}.\n"
        )
        yield _table([cell.found for cell in topology.cells])


def _table(cells: Sequence[MeasuredFidelity]) -> str:
    lines = [
        "| busiest machine | req/s | mean ms | errors: throughput, mean, p50, p95, p99 "
        "| utilisation | hit ratio | correlation | valid |",
        "|---|---|---|---|---|---|---|---|",
    ]
    notes = []
    for cell in cells:
        found = {metric.metric: metric for metric in cell.metrics}
        errors = ", ".join(_flagged(found[name]) for name in SHOWN if name in found)
        mean_ms = found["mean_s"].measured * 1e3 / cell.scale if "mean_s" in found else 0.0
        correlation = "–" if cell.correlation is None else f"{cell.correlation:.4f}"
        lines.append(
            f"| {cell.target:.0%} | {cell.load_per_s * cell.scale:.0f} | {mean_ms:.2f} | {errors} "
            f"| {_worst(of_kind(cell, 'utilisation'))} | {_worst(of_kind(cell, 'hit_ratio'))} "
            f"| {correlation} | {'yes' if cell.valid else 'NO'} |"
        )
        if not cell.valid:
            notes.append(f"- {cell.target:.0%}: INVALID: {'; '.join(cell.conditions.reasons)}")
        elif not all(metric.inside for metric in cell.metrics):
            notes.append(f"- {cell.target:.0%}: {cell.says}")
    return "\n".join([*lines, "", *notes, ""] if notes else [*lines, ""])


def _worst(metrics: Sequence[ComparedMetric]) -> str:
    if not metrics:
        return "–"
    return _flagged(max(metrics, key=lambda metric: abs(metric.error)))


def _flagged(metric: ComparedMetric) -> str:
    text = shown(metric.error, metric.is_points)
    return text if metric.inside else f"**{text}**"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "none"
