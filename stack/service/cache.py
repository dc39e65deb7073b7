"""Cache-aside in Redis that is never wrong: generations, single flight, and a way without Redis.

Every entry names the generations it was read under, one for each thing it depends on: a category's
listing, a user's favourites, all searches. A generation is a random token in Redis, and clearing
means deleting the token. An entry counts only while its tokens are still the ones in Redis: a slow
read that began before a change is not stored after it, and were it, it would not be served.
Tokens never come back, so one lost by eviction or a restart makes misses, not wrong answers.

A look-up is one MGET of tokens and entry. Entries are ready-made response bodies.

Against stampedes: requests of one replica that miss together wait for one read; replicas agree by
a lease in Redis on who reads, and the others wait a bounded time for the entry; an entry near its
end is read anew by one winner while it is still served; and lives are drawn a little apart, so that
what was filled together does not end together. The last three are switches of each family.
"""

import asyncio
import contextlib
import contextvars
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

from redis.asyncio import Redis

from stack.infra.cache_keys import ENTRY_PREFIX, generation_key
from stack.infra.faults import FaultsFile
from stack.infra.operations import Family
from stack.service.entries import (
    CacheUnavailable,
    EntryStore,
    Place,
    Times,
    body_of,
    is_due_early,
    milliseconds,
    new_token,
    youngest_token_s,
)
from stack.service.held import Visits, current_visits, go_on_after, held
from stack.service.metrics import Metrics
from stack.service.trace import current_trace

# A reader of secondaries may lag this much behind a change without the cache keeping the old value.
REPLICATION_ALLOWANCE_S = 2.0
# A token outlives every entry stored under it, with room for a slow read.
TOKEN_MARGIN_S = 60.0
RETRY_CLEARING_S = 0.25
# How long to wait for another replica's read, and how often to look: then we read ourselves.
PATIENCE_S = 1.0
PAUSES_S = (0.003, 0.005, 0.01, 0.02, 0.04)
NOBODY = b""

# What is stored on a miss; `changed_lately` asks for a read from the primary.
Fill = Callable[[bool], Awaitable[bytes]]
log = logging.getLogger(__name__)


class Uncached(bytes):
    """A body that answers those who wait for it but must not be stored (a degraded answer)."""


@dataclass(frozen=True, slots=True)
class FamilyPolicy:
    """How one key family is kept.

    `ttl_jitter_fraction`: each entry lives for a random time between (1 - this) · ttl and ttl.
    `early_recompute_beta`: eagerness to read an entry anew before it ends; 0 is never, 1 the best.
    `is_shared_flight`: whether replicas wait for each other's reads.
    """

    ttl_s: float
    ttl_jitter_fraction: float = 0.0
    early_recompute_beta: float = 0.0
    is_shared_flight: bool = False


@dataclass(frozen=True, slots=True)
class _Flight:
    """A read under way; others wait for it. `leader`: whose it is, in an emulation."""

    task: asyncio.Task[bytes]
    leader: Visits | None


class Cache:
    """The three key families of the service."""

    def __init__(
        self,
        redis: Redis | None,
        policies: Mapping[Family, FamilyPolicy],
        metrics: Metrics,
        faults: FaultsFile | None = None,
    ) -> None:
        self._faults = faults or FaultsFile(None)
        self._store = EntryStore(redis) if redis is not None else None
        self._policies = policies
        self._metrics = metrics
        self._flights: dict[tuple[str, bytes], _Flight] = {}
        self._early: dict[tuple[str, bytes], asyncio.Task[None]] = {}
        self._uncleared: set[str] = set()
        self._clearing: asyncio.Task[None] | None = None

    async def fetch(
        self, family: Family, entry: str, depends_on: tuple[str, ...], fill: Fill
    ) -> bytes:
        """The body stored as `entry`, or what `fill` returns, stored for the next one.

        `depends_on` names the generations whose clearing makes the entry void.
        """
        policy = self._policies.get(family)
        if self._store is None or policy is None:
            return await fill(False)
        trace = current_trace()
        place = Place(f"{ENTRY_PREFIX}{family}:{entry}", tuple(map(generation_key, depends_on)))
        try:
            with trace.timed("cache"):
                async with held("redis"):
                    stamp, stored = await self._read(self._store, place, policy)
        except CacheUnavailable:
            # Nobody may join a read that began before they came: without tokens we cannot tell
            # whether a change lies between, so every request reads for itself.
            self._metrics.cache_asked(family, "unavailable")
            return await fill(True)
        if stored is not None:
            trace.outcome = "hit"
            self._metrics.cache_asked(family, "hit")
            beta = policy.early_recompute_beta
            if beta and is_due_early(stored, stamp, beta):
                self._recompute(_Reading(self._store, family, policy, place, stamp, fill))
            return body_of(stored, stamp)
        trace.outcome = "miss"
        flight = self._flights.get((place.entry, stamp))
        trace.coalesced = flight is not None
        self._metrics.cache_asked(family, "coalesced" if trace.coalesced else "miss")
        if flight is None:
            reading = _Reading(self._store, family, policy, place, stamp, fill)
            flight = _Flight(asyncio.create_task(self._fly(reading)), current_visits())
            self._flights[place.entry, stamp] = flight
            flight.task.add_done_callback(lambda done: self._landed(place.entry, stamp, done))
        # Shielded, so that a client that goes away does not cancel what others wait for.
        body = await asyncio.shield(flight.task)
        if trace.coalesced:
            go_on_after(flight.leader)
        return body

    async def clear(self, *generations: str) -> None:
        """Make every entry void that depends on one of these; call after the write is acknowledged.

        If Redis does not answer, the write still stands: the clearing is repeated until it
        succeeds, and until then this replica serves nothing from the cache.
        """
        if self._store is None or not generations:
            return
        tokens = [generation_key(name) for name in generations]
        with current_trace().timed("cache"):
            try:
                if self._uncleared:
                    raise CacheUnavailable
                async with held("redis"):
                    await self._store.delete(tokens)
            except CacheUnavailable:
                self._uncleared.update(tokens)
                if self._clearing is None or self._clearing.done():
                    self._clearing = asyncio.create_task(self._clear_later(self._store))

    async def close(self) -> None:
        """Stop the background work."""
        tasks: list[asyncio.Task[Any]] = [flight.task for flight in self._flights.values()]
        tasks += self._early.values()
        tasks += [self._clearing] if self._clearing else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._store is not None:
            await self._store.close()

    async def _read(
        self, store: EntryStore, place: Place, policy: FamilyPolicy
    ) -> tuple[bytes, bytes | None]:
        """The stamp that is valid now, and the entry if it was stored under this stamp."""
        if store.is_left_alone or self._uncleared:
            raise CacheUnavailable
        *tokens, stored = await store.look_up(place)
        known = [token for token in tokens if token is not None]
        if len(known) < len(tokens):
            lifetime_ms = milliseconds(policy.ttl_s + TOKEN_MARGIN_S)
            return b"".join(await store.new_tokens(place.tokens, lifetime_ms)), None
        stamp = b"".join(known)
        return stamp, stored if stored is not None and stored.startswith(stamp) else None

    async def _fly(self, reading: "_Reading") -> bytes:
        """The body: read here, or by another replica that was first."""
        if not reading.policy.is_shared_flight:
            return await self._read_and_store(reading, NOBODY, "read")
        owner, began_s, tries = new_token(), monotonic(), 0
        try:
            while monotonic() - began_s < PATIENCE_S:
                claimed = await reading.store.claim(reading.place, reading.stamp, owner)
                if isinstance(claimed, bytes):
                    self._metrics.cache_filled(reading.family, "waited")
                    return claimed
                if claimed:
                    return await self._read_and_store(reading, owner, "read")
                await asyncio.sleep(PAUSES_S[min(tries, len(PAUSES_S) - 1)])
                tries += 1
        except CacheUnavailable:
            pass
        return await self._read_and_store(reading, NOBODY, "gave_up")

    async def _read_and_store(self, reading: "_Reading", owner: bytes, how: str) -> bytes:
        began_s = monotonic()
        is_stored = False
        try:
            body = await reading.fill(youngest_token_s(reading.stamp) < REPLICATION_ALLOWANCE_S)
            self._metrics.cache_filled(reading.family, how)
            if not isinstance(body, Uncached):
                with current_trace().timed("cache"):
                    await self._keep(reading, body, monotonic() - began_s, owner)
                is_stored = True
        finally:
            if owner and not is_stored:
                with contextlib.suppress(CacheUnavailable):
                    await reading.store.release(reading.place, reading.stamp, owner)
        return body

    async def _keep(self, reading: "_Reading", body: bytes, cost_s: float, owner: bytes) -> None:
        faults = self._faults.now()
        ttl_s = reading.policy.ttl_s * faults.ttl_factor
        spread_s = ttl_s * reading.policy.ttl_jitter_fraction
        times_s = Times(ttl_s - spread_s * random.random(), ttl_s + TOKEN_MARGIN_S, cost_s)
        try:
            async with held("redis"):
                if faults.drops_fills:
                    return
                await reading.store.store(
                    reading.place, reading.stamp, body, times_s=times_s, owner=owner
                )
        except CacheUnavailable:
            log.debug("an entry could not be stored", extra={"entry": reading.place.entry})

    def _recompute(self, reading: "_Reading") -> None:
        """Read an entry anew beside the answers, if nobody else does."""
        key = reading.place.entry, reading.stamp
        if key in self._early or key in self._flights:
            return
        # In a context of its own: the request that gave the reason is answered meanwhile.
        task = asyncio.create_task(self._read_early(reading), context=contextvars.Context())
        self._early[key] = task
        task.add_done_callback(lambda done: self._landed_early(key, done))

    async def _read_early(self, reading: "_Reading") -> None:
        owner = new_token()
        try:
            is_ours = await reading.store.take_lease(reading.place, reading.stamp, owner)
        except CacheUnavailable:
            return
        if is_ours:
            await self._read_and_store(reading, owner, "early")

    def _landed_early(self, key: tuple[str, bytes], task: asyncio.Task[None]) -> None:
        self._early.pop(key, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("an entry could not be read anew before its end: %s", error)

    def _landed(self, entry: str, stamp: bytes, flight: asyncio.Task[bytes]) -> None:
        self._flights.pop((entry, stamp), None)
        if not flight.cancelled():
            flight.exception()  # seen, even if all who waited have gone away

    async def _clear_later(self, store: EntryStore) -> None:
        log.warning("redis does not answer; the cache is off until it has been cleared")
        while self._uncleared:
            tokens = list(self._uncleared)
            try:
                await store.delete(tokens)
            except CacheUnavailable:
                await asyncio.sleep(RETRY_CLEARING_S)
            else:
                self._uncleared.difference_update(tokens)


@dataclass(frozen=True, slots=True)
class _Reading:
    """One miss: what is to be read, and under which stamp it will be stored."""

    store: EntryStore
    family: Family
    policy: FamilyPolicy
    place: Place
    stamp: bytes
    fill: Fill
