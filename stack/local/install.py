"""Set-up of the local stack: `python -m stack.local.install`. Idempotent and quick when done."""

import sys

from stack.errors import StackError
from stack.local.artefacts import VERSION, default_home, lay_out
from stack.local.servers import ensure_system_libraries


def main() -> int:
    """Install missing system libraries and lay out Elasticsearch; 0 when all is there."""
    try:
        installed = ensure_system_libraries()
        if installed:
            say(f"installed system libraries: {', '.join(installed)}")
        if lay_out(default_home(), progress=say):
            say(f"Elasticsearch {VERSION} is in {default_home()}")
    except StackError as error:
        say(str(error))
        return 1
    return 0


def say(line: str) -> None:
    """Print one line at once, also into a pipe."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
