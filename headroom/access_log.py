"""Access logs → a scenario's workload section: nginx and Apache combined, nginx JSON, AWS ALB.

Files are read line by line, plain or gz, each line in whichever format it has. A line that cannot
be read is counted, sampled and skipped. Times are brought to UTC; the order does not matter.
"""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from sim.errors import InvalidScenario, Problem
from sim.scenario import Operation
from sim.workload.observed import Observation

LONGEST_LINE = 65_536
_SAMPLES = 5
_PROGRESS_BYTES = 2**20
_CACHED_URI = 200  # characters
_SEED = 20261124

_COMBINED = re.compile(
    r"(?P<client>\S+) \S+ (?P<user>\S+) \[(?P<time>[^\]]{20,30})\] "
    r'"(?P<method>[A-Z]{1,16}) (?P<uri>\S+)[^"]*" (?P<status>[1-5]\d\d) \S+'
    r'(?: "(?:[^"\\]|\\.)*" "(?P<agent>(?:[^"\\]|\\.)*)")?'
)
_ALB = re.compile(
    r"(?:https?|h2|wss?|grpcs) (?P<time>\S+) \S+ (?P<client>\S+):\d+ \S+ \S+ \S+ \S+ "
    r'(?P<status>[1-5]\d\d) \S+ \S+ \S+ "(?P<method>[A-Z]{1,16}) (?P<uri>\S+)[^"]*"'
    r'(?: "(?P<agent>[^"]*)")?'
)
_MACHINE = re.compile(r"^/(?:lb-health|livez|readyz|healthz?|metrics|favicon\.ico)(?:/|$)")
_IDENTIFIER = re.compile(
    r"^(?:\d+|[0-9a-fA-F]{16,}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$"
)
_MONTH_NAMES = "JanFebMarAprMayJunJulAugSepOctNovDec"


@dataclass(frozen=True)
class Request:
    """One line of a log."""

    time_s: float  # since 1970, UTC
    method: str
    uri: str
    status: int
    client: str | None


@dataclass
class _Reading:
    lines: int = 0
    bad: int = 0
    machine: int = 0
    errors: int = 0


def workload_from_logs(
    paths: Sequence[Path], *, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """A workload section and the evidence for it, from access logs.

    Args:
        paths: log files, plain or gz.
        progress: called now and then with bytes read and bytes in all (as stored).
    Returns: {"workload": section of a scenario, "evidence": counts, rates by hour, mix by route
        template, fits with intervals, bad lines with samples}.
    Raises: InvalidScenario if a file cannot be opened, or none holds a readable request.
    """
    observation, reading = Observation(), _Reading()
    samples: list[str] = []
    damaged: list[str] = []
    sizes = [_size(path) for path in paths]
    done = 0
    for path, size in zip(paths, sizes, strict=True):
        told = 0
        try:
            with path.open("rb") as raw:
                for line in _lines(raw):
                    if progress and raw.tell() - told >= _PROGRESS_BYTES:
                        told = raw.tell()
                        progress(done + told, sum(sizes))
                    _take(line, observation, reading, samples)
        except (EOFError, zlib.error, gzip.BadGzipFile, OSError) as error:
            # What a broken archive gave before it broke is kept.
            damaged.append(f"{path.name}: {error}")
        done += size
        if progress:
            progress(done, sum(sizes))
    if not observation.requests:
        raise InvalidScenario(
            Problem(
                ", ".join(path.name for path in paths) or "log",
                f"{reading.bad} lines, none of them a request" if reading.lines else "empty",
                "access log lines: nginx or Apache combined, nginx JSON, or AWS ALB",
            )
        )
    result = observation.workload(np.random.default_rng(_SEED))
    result["evidence"] |= {
        "lines": reading.lines,
        "bad_lines": reading.bad,
        "bad_samples": samples,
        "damaged_files": damaged,
        "machine_requests": reading.machine,
        "error_fraction": reading.errors / observation.requests,
    }
    return result


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise InvalidScenario(Problem("log", str(path), f"a readable file ({error})")) from error


def _lines(raw: IO[bytes]) -> Iterator[bytes]:
    """Lines, each cut at `LONGEST_LINE`, so that a file without line ends needs no memory."""
    packed = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[assignment]
    inside = False
    while line := stream.readline(LONGEST_LINE):
        if not inside:
            yield line
        inside = not line.endswith(b"\n")


def _take(line: bytes, observation: Observation, reading: _Reading, samples: list[str]) -> None:
    text = line.decode("utf-8", errors="replace").strip()
    if not text or text.startswith("#"):
        return
    reading.lines += 1
    request = parse_line(text)
    if request is None:
        reading.bad += 1
        if len(samples) < _SAMPLES:
            samples.append(ascii(text[:120])[1:-1])
        return
    path = urlsplit(request.uri).path if not request.uri.startswith("//") else request.uri
    if _MACHINE.match(path):
        reading.machine += 1
        return
    reading.errors += request.status >= 500
    known = _known_route if len(request.uri) <= _CACHED_URI else route
    operation, template, key = known(request.method, request.uri)
    observation.add(request.time_s, operation, template, key, request.client)


def parse_line(text: str) -> Request | None:
    """The request in one line, or None if it is in no known format."""
    try:
        if text.startswith("{"):
            return _from_json(json.loads(text))
        found = _COMBINED.match(text)
        if found:
            time_s = _combined_time_s(found["time"])
        elif found := _ALB.match(text):
            time_s = _iso_time_s(found["time"])
        else:
            return None
        urlsplit(found["uri"])
        user = found.groupdict().get("user") or "-"
        client = user if user != "-" else f"{found['client']} {found['agent'] or ''}"
        return _checked(time_s, found["method"], found["uri"], int(found["status"]), client)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _from_json(fields: Any) -> Request | None:
    """nginx JSON under the stack's own names or nginx's variable names."""

    def first(*names: str) -> Any:
        return next((fields[name] for name in names if fields.get(name) not in (None, "")), None)

    epoch = first("epoch_s", "msec")
    written = first("time", "time_iso8601", "timestamp", "@timestamp")
    time_s = float(epoch) if epoch is not None else _iso_time_s(written)
    method, uri = first("method", "request_method"), first("uri", "request_uri")
    if method is None and (request := first("request")):
        method, uri = request.split()[:2]
    address, agent = first("client", "remote_addr"), first("user_agent", "http_user_agent")
    client = first("user", "remote_user") or (f"{address} {agent or ''}" if address else None)
    urlsplit(uri)
    return _checked(time_s, str(method), str(uri), int(first("status")), client)


def _checked(
    time_s: float, method: str, uri: str, status: int, client: str | None
) -> Request | None:
    # 1990 … 2100: outside, a clock or a unit is wrong, and one such line would stretch the span.
    good = 6.3e8 < time_s < 4.1e9 and 100 <= status <= 599 and method.isalpha()
    return Request(time_s, method.upper(), uri, status, client) if good else None


def _combined_time_s(text: str) -> float:
    """`10/Oct/2000:13:55:36 -0700` as s since 1970."""
    stamp, _, zone = text.partition(" ")
    return _minute_s(stamp[:17], zone) + int(stamp[18:20])


def _iso_time_s(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@lru_cache(maxsize=4096)
def _minute_s(minute: str, zone: str) -> float:
    month = _MONTH_NAMES.index(minute[3:6]) // 3 + 1
    moment = f"{minute[7:11]}-{month:02}-{minute[:2]}T{minute[12:17]}:00{zone}"
    parsed = datetime.fromisoformat(moment)
    if parsed.tzinfo is None:
        raise ValueError("no time zone")
    return parsed.timestamp()


def route(method: str, uri: str) -> tuple[Operation, str, str]:
    """Operation, route template and key of a request; routes of other services by resemblance.

    >>> route("GET", "/api/v1/products?category=audio&page=2")[::2]
    (<Operation.LIST: 'list'>, 'audio#2')
    """
    parts = urlsplit(uri)
    path, query = parts.path.rstrip("/") or "/", parse_qs(parts.query)
    own = _own_route(method, path, query)
    if own:
        return own
    segments = path.split("/")
    shown = "/".join("{id}" if _IDENTIFIER.match(part) else part for part in segments)
    template = f"{method} {shown}"
    lower = path.lower()
    if method not in ("GET", "HEAD", "OPTIONS"):
        if re.search(r"log-?in|signin|session|/token", lower):
            return Operation.LOGIN, template, ""
        if re.search(r"register|sign-?up", lower):
            return Operation.REGISTER, template, ""
        return Operation.FAVOURITE_ADD, template, path
    searched = query.get("q") or query.get("query")
    if searched or "search" in lower:
        return Operation.SEARCH, template, " ".join((searched or [parts.query])[0].lower().split())
    return Operation.DETAIL, template, path


# Popular addresses come again and again; long ones are not kept.
_known_route = lru_cache(maxsize=50_000)(route)


def _own_route(
    method: str, path: str, query: dict[str, list[str]]
) -> tuple[Operation, str, str] | None:
    """The routes of the stack's own service."""

    def value(name: str) -> str:
        return query.get(name, [""])[0]

    fixed = {
        ("GET", "/api/v1/users/me/favourites"): (Operation.FAVOURITES, ""),
        ("POST", "/api/v1/auth/login"): (Operation.LOGIN, ""),
        ("POST", "/api/v1/auth/register"): (Operation.REGISTER, ""),
        ("POST", "/api/v1/images"): (Operation.IMAGE_UPLOAD, ""),
        ("GET", "/api/v1/products"): (
            Operation.LIST,
            f"{value('category')}#{value('page') or '1'}",
        ),
        ("GET", "/api/v2/products"): (
            Operation.LIST_CURSOR,
            f"{value('category')}#{value('cursor') or '1'}",
        ),
        ("GET", "/api/v1/search"): (Operation.SEARCH, " ".join(value("q").lower().split())),
    }
    if (found := fixed.get((method, path))) is not None:
        return found[0], f"{method} {path}", found[1]
    head, _, identifier = path.rpartition("/")
    named = {
        ("GET", "/api/v1/products"): Operation.DETAIL,
        ("PATCH", "/api/v1/products"): Operation.PRODUCT_UPDATE,
        ("PUT", "/api/v1/users/me/favourites"): Operation.FAVOURITE_ADD,
    }
    if (operation := named.get((method, head))) is not None:
        return operation, f"{method} {head}/{{id}}", identifier
    return None
