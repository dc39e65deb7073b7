"""What is read of an HTTP answer: status, size, cache outcome and the server's own timings."""

import contextlib
from math import isnan, nan
from zlib import crc32

import httptools

CACHE_OUTCOMES = ("none", "hit", "miss")
_CACHE_CODE = {b"hit": 1, b"miss": 2}
# Names of the durations in the Server-Timing header, in the order of `Answer.timings_s`.
TIMINGS = ("cache", "db", "search", "app")
_TIMING_INDEX = {name.encode(): index for index, name in enumerate(TIMINGS)}
UNKNOWN = nan


class Answer:
    """Parses the answers of one keep-alive connection, one after the other."""

    __slots__ = (
        "_parser",
        "body_bytes",
        "body_crc32",
        "cache",
        "coalesced",
        "complete",
        "keep_alive",
        "left_s",
        "replica",
        "status",
        "timings_s",
    )

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.expect()

    def expect(self) -> None:
        """Forget the last answer; the next bytes begin a new one."""
        self.status = 0
        self.body_bytes = 0
        self.body_crc32 = 0
        self.cache = 0  # index into CACHE_OUTCOMES
        self.coalesced = False  # missed, and waited for another request's read
        self.replica = b""
        self.timings_s = [UNKNOWN] * len(TIMINGS)
        self.left_s = UNKNOWN  # when it left the last emulated machine, by that one's clock
        self.complete = False
        self.keep_alive = True

    def feed(self, data: bytes) -> None:
        """Take bytes from the connection. Raises HttpParserError when they are no HTTP."""
        self._parser.feed_data(data)

    # The parser calls these.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the headers that matter."""
        length = len(name)
        if length == 7 and name.lower() == b"x-cache":
            self.cache = _CACHE_CODE.get(value.strip().lower(), 0)
        elif length == 6 and name.lower() == b"x-left":
            with contextlib.suppress(ValueError):
                self.left_s = float(value)
        elif length == 11 and name.lower() == b"x-served-by":
            self.replica = value
        elif length == 13 and name.lower() == b"server-timing":
            self._read_timings(value)

    def on_body(self, body: bytes) -> None:
        """Count and sum up, do not keep."""
        self.body_bytes += len(body)
        self.body_crc32 = crc32(body, self.body_crc32)

    def on_message_complete(self) -> None:
        """The whole answer has arrived."""
        self.status = self._parser.get_status_code()
        self.keep_alive = self._parser.should_keep_alive()
        self.complete = self.status >= 200  # 1xx answers announce the real one

    def _read_timings(self, value: bytes) -> None:
        for metric in value.split(b","):
            name, *parameters = metric.strip().split(b";")
            index = _TIMING_INDEX.get(name)
            if index is None:
                self.coalesced |= name == b"coalesced"
                continue
            for parameter in parameters:
                if parameter.strip().startswith(b"dur="):
                    try:
                        duration_s = float(parameter.strip()[4:]) / 1e3
                    except ValueError:
                        continue
                    # A tier that is asked twice for one request is listed twice.
                    known_s = self.timings_s[index]
                    self.timings_s[index] = duration_s + (0.0 if isnan(known_s) else known_s)
