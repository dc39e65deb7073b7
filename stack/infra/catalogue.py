"""The catalogue as pure functions of numbers: what product 17 is, what query 4 asks.

Seeding, service and load generator agree through this module, and the models replicate it:

- product number p in [0, products) belongs to category p mod categories;
- ids are functions of the number and rise with it, so newest first is `_id` descending;
- listing key k in [0, (categories + 1) * pages_per_category) is page k mod pages + 1 of group
  k // pages, where group 0 is all products and group g is category g - 1;
- search query q in [0, search_queries) is a text of its own, one in ten with a typing error.
"""

from datetime import UTC, datetime, timedelta

from bson import ObjectId
from pydantic import BaseModel, ConfigDict, Field

from stack.infra.vocabulary import ADJECTIVES, BRANDS, DEPARTMENTS, Department

FIRST_CREATED = datetime(2024, 1, 1, tzinfo=UTC)
CREATED_EVERY_S = 1_800
ADMIN_EMAIL = "admin@example.com"
# Every seeded shopper has this password. It guards nothing: these accounts are made-up test data
# on example.com, and the load generator must know it to log in.
SEEDED_PASSWORD = "correct horse battery staple"  # noqa: S105 - see above

_PRODUCT_MARK = b"prod"
_USER_MARK = b"user"
_ADMIN_NUMBER = 2**32 - 1


class Catalogue(BaseModel):
    """How much is stored; the same fields as `workload.catalogue` of a scenario."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    products: int = Field(default=20_000, ge=1, le=2**31)
    users: int = Field(default=2_000, ge=1, le=2**31)
    categories: int = Field(default=20, ge=1, le=100_000)
    pages_per_category: int = Field(default=10, ge=1, le=10_000)
    page_size: int = Field(default=20, ge=1, le=100)
    search_queries: int = Field(default=2_000, ge=1)

    @property
    def listing_keys(self) -> int:
        """Distinct listing pages that are asked for."""
        return (self.categories + 1) * self.pages_per_category


def product_id(number: int) -> ObjectId:
    """The id of product `number`; ids rise with the number."""
    return _id(number, _PRODUCT_MARK)


def product_number(identifier: ObjectId) -> int:
    """The number of the product with this id; inverse of `product_id`."""
    return int.from_bytes(identifier.binary[8:], "big")


def user_id(number: int) -> ObjectId:
    """The id of seeded user `number`."""
    return _id(number, _USER_MARK)


def admin_id() -> ObjectId:
    """The id of the seeded administrator."""
    return _id(_ADMIN_NUMBER, _USER_MARK)


def user_email(number: int) -> str:
    """The e-mail address of seeded user `number`."""
    return f"shopper{number:07d}@example.com"


def created_at(number: int) -> datetime:
    """When product or user `number` was created."""
    return FIRST_CREATED + timedelta(seconds=CREATED_EVERY_S * (number % 40_000))


def department_of(category: int) -> Department:
    """The vocabulary of category `category`; past the last department they are used again."""
    return DEPARTMENTS[category % len(DEPARTMENTS)]


def category_slug(category: int) -> str:
    """The name of category `category` as the API takes it: `headphones`, and `headphones-2` …"""
    series, first = divmod(category, len(DEPARTMENTS))
    slug = DEPARTMENTS[first].slug
    return f"{slug}-{series + 1}" if series else slug


def listing_page(catalogue: Catalogue, key: int) -> tuple[str | None, int]:
    """Category (None: all products) and page, from 1, of listing key `key`."""
    group, page = divmod(key, catalogue.pages_per_category)
    return (category_slug(group - 1) if group else None), page + 1


def last_product_before(catalogue: Catalogue, key: int) -> int | None:
    """The product after which the page of listing key `key` starts; None for a first page.

    A cursor page is named by the last product of the page before it, so the load generator can ask
    for page n of the cursor API without walking the n - 1 pages in front.
    """
    group, page = divmod(key, catalogue.pages_per_category)
    if page == 0:
        return None
    step = catalogue.categories if group else 1
    category = group - 1 if group else 0
    newest = catalogue.products - 1 - (catalogue.products - 1 - category) % step
    return max(newest - step * (page * catalogue.page_size - 1), 0)


def query_text(catalogue: Catalogue, query: int) -> str:
    """The text of search query `query`; texts of different queries differ."""
    departments = DEPARTMENTS[: min(catalogue.categories, len(DEPARTMENTS))]
    nouns = [(noun, place) for place in departments for noun in place.nouns]
    # Mixed radix: noun, adjective, then (only when these are used up) variant, brand and series.
    rest, noun_index = divmod(query, len(nouns))
    rest, adjective = divmod(rest, len(ADJECTIVES))
    noun, department = nouns[noun_index]
    # Shifted by the noun, so that popular queries do not all start with the same adjective.
    words = [ADJECTIVES[(adjective + noun_index) % len(ADJECTIVES)]]
    rest, variant = divmod(rest, len(department.variants) + 1)
    if variant:
        words.append(department.variants[variant - 1])
    series, brand = divmod(rest, len(BRANDS) + 1)
    if brand:
        words.insert(0, BRANDS[brand - 1])
    words.append(_mistyped(noun, query // 10) if query % 10 == 9 else noun)
    if series:
        words.append(str(series))
    return " ".join(words).lower()


def _mistyped(word: str, choice: int) -> str:
    """`word` with two neighbouring letters swapped; the first letter stays, as most typists do."""
    at = 1 + choice % (len(word) - 2)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _id(number: int, mark: bytes) -> ObjectId:
    # The time is not in the id: it would have to rise for ever, and numbers run to 2**31.
    return ObjectId(mark + bytes(4) + number.to_bytes(4, "big"))
