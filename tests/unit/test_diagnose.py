"""The decision list on residuals made by hand, and the parts around it."""

from pathlib import Path

import numpy as np
import pytest
from example_run import example_run

from headroom.artefacts import Run, Summary
from headroom.diagnose import Evidence, Figure, Kind, diagnosed
from headroom.diagnose.commands import diagnoses, overall
from headroom.diagnose.entries import Lookups, lives_of
from headroom.diagnose.injections import FAULTS, HEALTHY
from headroom.diagnose.limits import FLOORS, MARGIN, Limits, badness
from headroom.diagnose.records import EntryLives, Measure
from headroom.errors import ArtefactError

FLOORS_ONLY = Limits(healthy={})
QUIET: dict[tuple[Measure, str], float] = {
    ("dropped", ""): 0.0,
    ("unsent", ""): 0.001,
    ("generator_cpu", ""): 0.1,
    ("lag", ""): 0.002,
    ("foreign_cpu", ""): 0.08,
    ("wrong_status", ""): 0.0,
    ("errors", ""): 0.0,
    ("attempts", "api"): 0.0,
    ("share", "api-2"): -0.01,
    ("hits", "listing"): -0.004,
    ("hits", "search"): 0.01,
    ("examined", "mongo"): 0.0,
    ("hold", "api"): 0.0,
    ("hold", "mongo"): -0.01,
    ("wait", "api"): 0.03,
    ("wait", "mongo"): 0.01,
    ("outside", ""): 0.001,
}


def figure(measure: Measure, where: str, deviation: float) -> Figure:
    predicted = 0.6 if measure in ("hits", "share") else 0.0
    return Figure(
        measure=measure,
        where=where,
        predicted=predicted,
        measured=max(0.0, predicted + deviation),
        deviation=deviation,
    )


def evidence(
    changed: dict[tuple[Measure, str], float] | None = None,
    *,
    lives: tuple[EntryLives, ...] = (),
    replicas_gone: int = 0,
    valid: bool = True,
) -> Evidence:
    figures = QUIET | (changed or {})
    return Evidence(
        run="three-replicas/at-50",
        source="emulated",
        figures=tuple(figure(*key, deviation) for key, deviation in figures.items()),
        lives=lives,
        replicas_gone=replicas_gone,
        valid=valid,
        reasons=() if valid else ("real work outlasted 2.0% of the holds, limit 1%",),
    )


def lived(older: float, at_once: float) -> tuple[EntryLives, ...]:
    return (
        EntryLives(
            family="listing",
            ttl_s=20.0,
            surplus=30,
            lived_s=2.4,
            older_fraction=older,
            older_found_fraction=0.16,  # read anew by somebody whose answer does not tell
            at_s=8.0,
            at_once_fraction=at_once,
            lived_through_fraction=1.0 - at_once,
        ),
    )


def test_in_a_healthy_run_nothing_stands_out() -> None:
    found = diagnosed(evidence(), FLOORS_ONLY)
    assert (found.kind, found.component, found.findings) == (Kind.NOTHING, "", ())
    assert found.sure == "sure"


def test_an_invalid_run_in_which_nothing_stands_out_is_no_clean_bill() -> None:
    found = diagnosed(evidence(valid=False), FLOORS_ONLY)
    assert (found.kind, found.sure) == (Kind.NOTHING, "unsure")
    assert "real work outlasted" in found.says


DISTURBED = "foreign CPU: 84.45%, limit 25.00%"


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {("wait", "mongo"): 8.0},
        {("outside", ""): 0.04},
        {("unsent", ""): 0.05},
        {("foreign_cpu", ""): 0.84, ("wait", "api"): 9.0},
    ],
)
def test_what_a_disturbed_machine_can_move_accuses_no_component(
    changed: dict[tuple[Measure, str], float],
) -> None:
    quiet = evidence(changed)
    run = quiet.model_copy(update={"valid": False, "reasons": (DISTURBED,)})
    found = diagnosed(run, FLOORS_ONLY)
    assert (found.kind, found.component) == (Kind.NOISY_NEIGHBOUR, "host")
    assert f"the machine was disturbed ({DISTURBED})" in found.says
    assert "nothing is said of the stack" in found.says
    # The same figures in a run that only its drops make INVALID are judged as ever.
    other = quiet.model_copy(update={"valid": False, "reasons": ("drops: 1.00%, limit 0.00%",)})
    assert diagnosed(other, FLOORS_ONLY).kind == diagnosed(quiet, FLOORS_ONLY).kind


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({("wrong_status", ""): 0.03}, Kind.WRONG_STATUS),
        ({("attempts", "api"): 0.12}, Kind.RETRY_STORM),
        ({("hold", "mongo"): 1.0, ("wait", "mongo"): 4.0}, Kind.SLOWER_SERVICE),
        ({("examined", "mongo"): 8.0}, Kind.LOST_INDEX),
    ],
)
def test_what_a_disturbed_machine_cannot_move_is_named_all_the_same(
    changed: dict[tuple[Measure, str], float], kind: Kind
) -> None:
    run = evidence({("foreign_cpu", ""): 0.84, **changed})
    run = run.model_copy(update={"valid": False, "reasons": (DISTURBED,)})
    assert diagnosed(run, FLOORS_ONLY).kind == kind


def test_in_native_time_a_disturbed_machine_also_makes_service_slower() -> None:
    changed: dict[tuple[Measure, str], float] = {("cpu", "mongo"): 4.0, ("errors", ""): 0.2}
    run = evidence(changed).model_copy(update={"source": "native"})
    assert diagnosed(run, FLOORS_ONLY).kind == Kind.ERRORS
    run = run.model_copy(update={"valid": False, "reasons": (DISTURBED,)})
    assert diagnosed(run, FLOORS_ONLY).kind == Kind.NOISY_NEIGHBOUR


@pytest.mark.parametrize(
    ("changed", "kind", "component"),
    [
        ({("dropped", ""): 0.2}, Kind.GENERATOR_LIMITED, "load generator"),
        ({("unsent", ""): 0.05}, Kind.GENERATOR_LIMITED, "load generator"),
        ({("generator_cpu", ""): 0.95}, Kind.GENERATOR_LIMITED, "load generator"),
        ({("wrong_status", ""): 0.03}, Kind.WRONG_STATUS, "api"),
        ({("attempts", "api"): 0.12, ("errors", ""): 0.02}, Kind.RETRY_STORM, "load balancer"),
        ({("errors", ""): 0.08}, Kind.ERRORS, "api"),
        ({("share", "api-1"): -0.33}, Kind.UNEVEN_BALANCER, "load balancer"),
        ({("examined", "mongo"): 8.0}, Kind.LOST_INDEX, "mongo"),
        ({("hold", "mongo"): 1.0, ("wait", "api"): 0.4}, Kind.SLOWER_SERVICE, "mongo"),
        ({("hold", "api"): 0.5, ("wait", "api"): 4.0}, Kind.SLOWER_SERVICE, "api"),
        ({("foreign_cpu", ""): 0.55, ("wait", "api"): 0.5}, Kind.NOISY_NEIGHBOUR, "host"),
        ({("lag", ""): 0.03}, Kind.NOISY_NEIGHBOUR, "host"),
        ({("wait", "mongo"): 2.0, ("wait", "api"): 0.5}, Kind.FEWER_SLOTS, "mongo"),
        ({("outside", ""): 0.04}, Kind.SLOW_HOP, "network"),
    ],
)
def test_each_kind_is_named_by_the_figure_that_only_it_moves(
    changed: dict[tuple[Measure, str], float], kind: Kind, component: str
) -> None:
    found = diagnosed(evidence(changed), FLOORS_ONLY)
    assert (found.kind, found.component) == (kind, component)
    assert found.says.startswith(kind.value)


def test_a_neighbour_explains_some_waiting_and_not_a_lost_slot() -> None:
    noise: dict[tuple[Measure, str], float] = {("foreign_cpu", ""): 0.3}
    some, much = noise | {("wait", "api"): 0.2}, noise | {("wait", "api"): 4.0}
    assert diagnosed(evidence(some), FLOORS_ONLY).kind == Kind.NOISY_NEIGHBOUR
    assert diagnosed(evidence(much), FLOORS_ONLY).kind == Kind.FEWER_SLOTS


def test_a_replica_that_is_gone_is_no_unfair_balancer() -> None:
    found = diagnosed(evidence({("share", "api-2"): -0.33}, replicas_gone=1), FLOORS_ONLY)
    assert found.kind == Kind.REPLICA_MISSING


@pytest.mark.parametrize(
    ("older", "at_once", "kind"),
    [
        (0.97, 0.4, Kind.SHORTENED_TTL),
        (0.92, 0.55, Kind.SHORTENED_TTL),
        (0.1, 1.0, Kind.COLD_CACHE),
        (0.87, 1.0, Kind.COLD_CACHE),  # an entry that is older is likelier to be emptied
    ],
)
def test_missed_entries_are_old_with_a_short_ttl_and_of_one_instant_with_an_emptied_cache(
    older: float, at_once: float, kind: Kind
) -> None:
    changed: dict[tuple[Measure, str], float] = {("hits", "listing"): -0.2, ("wait", "mongo"): 1.0}
    assert diagnosed(evidence(changed, lives=lived(older, at_once)), FLOORS_ONLY).kind == kind


def test_hits_that_a_full_database_delays_are_no_fault_of_the_cache() -> None:
    changed: dict[tuple[Measure, str], float] = {("hits", "search"): -0.1, ("wait", "mongo"): 8.0}
    most_lived = lived(0.2, 0.7)[0].model_copy(update={"lived_through_fraction": 0.8})
    for lives in ((most_lived,), ()):
        found = diagnosed(evidence(changed, lives=lives), FLOORS_ONLY)
        assert (found.kind, found.component) == (Kind.FEWER_SLOTS, "mongo")
        assert found.findings[-1].kind == Kind.FEWER_HITS


def test_a_cache_in_which_nothing_is_ever_found_is_never_filled() -> None:
    changed: dict[tuple[Measure, str], float] = {
        ("hits", "listing"): -0.6,
        ("hits", "search"): -0.6,
    }
    found = diagnosed(evidence(changed, lives=lived(1.0, 1.0)), FLOORS_ONLY)
    assert found.kind == Kind.NEVER_FILLED


def test_a_figure_far_out_of_its_limit_makes_sure_and_one_just_out_makes_likely() -> None:
    floor = FLOORS["outside"]
    assert diagnosed(evidence({("outside", ""): 3.0 * floor}), FLOORS_ONLY).sure == "sure"
    assert diagnosed(evidence({("outside", ""): 1.2 * floor}), FLOORS_ONLY).sure == "likely"


def test_what_follows_from_the_first_finding_is_told_after_it() -> None:
    changed: dict[tuple[Measure, str], float] = {("hold", "mongo"): 1.0, ("wait", "api"): 3.0}
    found = diagnosed(evidence(changed), FLOORS_ONLY)
    assert [each.kind for each in found.findings] == [Kind.SLOWER_SERVICE, Kind.FEWER_SLOTS]
    assert "may follow from it: fewer slots: api" in found.says


def test_a_limit_is_a_margin_beyond_the_worst_healthy_run_and_never_below_its_floor() -> None:
    runs = [evidence({("wait", "api"): worst}) for worst in (0.1, 0.4, 0.2)]
    limits = Limits.learnt(runs)
    assert limits.of("wait") == pytest.approx(MARGIN * 0.4)
    assert limits.of("hold") == FLOORS["hold"]
    assert all(diagnosed(run, limits).kind == Kind.NOTHING for run in runs)
    assert Limits.model_validate_json(limits.stored()) == limits


def test_fewer_hits_and_smaller_shares_are_bad_and_more_of_them_are_not() -> None:
    assert badness(figure("hits", "listing", -0.2)) == pytest.approx(0.2)
    more: dict[tuple[Measure, str], float] = {("hits", "listing"): 0.3, ("hold", "mongo"): -0.4}
    assert diagnosed(evidence(more), FLOORS_ONLY).kind == Kind.NOTHING


def looked_up(ttl_s: float, expected_ttl_s: float, emptied_s: float | None) -> EntryLives:
    """One key family of three entries, asked for in turn each half second, cached by hand."""
    at_s = np.arange(0.0, 40.0, 0.5)
    entry = [place % 3 for place in range(at_s.size)]
    found = {}
    for name, life_s, ends in (("hit", ttl_s, emptied_s), ("expected", expected_ttl_s, None)):
        stored: dict[int, float] = {}
        hits = []
        for when, which in zip(at_s.tolist(), entry, strict=True):
            since = stored.get(which, -1e9)
            emptied = ends is not None and since < ends <= when
            hits.append(when - since < life_s and not emptied)
            if not hits[-1]:
                stored[which] = when
        found[name] = np.array(hits)
    hit = found["hit"]
    return lives_of(
        "listing",
        expected_ttl_s,
        Lookups(at_s, at_s, entry, hit=hit, filled=~hit, expected=found["expected"]),
    )


def test_the_ages_of_entries_tell_a_shortened_ttl() -> None:
    lives = looked_up(ttl_s=4.0, expected_ttl_s=20.0, emptied_s=None)
    assert lives.surplus > 10
    assert lives.older_fraction == 1.0
    assert lives.older_found_fraction == 0.0
    assert lives.at_once_fraction < 0.5
    assert 3.5 <= lives.lived_s <= 4.5  # asked for each 1.5 s


def test_one_instant_explains_all_that_an_emptied_cache_makes_miss() -> None:
    lives = looked_up(ttl_s=20.0, expected_ttl_s=20.0, emptied_s=8.1)
    assert lives.surplus == 3
    assert lives.at_once_fraction == 1.0
    assert lives.lived_through_fraction == 0.0
    assert lives.older_fraction - lives.older_found_fraction < 0.6


def test_who_asks_while_a_slow_read_goes_on_misses_no_entry_that_was_there() -> None:
    at_s = np.array([0.0, 1.0, 2.0, 9.0])
    hit = np.array([False, False, False, True])
    lookups = Lookups(
        at_s,
        at_s + 6.0,
        ["a"] * 4,
        hit=hit,
        filled=~hit,
        expected=np.array([False, True, True, True]),
    )
    assert lives_of("search", 20.0, lookups).surplus == 0


def test_injections_have_names_of_their_own_and_say_what_to_call_them() -> None:
    names = [each.name for each in (*FAULTS, HEALTHY)]
    assert len(set(names)) == len(names)
    assert {each.kind for each in FAULTS} == set(Kind) - {
        Kind.NOTHING,
        Kind.WAITING,
        Kind.FEWER_HITS,
    }
    assert all(each.component for each in FAULTS)


def with_metrics(run: Run, changed: dict[str, float]) -> None:
    """The run, measured otherwise: each metric times a factor."""
    summary = run.read(Summary)
    cells = []
    for cell in summary.cells:
        metrics = dict(cell.metrics)
        for name, factor in changed.items():
            known = metrics[name]
            metrics[name] = known.model_copy(
                update={end: getattr(known, end) * factor for end in ("value", "low", "high")}
            )
        cells.append(cell.model_copy(update={"metrics": metrics}))
    run.write(summary.model_copy(update={"cells": tuple(cells)}))


def test_a_run_of_a_report_is_diagnosed_as_far_as_its_figures_go(tmp_path: Path) -> None:
    run = example_run(tmp_path)
    quiet = [each.kind for each in diagnoses(run.folder) if "INVALID" not in each.says]
    assert set(quiet) == {Kind.NOTHING, Kind.NOISY_NEIGHBOUR}  # one of its loads was disturbed
    assert overall(diagnoses(run.folder)).startswith("nothing stands out, in ")
    with_metrics(run, {"utilisation.mongo": 4.0})
    found = diagnoses(run.folder)
    assert {(each.kind, each.component) for each in found} == {(Kind.SLOWER_SERVICE, "mongo")}
    assert all("lost index" in " ".join(each.cannot_tell) for each in found)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="is no run"):
        diagnoses(tmp_path)
