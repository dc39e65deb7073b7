"""Pages of the documentation site that are written anew at each build, so that none is out of date.

mkdocs.yml names this file under `hooks`. Commands come from the command line's own help, the
scenario from its JSON Schema and the comments beside its fields, decisions from their files. Links
to files outside docs/ become plain text, for the site has no such pages.
"""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.main import get_command

ROOT = Path(__file__).parents[1]
OUTSIDE = re.compile(
    r"\[([^\]]+)\]\((?:\.\./)+(?!docs/)(?:reports|scenarios|sim|stack|tests)/[^)]*\)"
)


LATER = {"fidelity.md": ("Explanation", "How far to trust it")}  # pages that a campaign writes


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put pages that are not always there into the navigation, where they are."""
    for uri, (section, title) in LATER.items():
        if (Path(config.docs_dir) / uri).is_file():
            place = next(entry[section] for entry in config.nav or () if section in entry)
            place.append({title: uri})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code."""
    sys.path.insert(0, str(ROOT))
    pages = {
        "reference/commands.md": commands_page(),
        "reference/scenario.md": scenario_page(),
        "decisions/index.md": decisions_page(),
    }
    for uri, text in pages.items():
        files.append(File.generated(config, uri, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_more: Any) -> str:
    """Unlink what stands outside the site."""
    return OUTSIDE.sub(r"\1", markdown)


def commands_page() -> str:
    """Every command with its arguments and options, as `--help` has them."""
    from headroom.cli import app

    root = get_command(app)
    lines = [
        "# Commands",
        "",
        "`headroom COMMAND --help` prints the same. Progress goes to stderr,",
    ]
    lines += ["results to stdout; `--json` gives them to machines.", ""]
    for name, command in _commands(root, "headroom"):
        context = click.Context(command, info_name=name)
        usage = " ".join(command.collect_usage_pieces(context))
        lines += [f"## {name}", "", command.help or "", "", f"```text\n{name} {usage}\n```", ""]
        options = [_option_row(each, context) for each in command.params if each.name != "help"]
        if options:
            lines += ["| argument or option | default | meaning |", "|---|---|---|", *options, ""]
    return "\n".join(lines)


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    for own, inner in sorted(getattr(command, "commands", {}).items()):
        if getattr(inner, "commands", None):
            yield from _commands(inner, f"{name} {own}")
        else:
            yield f"{name} {own}", inner


def _option_row(parameter: Any, context: Any) -> str:
    names = ", ".join((*parameter.opts, *parameter.secondary_opts))
    if parameter.param_type_name == "argument":
        names = parameter.make_metavar(context)
    default = parameter.get_default(context, call=False)
    shown = "" if default in (None, False, ()) else f"`{default}`"
    text = getattr(parameter, "help", "") or ""
    return f"| `{names.replace('|', '/')}` | {shown} | {text.replace('|', '/')} |"


def scenario_page() -> str:
    """Every field of a scenario: type, default, what is allowed, meaning."""
    from sim.scenario_file import json_schema

    schema = json_schema()
    sections = {"Scenario": schema, **schema["$defs"]}
    lines = ["# Scenario", ""]
    lines += ["One YAML file, checked against `scenarios/scenario.schema.json`. Unknown fields are"]
    lines += ["refused. Units are the suffixes of the names.", ""]
    for name, section in sections.items():
        lines += [f"## {name}", "", str(section.get("description", "")).partition("\n\n")[0], ""]
        if "enum" in section:
            lines += ["One of " + ", ".join(f"`{value}`" for value in section["enum"]) + ".", ""]
        if "properties" in section:
            said = comments(name)
            lines += ["| field | type | default | allowed | meaning |", "|---|---|---|---|---|"]
            lines += [
                f"| `{field}` | {_kind(about)} | {_default(section, field, about)} "
                f"| {_allowed(about)} | {said.get(field, '').replace('|', '/')} |"
                for field, about in section["properties"].items()
            ]
            lines.append("")
    return "\n".join(lines)


def comments(name: str) -> dict[str, str]:
    """What the comment beside each field of a model says."""
    for path in sorted((ROOT / "sim").glob("scenario*.py")):
        model = getattr(import_module(f"sim.{path.stem}"), name, None)
        if inspect.isclass(model):
            source = inspect.getsource(model)
            lines = source.splitlines()
            (body,) = ast.parse(inspect.cleandoc("\n" + source)).body
            assert isinstance(body, ast.ClassDef)
            return {
                node.target.id: lines[(node.end_lineno or 1) - 1].partition("  # ")[2]
                for node in body.body
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
            }
    return {}


def _kind(about: dict[str, Any]) -> str:
    if "$ref" in about:
        name = about["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in about:
        return " or ".join(dict.fromkeys(_kind(each) for each in about["anyOf"]))
    if about.get("type") == "array" and isinstance(about.get("items"), dict):
        return f"list of {_kind(about['items'])}"
    if about.get("type") == "object" and isinstance(about.get("additionalProperties"), dict):
        return f"mapping to {_kind(about['additionalProperties'])}"
    if "enum" in about or "const" in about:
        values = about.get("enum", [about.get("const")])
        return ", ".join(f"`{value}`" for value in values)
    return {"null": "nothing"}.get(about.get("type", ""), about.get("type", "any"))


def _default(section: dict[str, Any], field: str, about: dict[str, Any]) -> str:
    if field in section.get("required", ()):
        return "required"
    value = about.get("default")
    if isinstance(value, dict | list) and value:
        return "see there"
    return "–" if value in (None, {}, []) else f"`{value}`"


def _allowed(about: dict[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    signs |= {"minItems": "items ≥", "maxItems": "items ≤", "pattern": "pattern"}
    inner = [about, *about.get("anyOf", ())]
    found = [
        f"{sign} {f'`{part[key]}`' if key == 'pattern' else f'{part[key]:,g}'}"
        for part in inner
        for key, sign in signs.items()
        if key in part
    ]
    return ", ".join(dict.fromkeys(found)).replace("|", "/")


def decisions_page() -> str:
    """The list of decisions."""
    lines = ["# Decisions", "", "What a reader would question, and why it is so.", ""]
    for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md")):
        title = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join(lines) + "\n"
