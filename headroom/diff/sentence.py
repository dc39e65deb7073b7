"""A difference between runs in a sentence, and as Markdown."""

from headroom.diff.records import NO_CHANGE, Change, RunDiff
from headroom.sections import heading, paragraph, table
from headroom.wording import metric_name

FIRST = ("p95_s", "mean_s", "p50_s", "p99_s")  # the objective's own metric before its neighbours


def sentence(found: RunDiff) -> str:
    """What changed, the most telling figure first; `no significant change` where none did."""
    changed = sorted(found.significant, key=_telling)
    if not changed:
        text = NO_CHANGE[0].upper() + NO_CHANGE[1:]
        if not any(change.valid for change in found.changes):
            text += ": no load has a valid run on both sides, so nothing can be judged"
        elif found.status_before != found.status_after:
            text += (
                f", though the verdict went from {found.status_before} to {found.status_after}: "
                "that is within what runs of the same thing differ by"
            )
        return text + "."
    words = [change.in_words() for change in changed if not change.metric.startswith("time.")]
    text = "; ".join((words or [change.in_words() for change in changed])[:4])
    if found.lanes:
        first = found.lanes[0]
        text += (
            f"; {_signed_ms(first.change_s)} of {_signed_ms(_total_s(found))} a request "
            f"at the {first.component}"
        )
    if found.status_before != found.status_after:
        text += f"; verdict {found.status_before} → {found.status_after}"
    return text + "."


def _telling(change: Change) -> tuple[int, float]:
    place = FIRST.index(change.metric) if change.metric in FIRST else len(FIRST)
    return place, -abs(change.change.value)


def _total_s(found: RunDiff) -> float:
    return sum(lane.change_s for lane in found.lanes)


def _signed_ms(seconds: float) -> str:
    return f"{seconds * 1000:+.1f} ms".replace("-", "−")


def markdown(found: RunDiff) -> str:
    """The difference as Markdown, for a pull request."""
    lines = [f"**{found.sentence}**", "", f"`{found.before}` → `{found.after}`", ""]
    lines += _listed("Scenario", found.scenario) + _listed("Machine", found.machine)
    lines += _listed("Objectives", found.objectives)
    lines += [
        "| figure | before | after | change (95 %, all together) | |",
        "|---|--:|--:|--:|---|",
    ]
    lines += [f"| {' | '.join(row)} |" for row in rows(found)]
    if found.lanes:
        lines += ["", "| a request spends its time at | change | of the whole |", "|---|--:|--:|"]
        lines += [
            f"| {lane.component} | {_signed_ms(lane.change_s)} | {lane.of_change_fraction:.0%} |"
            for lane in found.lanes
        ]
    return "\n".join(lines) + "\n"


COLUMNS = ("figure", "before", "after", "change (95 %, all together)", "significant")


def rows(found: RunDiff) -> list[tuple[str, str, str, str, str]]:
    """Every figure: before, after, change with interval, whether it is significant."""
    table = []
    for change in found.changes:
        name, _, rest = change.in_words().rpartition(" (")
        _, amount = _split(name)
        verdict = "yes" if change.significant else "no" if change.valid else "INVALID runs"
        table.append(
            (
                title_of(change),
                change.shown(change.before),
                change.shown(change.after),
                f"{amount} ({rest}",
                verdict,
            )
        )
    return table


def title_of(change: Change) -> str:
    """The figure and the load at which before and after are told."""
    at = f", {change.at_load_per_s:g} req/s" if change.at_load_per_s is not None else ""
    return metric_name(change.metric) + at


def html(found: RunDiff) -> str:
    """The difference for a notebook: the sentence, what else differs, every figure."""
    parts = [heading(found.sentence), paragraph(f"{found.before} → {found.after}")]
    parts += [paragraph(text) for text in (*found.scenario, *found.machine, *found.objectives)]
    return "".join(parts) + table(COLUMNS, rows(found), numeric=(1, 2, 3))


def _split(text: str) -> tuple[str, str]:
    """`p95 latency +45 %` into the name and the amount."""
    *name, amount, unit = text.split(" ")
    return " ".join(name), f"{amount} {unit}"


def _listed(title: str, texts: tuple[str, ...]) -> list[str]:
    return [f"{title}: " + "; ".join(f"`{text}`" for text in texts), ""] if texts else []
