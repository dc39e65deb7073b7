"""Images on the live stack: uploads, their sizes, and the edge cache in front of them."""

import asyncio
import hashlib
import html.parser
import json
import os
import socket
from http.client import HTTPResponse

import httpx
import pytest
import pyvips
from object_server import object_server
from processes import until
from pymongo import MongoClient

from stack.infra.catalogue import Catalogue, admin_id, product_id, user_id
from stack.infra.documents import IMAGES
from stack.infra.objects import create_bucket, objects_of, original_name, variant_name
from stack.infra.operations import Operation
from stack.infra.pictures import (
    MOST_BYTES,
    MOST_PIXELS,
    NOISE_SIDE,
    SIDES,
    Format,
    Size,
    inspect,
)
from stack.load.requests import EXPECTED_STATUS, Credentials, RequestBook, address_of
from stack.service.auth.tokens import mint_access_token

IMMUTABLE = "public, max-age=31536000, immutable"
BROWSER = "image/avif,image/webp,image/apng,*/*;q=0.8"


def picture(width, height, salt=None):
    """A JPEG of that size that no test has uploaded before, with where it was taken in it."""
    salt = salt if salt is not None else int.from_bytes(os.urandom(3), "big")
    image = pyvips.Image.xyz(width, height)
    image = (image[0] * 0.1 + image[1] * 0.2 + salt % 251).bandjoin([salt % 241, salt % 239])
    image = image.cast("uchar").copy(interpretation="srgb").copy()
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Copyright", "somebody's secret")
    return image.jpegsave_buffer(Q=90)


@pytest.fixture(scope="module")
def headers(live_stack):
    def of(user, role):
        token = mint_access_token(live_stack.info.jwt_secret, user, role)
        return {"Authorization": f"Bearer {token}"}

    return {"admin": of(admin_id(), "admin"), "user": of(user_id(1), "user")}


@pytest.fixture(scope="module", autouse=True)
def _forget_uploads(live_stack):
    yield
    with MongoClient(live_stack.info.mongo_url) as client:
        client.get_default_database("headroom")[IMAGES].delete_many({})


@pytest.fixture(scope="module")
def upload(api, headers):
    def sent(data, name="photo.jpg", as_role="admin"):
        files = {"file": (name, data, "application/octet-stream")}
        return api.post("/api/v1/images", files=files, headers=headers[as_role])

    return sent


@pytest.fixture(scope="module")
def ready(api, upload):
    """Upload a picture and wait until its sizes are there; its document."""

    def uploaded(data):
        answer = upload(data)
        assert answer.status_code in (200, 202)
        place = answer.headers["Location"]
        until(lambda: api.get(place).json()["state"] == "ready", "the sizes are made")
        return api.get(place).json()

    return uploaded


@pytest.mark.feature(
    "5 images: thumbnail, medium and full, in WebP and JPEG, made by a job",
    endpoint="POST /api/v1/images",
    module="stack/worker/handlers/image.py",
)
def test_an_upload_comes_in_three_sizes_and_two_formats_without_its_metadata(api, ready):
    data = picture(2400, 1200)
    image = ready(data)
    assert image["id"] == hashlib.sha256(data).hexdigest()
    assert (image["width"], image["height"], image["media_type"]) == (2400, 1200, "image/jpeg")
    for size, side in SIDES.items():
        for form, media_type in ((Format.WEBP, "image/webp"), (Format.JPEG, "image/jpeg")):
            answer = api.get(f"{image['urls'][size]}.{form}")
            assert answer.status_code == 200
            assert answer.headers["content-type"] == media_type
            header = inspect(answer.content)
            assert (header.media_type, header.width, header.height) == (media_type, side, side // 2)
            assert b"secret" not in answer.content
            assert len(answer.content) < len(data)


def test_an_upload_of_the_load_is_taken_and_its_sizes_are_made(api, live_stack):
    info = live_stack.info
    book = RequestBook(info.base_url, Catalogue(), Credentials(info.jwt_secret), "images")
    with socket.create_connection(address_of(info.base_url)) as connection:
        request = book.request(Operation.IMAGE_UPLOAD, 5, 3, 9).on_the_wire("images-9")
        connection.sendall(request)
        answer = HTTPResponse(connection)
        answer.begin()
        taken = json.loads(answer.read())
    assert answer.status == EXPECTED_STATUS[Operation.IMAGE_UPLOAD]
    place = answer.headers["Location"]
    until(lambda: api.get(place).json()["state"] == "ready", "the sizes are made")
    assert (taken["width"], taken["media_type"]) == (NOISE_SIDE, "image/png")


def test_a_small_picture_is_not_blown_up_and_the_same_bytes_are_the_same_image(ready, upload, api):
    data = picture(300, 150)
    image = ready(data)
    header = inspect(api.get(f"{image['urls']['full']}.webp").content)
    assert (header.width, header.height) == (300, 150)
    again = upload(data, "under-another-name.png")
    assert (again.status_code, again.json()["id"]) == (200, image["id"])


@pytest.mark.feature(
    "5 images: an upload becomes a product's picture",
    endpoint="PUT /api/v1/products/{product}/image",
    module="stack/service/images/endpoints.py",
)
def test_an_administrator_shows_a_product_with_an_upload_and_lists_show_it_at_once(
    api, headers, ready, live_stack
):
    path, where = f"/api/v1/products/{product_id(599)}", {"limit": 1}
    shown = "/api/v1/products"
    before = api.get(path).json()
    assert api.get(shown, params=where).json()["products"][0]["id"] == before["id"]
    image = ready(picture(400, 300))

    def put(sha256, role="admin"):
        return api.put(f"{path}/image", json={"image": sha256}, headers=headers[role]).status_code

    assert put(image["id"], "user") == 403
    assert put("0" * 64) == 404
    try:
        assert put(image["id"]) == 200
        after = api.get(path).json()
        assert (after["image_url"], after["version"]) == (
            image["urls"]["full"],
            before["version"] + 1,
        )
        listed = api.get(shown, params=where).json()["products"][0]
        assert listed["thumbnail_url"] == image["urls"]["thumbnail"]
        assert api.get(listed["thumbnail_url"]).status_code == 200
    finally:
        with MongoClient(live_stack.info.mongo_url) as client:
            drawn = {name: before[name] for name in ("image_url", "thumbnail_url")}
            products = client.get_default_database("headroom")["products"]
            products.update_one({"_id": product_id(599)}, {"$set": drawn})
        again = api.patch(path, json={"stock": before["stock"]}, headers=headers["admin"])
        assert again.json()["image_url"] == before["image_url"]  # and the lists are read anew


def test_an_image_whose_sizes_are_not_there_is_shown_nowhere(api, headers, live_stack):
    waiting = {"_id": "f" * 64, "state": "waiting", "reason": None, "media_type": "image/png"}
    with MongoClient(live_stack.info.mongo_url) as client:
        images = client.get_default_database("headroom")[IMAGES]
        images.insert_one(waiting | {"width": 1, "height": 1, "bytes": 1})
    path = f"/api/v1/products/{product_id(598)}/image"
    answer = api.put(path, json={"image": "f" * 64}, headers=headers["admin"])
    assert (answer.status_code, answer.json()["title"]) == (409, "Conflict")


@pytest.mark.feature(
    "5 images: one URL, the format by the Accept header, one copy of each at the edge",
    endpoint="GET /images/{sha256}/{name}",
    module="stack/service/images/delivery.py",
)
def test_the_edge_cache_keeps_one_copy_of_each_format_for_all_browsers(api, ready):
    url = ready(picture(500, 500))["urls"]["medium"]
    seen = {}
    for accept, edge in (
        (BROWSER, "MISS"),
        ("image/webp", "HIT"),
        ("image/jpeg", "MISS"),
        ("*/*", "HIT"),
        ("image/webp;q=0, */*", "HIT"),
        (BROWSER, "HIT"),
    ):
        answer = api.get(url, headers={"Accept": accept})
        assert answer.headers["X-Edge-Cache"] == edge
        assert answer.headers["Vary"] == "Accept"
        assert answer.headers["Cache-Control"] == IMMUTABLE
        seen.setdefault(answer.headers["content-type"], set()).add(answer.content)
    assert {kind: len(bodies) for kind, bodies in seen.items()} == {
        "image/webp": 1,
        "image/jpeg": 1,
    }


@pytest.mark.feature(
    "5 images: ETag, 304 and ranges",
    endpoint="GET /images/{sha256}/{name}",
    module="stack/infra/nginx.conf",
)
def test_a_picture_that_the_client_has_is_304_and_a_part_is_206(api, ready):
    url = f"{ready(picture(700, 300))['urls']['full']}.jpg"
    whole = api.get(url)
    for tag in (whole.headers["ETag"], f'"other", W/{whole.headers["ETag"]}'):
        unchanged = api.get(url, headers={"If-None-Match": tag})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert api.get(url, headers={"If-None-Match": '"other"'}).status_code == 200
    part = api.get(url, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(whole.content)}"
    stale = api.get(url, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (stale.status_code, stale.content) == (200, whole.content)


def test_a_replica_itself_answers_304_for_what_the_client_has(live_stack, ready):
    image = ready(picture(350, 350))
    replica = live_stack.info.part("api-1").url
    url = f"{replica}{image['urls']['thumbnail']}"
    whole = httpx.get(url, headers={"Accept": "image/webp"})
    tag = whole.headers["ETag"]
    unchanged = httpx.get(url, headers={"Accept": "image/webp", "If-None-Match": tag})
    assert (whole.status_code, unchanged.status_code) == (200, 304)
    other = httpx.get(url, headers={"Accept": "image/jpeg", "If-None-Match": tag})
    assert other.status_code == 200


def bomb():
    """A few kilobytes that are 144 million pixels."""
    data = pyvips.Image.black(12_000, 12_000).pngsave_buffer(compression=9)
    assert len(data) < MOST_BYTES / 50
    return data


def many_frames():
    """A WebP whose frames are small each and too much together."""
    row = pyvips.Image.xyz(1, 2_000 * 12)[1] / 2_000
    frames = (row.floor() * 20).cast("uchar").embed(0, 0, 2_000, 2_000 * 12, extend="copy")
    frames = frames.bandjoin([frames, frames]).copy(interpretation="srgb").copy()
    frames.set_type(pyvips.GValue.gint_type, "page-height", 2_000)
    data = frames.webpsave_buffer(lossless=True, effort=0)
    assert 2_000 * 2_000 < MOST_PIXELS < 12 * 2_000 * 2_000
    return data


@pytest.mark.feature(
    "5 images: limits of size, type and pixels; decompression bombs are refused",
    endpoint="POST /api/v1/images",
    module="stack/infra/pictures.py",
)
@pytest.mark.parametrize(
    ("make", "status", "title"),
    [
        (lambda: picture(200, 200)[:300] + bytes(MOST_BYTES), 413, "Content too large"),
        (lambda: bytes(2 * MOST_BYTES), 413, "Request Entity Too Large"),  # by the load balancer
        (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "Unsupported media type"),
        (lambda: b"GIF89a" + bytes(100), 415, "Unsupported media type"),
        (bomb, 422, "Too many pixels"),
        (many_frames, 422, "Too many pixels"),
        (lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), 422, "Broken picture"),
    ],
    ids=["large", "huge", "svg", "gif", "bomb", "frames", "broken"],
)
def test_a_bad_upload_is_refused_with_an_error_of_its_own(upload, make, status, title):
    answer = upload(make(), "innocent.jpg")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["title"] == title


def test_a_form_without_a_file_and_a_stranger_are_refused(api, headers, upload):
    data = picture(50, 50)
    url = "/api/v1/images"
    other_field = api.post(url, files={"picture": data}, headers=headers["admin"])
    assert other_field.status_code == 422
    assert api.post(url, json={}, headers=headers["admin"]).status_code == 415
    assert api.post(url, files={"file": data}).status_code == 401
    assert upload(data, as_role="user").status_code == 403


def test_half_a_picture_is_found_out_by_the_job(api, upload):
    data = picture(1200, 900)
    answer = upload(data[: len(data) // 3])
    assert answer.status_code == 202
    place = answer.headers["Location"]
    until(lambda: api.get(place).json()["state"] == "refused", "the job finds it broken")
    assert "cannot be decoded" in api.get(place).json()["reason"]
    assert api.get(f"/images/{answer.json()['id']}/full.webp").status_code == 404


@pytest.mark.feature(
    "5 images: every seeded product has a picture",
    endpoint="GET /images/products/{number}/{name}",
    module="stack/service/images/drawing.py",
)
def test_the_image_urls_of_a_seeded_product_answer_the_same_from_every_replica(api, live_stack):
    product = api.get(f"/api/v1/products/{product_id(42)}").json()
    for url, size in (
        (product["image_url"], Size.FULL),
        (product["thumbnail_url"], Size.THUMBNAIL),
    ):
        replicas = [part.url for part in live_stack.info.parts_of("api")]
        bodies = {httpx.get(replica + url).content for replica in replicas}
        bodies.add(api.get(url).content)
        assert len(replicas) == 2
        [body] = bodies
        assert inspect(body).width == SIDES[size]
    other = api.get(api.get(f"/api/v1/products/{product_id(43)}").json()["image_url"])
    assert other.content != api.get(product["image_url"]).content


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.images, self.links = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag == "img":
            self.images.append(values)
        elif tag in ("link", "script"):
            self.links.append(values.get("href") or values["src"])


@pytest.mark.feature(
    "5 images: lazy loading and srcset in a sample page",
    endpoint="GET /sample",
    module="stack/service/sample/endpoints.py",
)
def test_the_sample_page_loads_lazily_and_every_picture_and_file_it_names_is_there(api):
    answer = api.get("/sample")
    assert answer.headers["content-type"].startswith("text/html")
    assert "img-src 'self'" in answer.headers["Content-Security-Policy"]
    page = Page(answer.text)
    assert [image["loading"] for image in page.images] == ["eager"] * 6 + ["lazy"] * 18
    assert all(image["alt"] for image in page.images)
    first = page.images[0]
    sources = [source.split() for source in first["srcset"].split(", ")]
    assert [width for _, width in sources] == ["200w", "800w", "1600w"]
    for url, width in sources:
        found = api.get(url, headers={"Accept": BROWSER})
        assert f"{inspect(found.content).width}w" == width
        assert found.headers["content-type"] == "image/webp"
    for url in page.links:
        assert api.get(url).status_code == 200


@pytest.mark.feature(
    "5 images: a folder or S3 through one client",
    endpoint="–",
    module="stack/infra/objects.py",
)
def test_the_same_client_and_job_work_on_an_s3_server(tmp_path):
    from stack.infra.jobs import Job
    from stack.worker.handlers import image
    from stack.worker.tools import Tools

    class Images:
        """The one thing that the job writes beside the objects."""

        def __init__(self):
            self.changes = []

        def __getitem__(self, _name):
            return self

        async def update_one(self, query, change):
            self.changes.append((query, change["$set"]["state"]))

    async def steps(settings):
        await create_bucket(settings)
        await create_bucket(settings)  # again is no error
        objects = objects_of(settings)
        data = picture(640, 480)
        sha256 = hashlib.sha256(data).hexdigest()
        await objects.put(original_name(sha256), data, "image/jpeg")
        assert await objects.get(original_name(sha256)) == data
        assert await objects.get(original_name("0" * 64)) is None
        assert not await objects.exists(variant_name(sha256, Size.FULL, Format.WEBP))
        tools = Tools(Images(), None, None, None, objects, None, None)
        job = Job("image:x", "image", {"sha256": sha256}, 1, 0.0, "token", None)
        assert await image.make_sizes(tools, job) == "done"
        assert tools.database.changes == [({"_id": sha256}, "ready")]
        thumbnail = await objects.get(variant_name(sha256, Size.THUMBNAIL, Format.WEBP))
        return inspect(thumbnail)

    with object_server(tmp_path) as settings:
        header = asyncio.run(steps(settings))
        # Where the server keeps what it was sent: these went over the network.
        assert len(list((tmp_path / "objects" / "headroom").rglob("*.webp"))) == 3
    assert (header.media_type, header.width, header.height) == ("image/webp", 200, 150)
