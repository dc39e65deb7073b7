import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.infra.catalogue import (
    Catalogue,
    category_slug,
    last_product_before,
    listing_page,
    product_id,
    product_number,
    query_text,
    user_email,
    user_id,
)
from stack.infra.documents import product_document, user_document
from stack.infra.search_index import MAPPINGS, search_document


@given(st.integers(0, 2**31 - 2))
def test_product_ids_rise_with_the_number_and_give_it_back(number):
    assert product_id(number) < product_id(number + 1)
    assert product_number(product_id(number)) == number


def test_users_and_products_share_no_id():
    assert user_id(7) != product_id(7)


@given(st.integers(0, 10**6), st.integers(1, 300))
def test_product_p_belongs_to_category_p_mod_categories(number, categories):
    catalogue = Catalogue(categories=categories)
    assert product_document(number, catalogue)["category"] == category_slug(number % categories)


def test_category_names_differ_also_past_the_vocabulary():
    assert len({category_slug(category) for category in range(500)}) == 500


@pytest.mark.parametrize("categories", [1, 3, 20, 50])
def test_texts_of_different_queries_differ(categories):
    catalogue = Catalogue(categories=categories)
    assert len({query_text(catalogue, query) for query in range(30_000)}) == 30_000


def test_listing_keys_cover_every_page_of_every_group_once():
    catalogue = Catalogue(categories=3, pages_per_category=4)
    pages = [listing_page(catalogue, key) for key in range(catalogue.listing_keys)]
    assert pages[:4] == [(None, 1), (None, 2), (None, 3), (None, 4)]
    assert pages[4] == (category_slug(0), 1)
    assert len(set(pages)) == catalogue.listing_keys == 16


@given(
    st.builds(
        Catalogue,
        products=st.integers(200, 600),
        categories=st.integers(1, 7),
        pages_per_category=st.integers(1, 4),
        page_size=st.integers(1, 7),
    )
)
def test_a_page_starts_after_the_last_product_of_the_page_before(catalogue):
    for key in range(catalogue.listing_keys):
        group, page = divmod(key, catalogue.pages_per_category)
        newest_first = [
            product
            for product in reversed(range(catalogue.products))
            if group == 0 or product % catalogue.categories == group - 1
        ]
        before = newest_first[: page * catalogue.page_size]
        assert last_product_before(catalogue, key) == (before[-1] if before else None)


def test_the_same_number_gives_the_same_document_every_time():
    catalogue = Catalogue(products=50, users=5)
    assert product_document(17, catalogue) == product_document(17, catalogue)
    first = user_document(3, catalogue, "hash")
    assert first == user_document(3, catalogue, "hash")
    assert first["email"] == user_email(3)
    assert all(product_number(favourite) < 50 for favourite in first["favorites"])


def test_a_product_document_is_stable_across_versions_of_the_code():
    """Golden: a change here needs a new seed.REVISION, or old seedings pass for new ones."""
    product = product_document(17, Catalogue())
    shown = {name: product[name] for name in ("title", "price_usd", "rating", "stock", "category")}
    assert shown == {
        "title": "Zephyr Quick Overnight Lipstick",
        "price_usd": 27.99,
        "rating": 4.0,
        "stock": 344,
        "category": "beauty",
    }


def test_the_search_index_holds_exactly_the_fields_it_defines():
    copied = {"spelling"}  # Elasticsearch copies into it what is in the texts
    told = set(search_document(product_document(1, Catalogue())))
    assert told | copied == set(MAPPINGS["properties"])
    assert told.isdisjoint(copied)
