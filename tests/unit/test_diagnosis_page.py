"""The record of the campaigns and the page written from it."""

from pathlib import Path

import pytest

from headroom.diagnose.limits import Limits
from headroom.diagnose.page import page
from headroom.diagnose.records import Kind
from headroom.diagnose.scored import DiagnosisRecord, ScoredOccasion, ScoredTrial

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


def test_a_blind_occasion_names_at_least_38_of_40_faults(record: DiagnosisRecord) -> None:
    (blind,) = (each for each in record.occasions if each.role == "blind")
    assert (len(blind.faults), len(blind.healthy)) == (40, 20)
    assert sum(each.right for each in blind.faults) >= 38
    # Somebody else's work disturbed one healthy run, and it is INVALID for it.
    assert not [each for each in blind.healthy if each.valid and not each.right]


def trial(injected: Kind, found: Kind) -> ScoredTrial:
    return ScoredTrial(
        topology="three-replicas",
        name="01",
        target=0.5,
        injected=injected,
        injected_at="" if injected == Kind.NOTHING else "mongo",
        found=found,
        found_at="" if found == Kind.NOTHING else "mongo",
        sure="sure",
        says=f"{found}: said so",
        valid=True,
        reasons=(),
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
    assert "| by hand (blind) | 2 | 1 | 9% to 91% | 2, 1 | 2 | 1, 1 | 0 |" in text
    assert "| slower service | 2 |  | 1 | 1 |  |" in text
    assert "said fewer slots: said so" in text
    assert "said slow hop: said so" in text


def test_the_same_kind_at_another_component_is_not_right() -> None:
    elsewhere = trial(Kind.SLOWER_SERVICE, Kind.SLOWER_SERVICE).model_copy(
        update={"found_at": "api"}
    )
    assert not elsewhere.right
