"""How far the indexer has come, kept in the database beside what it follows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bson import Timestamp
from pymongo.asynchronous.database import AsyncDatabase

from stack.infra.documents import Document

COLLECTION = "indexer"
KEY = "products"


@dataclass(frozen=True)
class Checkpoint:
    """Where to go on: after `token`, or from `started_at` when no change has been seen yet."""

    started_at: Timestamp
    token: Mapping[str, Any] | None


async def load_checkpoint(database: AsyncDatabase[Document]) -> Checkpoint | None:
    """The saved checkpoint; None: nothing has been indexed yet, or all must be again."""
    state = await database[COLLECTION].find_one({"_id": KEY})
    if state is None:
        return None
    return Checkpoint(state["started_at"], state.get("token"))


async def save_checkpoint(database: AsyncDatabase[Document], checkpoint: Checkpoint) -> None:
    """Remember that everything up to this checkpoint can be found; also a sign of life."""
    state = {
        "started_at": checkpoint.started_at,
        "token": checkpoint.token,
        "seen_at": datetime.now(UTC),
    }
    await database[COLLECTION].replace_one({"_id": KEY}, state, upsert=True)


async def drop_checkpoint(database: AsyncDatabase[Document]) -> None:
    """Forget the checkpoint, so that the next start indexes everything."""
    await database[COLLECTION].delete_one({"_id": KEY})


async def silence_s(database: AsyncDatabase[Document]) -> float | None:
    """Seconds since the indexer last gave a sign of life; None: it never did."""
    state = await database[COLLECTION].find_one({"_id": KEY}, {"seen_at": 1})
    return None if state is None else (datetime.now(UTC) - state["seen_at"]).total_seconds()
