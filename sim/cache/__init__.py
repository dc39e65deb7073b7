"""Caches: hit ratios, sizes and fills, by formula and by trace simulation; one model per file."""

from sim.cache.families import HitRatio, cached_fraction, family_hit_ratios
from sim.cache.ttl import expected_misses, hit_fraction, hit_fraction_in_window

__all__ = [
    "HitRatio",
    "cached_fraction",
    "expected_misses",
    "family_hit_ratios",
    "hit_fraction",
    "hit_fraction_in_window",
]
