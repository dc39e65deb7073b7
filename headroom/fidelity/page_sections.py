"""Sections of docs/fidelity.md about what few cells show: overload, a cold cache, other speeds."""

from collections.abc import Sequence

from headroom.fidelity.promises import shown
from headroom.fidelity.record import Occasion


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
            difference = shown(speed.hit_ratio["all"] - first.hit_ratio["all"], is_points=True)
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
        "found, and the bytes of each body (length and CRC-32). Bodies may differ where what a "
        "look-up found does, or where two requests of one user changed places.\n",
        "| occasion | speed | real for modelled time | requests | hit ratio | difference "
        "| by operation | same look-ups | same bodies | quiet machine |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"
