"""What leaves the explorer: the scenario as a file, and as a notebook that builds it again."""

from collections.abc import Iterator
from pprint import pformat
from typing import Any, Literal

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
    return written(
        ("markdown", title),
        ("code", _building(exploration, scenario)),
        ("code", "hr.explore(s)"),
        ("code", "hr.price(s)"),
        ("code", "hr.availability(s)"),
    )


def written(*cells: tuple[Literal["markdown", "code"], str]) -> str:
    """A notebook of these cells, not run, as the text of its file."""
    form: Any = nbformat.v4
    make = {"markdown": form.new_markdown_cell, "code": form.new_code_cell}
    made = [make[kind](text, id=f"cell-{place}") for place, (kind, text) in enumerate(cells)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = form.new_notebook(cells=made, metadata={"kernelspec": kernel})
    nbformat.validate(notebook)
    return str(form.writes(notebook))


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
