"""One seeded list of requests: the live load sends it, the models replay it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.errors import require
from sim.scenario import Catalogue, Operation, Workload
from sim.workload.popularity import Zipf

LARGEST_TRACE = 2 * 10**8
"""Requests that one trace may hold (26 bytes each); longer runs are made of several traces."""

_LISTINGS = frozenset({Operation.LIST, Operation.LIST_CURSOR})
_PRODUCTS = frozenset({Operation.DETAIL, Operation.FAVOURITE_ADD, Operation.PRODUCT_UPDATE})
_NEW = frozenset({Operation.REGISTER, Operation.IMAGE_UPLOAD})
_OWN = frozenset({Operation.FAVOURITES, Operation.LOGIN})


@dataclass(frozen=True)
class Trace:
    """Requests in order of arrival; request i is the i-th element of each array.

    Args:
        arrival_s: intended arrival times, s from the start of the trace, ascending.
        operations: the names that `operation` indexes.
        operation: index into `operations`, int16.
        key: what is asked for; its meaning depends on the operation:
            list, list_cursor: listing key, group * pages_per_category + page - 1, where group 0 is
            all products together and group g ≥ 1 is category g - 1;
            detail, favourite_add, product_update: product number (0 is the most popular);
            search: query number; favourites, login: user number;
            register, image_upload: a running number.
        user: who asks, in [0, catalogue.users); 0 is the most active user.
    """

    arrival_s: NDArray[np.float64]
    operations: tuple[str, ...]
    operation: NDArray[np.int16]
    key: NDArray[np.int64]
    user: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.arrival_s.size)

    def is_operation(self, *operations: str) -> NDArray[np.bool_]:
        """Mask of the requests whose operation is one of `operations`."""
        wanted = [i for i, name in enumerate(self.operations) if name in operations]
        return np.isin(self.operation, wanted)


def listing_key_of_rank(rank: NDArray[np.int64], catalogue: Catalogue) -> NDArray[np.int64]:
    """Listing key of each popularity rank.

    Rank r is page 1 + r // groups of group r mod groups: first all the first pages (the one of all
    products, then those of category 0, 1 …), then all the second pages, and so on.

    Args:
        rank: ranks in [0, catalogue.listing_keys), 0 the most popular.
        catalogue: gives categories (groups are one more) and pages per category.
    Returns: keys in [0, catalogue.listing_keys); a permutation of the ranks.
    Source: the module's own rule; the live load and the models share it.

    >>> c = Catalogue(categories=2, pages_per_category=10)  # 3 groups
    >>> listing_key_of_rank(np.array([0, 1, 2, 3]), c).tolist()  # page 1 of each, then page 2
    [0, 10, 20, 1]
    """
    groups = catalogue.categories + 1
    return np.asarray((rank % groups) * catalogue.pages_per_category + rank // groups)


def listing_rank_of_key(key: NDArray[np.int64], catalogue: Catalogue) -> NDArray[np.int64]:
    """Popularity rank of each listing key: the inverse of `listing_key_of_rank`.

    Args:
        key: keys in [0, catalogue.listing_keys).
        catalogue: as there.
    Returns: ranks in the same range, 0 the most popular.
    Source: the inverse of a permutation; a test holds it.

    >>> c = Catalogue(categories=2, pages_per_category=10)
    >>> listing_rank_of_key(np.array([20, 1]), c).tolist()
    [2, 3]
    """
    groups, pages = catalogue.categories + 1, catalogue.pages_per_category
    return np.asarray((key % pages) * groups + key // pages)


def operations_of(mix: Mapping[Operation, float]) -> tuple[Operation, ...]:
    """The operations that occur in `mix`, in the order of `Operation`, whatever the file's order.

    Args:
        mix: share of each operation.
    Returns: those above 0.
    Source: the definition of `Operation`.

    >>> [str(o) for o in operations_of({Operation.DETAIL: 0.5, Operation.LIST: 0.5})]
    ['list', 'detail']
    """
    return tuple(operation for operation in Operation if mix.get(operation, 0.0) > 0.0)


def poisson_arrivals_s(
    load_per_s: float, duration_s: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Arrival times of a Poisson process on [0, duration_s).

    Args:
        load_per_s: arrival rate λ, requests/s, > 0.
        duration_s: length of the trace, s, > 0; load_per_s * duration_s ≤ 2 * 10^8.
        rng: source of randomness.
    Returns: ascending times in s; their number is Poisson with mean λ·duration.
    Raises: InvalidScenario outside those domains.
    Source: given their number, the arrivals are ordered uniforms [ross2014, Theorem 5.2], here
        drawn without sorting as partial sums of exponentials over their total.

    >>> times = poisson_arrivals_s(1000.0, 10.0, np.random.default_rng(1))
    >>> 9_500 < times.size < 10_500, float(times.max()) < 10.0
    (True, True)
    """
    _check_size(load_per_s, duration_s)
    count = int(rng.poisson(load_per_s * duration_s))
    sums = np.cumsum(rng.standard_exponential(count + 1))
    return np.asarray(np.minimum(sums[:-1] / sums[-1], 1.0 - 2.0**-53) * duration_s)


def _check_size(load_per_s: float, duration_s: float) -> None:
    for name, value in (("load_per_s", load_per_s), ("duration_s", duration_s)):
        require(
            isinstance(value, int | float | np.number) and math.isfinite(value) and value > 0,
            f"trace.{name}",
            value,
            "a number > 0",
        )
    require(
        load_per_s * duration_s <= LARGEST_TRACE,
        "trace.load_per_s × duration_s",
        load_per_s * duration_s,
        f"at most {LARGEST_TRACE:.0e} requests in one trace",
    )


def open_trace(
    workload: Workload, load_per_s: float, duration_s: float, rng: np.random.Generator
) -> Trace:
    """Poisson requests at a constant load, with the mix and popularity of a workload.

    The load is given, not taken from the workload's users: one workload is replayed at many loads.
    Users and products are those of `workload.catalogue`, which is what the live stack stores.
    Arrivals, operations, users and keys have a random stream each, so that two workloads that
    differ in one of them share the draws of the others (common random numbers).

    Args:
        workload: mix, popularity and catalogue.
        load_per_s: arrival rate, requests/s, > 0.
        duration_s: length, s, > 0; load_per_s * duration_s ≤ 2 * 10^8.
        rng: source of randomness; must come from a SeedSequence (`default_rng` does).
    Returns: the trace. The same rng seed gives the same trace.
    Raises: InvalidScenario outside those domains.
    Source: Poisson arrivals, as `poisson_arrivals_s`; Zipf keys, as `Zipf.ranks`.

    >>> from sim.example import shop
    >>> one, two = (open_trace(shop().workload, 10.0, 5.0, np.random.default_rng(1)) for _ in "ab")
    >>> one.arrival_s.tolist() == two.arrival_s.tolist()
    True
    """
    arrivals, rest = rng.spawn(2)
    return requests_at(poisson_arrivals_s(load_per_s, duration_s, arrivals), workload, rest)


def requests_at(
    arrival_s: NDArray[np.float64],
    workload: Workload,
    rng: np.random.Generator,
    user: NDArray[np.int64] | None = None,
) -> Trace:
    """What is asked at given arrival times: operation, user and key of each, independent.

    Args:
        arrival_s: ascending times, s.
        workload: mix, popularity and catalogue.
        rng: source of randomness, as in `open_trace`.
        user: who asks each; None draws independent users by their popularity.
    Returns: the trace over those arrival times.
    Raises: InvalidScenario outside the domains of `Zipf`.
    Source: inversion of the mix; `Zipf.ranks` for keys and users.

    >>> from sim.example import shop
    >>> trace = requests_at(np.array([0.0, 1.0]), shop().workload, np.random.default_rng(1))
    >>> len(trace), trace.arrival_s.tolist()
    (2, [0.0, 1.0])
    """
    mixing, users, *keys = rng.spawn(2 + len(Operation))
    operations = operations_of(workload.mix)
    shares = np.cumsum([workload.mix[name] for name in operations])
    count = arrival_s.size
    operation = np.searchsorted(shares[:-1] / shares[-1], mixing.random(count), side="right")
    popularity, catalogue = workload.popularity, workload.catalogue
    if user is None:
        user = Zipf(catalogue.users, popularity.users_zipf).ranks(count, users)
    key = np.empty(count, dtype=np.int64)
    stream = dict(zip(Operation, keys, strict=True))
    for index, name in enumerate(operations):
        places = np.flatnonzero(operation == index)
        if name in _OWN:
            key[places] = user[places]
        elif name in _NEW:
            key[places] = np.arange(places.size)
        else:
            key[places] = _drawn_keys(name, places.size, workload, stream[name])
    return Trace(arrival_s, operations, operation.astype(np.int16), key, user)


def _drawn_keys(
    operation: Operation, count: int, workload: Workload, rng: np.random.Generator
) -> NDArray[np.int64]:
    popularity, catalogue = workload.popularity, workload.catalogue
    if operation in _LISTINGS:
        ranks = Zipf(catalogue.listing_keys, popularity.listing_zipf).ranks(count, rng)
        return listing_key_of_rank(ranks, catalogue)
    if operation in _PRODUCTS:
        return Zipf(catalogue.products, popularity.products_zipf).ranks(count, rng)
    if operation is Operation.SEARCH:
        return Zipf(catalogue.search_queries, popularity.search_zipf).ranks(count, rng)
    raise AssertionError(f"{operation} has no drawn key")
