"""How the kernel's functions are compiled.

Reference counting is off: no function of the kernel creates or keeps an array, and counting each
look at one would take most of the time.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

UNCOUNTED: Any = {"_nrt": False}  # absent from numba's type information
F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile into a function of its own: for what is long or rare."""
    return cast(F, njit(**UNCOUNTED)(function))


def inlined(function: F) -> F:
    """Compile into its callers: for what happens in each event."""
    return cast(F, njit(**UNCOUNTED, forceinline=True)(function))


def entry(function: F) -> F:
    """Compile for calls from Python; kept on disk, and the interpreter lock let go."""
    return cast(F, njit(**UNCOUNTED, cache=True, nogil=True)(function))
