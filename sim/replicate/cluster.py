"""The same chunks on a Dask cluster; the only file that imports dask, and only when asked to."""

import importlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from sim.errors import InvalidScenario, NotConverged, Problem
from sim.replicate.tasks import Chunk, Job, UnitFailed

_CONNECT_S = 15.0
_LOSSES_ALLOWED = 10


def _answer(job: Job, chunk: Chunk) -> list[Any] | UnitFailed:
    return job.answer(chunk)


def cluster_results(
    address: str, job: Job, work: Sequence[Chunk]
) -> Iterator[tuple[Chunk, list[Any]]]:
    """Each chunk with its results, as they come; a chunk on a lost worker is computed again.

    Raises UnitFailed for a unit that raised, InvalidScenario where no scheduler answers or dask is
    not installed, NotConverged where the scheduler is lost or workers keep dying.
    """
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        allowed = "None, unless the extra headroom[dask] is installed"
        raise InvalidScenario(Problem("dask_address", address, allowed)) from error
    try:
        client = distributed.Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        allowed = f"the address of a running scheduler ({error})"
        raise InvalidScenario(Problem("dask_address", address, allowed)) from error
    with closing(client):
        shared = client.scatter(job, hash=False)
        futures = {
            client.submit(_answer, shared, chunk, pure=False, retries=_LOSSES_ALLOWED): chunk
            for chunk in work
        }
        for future in distributed.as_completed(futures, loop=client.loop):
            if future.status != "finished":
                lost = f"sweep on {address}: {future.status} {future.exception()!r}"
                raise NotConverged(lost, 0, len(work), 1)
            reply = future.result()
            if isinstance(reply, UnitFailed):
                raise reply
            yield futures.pop(future), reply
