"""How the workbench behaves in a notebook's cell: errors in a line, the stop button, progress.

All of it works in a plain Python session too; there the lines of progress go to stderr.
"""

import contextlib
import functools
import html
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from headroom import console
from headroom.errors import HeadroomError
from sim.errors import InvalidScenario, SimError
from stack.errors import StackError
from stack.load.errors import LoadError

P = ParamSpec("P")
T = TypeVar("T")

EXPECTED = (SimError, HeadroomError, StackError, LoadError, OSError, KeyboardInterrupt)
ASKED_AGAIN_S = 0.2  # whether the compiler is done, when it was interrupted
_asked_from: ContextVar[Path] = ContextVar("asked_from")


def home() -> Path:
    """The project's folder: the nearest one upwards that holds `scenarios/`, else the clone."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "scenarios").is_dir():
            return folder
    return Path(__file__).parents[2]


def in_a_cell(function: Callable[P, T]) -> Callable[P, T]:
    """Make a function one of the workbench.

    It runs in the project's folder, wherever the notebook stands; the stop button ends it; and what
    can be expected to go wrong reads as one line for each fault, not as a traceback.
    """

    @functools.wraps(function)
    def asked(*args: P.args, **kwargs: P.kwargs) -> T:
        token = _asked_from.set(_asked_from.get(Path.cwd()))
        try:
            with _interruptible(), contextlib.chdir(home()):
                return function(*args, **kwargs)
        except EXPECTED as error:
            _read_well(error)
            raise
        finally:
            _asked_from.reset(token)

    return asked


def as_asked(path: str | Path) -> Path:
    """A path that a notebook gives: beside the notebook where there is such a file, else ours."""
    beside = _asked_from.get(Path.cwd()) / path
    return beside if beside.exists() else Path(path)


def lines_of(error: BaseException) -> list[str]:
    """What a reader needs of an expected error: where, what, and what is allowed."""
    if isinstance(error, InvalidScenario):
        where = f"{error.source}: " if error.source else ""
        return [f"{where}{problem}" for problem in error.problems]
    if isinstance(error, KeyboardInterrupt):
        return ["interrupted; what was done so far is kept"]
    if isinstance(error, OSError) and error.strerror:
        return [f"{error.filename or 'system'}: {error.strerror}"]
    return str(error).splitlines() or [type(error).__name__]


def _read_well(error: BaseException) -> None:
    """IPython shows what `_render_traceback_` returns in place of the traceback."""
    error._render_traceback_ = functools.partial(lines_of, error)  # type: ignore[attr-defined]


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """A stop button that is heard even where Python would drop the interrupt, see `Interrupt`."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    again: list[threading.Timer] = []
    before = signal.signal(signal.SIGINT, functools.partial(_interrupt, again))
    try:
        yield
        console.interrupt.check()
    except KeyboardInterrupt:
        console.interrupt.forget()
        raise
    finally:
        for timer in again:
            timer.cancel()
        signal.signal(signal.SIGINT, before)


def _interrupt(again: list[threading.Timer], _signal: int, frame: FrameType | None) -> None:
    """End what runs, but let the compiler finish: torn out of it, none can be used again."""
    console.interrupt.remember()
    if not _compiles(frame):
        raise KeyboardInterrupt
    timer = threading.Timer(ASKED_AGAIN_S, os.kill, (os.getpid(), signal.SIGINT))
    timer.daemon = True
    again.append(timer)
    timer.start()


def _compiles(frame: FrameType | None) -> bool:
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] == "numba":
            return True
        frame = frame.f_back
    return False


def in_a_notebook() -> bool:
    """Whether a Jupyter kernel runs this."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


class Progress:
    """Lines of progress below a cell, folded away once they are all there.

    with Progress("starting") as say:
        say("one thing")
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._lines: list[str] = []
        self._began = time.monotonic()
        self._handle: Any = None

    def __call__(self, line: str) -> None:
        """Say one line."""
        console.interrupt.check()
        self._lines.append(f"{time.monotonic() - self._began:6.1f} s  {line}")
        if self._handle is None:
            console.say(line)
        else:
            self._show(f"{self._title} …", unfolded=True)

    def __enter__(self) -> "Progress":
        if in_a_notebook():
            from IPython.display import display

            self._handle = display(  # type: ignore[no-untyped-call]
                _raw(_folded(f"{self._title} …", [])), display_id=True
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if self._handle is not None:
            seconds = f"{time.monotonic() - self._began:.0f} s"
            ended = f"{self._title}: {'done in' if kind is None else 'ended after'} {seconds}"
            self._show(ended, unfolded=kind is not None)

    def _show(self, title: str, *, unfolded: bool) -> None:
        self._handle.update(_raw(_folded(title, self._lines, unfolded=unfolded)))


def _folded(title: str, lines: list[str], *, unfolded: bool = False) -> str:
    body = html.escape("\n".join(lines))
    return (
        f'<details class="headroom-progress"{" open" if unfolded else ""}>'
        f"<summary>{html.escape(title)}</summary><pre>{body}</pre></details>"
    )


def _raw(text: str) -> Any:
    from IPython.display import HTML

    return HTML(text)  # type: ignore[no-untyped-call]
