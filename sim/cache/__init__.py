"""Caches: hit ratios, sizes and fills, by formula and by trace simulation; one model per file."""

from sim.cache.che import characteristic_time_s, lru_hit_fraction, lru_hit_fractions
from sim.cache.families import HitRatio, cached_fraction, family_hit_ratios
from sim.cache.replay import Counts, replay, replayed_hit_ratios
from sim.cache.ttl import expected_misses, hit_fraction, hit_fraction_in_window

__all__ = [
    "Counts",
    "HitRatio",
    "cached_fraction",
    "characteristic_time_s",
    "expected_misses",
    "family_hit_ratios",
    "hit_fraction",
    "hit_fraction_in_window",
    "lru_hit_fraction",
    "lru_hit_fractions",
    "replay",
    "replayed_hit_ratios",
]
