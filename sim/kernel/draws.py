"""The compiled twin of `sim.draws`: same formulas, same order of operations, same bits."""

from typing import Any

import numpy as np
from numba import uint64

from sim import draws
from sim.kernel.compiled import compiled, inlined

EXPONENTIAL, LOGNORMAL, DETERMINISTIC, EMPIRICAL = range(4)

GOLDEN, MIX_1, MIX_2 = np.uint64(draws.GOLDEN), np.uint64(draws.MIX_1), np.uint64(draws.MIX_2)
ATTEMPT = np.uint64(draws.ATTEMPT)
LN2_HIGH, LN2_LOW, LOG2_E, SQRT_2 = draws.LN2_HIGH, draws.LN2_LOW, draws.LOG2_E, draws.SQRT_2
LOG_TERMS, EXP_TERMS = draws.LOG_TERMS, draws.EXP_TERMS
CENTRE_ABOVE, CENTRE_BELOW = draws.NORMAL_CENTRE
TAIL_ABOVE, TAIL_BELOW = draws.NORMAL_TAIL
FAR_ABOVE, FAR_BELOW = draws.NORMAL_FAR_TAIL
MANTISSA, ONE_BITS = np.int64((1 << 52) - 1), np.int64(1023 << 52)


@inlined
def mix(word: Any) -> Any:
    """SplitMix64's step and finaliser."""
    word = word + GOLDEN
    word = (word ^ (word >> uint64(30))) * MIX_1
    word = (word ^ (word >> uint64(27))) * MIX_2
    return word ^ (word >> uint64(31))


@inlined
def stream(base: Any, visit: Any, attempt: Any) -> Any:
    """The state from which a visit's draws start."""
    return mix(base + uint64(visit) + uint64(attempt) * ATTEMPT)


@inlined
def uniform(start: Any, request: Any) -> float:
    """The draw of a request in (0, 1), from the state of its stream."""
    word = mix(start + uint64(request) * GOLDEN)
    odd = (word >> uint64(12)) * uint64(2) + uint64(1)
    return np.float64(np.int64(odd)) * 2.0**-53


@inlined
def log_of(x: float) -> float:
    """Natural logarithm of a normal x > 0."""
    bits = np.float64(x).view(np.int64)
    exponent = (bits >> 52) - 1023
    fraction = np.int64((bits & MANTISSA) | ONE_BITS).view(np.float64)
    large = fraction > SQRT_2
    fraction = fraction * 0.5 if large else fraction
    power = np.float64(exponent + 1 if large else exponent)
    f = fraction - 1.0
    s = f / (2.0 + f)
    z = s * s
    rest = 0.0
    for term in LOG_TERMS:
        rest = (rest + term) * z
    half = 0.5 * f * f
    return power * LN2_HIGH - ((half - (s * (half + rest) + power * LN2_LOW)) - f)


@inlined
def exp_of(x: float) -> float:
    """e^x for |x| < 700."""
    power = np.floor(x * LOG2_E + 0.5)
    r = (x - power * LN2_HIGH) - power * LN2_LOW
    total = 0.0
    for term in EXP_TERMS:
        total = total * r + term
    return total * np.int64((np.int64(power) + 1023) << 52).view(np.float64)


@inlined
def _ratio(above_terms: Any, below_terms: Any, r: float) -> float:
    above = below = 0.0
    for term in above_terms:
        above = above * r + term
    for term in below_terms:
        below = below * r + term
    return above / below


@compiled
def normal_quantile(u: float) -> float:
    """Standard normal quantile of u in (0, 1)."""
    q = u - 0.5
    if abs(q) <= 0.425:
        return q * _ratio(CENTRE_ABOVE, CENTRE_BELOW, 0.180625 - q * q)
    r = np.sqrt(-log_of(u if q < 0.0 else 1.0 - u))
    if r <= 5.0:
        x = _ratio(TAIL_ABOVE, TAIL_BELOW, r - 1.6)
    else:
        x = _ratio(FAR_ABOVE, FAR_BELOW, r - 5.0)
    return -x if q < 0.0 else x


@inlined
def near_quantile(u: float) -> float:
    """`normal_quantile`, but NaN in the far tails; both branches are computed."""
    q = u - 0.5
    centre = q * _ratio(CENTRE_ABOVE, CENTRE_BELOW, 0.180625 - q * q)
    r = np.sqrt(-log_of(u if q < 0.0 else 1.0 - u))
    tail = _ratio(TAIL_ABOVE, TAIL_BELOW, r - 1.6)
    tail = tail if r <= 5.0 else np.nan
    tail = -tail if q < 0.0 else tail
    return centre if abs(q) <= 0.425 else tail


@compiled
def _uncommon(
    u: float, kind: int, p0: float, p1: float, tables: Any, table_at: int, table_last: int
) -> float:
    if kind == LOGNORMAL:
        return exp_of(p0 + p1 * normal_quantile(u))
    if kind == DETERMINISTIC:
        return p0
    position = u * table_last
    left = np.int64(position)
    low, high = tables[table_at + left], tables[table_at + left + 1]
    return low + (position - left) * (high - low)


@inlined
def demand(
    u: float, kind: int, p0: float, p1: float, tables: Any, table_at: int, table_last: int
) -> float:
    """A demand in s at probability u; p0, p1: mean, or mean and deviation of the logarithm."""
    if kind == EXPONENTIAL:
        return -(p0 * log_of(u))
    return _uncommon(u, kind, p0, p1, tables, table_at, table_last)
