"""Routes of the sample page."""

from html import escape
from importlib.resources import files
from string import Template

import orjson
from fastapi import APIRouter
from starlette.responses import Response

from stack.service.products.service import ProductService

SHOWN = 24
AT_ONCE = 6  # pictures in sight at first are loaded at once, the others when scrolled to


class _Template(Template):
    delimiter = "@"


def sample_routes(products: ProductService) -> APIRouter:
    """The page, its style and its script."""
    router = APIRouter(include_in_schema=False)
    page, item = _template("page.html"), _template("product.html")
    assets = {
        "page.css": (_text("page.css").encode(), "text/css"),
        "page.js": (_text("page.js").encode(), "text/javascript"),
    }

    @router.get("/sample")
    async def sample() -> Response:
        """The newest products with their pictures."""
        listed = orjson.loads(await products.page(None, 1, SHOWN))["products"]
        items = "\n".join(_item(item, product, place) for place, product in enumerate(listed))
        return Response(page.substitute(products=items), media_type="text/html")

    @router.get("/sample/page.css")
    async def style() -> Response:
        """The page's style."""
        body, media_type = assets["page.css"]
        return Response(body, media_type=media_type)

    @router.get("/sample/page.js")
    async def script() -> Response:
        """What sends the events."""
        body, media_type = assets["page.js"]
        return Response(body, media_type=media_type)

    return router


def _item(item: Template, product: dict[str, str], place: int) -> str:
    """One product. Its picture's URL without an ending lets the browser choose the format."""
    base = product["thumbnail_url"].rpartition("/")[0]
    values = {
        "id": product["id"],
        "title": product["title"],
        "price": f"$ {product['price_usd']}",
        "thumbnail": f"{base}/thumbnail",
        "medium": f"{base}/medium",
        "full": f"{base}/full",
        "loading": "eager" if place < AT_ONCE else "lazy",
    }
    return item.substitute({name: escape(value) for name, value in values.items()})


def _template(name: str) -> Template:
    return _Template(_text(name))


def _text(name: str) -> str:
    return (files("stack.service.sample") / name).read_text(encoding="utf-8")
