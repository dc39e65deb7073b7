"""The record of the campaigns and the page written from it."""

from pathlib import Path

import pytest

from headroom.diagnose.campaign import DiagnosisCampaign, Trial
from headroom.diagnose.limits import Limits
from headroom.diagnose.page import page
from headroom.diagnose.records import Evidence, Kind
from headroom.diagnose.rules import diagnosed
from headroom.diagnose.scored import DiagnosisRecord, ScoredOccasion, ScoredTrial
from headroom.fidelity.artefacts import stored

DOCS = Path("docs")


@pytest.fixture(scope="module")
def record() -> DiagnosisRecord:
    return DiagnosisRecord.of(DOCS / "diagnosis.json")


def test_the_page_is_what_the_record_says(record: DiagnosisRecord) -> None:
    assert page(record) == (DOCS / "diagnosis.md").read_text(encoding="utf-8")


def test_the_limits_of_the_record_are_those_in_use(record: DiagnosisRecord) -> None:
    assert record.limits.healthy == Limits.known().healthy


def test_the_record_comes_back_as_it_was_stored(record: DiagnosisRecord, tmp_path: Path) -> None:
    record.store(tmp_path / "again.json")
    assert DiagnosisRecord.of(tmp_path / "again.json") == record


@pytest.mark.parametrize(
    ("injected", "reason"),
    [
        (Kind.NOISY_NEIGHBOUR, "foreign CPU: "),
        (Kind.GENERATOR_LIMITED, "drops: "),
        (Kind.WRONG_STATUS, "wrong status codes: "),
    ],
)
def test_what_makes_a_run_untrue_made_it_invalid_with_its_reason(
    record: DiagnosisRecord, injected: Kind, reason: str
) -> None:
    blind = [each for each in record.occasions if each.role == "blind"]
    trials = [each for one in blind for each in one.trials if each.injected == injected]
    assert len(trials) >= 2
    for each in trials:
        assert not each.valid
        assert any(text.startswith(reason) for text in each.reasons)


def test_blind_occasions_name_at_least_38_of_40_faults_and_raise_no_false_alarm(
    record: DiagnosisRecord,
) -> None:
    blind = [each for each in record.occasions if each.role == "blind"]
    assert blind
    for each in blind:
        assert (len(each.faults), len(each.healthy)) == (40, 20)
        assert not [healthy for healthy in each.healthy if healthy.is_alarm]
    faults = [fault for each in blind for fault in each.faults]
    assert sum(fault.right for fault in faults) >= 38 / 40 * len(faults)


def test_occasions_are_added_to_those_on_record_the_newest_first(record: DiagnosisRecord) -> None:
    later = ScoredOccasion(
        name="later", role="blind", machine={}, trials=record.occasions[0].trials
    )
    both = record.with_occasions([later])
    known = [each.name for each in record.occasions]
    assert known[-4:] == ["D", "C", "B", "A"]
    assert [each.name for each in both.occasions] == ["later", *known]
    assert both.with_occasions([later]).occasions == both.occasions
    text = page(both)
    assert "| later (blind) | 40 |" in text
    assert "| D (blind) | 40 | 39 |" in text


def trial(injected: Kind, found: Kind, name: str = "01", *reasons: str) -> ScoredTrial:
    return ScoredTrial(
        topology="three-replicas",
        name=name,
        target=0.5,
        injected=injected,
        injected_at="" if injected == Kind.NOTHING else "mongo",
        found=found,
        found_at="" if found == Kind.NOTHING else "mongo",
        sure="sure",
        says=f"{found}: said so",
        valid=not reasons,
        reasons=reasons,
    )


def test_a_wrong_name_and_a_false_alarm_are_counted_and_told() -> None:
    trials = (
        trial(Kind.SLOWER_SERVICE, Kind.SLOWER_SERVICE),
        trial(Kind.SLOWER_SERVICE, Kind.FEWER_SLOTS),
        trial(Kind.NOTHING, Kind.NOTHING),
        trial(Kind.NOTHING, Kind.SLOW_HOP),
    )
    occasion = ScoredOccasion(name="by hand", role="blind", machine={}, trials=trials)
    text = page(DiagnosisRecord(limits=Limits(healthy={}), occasions=(occasion,)))
    assert "| by hand (blind) | 2 | 1 | 9% to 91% | 2, 1 | 2 | 1 | 0 | 0 | 0 |" in text
    assert "| slower service | 2 |  | 1 | 1 |  |" in text
    assert "said fewer slots: said so" in text
    assert "said slow hop: said so" in text


def test_of_a_disturbed_run_the_repeat_counts_and_both_are_shown() -> None:
    hog = "foreign CPU: 84.45%, limit 25.00%"
    trials = (
        trial(Kind.NOTHING, Kind.NOISY_NEIGHBOUR, "01-healthy", hog),
        trial(Kind.NOTHING, Kind.NOTHING, "01-healthy-again"),
        trial(Kind.SLOWER_SERVICE, Kind.NOISY_NEIGHBOUR, "02-slower", hog),
        trial(Kind.SLOWER_SERVICE, Kind.SLOWER_SERVICE, "02-slower-again"),
        trial(Kind.NOTHING, Kind.NOISY_NEIGHBOUR, "03-healthy", hog),
        trial(Kind.NOTHING, Kind.NOISY_NEIGHBOUR, "03-healthy-again", hog),
        trial(Kind.NOTHING, Kind.SLOW_HOP, "04-healthy", "drops: 1.00%, limit 0.00%"),
    )
    occasion = ScoredOccasion(name="by hand", role="blind", machine={}, trials=trials)
    assert [each.name for each in occasion.healthy if each.is_alarm] == ["04-healthy"]
    assert [each.right for each in occasion.faults] == [True]
    text = page(DiagnosisRecord(limits=Limits(healthy={}), occasions=(occasion,)))
    # One fault, named right; three healthy runs: one alarm, one disturbed both times.
    assert "| by hand (blind) | 1 | 1 | 21% to 100% | 1, 1 | 3 | 1 | 1 | 3 | 5 |" in text
    assert text.count("(offered once more)") == 3
    assert text.count("(a repeat)") == 3


def offered(campaign: DiagnosisCampaign, one: Trial, *reasons: str) -> None:
    """What a run leaves on disk."""
    run = Evidence(run=one.name, source="emulated", figures=(), valid=not reasons, reasons=reasons)
    place = campaign.place(one)
    stored(place / f"{one.name}.evidence.json", run)
    stored(place / f"{one.name}.injected.json", one.injected)
    stored(place / f"{one.name}.diagnosis.json", diagnosed(run))


def test_a_run_on_a_disturbed_machine_is_offered_once_more_after_the_others_and_no_third_time(
    tmp_path: Path,
) -> None:
    campaign = DiagnosisCampaign(tmp_path, "by hand")
    trials = campaign.trials()
    assert len(trials) == 60
    here = [each for each in trials if each.topology == trials[0].topology]
    offered(campaign, here[0], "steal: 20.00%, limit 15.00%")
    offered(campaign, here[1], "drops: 1.00%, limit 0.00%")  # nothing of the machine
    left = campaign.missing()
    assert [each.name for each in left[: len(here) - 1]] == [
        *(each.name for each in here[2:]),
        f"{here[0].name}-again",
    ]
    assert len(left) == 60 - 2 + 1
    again = left[len(here) - 2]
    assert (again.injection, again.target) == (here[0].injection, here[0].target)
    offered(campaign, again, "steal: 20.00%, limit 15.00%")
    assert len(campaign.missing()) == 60 - 2
    names = [injected.name for injected, _, _ in campaign.results()]
    assert names == [here[0].name, f"{here[0].name}-again", here[1].name]


def test_the_same_kind_at_another_component_is_not_right() -> None:
    elsewhere = trial(Kind.SLOWER_SERVICE, Kind.SLOWER_SERVICE).model_copy(
        update={"found_at": "api"}
    )
    assert not elsewhere.right
