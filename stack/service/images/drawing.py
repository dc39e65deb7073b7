"""The made-up pictures of products, drawn when asked for: the edge cache keeps them."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from stack.infra.pictures import Format, Size, product_picture
from stack.service.errors import ServiceError

# One thread, so that pictures never take the replica's whole core; more than these in line wait
# longer than a browser would.
WAITING = 32


class TooManyDrawings(ServiceError):
    """More pictures are asked for than can be drawn soon."""

    status, title = 503, "Too many pictures at once"
    headers = {"Retry-After": "1"}  # noqa: RUF012 - a constant of the class, never changed


class Drawing:
    """Draws one picture at a time, beside the event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pictures")
        self._waiting = 0

    async def of_product(self, number: int, size: Size, form: Format) -> bytes:
        """The picture of a product. Raises TooManyDrawings."""
        if self._waiting >= WAITING:
            raise TooManyDrawings("too many pictures are being drawn; try again")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, product_picture, number, size, form)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Stop the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)
