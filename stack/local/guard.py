"""The supervisor's parent: ends what is left and removes the folder, however the supervisor ends.

    python -m stack.local.guard FOLDER REPORT_FD LOCK_FD OWNER_PID

Guard and supervisor watch each other. A supervisor that is killed leaves its orphans to the guard;
a guard that is killed leaves the supervisor a SIGTERM, and that one stops the stack itself.
"""

import os
import signal
import sys
from pathlib import Path

from stack.errors import SupervisorLost
from stack.local.folder import remove
from stack.local.processes import (
    SAID_WHY,
    become_subreaper,
    end_descendants,
    last_lines,
    spawn,
    tell,
)


def main() -> int:
    """Run the supervisor; return its exit code after everything below is gone."""
    folder = Path(sys.argv[1])
    report, lock, owner_pid = map(int, sys.argv[2:5])
    become_subreaper()
    owner = -1
    if owner_pid:
        owner = os.pidfd_open(owner_pid)
        if os.getppid() != owner_pid:  # it died before we held on to it
            remove(folder)
            return 1
    keep = (report, lock, *([owner] if owner_pid else []))
    supervisor = spawn(
        [
            *(sys.executable, "-m", "stack.local"),
            *(str(folder), str(report), str(owner), str(lock)),
        ],
        environment=dict(os.environ),
        log=folder / "logs" / "supervisor.log",
        death_signal=signal.SIGTERM,
        keep=keep,
    )
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: os.kill(supervisor, signal.SIGTERM))
    reaped, status = 0, 0
    while reaped != supervisor:  # orphans of the supervisor may end before it
        reaped, status = os.waitpid(-1, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end_descendants()
    exit_code = os.waitstatus_to_exitcode(status)
    if exit_code not in (0, SAID_WHY):
        lost = SupervisorLost(last_lines=last_lines(folder / "logs" / "supervisor.log"))
        tell(report, "lost", error=lost.as_json())
    remove(folder)
    return abs(exit_code)  # and with it the report ends: now nothing is left


if __name__ == "__main__":
    sys.exit(main())
