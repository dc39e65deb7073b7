"""What the workbench hands to the generator and gets back: two unnamed files.

The plan holds the schedule and the bytes of each request; the journal has a row per request that
the generator fills in place. Both are unlinked temporary files whose descriptors the generator
inherits: whatever dies, and however, no file is left, and what was measured until then is there.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

# How a request ended. UNSENT stays where the run was cut short.
UNSENT, IN_FLIGHT, ANSWERED, TIMEOUT, NO_CONNECTION, BROKEN, DROPPED = range(7)
ERRORS = ("unsent", "unfinished", None, "timeout", "no connection", "broken connection", "dropped")

JOURNAL = np.dtype(
    [
        ("due_s", "f8"),  # from the start of the schedule: when it should have been sent
        ("sent_s", "f8"),
        ("done_s", "f8"),
        ("cache_s", "f4"),  # the server's own timings, NaN where it told none
        ("db_s", "f4"),
        ("search_s", "f4"),
        ("app_s", "f4"),  # all of the replica's time
        ("bytes", "i4"),
        ("body_crc32", "u4"),
        ("status", "i2"),
        ("cache", "i1"),  # index into answer.CACHE_OUTCOMES
        ("replica", "i1"),  # index into the replicas that the generator names; -1: not told
        ("coalesced", "?"),
        ("attempts", "i1"),  # sent for it, the first one included
        ("end", "i1"),
    ]
)

_COLUMNS = (
    *("intended_s", "request_id", "operation", "head", "authorization", "body"),
    *("retry_wait_s", "think_s"),
)


@dataclass(frozen=True)
class Plan:
    """A schedule of requests; head, authorization and body of each are indices into `pieces`.

    A request on the wire is head, authorization, `X-Request-Id: <run_id>-<request_id>`, `X-Due:
    <monotonic s>`, `X-Attempt: <from 0 on>`, an empty line, body. Most pieces serve many requests,
    so the plan of a long run stays small. `retry_wait_s` has a row for each request: what it waits
    before its first retry, its second …; without columns nothing is sent again.

    With `users` only their first requests, as many, have times of their own. Request n + `users` is
    what the user of request n asks next: `think_s` of it after that one's answer, unless that is
    not before the last time of the plan.
    """

    run_id: str
    address: tuple[str, int]
    timeout_s: float
    max_in_flight: int
    is_punctual: bool  # in real time, for emulated machines
    is_closed: bool  # always so many in flight: the next is sent when one is answered
    users: int  # who think between an answer and their next request; 0: the times are all known
    operations: tuple[str, ...]
    expected_status: tuple[int, ...]  # by operation
    intended_s: NDArray[np.float64]
    request_id: NDArray[np.int64]
    operation: NDArray[np.int32]
    head: NDArray[np.int32]
    authorization: NDArray[np.int32]
    body: NDArray[np.int32]
    retry_wait_s: NDArray[np.float64]
    think_s: NDArray[np.float64]
    pieces: Sequence[bytes]

    def __len__(self) -> int:
        return int(self.intended_s.size)

    def write(self, file: BinaryIO) -> None:
        """Write the plan; `read` takes it back."""
        facts = {
            "run_id": self.run_id,
            "address": self.address,
            "timeout_s": self.timeout_s,
            "max_in_flight": self.max_in_flight,
            "is_punctual": self.is_punctual,
            "is_closed": self.is_closed,
            "users": self.users,
            "operations": self.operations,
            "expected_status": self.expected_status,
        }
        ends = np.cumsum([len(piece) for piece in self.pieces], dtype=np.int64)
        np.savez(
            file,
            facts=np.frombuffer(json.dumps(facts).encode(), np.uint8),
            ends=ends,
            pieces=np.frombuffer(b"".join(self.pieces), np.uint8),
            **{name: getattr(self, name) for name in _COLUMNS},
        )
        file.flush()

    @classmethod
    def read(cls, file: BinaryIO) -> Self:
        """Read a plan back."""
        file.seek(0)
        with np.load(file, allow_pickle=False) as stored:
            facts = json.loads(stored["facts"].tobytes())
            text, ends = stored["pieces"].tobytes(), stored["ends"].tolist()
            columns = {name: stored[name] for name in _COLUMNS}
        for name in ("address", "operations", "expected_status"):
            facts[name] = tuple(facts[name])  # JSON knows lists only
        pieces = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        return cls(**facts, **columns, pieces=pieces)


def journal(file: BinaryIO, rows: int) -> NDArray[np.void]:
    """The journal in `file` as an array that shares its memory; a new file reads as UNSENT."""
    file.truncate(rows * JOURNAL.itemsize)
    return np.memmap(file, dtype=JOURNAL, mode="r+", shape=(rows,))
