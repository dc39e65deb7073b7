"""The logs of all parts of a stack in one view, by time, searchable.

Each server writes its own form; each line is read for its time, its level and its request id. A
line that has none (a traceback, a wrapped message) belongs to the line before it.
"""

import heapq
import json
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from stack.errors import InvalidLogSearch, UnknownPart
from stack.local.control import status

Level = Literal["DEBUG", "INFO", "WARN", "ERROR"]
LEVELS: tuple[Level, ...] = ("DEBUG", "INFO", "WARN", "ERROR")
POLL_S = 0.2

_NAMES: dict[str, Level] = {
    # by their first letters or signs, in all parts
    **dict.fromkeys(("d", "debug", "trace", "."), "DEBUG"),
    **dict.fromkeys(("i", "info", "notice", "-", "*"), "INFO"),
    **dict.fromkeys(("w", "warn", "warning", "#"), "WARN"),
    **dict.fromkeys(("e", "f", "error", "crit", "alert", "emerg", "critical", "fatal"), "ERROR"),
}
_REDIS = re.compile(r"^\d+:\w (\d+ \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3}) ([.\-*#]) ")
_NGINX = re.compile(r"^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \[(\w+)\] ")
_ELASTIC = re.compile(r"^\[(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d,\d{3})\]\[(\w+) *\]")
_SINCE = re.compile(r"^(\d+(?:\.\d+)?)(s|m|h|d)$")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class Entry:
    """One line of one part's log."""

    epoch_s: float
    part: str
    level: Level
    request_id: str | None
    line: str

    @property
    def time(self) -> str:
        """When, in UTC, to the millisecond."""
        return datetime.fromtimestamp(self.epoch_s, UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class LogSearch:
    """What to look for; every condition must hold."""

    part: str | None = None
    grep: str | None = None  # regular expression, anywhere in the line
    request: str | None = None  # request id
    level: Level = "DEBUG"  # this and above
    since: float = 0.0  # epoch, s

    def __post_init__(self) -> None:
        if self.grep is not None:
            try:
                re.compile(self.grep)
            except re.error as error:
                raise InvalidLogSearch(
                    what="grep", value=self.grep, allowed=f"a regular expression ({error})"
                ) from error
        if self.level not in LEVELS:
            raise InvalidLogSearch(what="level", value=self.level, allowed=", ".join(LEVELS))

    def finds(self, entry: Entry) -> bool:
        """Whether this entry is looked for."""
        return (
            entry.epoch_s >= self.since
            and LEVELS.index(entry.level) >= LEVELS.index(self.level)
            and (self.request is None or entry.request_id == self.request)
            and (self.grep is None or re.search(self.grep, entry.line) is not None)
        )


def since(text: str, now_s: float) -> float:
    """The moment that `10m` (ago; s, m, h, d) or an ISO time means, as epoch in s."""
    found = _SINCE.match(text)
    if found:
        return now_s - timedelta(**{_UNITS[found[2]]: float(found[1])}).total_seconds()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        allowed = "a time such as 2026-01-31T12:00, or how long ago such as 30s, 10m, 2h, 1d"
        raise InvalidLogSearch(what="since", value=text, allowed=allowed) from None
    return (moment if moment.tzinfo else moment.astimezone()).timestamp()


def found_in_logs(folder: Path, search: LogSearch, last: int) -> list[Entry]:
    """The last entries that fit, of all parts, by time."""
    books = [_LogFile(part, path) for part, path in _paths(folder, search.part)]
    merged = heapq.merge(*(book.read() for book in books), key=lambda entry: entry.epoch_s)
    return list(deque((entry for entry in merged if search.finds(entry)), maxlen=last))


def followed(
    folder: Path, search: LogSearch, last: int, ended: Callable[[], bool] = lambda: False
) -> Iterator[Entry]:
    """As `found_in_logs`, then each new entry as it is written, until the stack or `ended` ends."""
    books = {path: _LogFile(part, path) for part, path in _paths(folder, search.part)}
    first = True
    while True:
        over = ended()
        new = sorted(
            (entry for book in books.values() for entry in book.read() if search.finds(entry)),
            key=lambda entry: entry.epoch_s,
        )
        yield from new[-last:] if first else new
        first = False
        if over or not folder.exists():
            return
        time.sleep(POLL_S)
        for part, path in _paths(folder, search.part):  # a new replica has a log of its own
            books.setdefault(path, _LogFile(part, path))


def _paths(folder: Path, part: str | None) -> list[tuple[str, Path]]:
    info = status(folder)
    paths = [(known.name, known.log) for known in info.parts]
    paths += [("nginx", info.access_log), ("supervisor", info.folder / "logs" / "supervisor.log")]
    names = list(dict.fromkeys(name for name, _ in paths))
    if part is not None and part not in names:
        raise UnknownPart(part=part, parts=names)
    return [(name, path) for name, path in paths if part in (None, name)]


class _LogFile:
    """One log, read on from where it was left."""

    def __init__(self, part: str, path: Path) -> None:
        self._part, self._path = part, path
        self._place = 0
        self._last = Entry(0.0, part, "INFO", None, "")

    def read(self) -> Iterator[Entry]:
        """The entries since the last read; a line that is not whole yet waits."""
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return
        with file:
            file.seek(self._place)
            for raw in file:
                if not raw.endswith(b"\n"):
                    return
                self._place += len(raw)
                line = raw.decode(errors="replace").rstrip()
                if line:
                    self._last = entry_of(self._part, line, self._last)
                    yield self._last


def entry_of(part: str, line: str, before: Entry) -> Entry:
    """A line of a log, read; what it does not say is as in the entry before it."""
    read = _json_line(line) if line.startswith("{") else _text_line(line)
    if read is None:
        return Entry(before.epoch_s, part, before.level, before.request_id, line)
    epoch_s, level, request_id = read
    # A log is in order: a clock that is only told to the second must not put a line too early.
    return Entry(max(epoch_s, before.epoch_s), part, level, request_id, line)


def _json_line(line: str) -> tuple[float, Level, str | None] | None:
    try:
        told: dict[str, Any] = json.loads(line)
        if "epoch_s" in told:  # nginx's access log
            status_code = int(told["status"])
            level: Level = (
                "ERROR" if status_code >= 500 else "WARN" if status_code >= 400 else "INFO"
            )
            return float(told["epoch_s"]), level, told.get("request_id")
        if "t" in told:  # mongod
            moment = datetime.fromisoformat(told["t"]["$date"])
            return moment.timestamp(), _level(told.get("s", "i")), None
        moment = datetime.fromisoformat(told["time"])
        return moment.timestamp(), _level(told["level"]), told.get("request_id")
    except (ValueError, KeyError, TypeError):
        return None


def _text_line(line: str) -> tuple[float, Level, str | None] | None:
    for form, clock in (
        (_REDIS, "%d %b %Y %H:%M:%S.%f"),
        (_NGINX, "%Y/%m/%d %H:%M:%S"),
        (_ELASTIC, "%Y-%m-%dT%H:%M:%S,%f"),
    ):
        found = form.match(line)
        if found:  # these servers tell the machine's own time
            moment = datetime.strptime(found[1], clock).astimezone()
            return moment.timestamp(), _level(found[2]), None
    return None


def _level(name: str) -> Level:
    name = name.lower()
    return _NAMES.get(name) or _NAMES.get(name[0], "DEBUG")  # mongod: D1 … D5
