"""Set-up on a machine that lacks something: one line that says what to do."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_set_up_without_a_package_index_is_one_line_and_is_done_again_next_time(
    tmp_path: Path,
) -> None:
    nobody_listens = "http://127.0.0.1:9/simple"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PIP_")},
        "PIP_INDEX_URL": nobody_listens,
        "PIP_RETRIES": "0",
        "PIP_CONFIG_FILE": os.devnull,
    }
    target = f"{tmp_path}/service.done"
    done = subprocess.run(
        ["make", "-s", f"PYTHON={sys.executable}", f"STATE={tmp_path}", target],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    told = [line for line in done.stdout.splitlines() if not line.startswith("installing")]
    assert done.returncode == 2
    what_to_do = "No package index answers: check network and proxy, and run make again"
    assert told == [f"{what_to_do} ({tmp_path}/pip.log)."]
    assert all(line.startswith("make") for line in done.stderr.splitlines()), done.stderr
    assert not Path(target).exists()
