"""One JSON object a line on standard error, with the request id where there is a request."""

import logging
from datetime import UTC, datetime

import orjson

from stack.service.trace import current_trace


class JsonFormatter(logging.Formatter):
    """Formats a record for a log collector."""

    def __init__(self, replica: str) -> None:
        super().__init__()
        self._replica = replica

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "replica": self._replica,
            "request_id": current_trace().request_id,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(entry, default=str).decode()


def log_as_json(replica: str) -> None:
    """Send the log of `stack` to standard error as JSON; done again, it replaces itself."""
    logger = logging.getLogger("stack")
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter(replica))
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
