"""Counter-based randomness: a draw is a pure function of what it is for, not of when it is asked.

The service demand of a visit depends on (seed, component, request, visit, attempt) alone, so the
DES, the compiled kernel and a live gate that knows those five numbers all get the same value, to
the bit, in any order and without talking to each other. Two topologies simulated with one seed
share their demands (common random numbers).

    stream = mix(mix(mix(seed) XOR fnv1a(component)) + visit + 2^32 attempt)
    word   = mix(stream + request * golden)          which is SplitMix64 started at `stream`
    u      = (2 floor(word / 2^12) + 1) / 2^53       in (0, 1), never 0 or 1
    draw   = inverse distribution function at u

Logarithm, exponential and normal quantile are written out below in +, -, *, / and square root,
which IEEE 754 defines to the bit: `math.log` and `numpy.log` differ in the last bit, and from one
libm to the next. `sim.kernel.draws` is the compiled twin of this file.

Sources: [steele2014] SplitMix64 and its mix; [salmon2011] counter-based generators; fdlibm's
e_log.c; [wichura1988] AS 241.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sim.errors import require

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
MIX_1 = 0xBF58476D1CE4E5B9
MIX_2 = 0x94D049BB133111EB
ATTEMPT = 1 << 32  # visits of one attempt are numbered below this

LN2_HIGH = 6.93147180369123816490e-01  # its last 32 bits are zero, so k * LN2_HIGH is exact
LN2_LOW = 1.90821492927058770002e-10
LOG2_E = 1.44269504088896338700
SQRT_2 = 1.41421356237309514547
# fdlibm e_log.c: log(1+f) = 2s + s*R(s^2), s = f/(2+f), error below 2^-58.45
LOG_TERMS = (
    1.479819860511658591e-01,
    1.531383769920937332e-01,
    1.818357216161805012e-01,
    2.222219843214978396e-01,
    2.857142874366239149e-01,
    3.999999999940941908e-01,
    6.666666666666735130e-01,
)
# 1/13! … 1/0!: on |r| <= ln(2)/2 the next term is below 5e-18
EXP_TERMS = tuple(1.0 / math.factorial(k) for k in range(13, -1, -1))
# AS 241, PPND16: numerator and denominator, highest power first, of three regions
NORMAL_CENTRE = (
    (
        2.50908092873012267270e3,
        3.34305755835881281050e4,
        6.72657709270087008530e4,
        4.59219539315498714570e4,
        1.37316937655094611250e4,
        1.97159095030655144270e3,
        1.33141667891784377450e2,
        3.38713287279636660800e0,
    ),
    (
        5.22649527885285456100e3,
        2.87290857357219426740e4,
        3.93078958000927106100e4,
        2.12137943015865958670e4,
        5.39419602142475110770e3,
        6.87187007492057908300e2,
        4.23133307016009112520e1,
        1.0,
    ),
)
NORMAL_TAIL = (
    (
        7.74545014278341407640e-4,
        2.27238449892691845833e-2,
        2.41780725177450611770e-1,
        1.27045825245236838258e0,
        3.64784832476320460504e0,
        5.76949722146069140550e0,
        4.63033784615654529590e0,
        1.42343711074968357734e0,
    ),
    (
        1.05075007164441684324e-9,
        5.47593808499534494600e-4,
        1.51986665636164571966e-2,
        1.48103976427480074590e-1,
        6.89767334985100004550e-1,
        1.67638483018380384940e0,
        2.05319162663775882187e0,
        1.0,
    ),
)
NORMAL_FAR_TAIL = (
    (
        2.01033439929228813265e-7,
        2.71155556874348757815e-5,
        1.24266094738807843860e-3,
        2.65321895265761230930e-2,
        2.96560571828504891230e-1,
        1.78482653991729133580e0,
        5.46378491116411436990e0,
        6.65790464350110377720e0,
    ),
    (
        2.04426310338993978564e-15,
        1.42151175831644588870e-7,
        1.84631831751005468180e-5,
        7.86869131145613259100e-4,
        1.48753612908506148525e-2,
        1.36929880922735805310e-1,
        5.99832206555887937690e-1,
        1.0,
    ),
)

Distribution = Literal["exponential", "lognormal", "deterministic", "empirical"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Demand:
    """How long a visit keeps its server busy, or how long a pure delay lasts.

    Args:
        mean_s: mean, s, >= 0.
        cv: coefficient of variation of a lognormal, >= 0; the other kinds ignore it.
        distribution: exponential, lognormal, deterministic or empirical.
        quantiles_s: for an empirical demand, its quantiles at 0, 1/m, …, 1 (m >= 1), ascending;
            between them it is linear. They are used as they are: `mean_s` does not rescale them.
    Raises: InvalidScenario outside those domains.

    >>> round(Demand(0.1, distribution="exponential").at(1 / math.e), 12)  # -0.1 ln(1/e)
    0.1
    >>> Demand(0.2, distribution="empirical", quantiles_s=(0.1, 0.2, 0.5)).at(0.75)  # half-way
    0.35
    """

    mean_s: float
    cv: float = 1.0
    distribution: Distribution = "lognormal"
    quantiles_s: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        kinds = ("exponential", "lognormal", "deterministic", "empirical")
        require(self.distribution in kinds, "demand.distribution", self.distribution, str(kinds))
        require(0 <= self.mean_s < math.inf, "demand.mean_s", self.mean_s, "a finite number >= 0")
        require(0 <= self.cv < 1e6, "demand.cv", self.cv, "a number in 0..1e6")
        if self.distribution == "empirical":
            table = self.quantiles_s
            ascending = all(0 <= a <= b < math.inf for a, b in pairwise(table))
            require(
                len(table) >= 2 and ascending,
                "demand.quantiles_s",
                table[:5],
                "two or more ascending finite times >= 0",
            )

    @property
    def expected_s(self) -> float:
        """Mean of what is drawn, s: `mean_s`, but the table's own mean when empirical."""
        if self.distribution != "empirical":
            return self.mean_s
        table = self.quantiles_s
        return (sum(table) - (table[0] + table[-1]) / 2) / (len(table) - 1)

    def lognormal_parameters(self) -> tuple[float, float]:
        """Mean and standard deviation of the logarithm, for a lognormal with mean_s > 0."""
        variance = math.log1p(self.cv * self.cv)
        return math.log(self.mean_s) - variance / 2, math.sqrt(variance)

    def at(self, u: float) -> float:
        """The demand at probability `u` in (0, 1), s: the inverse distribution function."""
        if self.mean_s == 0 and self.distribution != "empirical":
            return 0.0
        if self.distribution == "exponential":
            return -(self.mean_s * log_of(u))  # u and 1 - u have one distribution
        if self.distribution == "lognormal":
            mu, sigma = self.lognormal_parameters()
            return exp_of(mu + sigma * normal_quantile(u))
        if self.distribution == "deterministic":
            return self.mean_s
        position = u * (len(self.quantiles_s) - 1)
        left = int(position)
        low, high = self.quantiles_s[left], self.quantiles_s[left + 1]
        return low + (position - left) * (high - low)

    def at_each(self, u: Floats) -> Floats:
        """`at` for an array, same bits."""
        if self.distribution == "deterministic" or (
            self.mean_s == 0 and self.distribution != "empirical"
        ):
            return np.full(u.shape, self.mean_s)
        if self.distribution == "exponential":
            return -(self.mean_s * log_each(u))
        if self.distribution == "lognormal":
            mu, sigma = self.lognormal_parameters()
            return exp_each(mu + sigma * normal_quantile_each(u))
        table = np.array(self.quantiles_s)
        position = u * (table.size - 1)
        left = position.astype(np.int64)
        low, high = table[left], table[left + 1]
        return np.asarray(low + (position - left) * (high - low))


def mix(word: int) -> int:
    """SplitMix64's step and finaliser on a 64-bit word: a bijection that looks random."""
    word = (word + GOLDEN) & MASK
    word = ((word ^ (word >> 30)) * MIX_1) & MASK
    word = ((word ^ (word >> 27)) * MIX_2) & MASK
    return word ^ (word >> 31)


def component_key(component: str) -> int:
    """FNV-1a hash of a component's name, 64 bits: stable across processes and releases.

    >>> hex(component_key("a"))  # the published test vector
    '0xaf63dc4c8601ec8c'
    """
    key = 0xCBF29CE484222325
    for byte in component.encode():
        key = ((key ^ byte) * 0x100000001B3) & MASK
    return key


def stream_base(seed: int, component: str) -> int:
    """What all draws of one component under one seed have in common, as a 64-bit word."""
    return mix(mix(seed & MASK) ^ component_key(component))


def stream(base: int, visit: int, attempt: int = 0) -> int:
    """The state that, with a request's number, gives the draw of its visit in that attempt."""
    return mix((base + visit + attempt * ATTEMPT) & MASK)


def uniform(seed: int, component: str, request: int, visit: int = 0, attempt: int = 0) -> float:
    """A uniform draw in (0, 1).

    Args:
        seed: any integer; taken modulo 2^64.
        component: what is visited, such as "api": a replica draws what its group would.
        request: the request's number in its trace, >= 0.
        visit: how many visits to this component precede on the request's route, >= 0.
        attempt: 0, then 1, 2 … for retries.
    Returns: a multiple of 2^-53 strictly between 0 and 1.
    Source: [steele2014].

    >>> uniform(1, "api", 0) == uniform(1, "api", 0) != uniform(1, "api", 1)
    True
    """
    word = mix((stream(stream_base(seed, component), visit, attempt) + request * GOLDEN) & MASK)
    return (2 * (word >> 12) + 1) * 2.0**-53


def uniform_each(
    seed: int, component: str, requests: NDArray[np.int64], visit: int = 0, attempt: int = 0
) -> Floats:
    """`uniform` for an array of request numbers, same bits.

    Args:
        seed, component, visit, attempt: as for `uniform`.
        requests: numbers of requests, >= 0.
    Returns: numbers in (0, 1), as many as requests.
    Source: [steele2014], as for `uniform`.

    >>> each = uniform_each(1, "api", np.arange(3))
    >>> each.tolist() == [uniform(1, "api", number) for number in range(3)]
    True
    """
    start = np.uint64(stream(stream_base(seed, component), visit, attempt))
    word = start + (requests.astype(np.uint64) + np.uint64(1)) * np.uint64(GOLDEN)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(MIX_1)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(MIX_2)
    word = word ^ (word >> np.uint64(31))
    odd = (word >> np.uint64(12)) * np.uint64(2) + np.uint64(1)
    return odd.astype(np.float64) * 2.0**-53


def demand_s(
    demand: Demand, seed: int, component: str, request: int, *, visit: int = 0, attempt: int = 0
) -> float:
    """The demand of one visit: the demand's quantile at the visit's own uniform number.

    Args:
        demand: its distribution.
        seed: of the run, 0 … 2^64 - 1.
        component: where the visit is.
        request: number of the request, >= 0.
        visit: number of the visit of its route.
        attempt: 0, or the number of the retry.
    Returns: s, > 0.
    Source: inversion [law2015, §8.2.1] of `uniform`.

    >>> demand_s(Demand(0.5, distribution="deterministic"), 1, "api", 0)
    0.5
    """
    return demand.at(uniform(seed, component, request, visit, attempt))


def log_of(x: float) -> float:
    """Natural logarithm of a normal x > 0, below 1 ulp off, in basic operations only."""
    fraction, exponent = math.frexp(x)
    fraction *= 2.0
    exponent -= 1
    if fraction > SQRT_2:
        fraction *= 0.5
        exponent += 1
    f = fraction - 1.0
    s = f / (2.0 + f)
    z = s * s
    rest = 0.0
    for term in LOG_TERMS:
        rest = (rest + term) * z
    half = 0.5 * f * f
    return exponent * LN2_HIGH - ((half - (s * (half + rest) + exponent * LN2_LOW)) - f)


def log_each(x: Floats) -> Floats:
    """`log_of` for an array, same bits."""
    fraction, exponent = np.frexp(x)
    fraction = fraction * 2.0
    large = fraction > SQRT_2
    fraction = np.where(large, fraction * 0.5, fraction)
    power = np.where(large, exponent, exponent - 1).astype(np.float64)
    f = fraction - 1.0
    s = f / (2.0 + f)
    z = s * s
    rest = np.zeros_like(z)
    for term in LOG_TERMS:
        rest = (rest + term) * z
    half = 0.5 * f * f
    return np.asarray(power * LN2_HIGH - ((half - (s * (half + rest) + power * LN2_LOW)) - f))


def exp_of(x: float) -> float:
    """e^x for |x| < 700, within 2 ulp, in basic operations only."""
    power = math.floor(x * LOG2_E + 0.5)
    r = (x - power * LN2_HIGH) - power * LN2_LOW
    total = 0.0
    for term in EXP_TERMS:
        total = total * r + term
    return math.ldexp(total, power)


def exp_each(x: Floats) -> Floats:
    """`exp_of` for an array, same bits."""
    power = np.floor(x * LOG2_E + 0.5)
    r = (x - power * LN2_HIGH) - power * LN2_LOW
    total = np.zeros_like(r)
    for term in EXP_TERMS:
        total = total * r + term
    return np.asarray(np.ldexp(total, power.astype(np.int64)))


def normal_quantile(u: float) -> float:
    """Standard normal quantile of u in (0, 1), relative error about 1e-16 [wichura1988]."""
    q = u - 0.5
    if abs(q) <= 0.425:
        return q * _ratio(NORMAL_CENTRE, 0.180625 - q * q)
    r = math.sqrt(-log_of(u if q < 0.0 else 1.0 - u))
    x = _ratio(NORMAL_TAIL, r - 1.6) if r <= 5.0 else _ratio(NORMAL_FAR_TAIL, r - 5.0)
    return -x if q < 0.0 else x


def normal_quantile_each(u: Floats) -> Floats:
    """`normal_quantile` for an array, same bits."""
    q = u - 0.5
    inner = q * _ratio_each(NORMAL_CENTRE, 0.180625 - q * q)
    r = np.sqrt(-log_each(np.where(q < 0.0, u, 1.0 - u)))
    tail, far = _ratio_each(NORMAL_TAIL, r - 1.6), _ratio_each(NORMAL_FAR_TAIL, r - 5.0)
    outer = np.where(r <= 5.0, tail, far)
    return np.where(np.abs(q) <= 0.425, inner, np.where(q < 0.0, -outer, outer))


Rational = tuple[tuple[float, ...], tuple[float, ...]]


def _ratio(of: Rational, r: float) -> float:
    above = below = 0.0
    for high, low in zip(*of, strict=True):
        above = above * r + high
        below = below * r + low
    return above / below


def _ratio_each(of: Rational, r: Floats) -> Floats:
    above, below = np.zeros_like(r), np.zeros_like(r)
    for high, low in zip(*of, strict=True):
        above = above * r + high
        below = below * r + low
    return np.asarray(above / below)
