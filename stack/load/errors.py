"""What can go wrong while load is offered.

LoadError
├── InvalidTrace        a trace that cannot be sent: names what, the value and what is allowed
├── GeneratorFailed     the generator ended before its schedule did; carries its last lines
└── StackUnreachable    nothing answers at the base URL
"""

from collections.abc import Sequence


class LoadError(RuntimeError):
    """Base of the load's own errors."""


class InvalidTrace(LoadError):
    """A trace that cannot be sent."""

    def __init__(self, *, what: str, value: object, allowed: str) -> None:
        self.what, self.value, self.allowed = what, value, allowed
        super().__init__(f"{what}: {value!r} is not allowed; allowed: {allowed}")


class GeneratorFailed(LoadError):
    """The generator ended before its schedule did."""

    def __init__(self, reason: str, last_lines: Sequence[str]) -> None:
        self.last_lines = tuple(last_lines)
        text = "\n".join(f"  locust | {line}" for line in last_lines)
        super().__init__(
            f"the load generator {reason}" + (f"; its last lines:\n{text}" if text else "")
        )


class StackUnreachable(LoadError):
    """Nothing answers at the base URL."""

    def __init__(self, base_url: str, reason: str) -> None:
        self.base_url = base_url
        super().__init__(f"nothing answers at {base_url} ({reason}): is the stack up?")
