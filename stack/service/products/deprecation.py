"""What answers of v1 say where v2 has the same: since when to leave, until when, and where to.

`Deprecation` is RFC 9745, `Sunset` RFC 8594, the relation `successor-version` RFC 5829.
"""

from datetime import UTC, datetime
from email.utils import format_datetime

from stack.service.trace import current_trace

DEPRECATED = datetime(2026, 11, 1, tzinfo=UTC)
SUNSET = datetime(2027, 11, 1, tzinfo=UTC)
SUCCESSORS = {"/api/v1/products": "/api/v2/products"}

_HEADERS = {
    path: (
        (b"deprecation", f"@{int(DEPRECATED.timestamp())}".encode()),
        (b"sunset", format_datetime(SUNSET, usegmt=True).encode()),
        (b"link", f'<{successor}>; rel="successor-version"'.encode()),
    )
    for path, successor in SUCCESSORS.items()
}


def tell_successor(path: str) -> None:
    """Send these headers with the answer to the current request."""
    trace = current_trace()
    trace.headers = [*trace.headers, *_HEADERS[path]]
