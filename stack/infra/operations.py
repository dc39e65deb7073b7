"""The names that load, service and models share. They are repeated in the scenario on purpose:

`stack` never imports `sim`, and a test in tests/unit compares the two lists.
"""

from enum import StrEnum


class Operation(StrEnum):
    """What a user can ask of the API."""

    LIST = "list"
    LIST_CURSOR = "list_cursor"
    DETAIL = "detail"
    SEARCH = "search"
    FAVOURITES = "favourites"
    FAVOURITE_ADD = "favourite_add"
    PRODUCT_UPDATE = "product_update"
    LOGIN = "login"
    REGISTER = "register"
    IMAGE_UPLOAD = "image_upload"


class Family(StrEnum):
    """The cached key families. Product detail is in none of them: it is read from the database."""

    LISTING = "listing"
    SEARCH = "search"
    FAVOURITES = "favourites"


READS = frozenset(
    {
        Operation.LIST,
        Operation.LIST_CURSOR,
        Operation.DETAIL,
        Operation.SEARCH,
        Operation.FAVOURITES,
    }
)
