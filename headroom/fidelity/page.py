"""docs/fidelity.md: every cell with its error, the bad ones too, written from runs."""

from collections.abc import Iterable, Sequence
from statistics import median

from headroom.artefacts import Machine
from headroom.fidelity.artefacts import ComparedMetric, MeasuredFidelity, PredictedFidelity, read
from headroom.fidelity.baselines import baselines
from headroom.fidelity.campaign import Campaign
from headroom.fidelity.compared import TOLERANCES

HEAD = """# How far the predictions can be trusted

This page is about an **emulation in dilated time**. Each machine of the architecture under test is
a gate that holds a request in one of its slots for a stated service demand, stretched by the scale,
while the real nginx, API, Redis, MongoDB and Elasticsearch do the real work inside the hold. What
that proves: that the model has the structure of the system (routing, queues, caches, expiry,
replica sets) and follows it request by request, tails included. What it does not prove: how fast
any hardware is. That comes from native calibration, whose errors are wider and are told in the
capacity report.

Each cell was predicted, and the prediction stored and hashed, before its load was offered. The
model's only fitted figures are two constants (real time outside the holds, and after each hold),
fitted once per start of a stack at {low:.0%} utilisation, where nothing is judged. Model and gates
draw the same demand for the same visit, so a prediction is free of sampling error; the 90 % range
beside it is over other arrivals and demands. Written by `make fidelity`; edit nothing here.
"""
SHOWN = ("throughput_per_s", "mean_s", "p50_s", "p95_s", "p99_s")
NAMES = {
    "throughput_per_s": "throughput",
    "mean_s": "mean",
    "p50_s": "p50",
    "p95_s": "p95",
    "p99_s": "p99",
    "utilisation": "utilisation",
    "hit_ratio": "hit ratio",
}


def page(campaigns: Sequence[Campaign]) -> str:
    """The whole page, of one or more occasions."""
    sections = [HEAD.format(low=0.2)]
    cells = [(campaign, cell) for campaign in campaigns for cell in campaign.results()]
    sections.append(_summary([cell for _, cell in cells], len(campaigns)))
    sections.append(_occasions(campaigns))
    sections.append(_gain(cells))
    for campaign in campaigns:
        sections.append(f"## Every cell: {campaign.occasion}\n")
        sections.append(_machine(campaign))
        sections.extend(_topologies(campaign))
    return "\n".join(sections).rstrip() + "\n"


def _summary(cells: Sequence[MeasuredFidelity], occasions: int) -> str:
    valid = [cell for cell in cells if cell.valid]
    lines = [
        "## In short\n",
        f"{len(cells)} cells over {len({cell.topology for cell in cells})} topologies on "
        f"{occasions} occasion(s); {len(valid)} valid ({_share(len(valid), len(cells))}).\n",
    ]
    if not valid:
        return "\n".join([*lines, "No valid cell: nothing can be said.\n"])
    lines += [
        "| figure | promised | valid cells inside | median error | worst | inside the 90 % range |",
        "|---|---|---|---|---|---|",
        *(_promise(kind, valid) for kind in TOLERANCES),
    ]
    correlations = [cell.correlation for cell in valid if cell.correlation is not None]
    same = [cell.same_outcome_fraction for cell in valid]
    lines += [
        "",
        f"Correlation of single requests' times, predicted and measured: median "
        f"{median(correlations):.4f}, worst {min(correlations):.4f}. Look-ups that found what they "
        f"were predicted to find: median {median(same):.2%}, worst {min(same):.2%}.\n",
    ]
    return "\n".join(lines)


def _promise(kind: str, cells: Iterable[MeasuredFidelity]) -> str:
    """The row of one figure: in how many valid cells all its parts kept the promise."""
    per_cell = [of_kind(cell, kind) for cell in cells]
    per_cell = [found for found in per_cell if found]
    every = [metric for found in per_cell for metric in found]
    if not every:
        return f"| {NAMES[kind]} | | no cell has it | | | |"
    inside = sum(all(metric.inside for metric in found) for found in per_cell)
    worst = max(every, key=lambda metric: abs(metric.error))
    covered = [metric.covered for metric in every if metric.covered is not None]
    limit = TOLERANCES[kind]
    return (
        f"| {NAMES[kind]} | ±{_error(limit, worst.is_points, sign=False)} "
        f"| {inside} of {len(per_cell)} ({_share(inside, len(per_cell))}) "
        f"| {_error(median(abs(metric.error) for metric in every), worst.is_points, sign=False)} "
        f"| {_error(worst.error, worst.is_points)} "
        f"| {_share(sum(covered), len(covered))} of {len(covered)} |"
    )


def of_kind(cell: MeasuredFidelity, kind: str) -> list[ComparedMetric]:
    """A cell's figures of one kind: utilisations of all machines, hit ratios of all families."""
    return [metric for metric in cell.metrics if metric.metric.partition(".")[0] == kind]


def _occasions(campaigns: Sequence[Campaign]) -> str:
    lines = [
        "## Occasions\n",
        "| occasion | from | to | cells | valid | all promises kept | steal, median | dispatch lag "
        "p99, median |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for campaign in campaigns:
        cells = list(campaign.results())
        if not cells:
            continue
        valid = [cell for cell in cells if cell.valid]
        kept = sum(all(metric.inside for metric in cell.metrics) for cell in valid)
        steal = median(cell.conditions.steal_fraction for cell in cells)
        lag_s = median(cell.conditions.dispatch_lag_p99_s for cell in cells)
        first = min(cell.started_at for cell in cells)
        last = max(cell.finished_at for cell in cells)
        lines.append(
            f"| {campaign.occasion} | {first:%Y-%m-%d %H:%M} | {last:%Y-%m-%d %H:%M} "
            f"| {len(cells)} | {len(valid)} | {kept} | {steal:.1%} | {lag_s * 1e3:.1f} ms |"
        )
    return "\n".join(lines) + "\n"


def _gain(cells: Sequence[tuple[Campaign, MeasuredFidelity]]) -> str:
    """The same valid cells by plainer models."""
    errors: dict[str, dict[str, list[float]]] = {}
    for campaign, cell in cells:
        if not cell.valid:
            continue
        topology = next(t for t in campaign.topologies if t.name == cell.topology)
        prediction = read(
            campaign.place(topology) / f"{cell.cell}.prediction.json", PredictedFidelity
        )
        others = baselines(topology, cell.load_per_s, prediction.constants)
        measured = {metric.metric: metric.measured for metric in cell.metrics}
        models = {"the full model": prediction.metrics} | others
        for model, metrics in models.items():
            for name in ("mean_s", "p95_s"):
                error = abs(metrics[name] / measured[name] - 1)
                errors.setdefault(model, {}).setdefault(name, []).append(error)
    if not errors:
        return ""
    lines = [
        "## What the full model gains\n",
        "The same valid cells, by plainer models that see mean demands and formulas for the hit "
        "ratio.\n",
        "| model | mean, median error | worst | p95, median error | worst |",
        "|---|---|---|---|---|",
    ]
    for model, found in errors.items():
        figures = [
            text
            for name in ("mean_s", "p95_s")
            for text in (f"{median(found[name]):.1%}", f"{max(found[name]):.1%}")
        ]
        lines.append(f"| {model} | {' | '.join(figures)} |")
    return "\n".join(lines) + "\n"


def _machine(campaign: Campaign) -> str:
    path = campaign.folder / campaign.occasion / "machine.json"
    if not path.is_file():
        return ""
    facts = read(path, Machine).facts
    told = {name: value for name, value in facts.items() if isinstance(value, str | int | float)}
    return (
        "The machine: " + "; ".join(f"{k.replace('_', ' ')} {v}" for k, v in told.items()) + ".\n"
    )


def _topologies(campaign: Campaign) -> Iterable[str]:
    results = list(campaign.results())
    for topology in campaign.topologies:
        cells = [cell for cell in results if cell.topology == topology.name]
        if not cells:
            continue
        scale = topology.scenario.time.scale
        yield (
            f"### {topology.name}\n\n{topology.says[0].upper()}{topology.says[1:]}. "
            f"Emulation (dilated ×{scale:g}); times are divided by {scale:g}.\n"
        )
        yield _table(cells)


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
    text = _error(metric.error, metric.is_points)
    return text if metric.inside else f"**{text}**"


def _error(value: float, is_points: bool, *, sign: bool = True) -> str:
    plus = "+" if sign else ""
    return f"{value * 100:{plus}.2f} pp" if is_points else f"{value * 100:{plus}.1f} %"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "none"
