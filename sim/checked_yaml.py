"""YAML files checked against a model: one clear error per fault out."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from sim.errors import InvalidScenario, Problem
from sim.scenario import FieldError

M = TypeVar("M", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Plain YAML: no aliases, which can loop or swell, and no key twice, of which one would win."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "an alias", event.start_mark)
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.composer.ComposerError(None, None, "a key not text", key.start_mark)
            if key.value in seen:
                problem = f"the key {key.value} twice"
                raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return node


def load_checked(model: type[M], path: Path) -> M:
    """Read and validate a YAML file.

    Args:
        model: what the file describes.
        path: the file.
    Returns: the model's instance.
    Raises: InvalidScenario naming, for each fault, the path in the file, its line, the value found
        and what is allowed; also when the file cannot be read or is no YAML mapping.
    Source: the model's own types; pydantic checks them.

    >>> from sim.scenario_base import PositiveInterval
    >>> load_checked(PositiveInterval, Path("no-such.yaml"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    sim.errors.InvalidScenario: no-such.yaml: file: 'no-such.yaml' is not allowed; ...
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidScenario(
            Problem("file", str(path), f"a readable YAML file ({error})"), source=str(path)
        ) from error
    return parse_checked(model, text, source=str(path))


def parse_checked(model: type[M], text: str, source: str) -> M:
    """Validate YAML text.

    Args:
        model: what the text describes.
        text: YAML, without aliases.
        source: its name in errors.
    Returns: the model's instance.
    Raises: InvalidScenario as `load_checked` does.
    Source: the model's own types; pydantic checks them.

    >>> from sim.scenario_base import PositiveInterval
    >>> parse_checked(PositiveInterval, "{low: 1, high: 2}", source="here").low
    1.0
    """
    try:
        root = yaml.compose(text, Loader=_Loader)
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader, made stricter
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", -1) + 1
        what = getattr(error, "problem", None) or "unreadable"
        raise InvalidScenario(
            Problem("file", what, "well-formed YAML", line or None), source=source
        ) from error
    except (ValueError, RecursionError) as error:  # such as the date 2026-99-99
        raise InvalidScenario(
            Problem("file", str(error), "well-formed YAML"), source=source
        ) from error
    if not isinstance(data, dict):
        names = " … ".join(f"`{name}`" for name in list(model.model_fields)[:4])
        raise InvalidScenario(Problem("file", data, f"a mapping with {names} …"), source=source)
    return checked(model, data, source=source, lines=_lines(root))


def checked(
    model: type[M],
    data: dict[str, Any],
    source: str,
    lines: dict[tuple[str, ...], int] | None = None,
) -> M:
    """Validate plain data (as YAML or JSON gives it); raises InvalidScenario.

    Args:
        model: what the data describe.
        data: a mapping.
        source: its name in errors.
        lines: line of each path, where it comes from a file.
    Returns: the model's instance.
    Raises: InvalidScenario naming, for each fault, its path, the value found and what is allowed.
    Source: the model's own types; pydantic checks them.

    >>> from sim.scenario_base import PositiveInterval
    >>> checked(PositiveInterval, {"low": 1.0, "high": 2.0}, source="here").high
    2.0
    """
    try:
        # Through JSON, because there strict mode takes lists for tuples and text for enums only.
        return model.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        raise InvalidScenario(
            *(_problem(model, fault, lines or {}) for fault in _told_apart(error.errors())),
            source=source,
        ) from error


def _problem(model: type[BaseModel], fault: Any, lines: dict[tuple[str, ...], int]) -> Problem:
    """Turn one pydantic fault into a Problem in the words of the file."""
    where = tuple(str(part) for part in fault["loc"] if part != "[key]")
    value: object = fault["input"]
    context = fault.get("ctx") or {}
    allowed = fault["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        value = where[-1]
        allowed = f"one of {', '.join(_siblings(model, where))}"
    elif fault["type"] == "missing":
        value = None
        allowed = "a value; this field is required"
    elif fault["type"] == "value_error":
        error = context.get("error")
        if isinstance(error, FieldError):
            where = (*where, *error.where)
        allowed, value = str(error), getattr(error, "value", value)
    elif where and where[-1].endswith("_s") and fault["type"] == "float_type":
        allowed = "a number of seconds, without a unit, such as 300"
    known = where
    while known and known not in lines:
        known = known[:-1]
    return Problem(
        ".".join(where) or model.__name__.lower(), _brief(value), allowed, lines.get(known)
    )


def _told_apart(faults: Sequence[Any]) -> list[Any]:
    """The faults without those that only follow from others.

    A list counts as too short when one of its items is no good.
    """
    places = [fault["loc"] for fault in faults]
    return [
        fault
        for fault in faults
        if fault["type"] != "too_short"
        or not any(
            len(place) > len(fault["loc"]) and place[: len(fault["loc"])] == fault["loc"]
            for place in places
        )
    ]


def _siblings(model: type[BaseModel], where: tuple[str, ...]) -> list[str]:
    """Field names allowed beside the unknown field at `where`."""
    part: Any = model
    for name in where[:-1]:
        if name not in getattr(part, "model_fields", {}):
            continue  # a key of a mapping, or a place in a list: the part is that of its values
        annotation = part.model_fields[name].annotation
        inner = [a for a in (annotation, *get_args(annotation)) if hasattr(a, "model_fields")]
        part = inner[0] if inner else part
    return list(part.model_fields)


def _brief(value: object) -> object:
    text = json.dumps(value, default=str)
    return value if len(text) <= 80 else text[:77] + "…"


def _lines(root: Any) -> dict[tuple[str, ...], int]:
    """Line number of each key path in a YAML node tree."""
    found: dict[tuple[str, ...], int] = {}

    def visit(node: Any, path: tuple[str, ...]) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = (*path, str(key.value))
                found[here] = key.start_mark.line + 1
                visit(value, here)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                found[(*path, str(index))] = value.start_mark.line + 1
                visit(value, (*path, str(index)))

    visit(root, ())
    return found
