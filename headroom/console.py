"""What the CLI says: progress on stderr, results on stdout, as a table or as JSON."""

import json
import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from headroom.artefacts import Artefact, Estimate

_BEGAN = time.monotonic()
progress = Console(stderr=True, highlight=False)
output = Console(highlight=False, soft_wrap=True)


class Interrupt:
    """A Ctrl-C that must not get lost.

    Python drops a KeyboardInterrupt that lands in a callback of compiled code or in a finaliser
    ("Exception ignored in …"). The signal is therefore remembered, and the next line of progress
    raises it again.
    """

    def __init__(self) -> None:
        self._pending = False

    def remember(self) -> None:
        """Called by the signal handler."""
        self._pending = True

    def forget(self) -> None:
        """Called by whoever caught the KeyboardInterrupt."""
        self._pending = False

    def check(self) -> None:
        """Raise KeyboardInterrupt when one got lost."""
        if self._pending:
            self._pending = False
            raise KeyboardInterrupt


interrupt = Interrupt()


def say(line: str) -> None:
    """One line of progress, with the time since the start; a Ctrl-C that got lost ends here."""
    interrupt.check()
    stamp = f"[dim]{time.monotonic() - _BEGAN:6.1f} s[/]  "
    progress.print(stamp + escape(line), soft_wrap=True)


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout."""
    table = Table(title=title, title_justify="left", box=None, header_style="bold")
    for column in columns:
        table.add_column(column, justify="left" if column == columns[0] else "right")
    for row in rows:
        table.add_row(*row)
    output.print(table)


def show_json(artefact: Artefact | list[object] | dict[str, object]) -> None:
    """An artefact or plain data as JSON on stdout."""
    if isinstance(artefact, Artefact):
        sys.stdout.write(artefact.model_dump_json(indent=1) + "\n")
    else:
        sys.stdout.write(json.dumps(artefact, indent=1, default=str) + "\n")


def milliseconds(estimate: Estimate) -> str:
    """Seconds shown as milliseconds with their interval."""
    return f"{estimate.value * 1e3:.1f} ({estimate.low * 1e3:.1f}–{estimate.high * 1e3:.1f})"


def figure(estimate: Estimate, digits: int = 3) -> str:
    """A number with its interval."""
    if estimate.low == estimate.high:
        return f"{estimate.value:.{digits}g}"
    low, high = f"{estimate.low:.{digits}g}", f"{estimate.high:.{digits}g}"
    return f"{estimate.value:.{digits}g} ({low}–{high})"
