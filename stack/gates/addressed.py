"""Which operation a request asks for, and which request it is: from method, path and id alone.

The gates stand before the routing, so they read the path themselves; a test compares this with the
requests that the load generator makes.
"""

import re

from stack.gates.emulation import Identity
from stack.infra.operations import Operation

# A run names its seed in the request ids: <run>.s<seed>-<number>.
_ID = re.compile(r"(?:.*\.s(\d{1,20}))?.*-(\d{1,15})", re.ASCII)
_ATTEMPT = re.compile(r"\d{1,2}", re.ASCII)
_EXACT = {
    ("GET", "/api/v1/products"): Operation.LIST,
    ("GET", "/api/v2/products"): Operation.LIST_CURSOR,
    ("GET", "/api/v1/search"): Operation.SEARCH,
    ("GET", "/api/v1/users/me/favourites"): Operation.FAVOURITES,
    ("POST", "/api/v1/auth/login"): Operation.LOGIN,
    ("POST", "/api/v1/auth/register"): Operation.REGISTER,
    ("POST", "/api/v1/images"): Operation.IMAGE_UPLOAD,
}
_ONE = {
    ("GET", "/api/v1/products/"): Operation.DETAIL,
    ("PATCH", "/api/v1/products/"): Operation.PRODUCT_UPDATE,
    ("PUT", "/api/v1/users/me/favourites/"): Operation.FAVOURITE_ADD,
}


def operation_of(method: str, path: str) -> Operation | None:
    """The operation of a request; None for what is not emulated (health, metrics, …)."""
    exact = _EXACT.get((method, path))
    if exact is not None:
        return exact
    parent, _, name = path.rpartition("/")
    return _ONE.get((method, f"{parent}/")) if name else None


def identity_of(request_id: str, attempt: str = "") -> Identity | None:
    """Number and seed of a request with an id of a load run; None for any other id.

    `attempt`: how often it was sent before, where its sender told.
    """
    found = _ID.fullmatch(request_id)
    if found is None:
        return None
    seed, number = found.groups()
    return Identity(
        request=int(number),
        seed=None if seed is None else int(seed) % 2**64,
        attempt=int(attempt) if _ATTEMPT.fullmatch(attempt) else 0,
    )


def run_id_with_seed(run_id: str, seed: int) -> str:
    """A run's name, shortened where needed, that carries the seed of its demands."""
    mark = f".s{seed}"
    return run_id[-(64 - len(mark)) :].lstrip(".-") + mark
