"""How the kernel's functions are compiled.

Reference counting is off: no function of the kernel creates or keeps an array, and counting each
look at one would take most of the time.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit

OPTIONS: Any = {"_nrt": False, "error_model": "numpy"}
F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile into a function of its own: for what is long or rare."""
    return cast(F, njit(**OPTIONS)(function))


def inlined(function: F) -> F:
    """Compile into its callers: for what happens in each event."""
    return cast(F, njit(**OPTIONS, forceinline=True)(function))


def entry(function: F) -> F:
    """Compile for calls from Python; kept on disk, and the interpreter lock let go."""
    return cast(F, njit(**OPTIONS, cache=True, nogil=True)(function))


def _sources() -> str:
    """Digest of the kernel's source files.

    numba's cache of a function looks at its file and its closure only, not at the files of the
    functions it calls. An entry that closes over this digest is compiled anew after any change.
    """
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


SOURCES = _sources()
