"""A stack's folder and the lock on it: whoever holds the lock is the stack."""

import contextlib
import fcntl
import os
import shutil
from pathlib import Path

from stack.local.artefacts import STATE_FOLDER
from stack.local.info import REQUEST


def stack_folder(name: str) -> Path:
    """Where the stack of that name lives: `.headroom/stacks/NAME`."""
    return (STATE_FOLDER / "stacks" / name).absolute()


def lock(folder: Path) -> int | None:
    """Lock an existing folder; the descriptor that holds the lock, None when somebody has it.

    The kernel drops the lock with the last process that has the descriptor, however that one ends.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_ino != folder.stat().st_ino:  # removed and made anew meanwhile
            raise BlockingIOError
    except (BlockingIOError, FileNotFoundError):
        os.close(descriptor)
        return None
    return descriptor


def is_locked(folder: Path) -> bool:
    """Whether a stack lives in `folder`."""
    try:
        descriptor = lock(folder)
    except FileNotFoundError:
        return False
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def empty(folder: Path) -> None:
    """Remove what a stack has left; the file that marks the folder as a stack's goes last."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name == REQUEST):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Remove the folder of a stack that has ended; somebody else may be doing the same."""
    with contextlib.suppress(FileNotFoundError):
        empty(folder)
        folder.rmdir()


def remove_if_orphaned(folder: Path) -> None:
    """Remove the folder when the guard, whose task it is, is no longer our parent."""
    if os.getppid() == 1 or not _is_guard(os.getppid()):
        remove(folder)


def _is_guard(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"stack.local.guard" in command
