"""Docstrings: examples run, sections are there, sources exist, the page made of them is current."""

import doctest
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in ("queueing", "replicate")
    for path in (ROOT / "sim" / package).glob("[a-z]*.py")
)
INTERNAL = {"domain", "birth_death", "phases", "tasks", "processes", "cluster", "distribution"}


def public_functions(module):
    return [
        function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if not name.startswith("_") and function.__module__ == module.__name__
    ]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_come_out_as_printed(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", [m for m in MODULES if m.rsplit(".", 1)[1] not in INTERNAL])
def test_public_functions_state_arguments_errors_source_and_an_example(name):
    for function in public_functions(importlib.import_module(name)):
        text = inspect.getdoc(function) or ""
        if function.__name__ in {"harmonic", "incomplete_beta", "finite_values"}:
            continue  # one-line helpers that the package shares
        for section in ("Args:", "Returns:", "Raises:", "Source:", ">>> "):
            assert section in text, (function.__name__, section)


def test_every_source_cited_is_in_the_bibliography():
    known = set(
        re.findall(r"@\w+\{(\w+),", (ROOT / "reports/references.bib").read_text(encoding="utf-8"))
    )
    cited = set()
    for package in ("queueing", "replicate"):
        for path in (ROOT / "sim" / package).glob("*.py"):
            cited |= set(re.findall(r"\[([a-z]+\d{4})\b", path.read_text(encoding="utf-8")))
    assert cited
    assert cited <= known


def test_the_page_of_assumptions_is_current():
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs/generate_models.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
