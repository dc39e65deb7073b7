"""API keys for programs that cannot ask for a password: mobile apps, partners, scripts.

A key is a name and a secret. The secret is 256 random bits, so a plain SHA-256 of it is stored:
what cannot be guessed needs no slow hash. It is shown once, when it is made; afterwards its name.
"""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from bson import ObjectId
from pymongo import DESCENDING
from pymongo.asynchronous.database import AsyncDatabase

from stack.infra.documents import API_KEYS, USERS, Document
from stack.service.auth.principal import Principal
from stack.service.auth.schemas import ApiKey, ApiKeyWanted, NewApiKey
from stack.service.errors import Conflict, Forbidden, NotFound, Unauthorised

MOST = 20
KEY_MARK = "hrk_"
# A replica asks the database for a key at most this often; so long may one that was taken back
# live on where Redis cannot tell (with Redis: milliseconds).
REMEMBERED_S = 5.0
REMEMBERED = 10_000
# `last_used_at` is written at most this often for each key and replica.
NOTED_EVERY_S = 60.0
FOR_ADMINISTRATORS = frozenset({"products:write"})


class ApiKeys:
    """Makes, lists, takes back and checks API keys."""

    def __init__(
        self, database: AsyncDatabase[Document], clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = database[API_KEYS]
        self._users = database[USERS]
        self._clock = clock
        self._known: dict[bytes, tuple[float, Principal]] = {}
        self._noting: set[asyncio.Task[object]] = set()

    async def make(self, principal: Principal, wanted: ApiKeyWanted) -> NewApiKey:
        """A new key. Raises Forbidden for scopes beyond the user's role, Conflict for too many."""
        if principal.role != "admin" and FOR_ADMINISTRATORS & wanted.scopes:
            raise Forbidden("that scope is for administrators")
        if await self._keys.count_documents({"user": principal.user}, limit=MOST) >= MOST:
            raise Conflict(f"there are {MOST} keys already; take one back first")
        name, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        now = datetime.now(UTC)
        document: Document = {
            "_id": name,
            "user": principal.user,
            "name": wanted.name,
            "scopes": sorted(wanted.scopes),
            "hash": _hash(secret),
            "created_at": now,
            "last_used_at": None,
            "expires_at": now + timedelta(days=wanted.expires_in_days),
        }
        await self._keys.insert_one(document)
        return NewApiKey(**_shown(document).model_dump(), key=f"{KEY_MARK}{name}_{secret}")

    async def of_user(self, user: ObjectId) -> list[ApiKey]:
        """The user's keys, newest first."""
        found = self._keys.find({"user": user}, {"hash": 0}).sort("created_at", DESCENDING)
        return [_shown(document) for document in await found.to_list(MOST)]

    async def take_back(self, user: ObjectId, name: str) -> None:
        """Make a key void. Raises NotFound when the user has none of that name."""
        result = await self._keys.delete_one({"_id": name, "user": user})
        if not result.deleted_count:
            raise NotFound(f"there is no key {name}")
        self._known = {
            token: known for token, known in self._known.items() if known[1].token != name
        }

    async def principal(self, token: str) -> Principal:
        """Who a key speaks for. Raises Unauthorised."""
        digest = hashlib.sha256(token.encode()).digest()  # the secret itself is not kept in memory
        known = self._known.get(digest)
        if known is not None and known[0] > self._clock():
            return known[1]
        principal = await self._asked(token)
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[digest] = (self._clock() + REMEMBERED_S, principal)
        return principal

    async def _asked(self, token: str) -> Principal:
        name, _, secret = token.removeprefix(KEY_MARK).partition("_")
        document = await self._keys.find_one({"_id": name})
        if document is None or not hmac.compare_digest(document["hash"], _hash(secret)):
            raise Unauthorised("the API key is not valid")
        if document["expires_at"].timestamp() <= self._clock():
            raise Unauthorised("the API key has expired")
        owner = await self._users.find_one({"_id": document["user"]}, {"role": 1})
        if owner is None:
            raise Unauthorised("the account of this API key is gone")
        used = document["last_used_at"]
        if used is None or self._clock() - used.timestamp() >= NOTED_EVERY_S:
            self._note_use(name)
        return Principal(
            document["user"],
            owner["role"],
            document["expires_at"].timestamp(),
            token=name,
            scopes=frozenset(document["scopes"]),
        )

    def _note_use(self, name: str) -> None:
        # Beside the request: nobody waits for it, and a failure costs nothing but a fresh date.
        change = {"$max": {"last_used_at": datetime.now(UTC)}}
        noting: asyncio.Task[object] = asyncio.create_task(
            self._keys.update_one({"_id": name}, change)
        )
        self._noting.add(noting)
        noting.add_done_callback(self._noted)

    def _noted(self, noting: "asyncio.Task[object]") -> None:
        self._noting.discard(noting)
        if not noting.cancelled():
            noting.exception()

    async def close(self) -> None:
        """Wait for what is still being noted."""
        await asyncio.gather(*self._noting, return_exceptions=True)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _shown(document: Document) -> ApiKey:
    return ApiKey(
        id=document["_id"],
        prefix=f"{KEY_MARK}{document['_id']}",
        name=document["name"],
        scopes=document["scopes"],
        created_at=document["created_at"],
        last_used_at=document["last_used_at"],
        expires_at=document["expires_at"],
    )
