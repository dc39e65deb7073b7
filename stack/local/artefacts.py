"""Elasticsearch, laid out from the artefacts that Elastic publishes, without Docker or Maven.

The folder is complete or absent: everything is fetched and checked beside it, then renamed.
Licence: the server is AGPL-3.0 / SSPL / Elastic-2.0; it is fetched at set-up, never shipped by us.
"""

import csv
import hashlib
import shutil
import tempfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from stack.errors import CorruptDownload, DownloadFailed, MissingArtefacts

VERSION = "9.5.3"
COORDINATES = (
    f"org.elasticsearch:elasticsearch:{VERSION}",
    f"org.elasticsearch.plugin:transport-netty4:{VERSION}",
)
STATE_FOLDER = Path(".headroom")  # below the working directory; git-ignored
SET_UP = "python -m stack.local.install"
ATTEMPTS = 3
TIMEOUT_S = 30

DESCRIPTOR = f"""\
description=HTTP and transport over Netty
version={VERSION}
name=transport-netty4
classname=org.elasticsearch.transport.netty4.Netty4Plugin
java.version=21
elasticsearch.version={VERSION}
"""


def default_home() -> Path:
    """Where set-up lays Elasticsearch out: `.headroom/elasticsearch/VERSION`."""
    return (STATE_FOLDER / "elasticsearch" / VERSION).absolute()


def laid_out(home: Path) -> Path:
    """`home`, known to be complete; MissingArtefacts otherwise."""
    if not (home / "modules" / "transport-netty4" / "plugin-descriptor.properties").exists():
        raise MissingArtefacts(folder=str(home), command=SET_UP)
    return home


def pinned_hashes() -> dict[str, str]:
    """SHA-256 of every jar, by its path below the home folder."""
    with (files("stack.local") / "elasticsearch_artefacts.csv").open(encoding="utf-8") as file:
        return {row["path"]: row["sha256"] for row in csv.DictReader(file)}


def lay_out(home: Path, progress: Callable[[str], None]) -> bool:
    """Fetch and lay Elasticsearch out in `home`; False when it was there already.

    Raises DownloadFailed without a network, CorruptDownload when a jar is not the pinned one;
    `home` is untouched then.
    """
    try:
        laid_out(home)
    except MissingArtefacts:
        pass
    else:
        return False
    home.parent.mkdir(parents=True, exist_ok=True)
    progress(f"fetching Elasticsearch {VERSION} (45 MB)")
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=".fetch-") as scratch:
        draft = Path(scratch) / "home"
        for jar in _fetched_jars(Path(scratch) / "repository"):
            target = draft / place_of(jar.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(jar, target)
        check_hashes(draft)
        module = draft / "modules" / "transport-netty4"
        (module / "plugin-descriptor.properties").write_text(DESCRIPTOR)
        (draft / "plugins").mkdir()
        try:
            draft.rename(home)
        except OSError:
            laid_out(home)  # another set-up was quicker, or the rename's own error is the news
            return False
    return True


def place_of(jar: str) -> str:
    """Path below the home folder where Elasticsearch expects a jar."""
    in_module = jar.startswith(("netty-", "transport-netty4", "elasticsearch-ssl-config"))
    return f"modules/transport-netty4/{jar}" if in_module else f"lib/{jar}"


def _fetched_jars(repository: Path) -> list[Path]:
    import requests
    from jgo.env import EnvironmentBuilder
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=repository, timeout=TIMEOUT_S)
    builder = EnvironmentBuilder(context=context, cache_dir=repository / "environment")
    for attempt in range(1, ATTEMPTS + 1):  # what came before a lost connection is kept
        try:
            environment = builder.from_endpoint("+".join(COORDINATES))
        except (requests.RequestException, OSError, RuntimeError, ValueError) as error:
            if attempt == ATTEMPTS:
                reason = str(error).splitlines()[0][:200]
                raise DownloadFailed(what=f"Elasticsearch {VERSION}", reason=reason) from error
        else:
            return [Path(jar) for jar in environment.all_jars]
    raise AssertionError


def check_hashes(home: Path) -> None:
    """Raise CorruptDownload unless the jars below `home` are exactly the pinned ones."""
    found = {
        str(jar.relative_to(home)): hashlib.sha256(jar.read_bytes()).hexdigest()
        for jar in home.rglob("*.jar")
    }
    pinned = pinned_hashes()
    wrong = sorted(path for path in pinned | found if pinned.get(path) != found.get(path))
    if wrong:
        raise CorruptDownload(files=wrong)
