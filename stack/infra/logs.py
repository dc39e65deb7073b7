"""One JSON object a line on standard error."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

import orjson

LEVELS = {"stack": logging.INFO, "uvicorn": logging.WARNING}


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
            "level": record.levelname,
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request := self._request_id():
            entry["request_id"] = request
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(entry, default=str).decode()


def log_as_json(process: str, request_id: Callable[[], str | None] = lambda: None) -> None:
    """Send the log to standard error as JSON; called again, it replaces itself."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter(process, request_id))
    for name, level in LEVELS.items():
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
