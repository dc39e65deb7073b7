"""Faults as data: what is switched on, who looks at it, and what a gate does with fewer slots."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from stack.gates.node import Node
from stack.gates.virtual import Gate
from stack.infra.faults import NOTHING, Faults, FaultsFile
from stack.local.faults import cpu_hog


def test_nothing_is_wrong_without_a_file_or_before_it_is_written(tmp_path: Path) -> None:
    assert FaultsFile(None).now() == NOTHING
    assert FaultsFile(tmp_path / "none.json").now() == NOTHING


def test_a_change_of_the_file_is_seen_at_the_next_look(tmp_path: Path) -> None:
    path, draft = tmp_path / "faults.json", tmp_path / "new"
    file = FaultsFile(path)
    for ttl_factor in (0.5, 0.25):
        draft.write_text(Faults(ttl_factor=ttl_factor).model_dump_json())
        draft.replace(path)
        assert file.now().ttl_factor == ttl_factor


@pytest.mark.parametrize(
    "wrong",
    [
        {"slower": {"api": 0.5}},
        {"slots": {"api": 0}},
        {"answers": {200: 0.1}},
        {"answers": {500: 1.1}},
        {"ttl_factor": 0.0},
        {"unheard_of": 1},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Faults.model_validate(wrong)


def test_slots_are_those_of_the_machine_or_of_all_of_its_kind() -> None:
    faults = Faults(slots={"api": 1, "mongo-2": 3})
    assert [faults.slots_of(name) for name in ("api-7", "mongo-2", "mongo-1")] == [1, 3, None]


def test_a_gate_with_fewer_slots_makes_visits_wait_until_it_has_them_again() -> None:
    gate = Gate(2)
    gate.leave(1)
    assert [gate.book(0.0, 1.0).start_s for _ in range(3)] == [0.0, 1.0, 2.0]
    gate.leave(None)
    assert [gate.book(2.5, 1.0).start_s for _ in range(3)] == [2.5, 3.0, 3.5]


def test_a_shared_gate_loses_the_slots_that_are_switched_off(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text(Faults(slots={"redis": 1}).model_dump_json())
    node = Node({"redis": 2, "mongo-1": 2}, FaultsFile(path))
    assert [node.booked(["redis"], 0.0, 1.0)[1] for _ in range(2)] == [0.0, 1.0]
    assert [node.booked(["mongo-1"], 0.0, 1.0)[1] for _ in range(2)] == [0.0, 0.0]


def test_a_cpu_hog_ends_with_its_block() -> None:
    with cpu_hog(30.0, 2) as pids:
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    with pytest.raises(ValueError, match="allowed: above 0 to 60 s"), cpu_hog(61.0):
        pass
