"""Sections of docs/fidelity.md on what few cells show: overload, a cold cache, other speeds."""

from collections.abc import Sequence

from headroom.fidelity.artefacts import MeasuredFidelity
from headroom.fidelity.compared import TOLERANCES
from headroom.fidelity.promises import shown
from headroom.fidelity.record import Occasion
from headroom.fidelity.sameness import TOLERANCE


def overload_section(occasions: Sequence[Occasion]) -> str:
    """Cells whose callers were predicted to try again."""
    rows = []
    for occasion in occasions:
        for cell in occasion.cells:
            found = {metric.metric: metric for metric in cell.metrics}
            again = found.get("attempts_per_request")
            if again is None or again.predicted <= 1:
                continue
            lost = found["error_fraction"]
            rows.append(
                f"| {occasion.name} | {cell.topology} | {cell.target:.0%} | {cell.requests} "
                f"| {lost.measured:.2%} ({lost.predicted:.2%}) "
                f"| {again.measured:.3f} ({again.predicted:.3f}) "
                f"| {shown(found['throughput_per_s'].error, is_points=False)} "
                f"| {'yes' if cell.valid else 'NO'} |"
            )
    if not rows:
        return ""
    head = [
        "## Overload and retries\n",
        "Callers give up and try again, and the servers go on with what nobody waits for any "
        "more. Live (predicted); the load is what patient callers would ask for.\n",
        "| occasion | topology | load | requests | not answered in the end | attempts a request "
        "| error of the answers a second | valid |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


def warm_up_section(occasions: Sequence[Occasion]) -> str:
    """How an empty cache filled, stretch by stretch."""
    rows = []
    for occasion in occasions:
        for cell in occasion.cells:
            if not cell.warm_up:
                continue
            ratios = ", ".join(f"{s.measured:.0%} ({s.predicted:.0%})" for s in cell.warm_up)
            rows.append(
                f"| {occasion.name} | {cell.target:.0%} | {ratios} "
                f"| {sum(stretch.lookups for stretch in cell.warm_up)} "
                f"| {cell.same_outcome_fraction:.2%} | {'yes' if cell.valid else 'NO'} |"
            )
    if not rows:
        return ""
    head = [
        "## A cold cache\n",
        "The cell begins with an empty cache. Hit ratio of the look-ups of each eighth of its "
        "time, live (predicted).\n",
        "| occasion | busiest machine | hit ratio by eighths | look-ups | as predicted | valid |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


def sameness_section(occasions: Sequence[Occasion]) -> str:
    """One day at several speeds of time."""
    rows = []
    for occasion in occasions:
        if occasion.sameness is None:
            continue
        first = occasion.sameness.speeds[0]
        for speed in occasion.sameness.speeds:
            by_operation = ", ".join(
                f"{name} {ratio:.1%}" for name, ratio in speed.hit_ratio.items() if name != "all"
            )
            more = speed.hit_ratio["all"] - first.hit_ratio["all"]
            difference = shown(more, is_points=True)
            if abs(more) > TOLERANCE:
                difference = f"**{difference}**"
            rows.append(
                f"| {occasion.name} | {speed.speed}{' (emulation)' if speed.is_emulated else ''} "
                f"| ×{speed.scale:g} | {speed.requests} | {speed.hit_ratio['all']:.2%} "
                f"| {difference} | {by_operation} | {speed.same_lookups} of {speed.lookups} "
                f"| {speed.same_bodies} of {speed.bodies} "
                f"| {'yes' if speed.conditions.valid else 'NO'} |"
            )
    if not rows:
        return ""
    head = [
        "## The same day at several speeds\n",
        "One day of requests, squeezed into seconds, its entries' lives with it: as it is, "
        "compressed further, and dilated behind emulated machines. The load is low; what is "
        "compared is what the stack did, with the first row of the occasion: what each look-up "
        "found, and the bytes of each body (length and CRC-32). Hit ratios are promised to differ "
        f"by no more than {shown(TOLERANCE, is_points=True, sign=False)}. Bodies may differ where "
        "what a look-up found does, or where two requests of one user changed places.\n",
        "| occasion | speed | real for modelled time | requests | hit ratio | difference "
        "| by operation | same look-ups | same bodies | quiet machine |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


TIMES = ("mean_s", "p50_s", "p95_s", "p99_s")


def invariance_section(occasions: Sequence[Occasion]) -> str:
    """The same requests at several dilations: in modelled time the same latencies."""
    rows, verdicts = [], []
    for occasion in occasions:
        for name, cells in occasion.invariance.items():
            in_order = sorted(cells, key=lambda each: each.scale)
            rows += [_at_scale(occasion.name, cell) for cell in in_order]
            verdicts.append(f"- {occasion.name}, {name}: {_alike(in_order)}")
    if not rows:
        return ""
    head = [
        "## The same requests at several dilations\n",
        "The emulation's own test: in modelled time the latencies must not depend on the scale. "
        "Modelled ms, and the error of that scale's prediction.\n",
        "| occasion | topology | scale | requests | mean | p50 | p95 | p99 | hit ratio "
        "| correlation | valid |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows, "", *verdicts]) + "\n"


def _at_scale(occasion: str, cell: MeasuredFidelity) -> str:
    found = {metric.metric: metric for metric in cell.metrics}
    hits = found.get("hit_ratio.all")
    times = [
        f"{found[name].measured * 1e3 / cell.scale:.2f} "
        f"({shown(found[name].error, is_points=False)})"
        for name in TIMES
    ]
    correlation = "–" if cell.correlation is None else f"{cell.correlation:.4f}"
    return (
        f"| {occasion} | {cell.topology} | ×{cell.scale:g} | {cell.requests} "
        f"| {' | '.join(times)} | {f'{hits.measured:.2%}' if hits else '–'} | {correlation} "
        f"| {'yes' if cell.valid else 'NO: ' + '; '.join(cell.conditions.reasons)} |"
    )


def _alike(cells: Sequence[MeasuredFidelity]) -> str:
    """How far the valid scales are apart in modelled time, beside the error that is stated."""
    valid = [cell for cell in cells if cell.valid]
    if len(valid) < 2:
        return f"{len(valid)} valid scale(s): nothing to compare"
    texts = []
    for name in TIMES:
        times_s = [
            metric.measured / cell.scale
            for cell in valid
            for metric in cell.metrics
            if metric.metric == name
        ]
        apart = max(times_s) / min(times_s) - 1
        stated = TOLERANCES.get(name)
        text = f"{name[:-2]} {apart:.2%}"
        if stated is not None:
            text += f" (stated {stated:.0%}{'' if apart <= stated else ': NOT kept'})"
        texts.append(text)
    scales = ", ".join(f"×{cell.scale:g}" for cell in valid)
    return f"the valid scales {scales} are apart by at most {', '.join(texts)}"
