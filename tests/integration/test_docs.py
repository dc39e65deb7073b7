"""The documentation's commands, run as a reader would; long ones name the test that runs them.

Before a block of commands a comment may say `tested by PATH`: it is run there, not here; `prints:
TEXT` or `fails with: TEXT`: what running it here must show.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from headroom.cli import app
from sim.plan import WHAT_IFS

REPOSITORY = Path(__file__).parents[2]
PAGES = [
    REPOSITORY / "docs" / "tutorial.md",
    *sorted((REPOSITORY / "docs" / "how-to").glob("*.md")),
]
WORKFLOW = REPOSITORY / "docs" / "ci-example" / ".github" / "workflows" / "capacity.yml"
BLOCK = re.compile(
    r"(?:<!-- (?P<what>tested by|prints:|fails with:) (?P<text>[^>]*) -->\n)?"
    r"```sh\n(?P<script>.*?)```",
    re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    page: Path
    what: str | None
    text: str
    script: str


def blocks(page: Path) -> list[Block]:
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(page, f["what"], f["text"] or "", f["script"]) for f in found]


ALL = [block for page in PAGES for block in blocks(page)]
PAGES_RUN_HERE = sorted({b.page for b in ALL if b.what != "tested by"})


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a clone has at its top; what a reader writes into is a copy."""
    for path in REPOSITORY.iterdir():
        if path.name not in ("scenarios", "runs"):
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "scenarios").mkdir()
    for path in (REPOSITORY / "scenarios").iterdir():
        (tmp_path / "scenarios" / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.mark.parametrize("page", PAGES_RUN_HERE, ids=lambda page: page.stem)
def test_the_commands_of_a_page_do_what_it_says(page: Path, clone: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "NO_COLOR": "1", "COLUMNS": "200"}
    for block in blocks(page):
        if block.what == "tested by":
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.script],
            cwd=clone,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        said = done.stdout + done.stderr
        assert (done.returncode != 0) == (block.what == "fails with:"), said
        assert block.text in said


@pytest.mark.parametrize("block", [b for b in ALL if b.what == "tested by"], ids=lambda b: b.text)
def test_commands_that_are_run_elsewhere_name_a_test_that_runs_them(block: Block) -> None:
    tests = [REPOSITORY / name for name in block.text.split(", ")]
    assert all(path.is_file() for path in tests)
    source = "".join(path.read_text(encoding="utf-8") for path in tests)
    for line in block.script.splitlines():
        words = [word for word in line.split() if not word.startswith("-")]
        command = words[1] if words[0] in ("headroom", "make") else words[0]
        assert command.replace("-", "_") in source.replace("-", "_"), line


def _fenced(text: str) -> str:
    return "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))


def _fenced_of(page: Path) -> str:
    return _fenced(page.read_text(encoding="utf-8"))


def commands_of(command: object, name: str = "") -> set[str]:
    inner: dict[str, object] = getattr(command, "commands", None) or {}
    found = {f"{name} {own}".strip() for own in inner}
    for own, each in inner.items():
        found |= commands_of(each, f"{name} {own}".strip())
    return found


TEXTS = [
    path
    for path in (*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md"))
    if path.name != "CHANGELOG.md"
]


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_command_and_target_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    code = re.findall(r"`([^`\n]+)`", text) + re.findall(r"^(?!#)\S.*$", _fenced(text), re.M)
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    known = commands_of(get_command(app))
    for line in code:
        for target in re.findall(r"(?:^|&& )make ([a-z][a-z-]*)", line):
            assert target in targets, line
        for command in re.findall(r"(?:^|&& )headroom ([a-z][a-z-]*)", line):
            assert command in known, line


LINES = [line for page in TEXTS for line in re.findall(r"^headroom .*$", _fenced_of(page), re.M)]


@pytest.mark.parametrize("line", sorted(set(LINES)))
def test_every_option_and_what_if_that_a_page_uses_exists(line: str) -> None:
    words = line.partition(" > ")[0].split()[1:]
    command: Any = get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known
    if command.name == "whatif":
        assert set(words[1:]) <= set(WHAT_IFS)


def test_the_workflow_of_the_example_asks_for_options_that_exist() -> None:
    workflow = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    steps = workflow["jobs"]["report"]["steps"]
    scripts = "\n".join(step.get("run", "") for step in steps)
    report = get_command(app).commands["report"]  # type: ignore[attr-defined]
    known = {option for parameter in report.params for option in parameter.opts}
    flags = set(re.findall(r"(--[a-z-]+)", scripts))
    assert {"--fail-on", "--summary", "--junit"} == flags
    assert flags <= known
    assert (REPOSITORY / "scenarios" / f"{workflow['env']['SCENARIO']}.yaml").is_file()
    cached = next(step for step in steps if step.get("uses", "").startswith("actions/cache"))
    hashed = re.findall(r"'([^']+)'", cached["with"]["key"])
    assert hashed
    assert all((REPOSITORY / name).is_file() for name in hashed)
