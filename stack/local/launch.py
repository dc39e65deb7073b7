"""Start one server so that it cannot outlive its parent: `launch.py PARENT_PID SIGNAL COMMAND…`.

Run as a script with `python -I -S`, before the server itself: the kernel's parent-death signal
belongs to the process that asks for it and survives `exec`, so asking here needs no code between
fork and exec of the (possibly multi-threaded) parent.
"""

import ctypes
import os
import resource
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask to be signalled when the parent dies, then become the server."""
    parent, signal_number, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:  # it died before the kernel knew that we care
        sys.exit("the parent is gone")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a killed server leaves no core file behind
    os.execv(command[0], command)  # noqa: S606 - becoming the server is what this is for


if __name__ == "__main__":
    main()
