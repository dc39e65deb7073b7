import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sim.scenario import Operation as ModelledOperation
from stack.infra.catalogue import Catalogue, product_id, user_email
from stack.infra.operations import Operation
from stack.load.answer import CACHE_OUTCOMES, Answer
from stack.load.errors import InvalidTrace
from stack.load.plan import Plan
from stack.load.requests import EXPECTED_STATUS, Credentials, RequestBook, address_of
from stack.load.trace import COLUMNS, plan_of, read_trace

BASE_URL = "http://127.0.0.1:8080"
CATALOGUE = Catalogue(products=100, users=10, categories=4, pages_per_category=2, search_queries=20)
BOOK = RequestBook(BASE_URL, CATALOGUE, Credentials("a secret of more than 32 characters"), "run-1")


def wire(operation: Operation, key: int, user: int = 3, request_id: int = 7) -> str:
    return (
        BOOK.request(operation, key, user, request_id).on_the_wire(f"run-1-{request_id}").decode()
    )


def test_requests_are_http_with_their_identity() -> None:
    text = wire(Operation.DETAIL, 5)
    assert text.startswith(f"GET /api/v1/products/{product_id(5)} HTTP/1.1\r\nHost: 127.0.0.1:8080")
    assert text.endswith("\r\nX-Request-Id: run-1-7\r\n\r\n")


def test_each_operation_asks_what_its_key_means() -> None:
    assert wire(Operation.LIST, 1).startswith("GET /api/v1/products?page=2 ")
    assert "?category=" in wire(Operation.LIST, 2)
    assert "cursor=" not in wire(Operation.LIST_CURSOR, 0)  # a first page has none
    assert "cursor=" in wire(Operation.LIST_CURSOR, 3)
    assert "Authorization: Bearer " in wire(Operation.FAVOURITES, 3)
    assert wire(Operation.FAVOURITE_ADD, 9).startswith("PUT /api/v1/users/me/favourites/")
    assert wire(Operation.PRODUCT_UPDATE, 9).endswith('{"stock": 7}')
    assert user_email(4) in wire(Operation.LOGIN, 4)
    assert '"email": "new.run-1.4@example.com"' in wire(Operation.REGISTER, 4)


def test_bodies_have_their_length() -> None:
    for operation in (Operation.LOGIN, Operation.REGISTER, Operation.PRODUCT_UPDATE):
        head, body = wire(operation, 1).split("\r\n\r\n")
        assert f"Content-Length: {len(body)}" in head


def test_every_operation_of_the_models_can_be_sent() -> None:
    assert {str(name) for name in EXPECTED_STATUS} == {str(name) for name in ModelledOperation}


@pytest.mark.parametrize(
    ("operation", "key", "user"),
    [
        (Operation.DETAIL, 100, 0),
        (Operation.DETAIL, -1, 0),
        (Operation.LIST, 10, 0),
        (Operation.SEARCH, 20, 0),
        (Operation.LOGIN, 10, 0),
        (Operation.DETAIL, 0, 10),
    ],
)
def test_numbers_that_are_not_stored_are_refused(operation: Operation, key: int, user: int) -> None:
    with pytest.raises(InvalidTrace, match="is not allowed; allowed: 0 to"):
        BOOK.request(operation, key, user, 0)


def test_each_user_has_an_own_address_where_the_stack_counts_by_address() -> None:
    assert "X-Forwarded-For" not in wire(Operation.LIST, 1)
    catalogue = Catalogue(products=100, users=70_000, categories=4)
    secret = "a secret of more than 32 characters"
    book = RequestBook(BASE_URL, catalogue, Credentials(secret, own_addresses=True), "run-1")
    for operation in (Operation.LIST, Operation.FAVOURITES, Operation.LOGIN):
        for user, address in ((3, "10.0.0.3"), (258, "10.0.1.2"), (65_536, "10.1.0.0")):
            text = book.request(operation, 1, user, 7).on_the_wire("run-1-7").decode()
            assert text.count(f"\r\nX-Forwarded-For: {address}\r\n") == 1


@pytest.mark.parametrize("url", ["https://x", "http://x/path", "localhost:80", ""])
def test_only_plain_http_roots_are_base_urls(url: str) -> None:
    with pytest.raises(ValueError, match="is no base URL"):
        address_of(url)


def test_credentials_do_not_print_their_secret() -> None:
    assert "secret" not in repr(Credentials("a secret of more than 32 characters"))


def table(**changed: object) -> pa.Table:
    columns: dict[str, object] = {
        "request_id": [0, 1, 2],
        "intended_s": [0.0, 0.5, 0.5],
        "operation": ["detail", "list", "detail"],
        "key": [5, 5, 5],
        "user": [1, 2, 1],
    }
    return pa.table({**columns, **changed})


def test_a_plan_survives_its_file_and_stores_each_piece_once(tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "trace.parquet")
    trace = read_trace(tmp_path / "trace.parquet")
    plan = plan_of(trace, BOOK, ("127.0.0.1", 8080), timeout_s=3.0, max_in_flight=10)
    file = io.BytesIO()
    plan.write(file)
    read = Plan.read(file)
    assert len(read) == 3
    assert list(read.pieces) == list(plan.pieces)
    assert len(set(read.pieces)) == len(read.pieces)
    assert read.head[0] == read.head[2] != read.head[1]
    assert (read.address, read.timeout_s, read.expected_status) == (
        ("127.0.0.1", 8080),
        3.0,
        (200, 200),
    )
    np.testing.assert_array_equal(read.intended_s, [0.0, 0.5, 0.5])
    assert read.pieces[read.head[0]].startswith(b"GET /api/v1/products/")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"intended_s": [0.5, 0.0, 1.0]}, "intended_s"),
        ({"intended_s": [0.0, 0.1, float("nan")]}, "intended_s"),
        ({"intended_s": [-1.0, 0.1, 0.2]}, "intended_s"),
        ({"operation": ["detail", "dance", "list"]}, "operation: 'dance'"),
        ({"key": [1, None, 3]}, "key: None"),
        ({"key": ["a", "b", "c"]}, "key"),
    ],
)
def test_a_broken_trace_is_one_clear_error(
    tmp_path: Path, changed: dict[str, object], named: str
) -> None:
    pq.write_table(table(**changed), tmp_path / "trace.parquet")
    with pytest.raises(InvalidTrace, match=named):
        read_trace(tmp_path / "trace.parquet")


@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    pq.write_table(table().drop_columns([column]), tmp_path / "trace.parquet")
    with pytest.raises(InvalidTrace, match=column):
        read_trace(tmp_path / "trace.parquet")


def test_a_file_that_is_no_parquet_and_an_empty_trace_are_refused(tmp_path: Path) -> None:
    (tmp_path / "trace.parquet").write_text("hello")
    with pytest.raises(InvalidTrace, match="a parquet file"):
        read_trace(tmp_path / "trace.parquet")
    pq.write_table(table().slice(0, 0), tmp_path / "empty.parquet")
    with pytest.raises(InvalidTrace, match="at least one request"):
        read_trace(tmp_path / "empty.parquet")


def test_an_answer_is_read_in_any_pieces_and_after_an_interim_one() -> None:
    raw = (
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nX-Cache: HIT\r\n"
        b"Server-Timing: cache;dur=1.5, x;dur=9, search;dur=bad\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )
    answer = Answer()
    for byte in raw:
        answer.feed(bytes([byte]))
    assert answer.complete
    assert (answer.status, answer.body_bytes) == (200, 5)
    assert CACHE_OUTCOMES[answer.cache] == "hit"
    assert answer.timings_s[0] == pytest.approx(0.0015)
    assert np.isnan(answer.timings_s[1:]).all()
    assert not answer.keep_alive
