"""Names in Redis that service, indexer and seeding share."""

GENERATION_PREFIX = "generation:"
ENTRY_PREFIX = "entry:"
ALL_PRODUCTS = "all"
EVERY_SEARCH = "search"
EVERY_FAVOURITES = "favourites"


def generation_key(name: str) -> str:
    """The key whose deletion makes every entry void that was stored under generation `name`."""
    return GENERATION_PREFIX + name


def listing_generation(category: str | None) -> str:
    """The generation of every listing page of a category (None: of all products together)."""
    return f"listing:{category or ALL_PRODUCTS}"


def favourites_generation(user: object) -> str:
    """The generation of one user's favourites."""
    return f"favourites:{user}"
