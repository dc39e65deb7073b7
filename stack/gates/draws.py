"""The draw behind a visit's demand: a pure function of seed, component, request and visit.

The models draw by the same rule (docs/decisions/0001-counter-based-draws.md) and `stack` never
imports them, so the rule stands here a second time and a test holds both equal to the bit.
Distributions come as tables of quantiles, so that no logarithm needs a twin.

    stream = mix(mix(mix(seed) XOR fnv1a(component)) + visit + attempt * 2^32)
    word   = mix(stream + request * golden)
    u      = (2 floor(word / 2^12) + 1) / 2^53
"""

from collections.abc import Sequence
from functools import lru_cache

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_ATTEMPT = 1 << 32


def drawn_s(
    quantiles_s: Sequence[float],
    seed: int,
    component: str,
    request: int,
    visit: int,
    *,
    attempt: int = 0,
) -> float:
    """The demand of a visit, s: the table at the visit's uniform draw, linear between quantiles."""
    position = uniform(seed, component, request, visit, attempt) * (len(quantiles_s) - 1)
    left = int(position)
    low, high = quantiles_s[left], quantiles_s[left + 1]
    return low + (position - left) * (high - low)


def uniform(seed: int, component: str, request: int, visit: int, attempt: int = 0) -> float:
    """A uniform draw in (0, 1), never 0 or 1."""
    word = _mix((_stream(seed, component, visit, attempt) + request * _GOLDEN) & _MASK)
    return (2 * (word >> 12) + 1) * 2.0**-53


@lru_cache(maxsize=4096)
def _stream(seed: int, component: str, visit: int, attempt: int) -> int:
    key = 0xCBF29CE484222325
    for byte in component.encode():
        key = ((key ^ byte) * 0x100000001B3) & _MASK
    return _mix((_mix(_mix(seed & _MASK) ^ key) + visit + attempt * _ATTEMPT) & _MASK)


def _mix(word: int) -> int:
    """SplitMix64's step and finaliser [steele2014]."""
    word = (word + _GOLDEN) & _MASK
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)
