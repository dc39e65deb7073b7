"""A TCP line to a server that a test can cut and mend."""

import asyncio
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


@asynccontextmanager
async def line_to(url):
    """A line to the server of this URL, and the URL by which a client reaches it."""
    line = Line(url)
    yield line, f"{urlsplit(url).scheme}://127.0.0.1:{await line.start()}/0"
    await line.stop()


class Line:
    """A TCP line to a server that can be cut and mended; its own port stays the same."""

    def __init__(self, url):
        self._there = (urlsplit(url).hostname, urlsplit(url).port)
        self._open = set()
        self._joined = set()
        self.cut = False

    async def start(self):
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def _join(self, reader, writer):
        if self.cut:
            writer.transport.abort()
            return
        self._joined.add(asyncio.current_task())
        far_reader, far_writer = await asyncio.open_connection(*self._there)
        self._open |= {writer, far_writer}
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        self._open -= {writer, far_writer}

    def set(self, cut):
        self.cut = cut
        if cut:
            for writer in self._open:
                writer.transport.abort()

    async def stop(self):
        self.set(True)
        self._server.close()
        await self._server.wait_closed()
        await asyncio.gather(*self._joined)


async def _pump(reader, writer):
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
