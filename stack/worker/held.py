"""The workers as emulated machines: a job holds a slot for its demand, its real work inside.

A request tells with its job when it was asked for, by its own clock, and what it demands. Whichever
worker claims the job asks the gate process, which knows the slots of all workers together.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from stack.gates.client import NodeClient
from stack.gates.settling import sleep_until
from stack.infra.jobs import Job

MACHINE = "worker"
log = logging.getLogger(__name__)


class WorkerGate:
    """The way of this worker's jobs to the gate of all workers."""

    def __init__(self, node_port: int) -> None:
        self._node = NodeClient(node_port)

    @asynccontextmanager
    async def held(self, job: Job) -> AsyncIterator[None]:
        """Hold a job, with the block inside; one that no emulated request asked for goes through.

        Its times go to the log, in seconds of the monotonic clock.
        """
        told = job.payload.get("held")
        if told is None:
            yield
            return
        asked_s = float(told["asked_s"])
        _, booking = await self._node.book([MACHINE], asked_s, float(told["demand_s"]))
        await sleep_until(booking.start_s)
        yield
        await sleep_until(booking.done_s)
        log.info("held: %.6f %.6f %.6f", asked_s, booking.start_s, max(booking.done_s, monotonic()))

    async def close(self) -> None:
        """Hang up."""
        await self._node.close()
