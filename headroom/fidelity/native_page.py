"""The section on native cells of docs/fidelity.md, written from the record."""

from collections.abc import Collection, Iterator, Sequence
from statistics import median

from headroom.fidelity.native_design import IN_FLIGHT, MEASURED_S, SATURATING
from headroom.fidelity.native_records import (
    BLIND,
    GIVEN,
    LATENCIES,
    NativeCell,
    NativeOccasion,
)

NAMES = {
    "mean_s": "mean",
    "p50_s": "p50",
    "p95_s": "p95",
    "p99_s": "p99",
    "maximum_per_s": "maximum throughput",
}
HEAD = f"""## Native cells: this machine, not dilated

Here nothing is emulated: the stack, its load generator and the kernel share the cores, and what is
predicted is the machine itself. Per start of a stack, what a request costs each part was measured:
alone, in bursts, and with the whole mix twice for a few seconds, saturated by {SATURATING} requests
in flight and at a third of that throughput; of these two only the CPU is kept, no latency. Just
before each cell the saturated mix was weighed again, for two seconds, as the machine's speed
changes within minutes; costs were taken half of the way from the calibration to that. Then the
cell was predicted, the prediction stored and hashed, and {MEASURED_S:g} s of it measured, with
other requests than any that were weighed. The maximum is that of a closed load, {IN_FLIGHT} in
flight. Loads are shares of the maximum that is predicted.
*Given its state*: the same model, told afterwards the run's own CPU per request, the time that the
hypervisor kept, and what others used. That is **not blind**: what it still misses is the model's
error, and what it repairs is the machine's drift. What is promised is the median over valid cells.
A cell is INVALID when it, or its calibration, was disturbed; it is then offered once more, and both
are in the table. Invalid ones are in no median.
"""
PROMISED = ("figure", "promised", "median", "kept", "cells", "worst")


def native_section(occasions: Sequence[NativeOccasion]) -> str:
    """All native occasions; empty where there is none."""
    if not occasions:
        return ""
    texts = [HEAD]
    for occasion in occasions:
        cells = occasion.cells
        valid = [cell for cell in cells if cell.valid]
        facts = "; ".join(f"{k.replace('_', ' ')} {v}" for k, v in occasion.machine.items())
        texts.append(
            f"### Native: {occasion.name}\n\n"
            f"{len(cells)} cells over {len({cell.system for cell in cells})} systems, "
            f"{len(valid)} valid ({_share(len(valid), len(cells))}). "
            f"Calibrations took {_span(occasion.calibrations.values())} s. {occasion.note}\n\n"
            f"The machine: {facts}.\n"
        )
        texts.append(_table(PROMISED, promised(cells)))
        texts.append(_repeats(valid))
        if any(cell.weighed_per_s is not None and not cell.share for cell in valid):
            texts.append(_weighed(valid))
        texts.append(_plainer(valid))
        texts.append(_cells(cells))
    return "\n".join(texts)


def promised(cells: Sequence[NativeCell]) -> list[tuple[str, ...]]:
    """A row for each promise: over valid cells, the median of |error| and the worst one."""
    valid = [cell for cell in cells if cell.valid]
    rows: list[tuple[str, ...]] = []
    for told, limits, given in (("blind", BLIND, False), ("given its state", GIVEN, True)):
        for metric, limit in limits.items():
            found = [
                (abs(error), error)
                for cell in valid
                if (error := cell.error(metric, given=given)) is not None
            ]
            middle = median(size for size, _ in found) if found else None
            rows.append(
                (
                    f"{NAMES[metric]}, {told}",
                    f"±{limit:.0%}",
                    "–" if middle is None else f"{middle:.1%}",
                    "–" if middle is None else "yes" if middle <= limit else "**no**",
                    str(len(found)),
                    f"{max(found)[1]:+.0%}" if found else "–",
                )
            )
    return rows


def _repeats(valid: Sequence[NativeCell]) -> str:
    """How far the same requests at the same rate lie apart when they are offered again."""
    spreads: dict[str, list[float]] = {metric: [] for metric in LATENCIES}
    pairs = 0
    for first, again in _pairs(valid):
        pairs += 1
        for metric in LATENCIES:
            one, two = first.measured.get(metric), again.measured.get(metric)
            if one and two:
                spreads[metric].append(abs(one - two) / ((one + two) / 2))
    if not pairs:
        return "No cell was valid twice: the repeat spread is not known.\n"
    told = ", ".join(
        f"{NAMES[metric]} {median(found):.0%} (most {max(found):.0%})"
        for metric, found in spreads.items()
        if found
    )
    return (
        f"The same requests at the same rate, offered twice ({pairs} valid pairs), differ by: "
        f"{told} of their mean; no prediction can be nearer than that.\n"
    )


def _weighed(valid: Sequence[NativeCell]) -> str:
    """How far the maximum is from what was seen just before, with fewer in flight."""
    errors = [
        cell.weighed_per_s / cell.measured["maximum_per_s"] - 1
        for cell in valid
        if not cell.share and cell.weighed_per_s is not None
    ]
    middle = median(abs(error) for error in errors)
    return (
        "What the weighing just before, with fewer in flight, answered by itself, is "
        f"{middle:.0%} (worst {max(errors, key=abs):+.0%}) off the maximum: so much of it needs no "
        "model.\n"
    )


def _pairs(valid: Sequence[NativeCell]) -> Iterator[tuple[NativeCell, NativeCell]]:
    """Cells and their repeats."""
    for again in valid:
        if again.cell.endswith("-again"):
            for first in valid:
                if (first.system, f"{first.cell}-again") == (again.system, again.cell):
                    yield first, again


def _plainer(valid: Sequence[NativeCell]) -> str:
    """The same valid cells by plainer models."""
    errors: dict[str, dict[str, list[float]]] = {}
    unsteady: dict[str, int] = {}
    for cell in valid:
        if not cell.share:
            continue
        told: dict[str, dict[str, float | None]] = {
            "the full model, blind": {name: cell.predicted[name] for name in ("mean_s", "p95_s")}
        }
        told |= {each.model: {"mean_s": each.mean_s, "p95_s": each.p95_s} for each in cell.plainer}
        for model, figures in told.items():
            for name, value in figures.items():
                found = errors.setdefault(model, {}).setdefault(name, [])
                if value is not None:
                    found.append(abs(value / cell.measured[name] - 1))
            unsteady[model] = unsteady.get(model, 0) + (figures["mean_s"] is None)
    rows = [
        (
            model,
            *(
                text
                for name in ("mean_s", "p95_s")
                for text in (f"{median(found[name]):.0%}", f"{max(found[name]):.0%}")
            ),
            str(unsteady[model]),
        )
        for model, found in errors.items()
        if all(found.values())
    ]
    if not rows:
        return ""
    head = ("model", "mean, median error", "worst", "p95, median error", "worst", "no steady state")
    return (
        "The same valid cells by plainer models, which see the same costs and formulas for the hit "
        "ratio, and take each part for a machine of its own:\n\n" + _table(head, rows)
    )


def _cells(cells: Sequence[NativeCell]) -> str:
    """Every cell, the invalid ones too."""
    head = (
        *("system", "cell", "try", "req/s", "cores busy"),
        *("mean, p50, p95, p99 ms", "errors, blind"),
        *("errors given its state", "steal", "lag p99 ms", "foreign CPU", "valid"),
    )
    rows = []
    notes = []
    for cell in sorted(cells, key=lambda each: (each.system, each.cell, each.attempt)):
        seen = cell.conditions
        metrics = LATENCIES if cell.share else ("maximum_per_s",)
        rows.append(
            (
                cell.system,
                cell.cell,
                str(cell.attempt),
                f"{cell.load_per_s if cell.share else cell.measured['maximum_per_s']:.0f}",
                "–" if cell.busy_fraction is None else f"{cell.busy_fraction:.0%}",
                ", ".join(f"{cell.measured[m] * 1e3:.1f}" for m in metrics if m in cell.measured)
                if cell.share
                else "maximum",
                _errors(cell, metrics, given=False),
                _errors(cell, metrics, given=True) or "–",
                f"{seen.steal_fraction:.1%}",
                f"{seen.dispatch_lag_p99_s * 1e3:.1f}" if cell.share else "–",
                f"{seen.foreign_cpu_fraction:.0%}",
                "yes" if cell.valid else "NO",
            )
        )
        if not cell.valid:
            reasons = "; ".join(seen.reasons)
            notes.append(f"- {cell.system} {cell.cell}, try {cell.attempt}: INVALID: {reasons}")
    return "\n".join([_table(head, rows), *notes, ""] if notes else [_table(head, rows)])


def _errors(cell: NativeCell, metrics: Sequence[str], *, given: bool) -> str:
    found = [cell.error(metric, given=given) for metric in metrics]
    return ", ".join(f"{error:+.0%}" for error in found if error is not None)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def _span(values: Collection[float]) -> str:
    found = sorted(values)
    return f"{found[0]:.0f} to {found[-1]:.0f}" if found else "no"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "none"
