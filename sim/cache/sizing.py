"""How many bytes Redis needs for a number of items.

Constants are those of Redis 8.2 on 64 bits with jemalloc: an entry is one block for object, expiry
and key, and one for the value; the tables of keys and of expiries are powers of two of pointers,
in which a collision costs 16 bytes. An integration test holds this against a real server's MEMORY
USAGE (exact) and used_memory (within 2 %).

Assumes: Redis 8.2 on 64 bits with jemalloc; strings with an expiry; keys and values of one size.
Lies when: hashes, lists or streams; a fragmented heap after deletions; buffers of clients and
    replicas, which are not counted.
"""

import math

from sim.errors import require

SMALLEST_VALUE = 45
"""Shorter values are stored inside other blocks; they are taken for this long (an upper bound)."""


def jemalloc_bytes(size: int) -> int:
    """The size of the block that jemalloc hands out for `size` bytes: four sizes a doubling.

    >>> [jemalloc_bytes(n) for n in (1, 29, 65, 129, 1005, 5006)]
    [8, 32, 80, 160, 1024, 5120]
    """
    require(1 <= size <= 2**40, "sizing.size", size, "1 … 2^40 bytes")
    if size <= 64:
        return int(-(-size // 8) * 8)
    step = 1 << ((size - 1).bit_length() - 3)
    return int(-(-size // step) * step)


def redis_item_bytes(key_bytes: int, value_bytes: int) -> int:
    """Bytes of one string entry: what Redis's MEMORY USAGE says.

    Args:
        key_bytes: length of the key, 1 … 200.
        value_bytes: length of the value, 0 … 2^30.
    Returns: bytes, the share of the tables excluded (`redis_bytes` has it).
    Raises: InvalidScenario outside those domains.
    Source: [redis, object.c: kvobjCreate, sds.c] and measurement; exact for values of 45 bytes up.

    >>> redis_item_bytes(10, 1000)  # 16 + 8 + 1 + (1 + 10 + 1) → 40; 5 + 1000 + 1 → 1024
    1064
    """
    require(1 <= key_bytes <= 200, "sizing.key_bytes", key_bytes, "1 … 200")
    require(0 <= value_bytes <= 2**30, "sizing.value_bytes", value_bytes, "0 … 2^30")
    value_bytes = max(value_bytes, SMALLEST_VALUE)
    key = 16 + 8 + 1 + (1 if key_bytes < 32 else 3) + key_bytes + 1
    header = 3 if value_bytes < 256 else 5 if value_bytes < 65_536 else 9
    return jemalloc_bytes(key) + jemalloc_bytes(header + value_bytes + 1)


def redis_bytes(items: int, key_bytes: int, value_bytes: int) -> float:
    """Bytes of used_memory that a number of string entries with a TTL take.

    Args:
        items: number of entries, 0 … 10^12.
        key_bytes, value_bytes: mean lengths, as for `redis_item_bytes`.
    Returns: bytes, the idle server's own (about 1 MB) excluded. While a table doubles, up to
        half as much again as its pointers is needed for a moment.
    Raises: InvalidScenario outside those domains.

    >>> round(redis_bytes(60_000, 30, 500) / 60_000)  # 576, 17.5 of tables, 11 of collisions
    605
    """
    require(0 <= items <= 10**12, "sizing.items", items, "0 … 10^12")
    if items == 0:
        return 0.0
    buckets = max(4, 1 << (items - 1).bit_length())
    fill = items / buckets
    collided = 1.0 + math.expm1(-fill) / fill
    tables = 2 * (8.0 * buckets / items + 16.0 * collided)
    return items * (redis_item_bytes(key_bytes, value_bytes) + tables)


def redis_items(memory_mib: float, key_bytes: int, value_bytes: int) -> int:
    """How many entries with a TTL fit into `maxmemory`: inverse of `redis_bytes`.

    Args:
        memory_mib: for entries, MiB, > 0, ≤ 10^9.
        key_bytes, value_bytes: as for `redis_item_bytes`.

    >>> redis_items(1.0, 10, 1000)  # 1048576 / (1064 + about 30)
    959
    """
    good = math.isfinite(memory_mib) and 0 < memory_mib <= 1e9
    require(good, "sizing.memory_mib", memory_mib, "a number > 0, at most 1e9")
    room = memory_mib * 2**20
    low, high = 0, int(room // redis_item_bytes(key_bytes, value_bytes)) + 1
    while high - low > 1:
        middle = (low + high) // 2
        fits = redis_bytes(middle, key_bytes, value_bytes) <= room
        low, high = (middle, high) if fits else (low, middle)
    return low
