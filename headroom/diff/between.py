"""Two runs put side by side."""

from collections.abc import Iterator, Mapping
from typing import Any

from headroom.artefacts import Estimate, Machine, ObjectiveResult, Prediction, Run, Verdict
from headroom.diff.figures import figures_of
from headroom.diff.judging import measured_changes, modelled_change, with_significance
from headroom.diff.records import Change, Lane, RunDiff
from headroom.diff.sentence import sentence

LATENCIES = ("mean_s", "p50_s", "p95_s", "p99_s")
MOST_FIELDS = 20
COMPONENTS = {
    "front": "load balancer and queue before the API",
    "api": "API",
    "cache": "cache (Redis)",
    "database": "database (MongoDB)",
    "search": "search (Elasticsearch)",
}


def run_diff(before: Run, after: Run) -> RunDiff:
    """What changed from one measured run to another, and whether that is more than chance.

    Verdict and modelled figures are compared where both runs have them.

    Raises: ArtefactError when a run was not measured.
    """
    measured = measured_changes(figures_of(before), figures_of(after))
    changes = with_significance((*measured, *_modelled(before, after)))
    verdicts = [run.read(Verdict) if run.has(Verdict) else None for run in (before, after)]
    found = RunDiff(
        before=before.folder.name,
        after=after.folder.name,
        status_before=verdicts[0].status if verdicts[0] else None,
        status_after=verdicts[1].status if verdicts[1] else None,
        objectives=_objectives(*verdicts),
        scenario=differing(before.scenario.model_dump(), after.scenario.model_dump()),
        machine=_machines(before, after),
        changes=changes,
        lanes=lanes(changes),
        sentence="",
    )
    return found.model_copy(update={"sentence": sentence(found)})


def lanes(changes: tuple[Change, ...]) -> tuple[Lane, ...]:
    """Which component a changed latency comes from: each one's share of the change of the mean.

    At the highest load that both runs measured. Empty where no latency changed significantly.
    """
    if not any(c.significant and c.metric in LATENCIES for c in changes):
        return ()
    steps = {
        c.metric.partition(".")[2]: c.after.value - c.before.value
        for c in changes
        if c.metric.startswith("time.")
    }
    total = sum(steps.values())
    found = [
        Lane(
            component=COMPONENTS.get(name, name),
            change_s=step,
            of_change_fraction=step / total if total else 0.0,
        )
        for name, step in steps.items()
    ]
    return tuple(sorted(found, key=lambda lane: -lane.of_change_fraction))


def _modelled(before: Run, after: Run) -> Iterator[Change]:
    """Capacity, price and steady hit ratios, as each run's own model has them."""
    sides = _model_figures(before), _model_figures(after)
    for metric in sides[0]:
        if metric in sides[1]:
            change = modelled_change(metric, sides[0][metric], sides[1][metric])
            if change is not None:
                yield change


def _model_figures(run: Run) -> dict[str, Estimate]:
    found = {}
    if run.has(Verdict):
        verdict = run.read(Verdict)
        found["capacity_per_s"] = verdict.capacity_per_s
        found["price_usd"] = verdict.usd_per_month
        prediction = run.read(Prediction)
        found["local_capacity_per_s"] = prediction.local.load_per_s
        for family, ratio in prediction.steady_hit_ratio.items():
            found[f"steady_hit_ratio.{family}"] = ratio
    return found


def _objectives(before: Verdict | None, after: Verdict | None) -> tuple[str, ...]:
    if before is None or after is None:
        return ()
    was: Mapping[str, ObjectiveResult] = {o.name: o for o in before.objectives}
    return tuple(
        f"{o.name}: {was[o.name].status} → {o.status}"
        for o in after.objectives
        if o.name in was and was[o.name].status != o.status
    )


def _machines(before: Run, after: Run) -> tuple[str, ...]:
    if not (before.has(Machine) and after.has(Machine)):
        return ()
    return differing(before.read(Machine).facts, after.read(Machine).facts)


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """The fields in which two nested mappings differ, in words.

    >>> differing({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}})
    ('a.c: 2 → 3',)
    """
    found = [
        f"{path}: {_short(old)} → {_short(new)}"
        for path, old, new in _pairs(before, after, "")
        if old != new
    ]
    more = len(found) - MOST_FIELDS
    return (*found[:MOST_FIELDS], *([f"and {more} more"] if more > 0 else ()))


def _pairs(before: Any, after: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys((*before, *after)):
            inner = f"{path}.{name}" if path else str(name)
            yield from _pairs(before.get(name), after.get(name), inner)
    else:
        yield path, before, after


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
