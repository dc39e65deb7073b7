"""Routes of the favourites."""

from typing import Annotated

from bson import ObjectId
from fastapi import APIRouter, Depends
from starlette.responses import Response

from stack.service.auth.bearer import Bearer
from stack.service.auth.principal import Principal
from stack.service.favourites.schemas import Favourites
from stack.service.favourites.service import FavouriteService
from stack.service.products.endpoints import ProductId
from stack.service.replies import json_reply


def favourite_routes(favourites: FavouriteService, bearer: Bearer) -> APIRouter:
    """The routes that serve `favourites`."""
    router = APIRouter(tags=["favourites"])
    Reading = Annotated[Principal, Depends(bearer.allowing("favourites:read"))]  # noqa: N806 - a type
    Writing = Annotated[Principal, Depends(bearer.allowing("favourites:write"))]

    @router.get("/api/v1/users/me/favourites", responses={200: {"model": Favourites}})
    async def my_favourites(principal: Reading) -> Response:
        """The newest favourites of the user who asks."""
        return json_reply(await favourites.of_user(principal.user))

    @router.put("/api/v1/users/me/favourites/{product}", status_code=204)
    async def add_favourite(product: ProductId, principal: Writing) -> Response:
        """Make a product a favourite."""
        await favourites.add(principal.user, ObjectId(product))
        return Response(status_code=204)

    @router.delete("/api/v1/users/me/favourites/{product}", status_code=204)
    async def remove_favourite(product: ProductId, principal: Writing) -> Response:
        """Make a product no favourite."""
        await favourites.remove(principal.user, ObjectId(product))
        return Response(status_code=204)

    return router
