"""Writes the typed Python client from the API's own description: `make client`.

    python -m stack.service.typed_client FOLDER

FOLDER becomes a project of its own, `headroom_client`, that needs httpx and attrs and nothing of
the service. Nothing is started or asked: the description is that of a service with every part.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import orjson

from stack.service.main import create_app
from stack.service.openapi import Described
from stack.service.settings import Settings

CONFIG = Path(__file__).with_name("typed_client.yaml")
PACKAGE = "headroom_client"
NOWHERE = "127.0.0.1:1"


def whole_description() -> Described:
    """The OpenAPI document of a service that has every part."""
    settings = Settings.model_validate(
        {
            "mongo_url": f"mongodb://{NOWHERE}/headroom",
            "redis_url": f"redis://{NOWHERE}/0",
            "queue_url": f"redis://{NOWHERE}/0",
            "elasticsearch_url": f"http://{NOWHERE}",
            "events_url": f"http://{NOWHERE}",
            "objects_url": f"file://{tempfile.gettempdir()}",
            "jwt_secret": "not a secret: it signs nothing here",
        }
    )
    return create_app(settings).openapi()


def write_client(folder: Path, description: Described) -> None:
    """Write the client as the project `folder`, in place of what is there."""
    tools = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as scratch:
        document = Path(scratch) / "openapi.json"
        document.write_bytes(orjson.dumps(description))
        command = [
            *(str(tools / "openapi-python-client"), "generate", "--path", str(document)),
            *("--config", str(CONFIG), "--meta", "setup", "--fail-on-warning"),
            *("--output-path", str(folder), "--overwrite"),
        ]
        environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}  # it runs ruff
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    write_client(Path(sys.argv[1]), whole_description())
