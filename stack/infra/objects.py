"""The object store, through one client: a folder of this machine, or anything that speaks S3."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import obstore
from obstore.store import LocalStore, ObjectStore, S3Store
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from stack.infra.pictures import Format, Size

OBJECTS_URL = r"^(file:///.+|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])$"
TIMEOUT_S = 5


class ObjectSettings(BaseModel):
    """Where the objects are."""

    model_config = ConfigDict(frozen=True)

    url: Annotated[str, Field(pattern=OBJECTS_URL)]
    endpoint: str | None = None  # of an S3 server that is not Amazon's
    region: str = "us-east-1"
    key_id: str | None = None
    secret: SecretStr | None = None


class Objects:
    """Named bytes. Names are paths like `images/<sha256>/full.webp`."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def put(self, name: str, data: bytes, media_type: str) -> None:
        """Store or replace an object; readers see the old one or the new one, never a part."""
        # A folder keeps no media type with a file; the name's ending tells it there.
        kept = not isinstance(self._store, LocalStore)
        attributes = {"Content-Type": media_type} if kept else None
        await obstore.put_async(self._store, name, data, attributes=attributes)

    async def get(self, name: str) -> bytes | None:
        """The object's bytes; None: there is no such object."""
        try:
            found = await obstore.get_async(self._store, name)
            return bytes(await found.bytes_async())
        except FileNotFoundError:
            return None

    async def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        try:
            await obstore.head_async(self._store, name)
        except FileNotFoundError:
            return False
        return True


def objects_of(settings: ObjectSettings) -> Objects:
    """The store that the settings name; connects to nothing yet."""
    parts = urlsplit(settings.url)
    if parts.scheme == "file":
        return Objects(LocalStore(Path(parts.path), mkdir=True))
    return Objects(_s3(settings, parts.netloc))


def original_name(sha256: str) -> str:
    """The name of an upload as it came."""
    return f"originals/{sha256}"


def variant_name(sha256: str, size: Size, form: Format) -> str:
    """The name of one size of it in one format."""
    return f"images/{sha256}/{size}.{form}"


async def create_bucket(settings: ObjectSettings) -> None:
    """Make the bucket of an S3 server unless it is there; nothing to do for a folder."""
    import aiohttp
    from yarl import URL

    parts = urlsplit(settings.url)
    if parts.scheme != "s3" or settings.endpoint is None:
        return
    # The client cannot create buckets, but it can sign the request that does.
    request = obstore.sign(_s3(settings, parts.netloc), "PUT", "", timedelta(seconds=60))
    limit = aiohttp.ClientTimeout(total=TIMEOUT_S)
    # Its URL is signed as it stands and must not be quoted again.
    url = URL(request, encoded=True)
    async with aiohttp.ClientSession(timeout=limit) as client, client.put(url) as answer:
        if answer.status not in (200, 409):  # 409: it is ours already
            raise OSError(f"bucket {parts.netloc!r} could not be made: HTTP {answer.status}")


def _s3(settings: ObjectSettings, bucket: str) -> S3Store:
    secret = settings.secret.get_secret_value() if settings.secret else None
    plain = settings.endpoint is not None and settings.endpoint.startswith("http://")
    return S3Store(
        bucket,
        endpoint=settings.endpoint,
        region=settings.region,
        access_key_id=settings.key_id,
        secret_access_key=secret,
        virtual_hosted_style_request=False,
        client_options={"allow_http": plain, "timeout": timedelta(seconds=TIMEOUT_S)},
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=TIMEOUT_S)},
    )
