"""The route of the recommendations, and the reads behind it."""

from bson import ObjectId
from fastapi import APIRouter
from pymongo import DESCENDING
from pymongo.asynchronous.database import AsyncDatabase
from starlette.responses import Response

from stack.infra.documents import PRODUCTS, RECOMMENDATIONS, Document
from stack.service.errors import NotFound
from stack.service.products.endpoints import ProductId
from stack.service.products.service import SUMMARY
from stack.service.recommendations.schemas import Recommendations
from stack.service.replies import encoded, json_reply, public
from stack.service.trace import current_trace

SHOWN = 10


def recommendation_routes(database: AsyncDatabase[Document]) -> APIRouter:
    """The route that serves what the job of the same name has computed."""
    router = APIRouter(tags=["recommendations"])

    @router.get(
        "/api/v1/products/{product}/recommendations",
        responses={200: {"model": Recommendations}},
    )
    async def recommended(product: ProductId) -> Response:
        """Products that users who like this one like too."""
        with current_trace().timed("db"):
            return json_reply(encoded(await _recommended(database, ObjectId(product))))

    return router


async def _recommended(database: AsyncDatabase[Document], product: ObjectId) -> Document:
    products = database[PRODUCTS]
    computed = await database[RECOMMENDATIONS].find_one({"_id": product}, {"products": 1})
    wanted: list[ObjectId] = [other["product"] for other in (computed or {}).get("products", [])]
    if wanted:
        cursor = products.find({"_id": {"$in": wanted}}, SUMMARY, batch_size=SHOWN + 1)
        found = {document["_id"]: document for document in await cursor.to_list()}
        ranked = [public(found[other]) for other in wanted if other in found]
        if ranked:
            return {"products": ranked, "basis": "co_favourites"}
    itself = await products.find_one({"_id": product}, {"category": 1})
    if itself is None:
        raise NotFound(f"there is no product {product}")
    query = {"category": itself["category"], "_id": {"$ne": product}}
    newest = products.find(query, SUMMARY, sort=[("_id", DESCENDING)], limit=SHOWN)
    return {
        "products": [public(document) for document in await newest.to_list()],
        "basis": "category",
    }
