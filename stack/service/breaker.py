"""A circuit breaker: a part that does not answer is left alone for a moment."""

from time import monotonic


class Breaker:
    """Opens after `failures` failures in a row and lets calls through again after `pause_s`."""

    def __init__(self, failures: int, pause_s: float) -> None:
        self._failures = failures
        self._pause_s = pause_s
        self._in_a_row = 0
        self._open_until_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the part should be left alone now."""
        return monotonic() < self._open_until_s

    def failed(self, *, at_once: bool = False) -> None:
        """Count a failure; `at_once` opens without waiting for more (connection refused)."""
        self._in_a_row += 1
        if at_once or self._in_a_row >= self._failures:
            self._open_until_s = monotonic() + self._pause_s

    def worked(self) -> None:
        """Count a success."""
        self._in_a_row = 0
