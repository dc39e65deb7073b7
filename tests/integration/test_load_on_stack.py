"""The generator against the whole stack: each operation means to the service what it should."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stack.infra.catalogue import Catalogue
from stack.infra.operations import Operation
from stack.load.requests import EXPECTED_STATUS, Credentials
from stack.load.run import run_load
from stack.local import RunningStack

pytestmark = pytest.mark.alone

READS = ("list", "list_cursor", "detail", "search", "favourites")
# One favourite again and again, and stock: the shared stack keeps what other tests rely on.
WRITES = ("favourite_add", "login")
EACH = 24


def rows(catalogue: Catalogue) -> Iterator[tuple[int, float, str, int, int]]:
    """Every operation in turn, 40 a second; each key twice, so that the second can hit."""
    pages = catalogue.pages_per_category
    for number in range(EACH):
        for place, operation in enumerate((*READS, *WRITES)):
            request_id = number * len((*READS, *WRITES)) + place
            key = (number // 2) % min(catalogue.users, pages) + pages * (operation in READS[:2])
            yield request_id, request_id / 40, operation, key, number // 2


def test_every_operation_is_answered_as_expected(
    live_stack: RunningStack, catalogue: Catalogue, tmp_path: Path
) -> None:
    info = live_stack.info
    assert info.base_url is not None
    columns = zip(*rows(catalogue), strict=True)
    names = ("request_id", "intended_s", "operation", "key", "user")
    pq.write_table(pa.table(dict(zip(names, columns, strict=True))), tmp_path / "trace.parquet")
    result = run_load(
        tmp_path / "trace.parquet",
        info.base_url,
        tmp_path / "out.parquet",
        catalogue=catalogue,
        credentials=Credentials(info.jwt_secret),
        run_id="live",
        pids_by_part={part.name: part.pids() for part in info.parts},
    )
    found = pq.read_table(tmp_path / "out.parquet").to_pandas()
    for operation, statuses in found.groupby("operation", observed=True)["status"]:
        assert set(statuses) == {EXPECTED_STATUS[Operation(operation)]}, operation
    assert result.validity.wrong_status == 0
    cached = found["operation"].isin(["list", "list_cursor", "search", "favourites"])
    assert set(found.loc[cached, "cache"]) == {"hit", "miss"}
    assert set(found.loc[~cached, "cache"]) == {"none"}
    assert found.loc[cached, "cache_s"].notna().all()
    assert found.loc[found["operation"] == "detail", "db_s"].notna().all()
    assert (found["app_s"] <= found["done_s"] - found["sent_s"]).all()
    assert set(found["replica"]) == {part.name for part in info.parts_of("api")}
    assert np.isin([part.name for part in info.parts], list(result.cpu_s)).all()
    assert sum(result.cpu_s.values()) > 0
