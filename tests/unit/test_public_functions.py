"""Each public function of sim/ says what it takes, in which unit, what it returns, and whence.

Public is what a package exports, what another package imports, and every function of a module of
`sim.queueing`, whose package exports none.
"""

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USERS = ("sim", "headroom", "bench", "notebooks")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "sim").rglob("*.py"))
}
PARTS_OF_QUEUEING = {"birth_death", "phases", "distribution"}  # what its models are made of
UNIT = re.compile(
    r"_(s|h|s2|per_s|per_h|gib|bytes|usd|usd_per_month|fraction|factor|months|cores|ratio)\b"
    r"|\b(s|s²|1/s|/s|h|min|hours|jobs/s|requests/s|GiB|bytes|dollars|months|futures|seconds)\b"
    r"|\b(factors?|shares?|ratios?|fractions?|probability|quantile|exponent|times|unit)\b"
    r"|\b(items|keys|samples|servers|users|requests|number|percentage|coefficient|any number)\b"
    r"|\d ?(\.\.|…) ?\d",
    re.IGNORECASE,
)


def package_of(module: str) -> str:
    parts = module.split(".")
    inside = len(parts) > 1 and (ROOT / parts[0] / parts[1]).is_dir()
    return ".".join(parts[:2]) if inside else module


def source_of(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return text
    cells = (cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code")
    lines = "\n".join("".join(cell["source"]) for cell in cells).splitlines()
    return "\n".join(line for line in lines if not line.startswith(("%", "!")))


def imported_elsewhere() -> set[tuple[str, str]]:
    """(module, name) of what is imported from sim by another package."""
    found = set()
    for folder in USERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix not in {".py", ".ipynb"} or "node_modules" in path.parts:
                continue
            here = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for node in ast.walk(ast.parse(source_of(path))):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("sim"):
                    module = str(node.module)
                    if package_of(here.removesuffix(".__init__")) != package_of(module):
                        found |= {(module, alias.name) for alias in node.names}
    return found


def public_functions() -> dict[str, object]:
    """Public functions by module and name, each under the module that defines it."""
    found = {}
    wanted = imported_elsewhere()
    for name in MODULES:
        module = importlib.import_module(name)
        exported = set(getattr(module, "__all__", ()))
        exported |= {n for m, n in wanted if m == name}
        if package_of(name) == "sim.queueing" and name.split(".")[-1] not in PARTS_OF_QUEUEING:
            own = (n for n, v in vars(module).items() if getattr(v, "__module__", "") == name)
            exported |= {n for n in own if not n.startswith("_")}
        for each in exported:
            value = getattr(module, each, None)  # None: a module of a package
            value = inspect.unwrap(value) if callable(value) else value
            if inspect.isfunction(value) and value.__module__ in MODULES:
                found[f"{value.__module__}.{value.__name__}"] = value
    return dict(sorted(found.items()))


FUNCTIONS = public_functions()


def section(text: str, name: str) -> str:
    found = re.search(rf"^{name}:(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def test_there_are_public_functions_in_every_package_of_sim():
    packages = {package_of(name.rpartition(".")[0]) for name in FUNCTIONS}
    assert len(FUNCTIONS) > 130
    assert {f"sim.{p.name}" for p in (ROOT / "sim").iterdir() if (p / "__init__.py").exists()} <= (
        packages
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_states_arguments_result_errors_source_and_an_example(name):
    function = FUNCTIONS[name]
    text = inspect.getdoc(function) or ""
    for needed in ("Returns", "Source"):
        assert section(text, needed).strip(), f"{name}: no {needed}"
    assert ">>> " in text, f"{name}: no example"
    raises = re.search(r"^\s+raise |\brequire\(", inspect.getsource(function), re.MULTILINE)
    assert not raises or section(text, "Raises").strip(), f"{name}: raises, and does not say so"
    arguments = section(text, "Args")
    for parameter in inspect.signature(function).parameters:
        if not parameter.startswith("_"):
            assert re.search(rf"\b{parameter}\b", arguments), f"{name}: {parameter} not explained"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_gives_every_number_it_takes_a_unit(name):
    function = FUNCTIONS[name]
    arguments = section(inspect.getdoc(function) or "", "Args")
    for parameter in inspect.signature(function).parameters.values():
        if parameter.annotation not in (float, "float"):
            continue
        said = re.search(
            rf"^ {{4}}[^\n:]*\b{parameter.name}\b[^\n:]*:(.*?)(?=^ {{4}}\S|\Z)",
            arguments,
            re.MULTILINE | re.DOTALL,
        )
        assert said, f"{name}: {parameter.name} has no line"
        assert UNIT.search(f"{parameter.name} {said[1]}"), f"{name}: {parameter.name} has no unit"


def test_every_source_cited_is_in_the_bibliography_and_the_other_way_round():
    bibliography = (ROOT / "reports/references.bib").read_text(encoding="utf-8")
    known = set(re.findall(r"@\w+\{(\w+),", bibliography))
    cited = set()
    for folder in ("sim", "stack", "headroom", "bench", "notebooks", "docs", "reports", "tests"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".md", ".ipynb", ".yaml", ".csv"}:
                text = path.read_text(encoding="utf-8")
                cited |= set(re.findall(r"\[@?([a-z]+(?:19|20)\d\d)\b(?=[],;])", text))
                cited |= set(re.findall(r"; ?([a-z]+(?:19|20)\d\d)\b(?=[],;])", text))
    assert cited <= known, f"not in the bibliography: {sorted(cited - known)}"
    standards = {"iec61508"}
    assert known - standards <= cited, f"cited nowhere: {sorted(known - standards - cited)}"


def test_the_page_of_assumptions_is_current():
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs/generate_models.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# Modules with public functions that are no models: they check, read, draw, or put others together.
NO_MODELS = {
    "sim.availability": {"outcome", "sla", "tiers"},
    "sim.cache": {"replay", "trace"},
    "sim.cost": {"age", "burst", "edge", "pricebook"},
    "sim.plan": {
        "choice", "demand", "effects", "futures", "inputs", "inverse", "objectives", "offers",
        "planning", "screen", "space", "tornado", "verify", "whatif",
    },
    "sim.queueing": {"domain", "service"},
    "sim.workload": {"fit", "trace"},
}  # fmt: skip


def test_every_model_is_on_the_page_of_assumptions():
    page = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    for module in sorted({name.rpartition(".")[0] for name in FUNCTIONS}):
        package, _, last = module.rpartition(".")
        packaged = package in {f"sim.{p}" for p in ("availability", "cache", "cost", "plan")} | {
            "sim.queueing",
            "sim.replicate",
            "sim.workload",
        }
        if packaged and last not in NO_MODELS.get(package, set()):
            assert f"`{module}`" in page, f"{module} says not what it assumes; or is it none?"
