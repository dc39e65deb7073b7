"""A user's favourites: an array of product ids in the user's document."""

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from stack.infra.cache_keys import EVERY_FAVOURITES, favourites_generation
from stack.infra.connections import MAY_LAG
from stack.infra.documents import PRODUCTS, USERS, Document
from stack.infra.operations import Family, Operation
from stack.service.cache import Cache
from stack.service.errors import Conflict, NotFound, Unauthorised
from stack.service.held import held
from stack.service.metrics import Metrics
from stack.service.own_writes import OwnWrites
from stack.service.products.service import SUMMARY
from stack.service.replies import encoded, public
from stack.service.settings import Settings
from stack.service.trace import current_trace

SHOWN = 100
MOST = 1_000


class FavouriteService:
    """Reads and changes the favourites of one user at a time."""

    def __init__(
        self,
        database: AsyncDatabase[Document],
        cache: Cache,
        metrics: Metrics,
        settings: Settings,
        *,
        own_writes: OwnWrites | None = None,
    ) -> None:
        self._database = database
        self._secondary = database.with_options(read_preference=MAY_LAG)
        self._cache = cache
        self._metrics = metrics
        self._settings = settings
        self._own_writes = own_writes
        self._depends_on_products = Family.FAVOURITES in settings.cache_cleared_by_update

    async def of_user(self, user: ObjectId) -> bytes:
        """The user's newest favourites as JSON. Raises Unauthorised when the account is gone."""

        async def fill(changed_lately: bool) -> bytes:
            needs_newest = changed_lately or current_trace().reads_own_writes
            secondary = self._settings.reads_from_secondary(Operation.FAVOURITES)
            secondary = secondary and not needs_newest
            database = self._secondary if secondary else self._database
            with self._metrics.database(Operation.FAVOURITES):
                async with held("mongo", secondary=secondary):
                    found = await _favourites(database, user)
            return encoded(found)

        every = (EVERY_FAVOURITES,) if self._depends_on_products else ()
        return await self._cache.fetch(
            Family.FAVOURITES, str(user), (favourites_generation(user), *every), fill
        )

    async def add(self, user: ObjectId, product: ObjectId) -> None:
        """Make a product a favourite; again is no error. Raises NotFound, Conflict."""
        with self._metrics.database(Operation.FAVOURITE_ADD):
            async with held("mongo"):
                known = await self._database[PRODUCTS].find_one({"_id": product}, {"_id": 1})
                if known is None:
                    raise NotFound(f"there is no product {product}")
                # The filter keeps the document bounded: a full list matches only what is in it.
                result = await self._database[USERS].update_one(
                    {
                        "_id": user,
                        "$or": [
                            {f"favorites.{MOST - 1}": {"$exists": False}},
                            {"favorites": product},
                        ],
                    },
                    {"$addToSet": {"favorites": product}},
                )
                if not result.matched_count:
                    await self._require_account(user)
                    raise Conflict(f"there are {MOST} favourites already; remove one first")
        await self._changed(user)

    async def remove(self, user: ObjectId, product: ObjectId) -> None:
        """Make a product no favourite; again is no error."""
        with self._metrics.database(Operation.FAVOURITE_ADD):
            result = await self._database[USERS].update_one(
                {"_id": user}, {"$pull": {"favorites": product}}
            )
            if not result.matched_count:
                await self._require_account(user)
        await self._changed(user)

    async def _changed(self, user: ObjectId) -> None:
        if self._own_writes is not None:
            self._own_writes.note()
        await self._cache.clear(favourites_generation(user))

    async def _require_account(self, user: ObjectId) -> None:
        if await self._database[USERS].find_one({"_id": user}, {"_id": 1}) is None:
            raise Unauthorised("the account of this token is gone")


async def _favourites(database: AsyncDatabase[Document], user: ObjectId) -> Document:
    account = await database[USERS].find_one({"_id": user}, {"favorites": 1})
    if account is None:
        raise Unauthorised("the account of this token is gone")
    newest: list[ObjectId] = account["favorites"][-SHOWN:][::-1]
    if not newest:
        return {"products": [], "total": 0}
    cursor = database[PRODUCTS].find({"_id": {"$in": newest}}, SUMMARY, batch_size=SHOWN + 1)
    found = {document["_id"]: document for document in await cursor.to_list()}
    products = [public(found[product]) for product in newest if product in found]
    return {"products": products, "total": len(account["favorites"])}
