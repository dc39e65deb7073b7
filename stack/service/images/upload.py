"""Reading one uploaded file with a limit that holds whatever the headers say."""

from collections.abc import AsyncGenerator, AsyncIterator

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from stack.service.errors import InvalidRequest, ServiceError

FIELD = "file"
ENVELOPE_BYTES = 16 * 1024  # what multipart may add to the file


class TooLarge(ServiceError):
    """More bytes than are taken."""

    status, title = 413, "Content too large"


class UnsupportedType(ServiceError):
    """Content of a type that is not taken."""

    status, title = 415, "Unsupported media type"


async def uploaded_file(request: Request, most_bytes: int) -> bytes:
    """The one file of a multipart form. Raises TooLarge, UnsupportedType, InvalidRequest."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise UnsupportedType(f"send multipart/form-data with one file in the field {FIELD!r}")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most_bytes + ENVELOPE_BYTES:
        raise TooLarge(f"a file may have {most_bytes:,} bytes")
    bounded = _bounded(request.stream(), most_bytes)
    try:
        form = await MultiPartParser(request.headers, bounded, max_files=1, max_fields=4).parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise InvalidRequest(f"the multipart form cannot be read: {error}") from error
    try:
        file = form.get(FIELD)
        if not isinstance(file, UploadFile):
            raise InvalidRequest(f"the form has no file in the field {FIELD!r}")
        data = await file.read()
    finally:
        await form.close()
    if len(data) > most_bytes:
        raise TooLarge(f"a file may have {most_bytes:,} bytes; this one has {len(data):,}")
    return data


async def _bounded(stream: AsyncIterator[bytes], most_bytes: int) -> AsyncGenerator[bytes, None]:
    """The stream, ended by TooLarge when it is longer than its headers may have said."""
    read = 0
    async for chunk in stream:
        read += len(chunk)
        if read > most_bytes + ENVELOPE_BYTES:
            raise TooLarge(f"a file may have {most_bytes:,} bytes")
        yield chunk
