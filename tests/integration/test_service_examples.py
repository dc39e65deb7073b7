"""The curl examples of docs/api-examples.md, run word for word but for the port."""

import re
import subprocess
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[2] / "docs" / "api-examples.md").read_text()
BLOCKS = re.findall(r"^```bash\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_an_example_works(live_stack, number):
    script = BLOCKS[number].replace("http://127.0.0.1:8080", live_stack.info.base_url)
    assert live_stack.info.base_url in script
    command = ["bash", "-euo", "pipefail", "-c", script]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip()
