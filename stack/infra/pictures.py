"""Pictures by libvips: what an upload claims to be, its sizes, and made-up product pictures.

An upload is judged by its first bytes and its header before anything is decoded. What libvips marks
as unsafe for strangers' files (documents, scripts, rare formats) is switched off altogether.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyvips

MOST_BYTES = 10 * 2**20
MOST_PIXELS = 40_000_000  # a 40-megapixel camera; 120 MB once decoded
MOST_SIDE = 16_000
WEBP_QUALITY = 80
JPEG_QUALITY = 82
PICTURE_DISCS = 5
DRAWN_SIDE = 160
NOISE_SIDE = 24


class Size(StrEnum):
    """The sizes that every image is kept in."""

    THUMBNAIL = "thumbnail"
    MEDIUM = "medium"
    FULL = "full"


class Format(StrEnum):
    """The formats that every size is kept in; the value is the ending of its name."""

    WEBP = "webp"
    JPEG = "jpg"


# The longest side in pixels; a smaller image is not blown up.
SIDES = {Size.THUMBNAIL: 200, Size.MEDIUM: 800, Size.FULL: 1600}
MEDIA_TYPES = {Format.WEBP: "image/webp", Format.JPEG: "image/jpeg"}


class PictureRefused(ValueError):
    """An upload that is not taken. The text says what is allowed."""


class NotAPicture(PictureRefused):
    """Its bytes are of no type that is taken, whatever its name says."""


class TooManyPixels(PictureRefused):
    """Small as a file, and huge once decoded: a decompression bomb, or just too large."""


class BrokenPicture(PictureRefused):
    """It begins like a picture, and cannot be read."""


@dataclass(frozen=True)
class Header:
    """What a picture's header says."""

    media_type: str
    width: int
    height: int
    frames: int


def media_type_of(data: bytes) -> str:
    """The type by the first bytes. Raises NotAPicture."""
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    raise NotAPicture("the content is neither JPEG, PNG nor WebP")


def inspect(data: bytes) -> Header:
    """The header of an upload; nothing is decoded. Raises a PictureRefused."""
    media_type = media_type_of(data)
    vips = _vips()
    try:
        image = vips.Image.new_from_buffer(data, "", access="sequential")
        frames = image.get("n-pages") if image.get_typeof("n-pages") else 1
    except vips.Error as error:
        raise BrokenPicture("the picture's header cannot be read") from error
    header = Header(media_type, image.width, image.height, frames)
    if max(header.width, header.height) > MOST_SIDE or (
        header.width * header.height * header.frames > MOST_PIXELS
    ):
        size = f"{header.width} × {header.height} pixels in {header.frames} frame(s)"
        raise TooManyPixels(f"{size}; allowed: {MOST_PIXELS:,} in all, {MOST_SIDE:,} a side")
    return header


def resized(data: bytes) -> Iterator[tuple[Size, Format, bytes]]:
    """All sizes in both formats, upright, in sRGB, without metadata. Raises BrokenPicture."""
    vips = _vips()
    try:
        # Not `thumbnail_buffer`: libvips 8.18 takes its `fail_on` and decodes half a file all the
        # same. The largest is decoded once, row by row, and the smaller ones are made of it.
        whole = vips.Image.new_from_buffer(data, "", access="sequential", fail_on="error")
        image = _within(whole, Size.FULL)
        for size in (Size.FULL, Size.MEDIUM, Size.THUMBNAIL):
            image = _within(image, size)
            for form in Format:
                yield size, form, _encoded(image, form)
    except vips.Error as error:
        raise BrokenPicture("the picture's content cannot be decoded") from error


def _within(image: "pyvips.Image", size: Size) -> "pyvips.Image":
    side = SIDES[size]
    return image.thumbnail_image(
        side, height=side, size="down", output_profile="srgb"
    ).copy_memory()


def product_picture(number: int, size: Size, form: Format) -> bytes:
    """The made-up picture of product `number`: a pure function of its arguments.

    Drawn small and enlarged, because a replica draws it when it is asked for: about 10 ms.
    """
    vips = _vips()
    rng = Random(f"picture {number}")
    near, far, disc = ([rng.randrange(40, 236) for _ in range(3)] for _ in range(3))
    place = vips.Image.xyz(DRAWN_SIDE, DRAWN_SIDE) / DRAWN_SIDE
    slope = (place[0] + place[1]) / 2
    image = slope * [b - a for a, b in zip(near, far, strict=True)] + near
    for _ in range(PICTURE_DISCS):
        x, y, radius = rng.random(), rng.random(), rng.uniform(0.05, 0.25)
        inside = ((place[0] - x) ** 2 + (place[1] - y) ** 2) < radius**2
        image = inside.ifthenelse((image + disc) / 2, image)
    drawn = image.cast("uchar").copy(interpretation="srgb").copy_memory()
    return _encoded(drawn.resize(SIDES[size] / DRAWN_SIDE, kernel="linear"), form)


def noise_picture(name: str) -> bytes:
    """A small picture of noise: a PNG, another one for every name."""
    pixels = Random(f"noise {name}").randbytes(NOISE_SIDE * NOISE_SIDE * 3)
    image = _vips().Image.new_from_memory(pixels, NOISE_SIDE, NOISE_SIDE, 3, "uchar")
    return bytes(image.pngsave_buffer())


def _encoded(image: "pyvips.Image", form: Format) -> bytes:
    if form is Format.WEBP:
        return bytes(image.webpsave_buffer(Q=WEBP_QUALITY, effort=2, keep="none"))
    opaque = image.flatten(background=255) if image.hasalpha() else image
    return bytes(opaque.jpegsave_buffer(Q=JPEG_QUALITY, optimize_coding=True, keep="none"))


@cache
def _vips() -> Any:
    """The library, loaded at first use: a replica that never sees a picture goes without."""
    import pyvips

    pyvips.block_untrusted_set(True)
    pyvips.cache_set_max(0)  # it keeps results of operations; every upload is another
    return pyvips
