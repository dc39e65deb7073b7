"""What is stored: product and user documents as pure functions of their number."""

from collections.abc import Iterator
from random import Random
from typing import Any

from stack.infra.catalogue import (
    ADMIN_EMAIL,
    Catalogue,
    admin_id,
    category_slug,
    created_at,
    department_of,
    product_id,
    user_email,
    user_id,
)
from stack.infra.vocabulary import ADJECTIVES, BRANDS, DETAILS, PRAISE

Document = dict[str, Any]

FAVOURITES_MEAN = 6
PRODUCTS = "products"
USERS = "users"
API_KEYS = "api_keys"
IMAGES = "images"  # uploads, by the SHA-256 of the original
RECOMMENDATIONS = "recommendations"
REPORTS = "reports"  # by day


def product_document(number: int, catalogue: Catalogue) -> Document:
    """Product `number` as it is stored after seeding."""
    rng = Random(f"product {number}")  # a text seed is hashed the same way in every process
    category = number % catalogue.categories
    department = department_of(category)
    brand, adjective = rng.choice(BRANDS), rng.choice(ADJECTIVES)
    variant, noun = rng.choice(department.variants), rng.choice(department.nouns)
    title = f"{brand} {adjective} {variant} {noun}"
    other = rng.choice(department.nouns).lower()
    price_usd = max(1.99, int(department.base_usd * rng.lognormvariate(0, 0.5)) + 0.99)
    return {
        "_id": product_id(number),
        "number": number,
        "title": title,
        "brand": brand,
        "category": category_slug(category),
        "description": (
            f"{rng.choice(PRAISE)}: the {adjective.lower()} {variant.lower()} {noun.lower()} by "
            f"{brand}, which goes with any {other}. {rng.choice(DETAILS)}"
        ),
        "price_usd": price_usd,
        "rating": round(min(5.0, max(1.0, rng.gauss(4.1, 0.5))), 1),
        "ratings": int(rng.lognormvariate(3.5, 1.2)),
        "stock": rng.randrange(0, 400),
        "image_url": f"/images/products/{number}/full.webp",
        "thumbnail_url": f"/images/products/{number}/thumbnail.webp",
        "created_at": created_at(number),
        "updated_at": created_at(number),
        "version": 1,
        # The seeding fills the search index itself; the indexer leaves such inserts out.
        "seeded": True,
    }


def user_document(number: int, catalogue: Catalogue, password_hash: str) -> Document:
    """User `number` as stored after seeding, with some favourites."""
    rng = Random(f"user {number}")
    wanted = min(catalogue.products, int(rng.expovariate(1 / FAVOURITES_MEAN)))
    favourites = rng.sample(range(catalogue.products), wanted)
    return {
        "_id": user_id(number),
        "email": user_email(number),
        "name": f"Shopper {number}",
        "role": "user",
        "password_hash": password_hash,
        "favorites": [product_id(product) for product in favourites],
        "created_at": created_at(number),
        "seeded": True,
    }


def admin_document(password_hash: str) -> Document:
    """The administrator, who may change products."""
    return {
        "_id": admin_id(),
        "email": ADMIN_EMAIL,
        "name": "Administrator",
        "role": "admin",
        "password_hash": password_hash,
        "favorites": [],
        "created_at": created_at(0),
        "seeded": True,
    }


def product_documents(catalogue: Catalogue) -> Iterator[Document]:
    """All products in order of their numbers."""
    return (product_document(number, catalogue) for number in range(catalogue.products))


def user_documents(catalogue: Catalogue, password_hash: str) -> Iterator[Document]:
    """All seeded shoppers, without the administrator."""
    return (user_document(number, catalogue, password_hash) for number in range(catalogue.users))
