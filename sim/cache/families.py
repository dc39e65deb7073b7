"""Hit ratios of the scenario's key families: TTL caches fed by its mix, popularity and writes.

Who clears what: an update of product p clears the listing pages of all products and those of p's
category (p mod categories), and every search result; a favourite added clears that user's own
favourites. A family whose policy is not `cleared_by_product_update` keeps its listing pages or
search results until their TTL ends; favourites with that policy are cleared by every update too.
`list` and `list_cursor` answer in different shapes, so each has its own copy of a listing page.

Assumes: as for one key (see ttl), for all keys of a family; product updates strike products by
    their popularity; users are equal but for theirs.
Lies when: writes come in batches (an import): one batch clears once what many updates would clear
    often; one user's favourites are asked for in runs, as sessions do.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sim.cache.ttl import (
    expected_misses,
    hit_fraction,
    hit_fraction_in_window,
    mean_residence_s,
    residence_variance_s2,
)
from sim.errors import require
from sim.scenario import FAMILY_OF, Cache, CachePolicy, Family, Operation, Workload
from sim.workload.popularity import LARGEST_TABLE, Zipf

_ALONE = -1  # group of a key that no other key is cleared together with
_NODES, _WEIGHTS = np.polynomial.laguerre.laggauss(12)


@dataclass(frozen=True)
class HitRatio:
    """Hit ratio of a family; `low` to `high` holds 95 % of finite traces (or is `fraction`)."""

    fraction: float
    low: float
    high: float
    lookups_per_s: float


@dataclass(frozen=True)
class KeyClasses:
    """Keys that behave alike, in classes.

    Args:
        requests_per_s: of one key.
        members: number of keys in the class.
        own_clears_per_s: rate at which a key is invalidated alone.
        shared_clears_per_s: rate at which it is invalidated together with its group.
        group: keys with the same group ≥ 0 share those events; -1: with nobody.
    """

    requests_per_s: NDArray[np.float64]
    members: NDArray[np.float64]
    own_clears_per_s: NDArray[np.float64]
    shared_clears_per_s: NDArray[np.float64]
    group: NDArray[np.int64]

    @property
    def clears_per_s(self) -> NDArray[np.float64]:
        """Rate at which a key is invalidated, by whatever event."""
        return self.own_clears_per_s + self.shared_clears_per_s


def family_hit_ratios(
    workload: Workload,
    cache: Cache | None,
    load_per_s: float,
    window_s: tuple[float, float] | None = None,
) -> dict[Family, HitRatio]:
    """Expected hit ratio of every cached family at a constant total load.

    Memory is taken to suffice (see `sizing`, and `che` for when it does not); fills take no time.

    Args:
        workload: mix, popularity and catalogue; `catalogue.users` ask, as in `open_trace`.
        cache: TTLs and policies; None gives an empty answer.
        load_per_s: requests/s of all operations together, > 0, ≤ 10^12.
        window_s: (t0, t1), s since the cache was empty, 0 ≤ t0 < t1, for the expected ratio of a
            finite trace in that window, warm-up included, with its 95 % interval. None: the
            long-run ratio, whose low and high are equal to it.
    Returns: a HitRatio for each family that is cached and asked for.
    Raises: InvalidScenario outside those domains.
    Source: `sim.cache.ttl` per key; the interval is the long-run renewal-reward variance of hits
        [ross2014, §7.4] plus that of the shared clears, in the normal approximation; a test holds
        that it covers 90 to 99.7 % of traces.

    >>> from sim.example import shop
    >>> s = shop()
    >>> ratio = family_hit_ratios(s.workload, s.topology.cache, 10.0)[Family.LISTING]
    >>> ratio.lookups_per_s  # half of 10 requests/s
    5.0
    >>> ratio.fraction > 1 - 25 / (5.0 * 300)  # each of 25 pages misses less than once a TTL
    True
    """
    _check_load(load_per_s)
    ratios = {}
    for family, policy in (cache.families if cache else {}).items():
        keys = key_classes(workload, family, policy, load_per_s)
        if keys.members.size:
            ratios[family] = _hit_ratio(keys, policy.ttl_s, window_s)
    return ratios


def cached_fraction(ratios: dict[Family, HitRatio], load_per_s: float) -> float:
    """Share of all requests that a cache answers: hits of every family over the total load.

    Args:
        ratios: of `family_hit_ratios` at that load.
        load_per_s: requests/s of all operations together, > 0.
    Returns: share of all requests, 0..1.
    Raises: InvalidScenario unless the load is above 0.
    Source: hits of all families over all requests: the definition.

    >>> cached_fraction({Family.SEARCH: HitRatio(0.5, 0.4, 0.6, lookups_per_s=30.0)}, 100.0)
    0.15
    """
    _check_load(load_per_s)
    return sum(ratio.fraction * ratio.lookups_per_s for ratio in ratios.values()) / load_per_s


def key_classes(
    workload: Workload, family: Family, policy: CachePolicy, load_per_s: float
) -> KeyClasses:
    """The keys of one family with their request and clear rates at a total load.

    Listing pages beyond the 4096 most popular ones are given the mean clear rate of their kind.

    Args:
        workload: mix, popularity and catalogue.
        family: which keys.
        policy: of that family; says which writes clear them.
        load_per_s: requests/s of all operations together, > 0.
    Returns: the classes; empty arrays where the mix asks for none of these keys.
    Raises: InvalidScenario for a load outside that domain.
    Source: `Zipf.classes` for the rates; the module's own rules for the clears.

    >>> from sim.example import shop
    >>> s = shop()
    >>> policy = s.topology.cache.families[Family.LISTING]
    >>> keys = key_classes(s.workload, Family.LISTING, policy, load_per_s=10.0)
    >>> float(keys.members.sum())  # 4 categories and all products, 5 pages each
    25.0
    >>> round(float(keys.members @ keys.requests_per_s), 9)  # half of the requests list
    5.0
    """
    _check_load(load_per_s)
    catalogue, popularity = workload.catalogue, workload.popularity
    updates = load_per_s * workload.mix.get(Operation.PRODUCT_UPDATE, 0.0)
    updates *= policy.cleared_by_product_update
    parts = []
    for operation in (o for o, of in FAMILY_OF.items() if of is family):
        lookups = load_per_s * workload.mix.get(operation, 0.0)
        if lookups == 0.0:
            continue
        if family is Family.LISTING:
            share, members = Zipf(catalogue.listing_keys, popularity.listing_zipf).classes()
            shared, group = _listing_clears(workload, members, updates)
            own = np.zeros(share.size)
        elif family is Family.SEARCH:
            share, members = Zipf(catalogue.search_queries, popularity.search_zipf).classes()
            own, shared = np.zeros(share.size), np.full(share.size, updates)
            group = np.zeros(share.size, dtype=np.int64)
        else:
            share, members = Zipf(catalogue.users, popularity.users_zipf).classes()
            own = load_per_s * workload.mix.get(Operation.FAVOURITE_ADD, 0.0) * share
            shared = np.full(share.size, updates)
            group = np.zeros(share.size, dtype=np.int64)
        parts.append((lookups * share, members, own, shared, group))
    if not parts:
        return KeyClasses(*(np.empty(0),) * 4, np.empty(0, dtype=np.int64))
    return KeyClasses(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _check_load(load_per_s: float) -> None:
    number = isinstance(load_per_s, int | float | np.number)
    good = number and math.isfinite(load_per_s) and 0 < load_per_s <= 1e12
    require(good, "load_per_s", load_per_s, "a number > 0, at most 1e12")


def _listing_clears(
    workload: Workload, members: NDArray[np.float64], updates_per_s: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Clear rate and group of each class of listing pages, in order of popularity rank."""
    groups = workload.catalogue.categories + 1
    single = int(np.count_nonzero(members == 1))
    group = np.arange(members.size) % groups
    group[single:] = _ALONE
    share = np.full(members.size, 1.0 / workload.catalogue.categories)
    known = workload.catalogue.products, workload.popularity.products_zipf
    shares = _update_shares(*known, workload.catalogue.categories, min(groups, single))
    share[:single] = shares[group[:single]]
    return updates_per_s * share, group


@lru_cache(maxsize=64)
def _update_shares(
    products: int, exponent: float, categories: int, groups: int
) -> NDArray[np.float64]:
    """Share of product updates that clear listing group 0, 1, … : all, then one per category."""
    shares = np.zeros(groups)
    shares[0] = 1.0
    probability, members = Zipf(products, exponent).classes(LARGEST_TABLE // 16)
    single = int(np.count_nonzero(members == 1))
    category = np.arange(single) % categories
    near = category < groups - 1
    shares[1:] = np.bincount(
        category[near], weights=probability[:single][near], minlength=groups - 1
    )
    shares[1:] += (probability[single:] @ members[single:]) / categories
    shares.setflags(write=False)
    return shares


def _hit_ratio(keys: KeyClasses, ttl_s: float, window_s: tuple[float, float] | None) -> HitRatio:
    weight = keys.members * keys.requests_per_s
    lookups = float(weight.sum())
    if window_s is None:
        hits = hit_fraction(keys.requests_per_s, ttl_s, keys.clears_per_s)
        fraction = float(weight @ hits) / lookups
        return HitRatio(fraction, fraction, fraction, lookups)
    hits = hit_fraction_in_window(keys.requests_per_s, ttl_s, window_s, keys.clears_per_s)
    fraction = float(weight @ hits) / lookups
    length_s = window_s[1] - window_s[0]
    variance = _variance(keys, ttl_s, fraction, length_s, rhythm=window_s[1] > ttl_s)
    spread = 1.96 * math.sqrt(variance) / (lookups * length_s)
    return HitRatio(fraction, max(0.0, fraction - spread), min(1.0, fraction + spread), lookups)


def _variance(
    keys: KeyClasses, ttl_s: float, fraction: float, length_s: float, *, rhythm: bool
) -> float:
    """Variance of Σ (hit - fraction) over the requests of a window.

    Per key by renewal-reward: a cycle (absent, then resident) earns Z = (1-H)·hits - H. Keys of a
    group share their clears, so for them the part of that variance which the clears cause is
    taken out and put back for the group as a whole. `rhythm` adds the constant of the variance
    of a stationary renewal count [cox1962, §4.5], third moment of the residence taken as 0.
    """
    rate, clears = keys.requests_per_s, keys.clears_per_s
    residence = mean_residence_s(ttl_s, clears)
    residence_variance = residence_variance_s2(ttl_s, clears)
    cycle = residence + 1.0 / rate
    miss = 1.0 - fraction
    drift = (miss * rate * residence - fraction) / cycle
    variance = miss**2 * rate * residence
    variance += (miss * rate - drift) ** 2 * residence_variance + (drift / rate) ** 2
    variance *= length_s / cycle
    if rhythm:
        # What the long-run variance lacks in a window: counting cycles from a random phase.
        wave = (residence_variance + 1.0 / rate**2) / cycle**2
        counting = 1.0 / 6.0 + wave**2 / 2.0 - 2.0 / (3.0 * (rate * cycle) ** 3)
        share = np.minimum(length_s / cycle, 1.0)
        short = np.minimum(share * (1.0 - share), counting)
        variance += np.maximum(0.0, np.where(share < 1.0, short, counting))
    total = float(keys.members @ variance)
    shared = (keys.group != _ALONE) & (keys.shared_clears_per_s > 0)
    if not shared.any():
        return total
    alone, together = _variance_by_clears_per_s(keys, shared, ttl_s, fraction)
    return max(0.0, total - alone * length_s) + together * length_s


def _variance_by_clears_per_s(
    keys: KeyClasses, shared: NDArray[np.bool_], ttl_s: float, fraction: float
) -> tuple[float, float]:
    """Variance per second that clears cause: were they each key's own, and as they are shared.

    Between two shared clears, an Exp(μ) time X apart, the expected reward is g(X); the variance
    per second, in the long run, is μ Var(g(X) - rX), r = μ E g(X), by Gauss–Laguerre
    quadrature. Group 0 (all products) is cleared whenever another is, so its deviation is added,
    not its variance.
    """
    rate, clears = keys.requests_per_s[shared], keys.shared_clears_per_s[shared]
    own = keys.own_clears_per_s[shared]
    members, group = keys.members[shared], keys.group[shared]
    age = _NODES / clears[:, None]
    misses = expected_misses(rate[:, None], ttl_s, age, own[:, None])
    reward = (1.0 - fraction) * rate[:, None] * age - misses
    groups, place = np.unique(group, return_inverse=True)
    by_group = np.zeros((groups.size, _NODES.size))
    np.add.at(by_group, place, members[:, None] * reward)
    clears_of_group = np.zeros(groups.size)
    clears_of_group[place] = clears

    def variance(reward: NDArray[np.float64]) -> NDArray[np.float64]:
        centred = reward - (reward @ _WEIGHTS)[:, None] * _NODES
        return np.asarray(centred**2 @ _WEIGHTS)

    alone = float(members @ (clears * variance(reward)))
    per_s = clears_of_group * variance(by_group)
    everything = float(per_s[groups == 0].sum())
    categories = float(per_s[groups != 0].sum())
    return alone, (math.sqrt(everything) + math.sqrt(categories)) ** 2
