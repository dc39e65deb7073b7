"""What leaves the explorer: the scenario as a file, and as a notebook that builds it again."""

from collections.abc import Iterator
from pprint import pformat
from typing import Any

import nbformat

from headroom.explorer.exploration import Exploration
from sim.scenario import Scenario
from sim.scenario_file import dump_yaml, load_scenario


def yaml_text(scenario: Scenario) -> str:
    """The scenario as a file that every command of `headroom` reads."""
    return dump_yaml(scenario)


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, object]]:
    """The fewest fields to set, so that `old` becomes `new`, as paths and values.

    >>> list(differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}))
    [('a.c', 3)]
    """
    alike = isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys()
    if alike and not any("." in name for name in new):  # a dot in a name is no step of a path
        for name, value in new.items():
            yield from differences(old[name], value, f"{path}.{name}" if path else name)
    elif old != new:
        yield path, new


def notebook_text(exploration: Exploration) -> str:
    """A notebook that builds the scenario shown from the file of its name, or from its whole text.

    Kept small: what differs from the file, the questions that the explorer answers, no output.
    """
    scenario = exploration.scenario
    title = f"# {scenario.name}\n\n{scenario.question}\n\nFrom the explorer."
    cells = [
        nbformat.v4.new_markdown_cell(title),
        nbformat.v4.new_code_cell(_building(exploration, scenario)),
        nbformat.v4.new_code_cell("hr.explore(s)"),
        nbformat.v4.new_code_cell("hr.price(s)"),
        nbformat.v4.new_code_cell("hr.availability(s)"),
    ]  # fmt: skip
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.validate(notebook)
    text: str = nbformat.writes(notebook)
    return text


def _building(exploration: Exploration, scenario: Scenario) -> str:
    whole: dict[str, Any] = scenario.model_dump(mode="json")
    path = exploration.scenarios.get(scenario.name)
    if path is None:
        text = yaml_text(scenario).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
        return (
            "import headroom as hr\nfrom sim.scenario_file import parse_scenario\n\n"
            f'TEXT = """\\\n{text}"""\ns = parse_scenario(TEXT)\ns'
        )
    filed = load_scenario(path).model_dump(mode="json")
    changes = dict(differences(filed, whole))
    building = f"import headroom as hr\n\ns = hr.scenario({scenario.name!r})"
    if changes:
        building += f".with_(\n{_indented(pformat(changes, sort_dicts=False, width=90))}\n)"
    return f"{building}\ns"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
