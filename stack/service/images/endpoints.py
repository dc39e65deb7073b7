"""Routes of the images."""

from typing import Annotated

from bson import ObjectId
from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from stack.infra.pictures import MOST_BYTES
from stack.service.auth.bearer import Bearer
from stack.service.auth.principal import Principal
from stack.service.images.delivery import (
    FOR_A_DAY,
    FOR_EVER,
    PictureName,
    picture_reply,
    wanted,
)
from stack.service.images.drawing import Drawing
from stack.service.images.schemas import Image, ProductImage
from stack.service.images.service import ImageService
from stack.service.images.upload import FIELD, uploaded_file
from stack.service.products.endpoints import ProductId
from stack.service.products.schemas import Product
from stack.service.products.service import ProductService
from stack.service.replies import json_reply

Sha256 = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
Number = Annotated[int, Path(ge=0, lt=2**31)]
# Raise it when the drawn pictures change.
DRAWN = "drawn-1"
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {FIELD: {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}


def picture_routes(drawing: Drawing) -> APIRouter:
    """The pictures of seeded products."""
    router = APIRouter(tags=["images"])

    @router.get("/images/products/{number}/{name}", response_class=Response)
    async def product_picture(number: Number, name: PictureName, request: Request) -> Response:
        """A made-up picture: the same for the same product, in WebP or JPEG."""
        asked = wanted(name, request.headers.get("accept", ""))

        async def read() -> bytes:
            return await drawing.of_product(number, asked.size, asked.form)

        return await picture_reply(request, asked, f"{DRAWN}-{number}", FOR_A_DAY, read)

    return router


def image_routes(images: ImageService, products: ProductService, bearer: Bearer) -> APIRouter:
    """Uploads, and their sizes under URLs that name their content."""
    router = APIRouter(tags=["images"])

    @router.post(
        "/api/v1/images",
        status_code=202,
        responses={200: {"model": Image}, 202: {"model": Image}},
        openapi_extra=FORM,
    )
    async def upload(
        request: Request, principal: Annotated[Principal, Depends(bearer)]
    ) -> Response:
        """Upload a JPEG, PNG or WebP (administrators only); its sizes are made by a job."""
        principal.require_role("admin")
        image = await images.take(await uploaded_file(request, MOST_BYTES), principal.user)
        answer = json_reply(
            image.model_dump_json().encode(), 200 if image.state == "ready" else 202
        )
        answer.headers["Location"] = f"/api/v1/images/{image.id}"
        return answer

    @router.get("/api/v1/images/{sha256}", responses={200: {"model": Image}})
    async def image(sha256: Sha256) -> Response:
        """What became of an upload."""
        return json_reply((await images.find(sha256)).model_dump_json().encode())

    @router.put("/api/v1/products/{product}/image", responses={200: {"model": Product}})
    async def show_image(
        product: ProductId,
        chosen: ProductImage,
        principal: Annotated[Principal, Depends(bearer.allowing("products:write"))],
    ) -> Response:
        """Show a product with an upload whose sizes are ready (administrators only)."""
        principal.require_role("admin")
        urls = await images.urls(chosen.image)
        return json_reply(await products.show_image(ObjectId(product), urls))

    @router.get("/images/{sha256}/{name}", response_class=Response)
    async def variant(sha256: Sha256, name: PictureName, request: Request) -> Response:
        """One size of an upload, in WebP or JPEG."""
        asked = wanted(name, request.headers.get("accept", ""))

        async def read() -> bytes:
            return await images.variant(sha256, asked.size, asked.form)

        return await picture_reply(request, asked, sha256[:32], FOR_EVER, read)

    return router
