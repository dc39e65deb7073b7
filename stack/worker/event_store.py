"""Events in ClickHouse: a server, or chDB inside this process, through the same client.

Every event has an id, and rows of one id are one event: a batch that is stored again after a crash,
or sent again by a shopper's browser, changes no figure.
"""

from datetime import datetime
from typing import Any

import clickhouse_connect

from stack.infra.event_stream import ANSWERED_SEARCH, FUNNEL, EventKind, moment

WINDOW_S = 86_400  # the steps of a funnel count when they follow within a day
KEPT_DAYS = 400
MOST_ROWS = 100

CREATE = f"""
CREATE TABLE IF NOT EXISTS events (
    id UUID,
    at DateTime64(3, 'UTC'),
    kind LowCardinality(String),
    session String,
    user String,
    product String,
    query String,
    seconds Float32,
    results Int32 DEFAULT -1
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (kind, at, id)
TTL toDateTime(at) + INTERVAL {KEPT_DAYS} DAY
"""
# For a table that an earlier release made.
ADD_RESULTS = "ALTER TABLE events ADD COLUMN IF NOT EXISTS results Int32 DEFAULT -1"
_WITHIN = "at >= {start:DateTime64(3, 'UTC')} AND at < {end:DateTime64(3, 'UTC')}"
# Queries are put together from constants of this module; what is asked for comes as parameters.
# FINAL: rows of one id count once, whether or not ClickHouse has merged them yet.
_STEPS = ", ".join(f"kind = '{kind}'" for kind in FUNNEL)
FUNNEL_QUERY = f"""
SELECT level, count() FROM (
    SELECT session, windowFunnel({WINDOW_S})(toDateTime(at), {_STEPS}) AS level
    FROM events FINAL WHERE {_WITHIN} GROUP BY session
) WHERE level > 0 GROUP BY level
"""
_ANSWERED = f"kind = '{ANSWERED_SEARCH}'"
# What can be asked for, by name: column, figure and the events it counts.
TOPS = {
    "viewed_products": ("product", "count()", f"kind = '{EventKind.VIEW}'"),
    "favourite_products": ("product", "count()", f"kind = '{EventKind.FAVOURITE}'"),
    "searches": ("lowerUTF8(query)", "count()", f"kind = '{EventKind.SEARCH}'"),
    "answered_searches": ("query", "count()", _ANSWERED),
    "searches_without_result": ("query", "count()", f"{_ANSWERED} AND results = 0"),
    "seconds_on_product": ("product", "avg(seconds)", f"kind = '{EventKind.TIME_ON_PAGE}'"),
}


class EventStore:
    """One connection; use it from one thread."""

    def __init__(self, url: str) -> None:
        """Connect, and make the table unless it is there. `url`: chdb:///folder or http://host."""
        if url.startswith("chdb:"):
            self._client = clickhouse_connect.get_client(dsn=url)
        else:
            self._client = clickhouse_connect.get_client(
                dsn=url, connect_timeout=5, send_receive_timeout=30
            )
        self._client.command(CREATE)
        self._client.command(ADD_RESULTS)

    def close(self) -> None:
        """Disconnect."""
        self._client.close()

    def insert(self, rows: bytes) -> None:
        """Store rows, one JSON object a line, all or none."""
        self._client.raw_insert("events", insert_block=rows, fmt="JSONEachRow")

    def count(self) -> int:
        """Events stored, each once."""
        return int(self._client.query("SELECT count() FROM events FINAL").result_rows[0][0])

    def funnel(self, start: datetime, end: datetime) -> list[dict[str, Any]]:
        """How many sessions came how far, in the order of the steps."""
        rows = self._query(FUNNEL_QUERY, start, end)
        reached = {int(level): int(sessions) for level, sessions in rows}
        return [
            {
                "step": kind.value,
                "sessions": sum(n for level, n in reached.items() if level >= step),
            }
            for step, kind in enumerate(FUNNEL, 1)
        ]

    def top(self, what: str, start: datetime, end: datetime, most: int) -> list[dict[str, Any]]:
        """The first of a ranking in TOPS. Raises KeyError for another."""
        column, figure, counted = TOPS[what]
        query = (
            f"SELECT {column} AS name, {figure} AS figure FROM events FINAL "
            f"WHERE {_WITHIN} AND {counted} AND name != '' "
            "GROUP BY name ORDER BY figure DESC, name LIMIT {most:UInt32}"
        )
        rows = self._query(query, start, end, most=most)
        return [{"name": name, "figure": float(value)} for name, value in rows]

    def kinds(self, start: datetime, end: datetime) -> dict[str, int]:
        """Events by kind."""
        query = f"SELECT kind, count() FROM events FINAL WHERE {_WITHIN} GROUP BY kind"
        return {kind: int(count) for kind, count in self._query(query, start, end)}

    def _query(self, query: str, start: datetime, end: datetime, **values: Any) -> Any:
        values |= {"start": moment(start), "end": moment(end)}
        return self._client.query(query, parameters=values).result_rows
