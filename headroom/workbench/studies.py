"""A scenario at the bench: changed by keywords, checked like the file, shown as a table."""

import html
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from headroom.sections import NO_MATHS, Html, table
from headroom.wording import digits
from headroom.workbench.answers import STYLE
from headroom.workbench.cell import as_asked, home, in_a_cell
from sim.checked_yaml import checked, load_checked
from sim.errors import InvalidScenario, Problem
from sim.scenario import Scenario

Asked = Scenario | str
SHORT = {"workload.users": "workload.registered_users"}


class Study(Scenario):
    """A scenario that a notebook asks about. It never changes; `with_` gives a changed copy."""

    @in_a_cell
    def with_(self, changes: Mapping[str, object] | None = None, /, **fields: object) -> Self:
        """A copy with some fields changed, checked like a scenario file.

        Args:
            changes: dotted paths and their values, such as {"workload.registered_users": 10_000}.
            fields: the same as keywords, with two underscores for a dot.
        Raises: InvalidScenario, naming the path, the value and what is allowed.

        >>> import headroom as hr
        >>> s = hr.scenario("laptop").with_(workload__users=200_000, topology__api__replicas=3)
        >>> s.workload.registered_users, s.topology.api.replicas
        (200000, 3)
        """
        wanted = dict(changes or {})
        wanted |= {name.replace("__", "."): value for name, value in fields.items()}
        data = self.model_dump(mode="json")
        for path, value in wanted.items():
            _put(data, SHORT.get(path, path), _plain(value))
        return checked(type(self), data, source=f"{self.name}, changed")

    @property
    def changes(self) -> dict[str, tuple[object, object]]:
        """Fields that differ from the file of that name: what it says, and what is asked here."""
        path = home() / "scenarios" / f"{self.name}.yaml"
        if not path.is_file():
            return {}
        filed = dict(_leaves(load_checked(Scenario, path).model_dump(mode="json")))
        own = dict(_leaves(self.model_dump(mode="json")))
        return {
            name: (filed.get(name), own.get(name))
            for name in sorted({*filed, *own})
            if filed.get(name) != own.get(name)
        }

    def __repr__(self) -> str:
        changed = ", ".join(f"{path}={new!r}" for path, (_, new) in self.changes.items())
        return f"Study({self.name!r}{', ' if changed else ''}{changed})"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        rows: list[tuple[str, str]] = [
            ("Users", f"{self.workload.registered_users:,} registered, {_demand(self)}"),
            ("Architecture", _architecture(self)),
            ("Objectives", _objectives(self)),
        ]
        changed = [
            html.escape(f"{path}: {_told(old)} → {_told(new)}")
            for path, (old, new) in self.changes.items()
        ]
        if changed:
            rows.append(("Changed here", Html("<br>".join(changed))))
        return Html(
            f'{STYLE}<div class="headroom {NO_MATHS}"><p class="answer">'
            f"<strong>{html.escape(self.name)}: {html.escape(self.question)}</strong></p>"
            f"{table(('', ''), rows)}</div>"
        )


@in_a_cell
def scenario(name: str | Path) -> Study:
    """The scenario of that name in `scenarios/`, or of a YAML file.

    Raises: InvalidScenario naming every fault of the file, its line, and what is allowed.

    >>> import headroom as hr
    >>> hr.scenario("million-users").workload.registered_users
    1000000
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return load_checked(Study, as_asked(path))
    path = Path("scenarios") / f"{name}.yaml"
    if not path.is_file():
        raise InvalidScenario(Problem("scenario", str(name), f"one of {', '.join(scenarios())}"))
    return load_checked(Study, path)


@in_a_cell
def scenarios() -> list[str]:
    """Names of the scenarios that there are."""
    return sorted(path.stem for path in Path("scenarios").glob("*.yaml"))


def study_of(asked: object) -> Study:
    """A scenario, or the one of that name, as one of the bench."""
    if isinstance(asked, Study):
        return asked
    if isinstance(asked, str):
        return scenario(asked)
    if not isinstance(asked, Scenario):
        allowed = "a scenario, such as hr.scenario(…) gives, or its name"
        raise InvalidScenario(Problem("scenario", type(asked).__name__, allowed))
    return checked(Study, asked.model_dump(mode="json"), source=asked.name)


def _put(data: dict[str, Any], path: str, value: object) -> None:
    """Set a field; sections that are missing are made, so that the checks can name them."""
    *above, last = path.split(".")
    section = data
    for name in above:
        if not isinstance(section.get(name), dict):
            section[name] = {}
        section = section[name]
    section[last] = value


def _plain(value: object) -> object:
    """A value as YAML would give it: sets and NumPy's numbers have no place there."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(_plain(each) for each in value)  # type: ignore[type-var]
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_plain(each) for each in value]
    item = getattr(value, "item", None)
    return item() if callable(item) else value


def _leaves(data: object, path: str = "") -> Iterable[tuple[str, object]]:
    if isinstance(data, dict) and data:
        for name, value in data.items():
            yield from _leaves(value, f"{path}.{name}" if path else str(name))
    else:
        yield path, data


def _told(value: object) -> str:
    return "nothing" if value is None else str(value)


def _demand(study: Study) -> str:
    workload = study.workload
    return (
        f"{workload.active_users_per_day:,} active on a day; "
        f"{digits(workload.mean_load_per_s)} req/s in the mean, "
        f"{digits(workload.peak_load_per_s)} at the peak"
    )


def _architecture(study: Study) -> str:
    top = study.topology
    cache = f"Redis {top.cache.memory_mib} MiB" if top.cache else "no cache"
    mongods = "1 mongod" if top.database.members == 1 else f"{top.database.members} mongods"
    search = "Elasticsearch" if top.search.engine == "elasticsearch" else "MongoDB's text search"
    return f"{top.api.replicas} × {top.api.instance_type} API, {cache}, {mongods}, {search}"


def _objectives(study: Study) -> str:
    aims = study.objectives
    said = [
        f"p95 ≤ {aims.p95_s * 1000:g} ms",
        f"available ≥ {aims.availability_fraction * 100:g} %",
        f"errors ≤ {aims.error_fraction * 100:g} %",
    ]
    if aims.hit_ratio_fraction is not None:
        said.append(f"hit ratio ≥ {aims.hit_ratio_fraction * 100:g} %")
    if aims.concurrent_users is not None:
        said.append(f"{aims.concurrent_users:,} concurrent users")
    return ", ".join(said)
