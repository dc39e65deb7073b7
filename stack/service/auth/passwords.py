"""Password hashing beside the event loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2.exceptions import InvalidHashError, VerificationError

from stack.infra.passwords import HASHER

THREADS = 2


class Passwords:
    """Hashes and checks outside the event loop; Argon2 lets go of the interpreter's lock."""

    def __init__(self) -> None:
        # A pool of its own: a wave of logins must neither use up memory nor other threads.
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._nobody = HASHER.hash("nobody")

    async def hashed(self, password: str) -> str:
        """The hash to store."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, HASHER.hash, password)

    async def fits(self, stored: str | None, password: str) -> bool:
        """Whether the password belongs to the hash; takes as long when there is no account."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, _fits, stored, self._nobody, password)

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _fits(stored: str | None, nobody: str, password: str) -> bool:
    try:
        HASHER.verify(stored or nobody, password)
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None
