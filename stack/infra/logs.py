"""One JSON object a line on standard error."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import orjson

LogLevel = Literal["DEBUG", "INFO", "WARN", "ERROR"]
# The four levels of the design; what Python calls otherwise.
_NAMES = {logging.WARNING: "WARN", logging.CRITICAL: "ERROR"}


class JsonFormatter(logging.Formatter):
    """Formats a record for a log collector."""

    def __init__(self, process: str, request_id: Callable[[], str | None]) -> None:
        super().__init__()
        self._process = process
        self._request_id = request_id

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": _NAMES.get(record.levelno, record.levelname),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        # Work that a request has ordered names it itself: `extra={"request_id": …}`.
        if request := getattr(record, "request_id", None) or self._request_id():
            entry["request_id"] = request
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(entry, default=str).decode()


def log_as_json(
    process: str,
    request_id: Callable[[], str | None] = lambda: None,
    level: LogLevel = "INFO",
) -> None:
    """Send the log to standard error as JSON; called again, it replaces itself."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter(process, request_id))
    wanted = logging.getLevelNamesMapping()[level]
    for name, lowest in (("stack", wanted), ("uvicorn", max(wanted, logging.WARNING))):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(lowest)
