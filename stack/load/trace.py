"""The list of requests that the workbench wrote, and the plan made of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stack.infra.operations import Operation
from stack.load.errors import InvalidTrace
from stack.load.plan import Plan
from stack.load.requests import EXPECTED_STATUS, RequestBook

COLUMNS = {
    "request_id": pa.int64(),
    "intended_s": pa.float64(),
    "operation": pa.string(),
    "key": pa.int64(),
    "user": pa.int64(),
}


@dataclass(frozen=True)
class RequestTrace:
    """Requests in order of their intended times; `operation` indexes `operations`."""

    request_id: NDArray[np.int64]
    intended_s: NDArray[np.float64]
    operations: tuple[Operation, ...]
    operation: NDArray[np.int32]
    key: NDArray[np.int64]
    user: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.intended_s.size)


@dataclass(frozen=True)
class Users:
    """Closed users: request `visit * users + user` of a trace is that visit of that user.

    Args:
        users: how many.
        think_s: before each request, from the user's last answer; of the first ones the trace
            tells when they come. All later ones stand at the trace's last time, until which
            requests are sent.
    """

    users: int
    think_s: NDArray[np.float64]

    def check(self, requests: int) -> None:
        """Raises InvalidTrace when they are not those of a trace with so many requests."""
        if self.users < 1 or requests % self.users:
            allowed = f"a divisor of the {requests} requests"
            raise InvalidTrace(what="users", value=self.users, allowed=allowed)
        good = np.isfinite(self.think_s) & (self.think_s >= 0)
        if self.think_s.size != requests or not good.all():
            allowed = f"{requests} finite times >= 0"
            raise InvalidTrace(what="think_s", value=f"{self.think_s.size} times", allowed=allowed)


def read_trace(path: Path) -> RequestTrace:
    """Read a trace. Raises InvalidTrace that names file, column and what is allowed."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise InvalidTrace(what=str(path), value=str(error), allowed="a parquet file") from error
    columns = {name: _column(path, table, name, kind) for name, kind in COLUMNS.items()}
    intended_s = columns["intended_s"].to_numpy()
    if intended_s.size == 0:
        raise InvalidTrace(what=f"{path}: rows", value=0, allowed="at least one request")
    if not np.isfinite(intended_s).all() or intended_s[0] < 0 or (np.diff(intended_s) < 0).any():
        allowed = "finite times from 0 on, ascending"
        raise InvalidTrace(what=f"{path}: intended_s", value="out of order", allowed=allowed)
    names = columns["operation"].dictionary_encode()
    return RequestTrace(
        request_id=columns["request_id"].to_numpy(),
        intended_s=intended_s,
        operations=tuple(_operation(path, name) for name in names.dictionary.to_pylist()),
        operation=names.indices.to_numpy().astype(np.int32),
        key=columns["key"].to_numpy(),
        user=columns["user"].to_numpy(),
    )


def plan_of(
    trace: RequestTrace,
    book: RequestBook,
    address: tuple[str, int],
    *,
    timeout_s: float,
    max_in_flight: int,
    is_punctual: bool = False,
    is_closed: bool = False,
    retry_wait_s: NDArray[np.float64] | None = None,
    users: Users | None = None,
) -> Plan:
    """The bytes of every request of a trace, each distinct piece stored once."""
    pieces: dict[bytes, int] = {}
    indices = np.empty((len(trace), 3), np.int32)
    rows = zip(
        trace.operation.tolist(),
        trace.key.tolist(),
        trace.user.tolist(),
        trace.request_id.tolist(),
        strict=True,
    )
    for row, (operation, key, user, request_id) in enumerate(rows):
        request = book.request(trace.operations[operation], key, user, request_id)
        indices[row] = [pieces.setdefault(piece, len(pieces)) for piece in request]
    return Plan(
        run_id=book.run_id,
        address=address,
        timeout_s=timeout_s,
        max_in_flight=max_in_flight,
        is_punctual=is_punctual,
        is_closed=is_closed,
        users=0 if users is None else users.users,
        operations=tuple(str(operation) for operation in trace.operations),
        expected_status=tuple(EXPECTED_STATUS[operation] for operation in trace.operations),
        intended_s=trace.intended_s,
        request_id=trace.request_id,
        operation=trace.operation,
        head=indices[:, 0],
        authorization=indices[:, 1],
        body=indices[:, 2],
        retry_wait_s=np.empty((len(trace), 0)) if retry_wait_s is None else retry_wait_s,
        think_s=np.empty(0) if users is None else users.think_s,
        pieces=tuple(pieces),
    )


def _column(path: Path, table: Any, name: str, kind: Any) -> Any:
    if name not in table.column_names:
        raise InvalidTrace(what=f"{path}: columns", value=table.column_names, allowed=f"{name!r}")
    column = table.column(name)
    try:
        column = column.cast(kind).combine_chunks()
    except pa.ArrowException as error:
        raise InvalidTrace(
            what=f"{path}: {name}", value=str(column.type), allowed=str(kind)
        ) from error
    if column.null_count:
        raise InvalidTrace(what=f"{path}: {name}", value=None, allowed="no empty values")
    return column


def _operation(path: Path, name: str) -> Operation:
    try:
        return Operation(name)
    except ValueError:
        allowed = ", ".join(Operation)
        raise InvalidTrace(what=f"{path}: operation", value=name, allowed=allowed) from None
