"""The command as users run it: what it prints where, and with which exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sim.cost import price_book

REPOSITORY = Path(__file__).parents[2]
HEADROOM = Path(sys.executable).with_name("headroom")
LAPTOP = REPOSITORY / "scenarios" / "laptop.yaml"


def headroom(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HEADROOM, *map(str, arguments)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def broken(folder: Path, *changes: tuple[str, str]) -> Path:
    """The laptop scenario with parts of its text replaced."""
    text = LAPTOP.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "broken.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_each_fault_of_a_scenario_is_one_line_and_the_exit_code_is_2(tmp_path: Path) -> None:
    path = broken(tmp_path, ("replicas: 2", "replicas: 0"), ("p95_s: 0.2", "p95_s: soon"))
    done = headroom("report", path, "--runs", tmp_path / "runs")
    assert (done.returncode, done.stdout) == (2, "")
    first, second = done.stderr.splitlines()
    assert first.startswith(f"{path}: topology.api.replicas (line 14): 0 is not allowed; allowed: ")
    assert second.startswith(
        f"{path}: objectives.p95_s (line 23): 'soon' is not allowed; allowed: "
    )
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (("experiment:", "prices: {book: 1999-q1}\nexperiment:"), "prices.book: '1999-q1'"),
        (("experiment:", "prices: {region: mars-1}\nexperiment:"), "prices.region: 'mars-1'"),
        (
            ("replicas: 2", "replicas: 2, instance_type: x9.huge"),
            "topology.api.instance_type: 'x9.huge'",
        ),
    ],
)
def test_a_missing_price_ends_a_report_before_anything_starts(
    tmp_path: Path, change: tuple[str, str], place: str
) -> None:
    done = headroom("report", broken(tmp_path, change), "--runs", tmp_path / "runs")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = [x for x in done.stderr.splitlines() if "  run " not in x]
    assert line.startswith(f"{place} is not allowed; allowed: ")


def test_a_scenario_that_is_not_there_is_one_line() -> None:
    done = headroom("check", "unheard-of")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "unheard-of.yaml" in line


def test_an_unknown_gate_is_refused_before_anything_starts(tmp_path: Path) -> None:
    done = headroom("report", "laptop", "--fail-on", "everything", "--runs", tmp_path / "runs")
    assert done.returncode == 2
    assert "'everything' is not allowed; allowed: objective" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("arguments", [["frobnicate"], ["check"], ["logs", "-n", "0"]])
def test_wrong_usage_is_exit_code_2_without_a_traceback(arguments: list[str]) -> None:
    done = headroom(*arguments)
    assert done.returncode == 2
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_sound_scenario_is_said_to_be_valid_with_its_peak() -> None:
    done = headroom("check", "laptop")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "laptop: valid; peak 1.45 req/s\n"  # 1e5 * 0.1 * 5 / 86400 * 2.5


def test_the_schema_is_json_on_stdout() -> None:
    done = headroom("schema")
    assert done.returncode == 0
    assert "topology" in json.loads(done.stdout)["properties"]


def test_a_price_as_json_is_nothing_but_json_on_stdout() -> None:
    done = headroom("price", "laptop", "--json")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    parts = sum(line["usd_per_month"]["value"] for line in found["lines"])
    assert found["total_usd"]["value"] == pytest.approx(parts)


@pytest.mark.parametrize(
    "arguments", [["status"], ["down"], ["logs"], ["kill", "api-1"], ["seed", "laptop"]]
)
def test_without_a_stack_one_line_says_how_to_start_one(arguments: list[str]) -> None:
    done = headroom(*arguments, "--name", "never-started")
    assert (done.returncode, done.stdout) == (4, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("no stack runs in ")
    assert line.endswith("start one with `headroom up`")


def test_a_step_on_a_folder_that_is_no_run_is_one_line(tmp_path: Path) -> None:
    for step in ("calibrate", "predict", "measure", "compare", "render"):
        done = headroom(step, tmp_path)
        assert done.returncode == 4
        assert done.stderr == f"{tmp_path} is no run: it has no scenario.yaml\n"


def test_a_step_before_the_one_it_needs_names_what_is_missing(tmp_path: Path) -> None:
    made = headroom("new", "laptop", "--runs", tmp_path)
    folder = Path(made.stdout.strip())
    done = headroom("predict", folder)
    assert done.returncode == 4
    assert done.stderr == (
        f"{folder / 'calibration.json'} is missing: the step that writes calibration has not run\n"
    )


def test_price_shows_bill_credits_growth_and_old_prices_and_json_alone_on_stdout() -> None:
    done = headroom("price", "million-users", "--cpu-ms", "5", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["stated_total_usd"] == 975
    # 500,000 × 5 ms / 60 / 3 servers
    assert abs(found["load"]["credits"]["spent_per_day"] - 500_000 * 0.005 / 180) < 1e-6
    assert [point["multiple"] for point in found["load"]["growth"]] == [1, 2, 5, 10, 20]
    for text in ("a million requests", "CPU credits of one t3.medium", "not in the bill"):
        assert text in done.stderr


def test_availability_names_single_points_of_failure() -> None:
    done = headroom("availability", "assignment", "--months", "50")
    assert done.returncode == 0, done.stderr
    assert "single points of failure" in done.stdout
    assert "a replica set" in done.stdout


def test_prices_of_ones_own_are_imported_into_a_book(tmp_path: Path) -> None:
    own, book = tmp_path / "own.csv", tmp_path / "mine.csv"
    header = "provider,service,sku,unit,price,currency,region,as_of\n"
    row = "AWS,EC2 on-demand Linux,t3.medium,hour,0.02,USD,us-east-1,2026-11-01\n"
    own.write_text(header + row, encoding="utf-8")
    done = headroom("prices", "import", own, "--to", book)
    assert done.returncode == 0, done.stderr
    assert price_book(str(book)).prices[0].price_usd == 0.02
    own.write_text(header + row.replace("USD", "EUR"), encoding="utf-8")
    refused = headroom("prices", "import", own, "--to", book)
    assert refused.returncode == 2
    told = "currency (line 2): 'EUR' is not allowed; allowed: USD; convert other prices first"
    assert refused.stderr == f"{own}: {told}\n"
