"""A pool of worker processes that leaves nothing behind and survives the loss of a worker.

Each worker is a spawned interpreter at the end of its own pipe. When the parent dies, however it
dies, the pipe closes and a watching thread ends the worker; when a worker dies, its chunk goes to
another one, with the same streams, so the result is the same to the bit.
"""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, Self

from sim.errors import NotConverged, require
from sim.replicate.tasks import Chunk, Job, UnitFailed

_MOST_LOSSES = 3  # of the same chunk: then the chunk kills workers, not chance


def require_portable(job: Job) -> None:
    """Raise InvalidScenario unless another process can be sent the job."""
    function = job.function
    try:
        pickle.dumps(job)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        require(False, "function", function, f"a function and cases that can be pickled ({error})")
    main = sys.modules.get("__main__")
    typed_in = getattr(function, "__module__", "") == "__main__" and not hasattr(main, "__file__")
    require(
        not typed_in,
        "function",
        getattr(function, "__qualname__", function),
        "a function from a module that workers can import, not one typed into a notebook",
    )


def _follow_parent() -> None:
    """End this process as soon as the parent is gone, even in the middle of a computation."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _work(pipe: Connection, job: Job) -> None:
    """The life of a worker: chunks in, results out, until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_follow_parent, daemon=True).start()
    while True:
        try:
            chunk: Chunk = pipe.recv()
        except EOFError:
            return
        reply = job.answer(chunk)
        try:
            pipe.send(reply)
        except (BrokenPipeError, ConnectionResetError):
            return
        except Exception as error:
            case, replication = chunk.units[0]
            text = f"a result of this chunk cannot be sent between processes: {error}"
            pipe.send(UnitFailed(case, replication, TypeError(text)))


class Workers:
    """A context manager around `size` worker processes that run chunks of one sweep."""

    def __init__(self, size: int, job: Job) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._size = size
        self._job = job
        self._processes: dict[Connection, SpawnProcess] = {}
        self._losses: dict[int, int] = {}

    def __enter__(self) -> Self:
        try:
            for _ in range(self._size):
                self._start_one()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def results(self, work: Sequence[Chunk]) -> Iterator[tuple[Chunk, list[Any]]]:
        """Each chunk with its results, as they come; raises UnitFailed for a unit that raised."""
        todo = deque(work)
        doing: dict[Connection, Chunk] = {}
        while todo or doing:
            for pipe in [pipe for pipe in self._processes if pipe not in doing]:
                if todo and self._sent(pipe, todo[0]):
                    doing[pipe] = todo.popleft()
            for ready in wait(list(doing)):
                assert isinstance(ready, Connection)
                chunk = doing.pop(ready)
                try:
                    reply = ready.recv()
                except (EOFError, ConnectionResetError):
                    self._replace(ready, chunk)
                    todo.appendleft(chunk)
                    continue
                if isinstance(reply, UnitFailed):
                    raise reply
                yield chunk, reply

    def _sent(self, pipe: Connection, chunk: Chunk) -> bool:
        try:
            pipe.send(chunk)
        except (BrokenPipeError, ConnectionResetError):
            self._replace(pipe, chunk)
            return False
        return True

    def _start_one(self) -> None:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_work, args=(there, self._job), daemon=True)
        process.start()
        there.close()
        self._processes[here] = process

    def _replace(self, pipe: Connection, chunk: Chunk) -> None:
        """Forget a dead worker and start another, unless `chunk` has killed too many."""
        process = self._processes.pop(pipe)
        pipe.close()
        process.join()
        process.close()
        lost = self._losses[chunk.number] = self._losses.get(chunk.number, 0) + 1
        if lost >= _MOST_LOSSES:
            raise NotConverged("sweep: workers died on one chunk", lost, 0, lost)
        self._start_one()

    def _stop(self) -> None:
        for process in self._processes.values():
            process.kill()  # nothing in a worker needs an orderly end
        for pipe, process in self._processes.items():
            process.join()
            process.close()
            pipe.close()
        self._processes.clear()
