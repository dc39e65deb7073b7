"""Faults of a replica that stand between it and the load balancer; for tests of a diagnosis only.

The outermost layer of a replica whose stack takes faults, and not there in any other.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stack.gates.addressed import operation_of
from stack.gates.draws import uniform
from stack.infra.faults import Faults, FaultsFile
from stack.service.errors import problem

SEED = 6  # of the draw which requests are answered wrongly


class Faulty:
    """Makes requests arrive later and answers some of them wrongly, while that is switched on."""

    def __init__(self, app: ASGIApp, *, faults: FaultsFile, replica: str) -> None:
        self._app = app
        self._faults = faults
        self._replica = replica
        self._served = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or operation_of(scope["method"], scope["path"]) is None:
            await self._app(scope, receive, send)
            return
        faults = self._faults.now()
        if faults.arrives_later_s:
            await asyncio.sleep(faults.arrives_later_s)
        status = self._status(faults)
        if status is None:
            await self._app(scope, receive, send)
            return
        if faults.after_the_work:
            await self._app(scope, receive, _unheard)
        answer = problem(
            status, "A fault", "switched on for a test", {"X-Served-By": self._replica}
        )
        await answer(scope, receive, send)

    def _status(self, faults: Faults) -> int | None:
        """With what the next request is wrongly answered; None: it is not."""
        if not faults.answers:
            return None
        self._served += 1
        left = uniform(SEED, self._replica, self._served, 0)
        for status, share in faults.answers.items():
            left -= share
            if left < 0:
                return status
        return None


async def _unheard(_message: Message) -> None:
    """Nobody hears the answer that was worked for."""
