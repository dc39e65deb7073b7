"""What one request costs: bursts and single requests of one class, with the CPU time they took.

A burst is a handful of requests sent at once over as many keep-alive connections: the servers work
through it without idle gaps, so its CPU time holds no wake-ups. Single requests, with gaps, show
what a user waits at low load. CPU is read around each burst and the rest after it, less what the
stack uses when nobody asks.
"""

import selectors
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stack.load.answer import Answer
from stack.load.errors import LoadError
from stack.observe.cpu import CpuUse, difference, main_thread_s, snapshot

BURST = 16
REST_S = 0.08  # replication, the indexer and timers follow a burst within it
PATIENCE_S = 30.0
Pids = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Costs:
    """What the requests of one class cost.

    Args:
        cpu_s: by part, CPU time a request, one value a burst; idle work taken off, never below 0.
            For parts in `loops`, that of the main thread; their other threads are `<part>:threads`.
        latency_s: of single requests, from sending to the last byte.
        single_cpu_s: by part as above, CPU time of a single request: what waking up costs is in it.
        cache: outcomes seen in X-Cache, by number of single and burst requests.
        wrong_status: answers without the expected status.
    """

    cpu_s: dict[str, NDArray[np.float64]]
    latency_s: NDArray[np.float64]
    single_cpu_s: dict[str, float]
    cache: dict[int, int]
    wrong_status: int


class Prober:
    """Keep-alive connections to one stack, and the clocks of its processes."""

    def __init__(
        self, address: tuple[str, int], pids_by_part: Pids, loops: Sequence[str] = ()
    ) -> None:
        self._address = address
        self._pids = pids_by_part
        self._loops = tuple(loops)
        self._connections: list[socket.socket] = []
        self._answers: list[Answer] = []
        self._idle_per_s: dict[str, float] = {}

    def __enter__(self) -> "Prober":
        for _ in range(BURST):
            connection = socket.create_connection(self._address, timeout=PATIENCE_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections.append(connection)
            self._answers.append(Answer())
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections:
            connection.close()

    def watch_idle(self, seconds: float) -> CpuUse:
        """See what the stack uses when nobody asks; later costs are less that."""
        use, threads = self._watched(lambda: time.sleep(seconds))
        self._idle_per_s = {
            part: cpu_s / use.wall_s for part, cpu_s in self._split(use, threads).items()
        }
        return use

    def costs(
        self,
        bursts: Sequence[Sequence[bytes]],
        singles: Sequence[bytes],
        *,
        expected_status: int,
        prepare: Callable[[], None],
        gaps_s: Sequence[float],
    ) -> Costs:
        """Send bursts of requests, then single ones, and see what they cost.

        Args:
            bursts: each of at most BURST requests.
            singles: sent one by one, `gaps_s` apart.
            prepare: called before each burst and before the singles; its CPU is not counted.
        Raises: LoadError when an answer does not come.
        """
        cpu_s: dict[str, list[float]] = {}
        cache: dict[int, int] = {}
        wrong = 0
        for burst in bursts:
            prepare()
            use, threads = self._watched(lambda burst=burst: self._burst(burst))  # type: ignore[misc]
            for part, total_s in self._split(use, threads).items():
                own_s = total_s - self._idle_per_s.get(part, 0.0) * use.wall_s
                cpu_s.setdefault(part, []).append(max(0.0, own_s) / len(burst))
            for answer in self._answers[: len(burst)]:
                cache[answer.cache] = cache.get(answer.cache, 0) + 1
                wrong += answer.status != expected_status
        prepare()
        latency_s: list[float] = []

        def one_by_one() -> None:
            nonlocal wrong
            for request, gap_s in zip(singles, gaps_s, strict=True):
                time.sleep(gap_s)
                began = time.perf_counter()
                self._exchange([request])
                latency_s.append(time.perf_counter() - began)
                answer = self._answers[0]
                cache[answer.cache] = cache.get(answer.cache, 0) + 1
                wrong += answer.status != expected_status
            time.sleep(REST_S)

        use, threads = self._watched(one_by_one)
        return Costs(
            {part: np.array(values) for part, values in cpu_s.items()},
            np.array(latency_s),
            {
                part: max(0.0, total_s - self._idle_per_s.get(part, 0.0) * use.wall_s)
                / max(1, len(singles))
                for part, total_s in self._split(use, threads).items()
            },
            cache,
            wrong,
        )

    def send(self, requests: Sequence[bytes]) -> None:
        """Send requests without counting anything: to warm caches and compilers."""
        for start in range(0, len(requests), BURST):
            self._exchange(requests[start : start + BURST])

    def _burst(self, burst: Sequence[bytes]) -> None:
        self._exchange(burst)
        time.sleep(REST_S)

    def _exchange(self, requests: Sequence[bytes]) -> None:
        """Send one request on each connection, at once, and read all answers."""
        with selectors.DefaultSelector() as selector:
            for index, request in enumerate(requests):
                self._answers[index].expect()
                self._connections[index].sendall(request)
                selector.register(self._connections[index], selectors.EVENT_READ, index)
            deadline = time.monotonic() + PATIENCE_S
            missing = len(requests)
            while missing:
                for key, _ in selector.select(max(0.0, deadline - time.monotonic())):
                    answer = self._answers[key.data]
                    data = self._connections[key.data].recv(65_536)
                    if not data:
                        raise LoadError("the stack closed a connection before its answer")
                    answer.feed(data)
                    if answer.complete:
                        selector.unregister(self._connections[key.data])
                        missing -= 1
                if missing and time.monotonic() > deadline:
                    raise LoadError(f"{missing} answers did not come within {PATIENCE_S:g} s")
            for index in range(len(requests)):
                if not self._answers[index].keep_alive:
                    self._connections[index].close()
                    self._connections[index] = socket.create_connection(
                        self._address, timeout=PATIENCE_S
                    )

    def _watched(self, work: Callable[[], None]) -> tuple[CpuUse, dict[str, float]]:
        """CPU use during some work, and that of the main threads of the parts in `loops`."""
        before, loops_before = snapshot(self._pids), self._main_threads()
        work()
        use = difference(before, snapshot(self._pids))
        after = self._main_threads()
        return use, {part: after[part] - loops_before[part] for part in self._loops}

    def _main_threads(self) -> dict[str, float]:
        return {part: main_thread_s(self._pids[part][0]) for part in self._loops}

    def _split(self, use: CpuUse, main_s: Mapping[str, float]) -> dict[str, float]:
        parts = dict(use.cpu_s)
        for part, loop_s in main_s.items():
            parts[f"{part}:threads"] = max(0.0, parts[part] - loop_s)
            parts[part] = loop_s
        return parts
