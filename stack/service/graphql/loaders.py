"""What one GraphQL request reads by id: each kind of thing in one batch, however often asked."""

from collections.abc import Mapping
from typing import Any

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase
from starlette.datastructures import Headers
from strawberry.dataloader import DataLoader

from stack.infra.documents import USERS, Document
from stack.infra.operations import Operation
from stack.service.auth.bearer import Bearer
from stack.service.auth.principal import Principal
from stack.service.held import held
from stack.service.metrics import Metrics
from stack.service.products.service import ProductService
from stack.service.trace import current_trace


class Reading:
    """The loaders and the asking user of one request."""

    def __init__(
        self,
        headers: Headers,
        bearer: Bearer,
        products: ProductService,
        database: AsyncDatabase[Document],
        metrics: Metrics,
    ) -> None:
        self._headers = headers
        self._bearer = bearer
        self._products = products
        self._database = database
        self._metrics = metrics
        self._principals: dict[str, Principal] = {}
        self.product: DataLoader[ObjectId, Mapping[str, Any] | None] = DataLoader(self._by_id)
        self.account: DataLoader[ObjectId, Mapping[str, Any] | None] = DataLoader(self._accounts)

    async def principal(self, scope: str) -> Principal:
        """Who asks. Raises Unauthorised, and Forbidden for an API key without that scope."""
        if scope not in self._principals:
            principal = await self._bearer.principal(self._headers)
            principal.require_scope(scope)
            current_trace().user = str(principal.user)
            self._principals[scope] = principal
        return self._principals[scope]

    async def _by_id(self, ids: list[ObjectId]) -> list[Mapping[str, Any] | None]:
        found = await self._products.several(ids)
        return [found.get(identifier) for identifier in ids]

    async def _accounts(self, ids: list[ObjectId]) -> list[Mapping[str, Any] | None]:
        with self._metrics.database(Operation.FAVOURITES):
            async with held("mongo"):
                cursor = self._database[USERS].find(
                    {"_id": {"$in": ids}}, {"email": 1, "name": 1, "role": 1}
                )
                found = {document["_id"]: document for document in await cursor.to_list()}
        return [found.get(identifier) for identifier in ids]
