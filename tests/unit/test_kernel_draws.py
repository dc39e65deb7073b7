"""Draws: the same bits everywhere, uniform, independent, and never to change unnoticed."""

import math
import statistics

import numpy as np
import pytest

from sim import draws
from sim.draws import Demand, demand_s, uniform, uniform_each
from sim.errors import InvalidScenario
from sim.kernel import draws as compiled_draws
from sim.kernel import simulate
from sim.model import Delay, Route, StackModel, Station
from sim.workload.trace import Trace

PINNED = [
    0.016006089828791592,
    0.3012922389559972,
    0.4908957074534318,
]  # uniform(7, "api", request, visit 2, attempt 1)
KINDS = [
    Demand(0.1, distribution="exponential"),
    Demand(0.2, 0.5),
    Demand(0.2, 3.0),
    Demand(0.3, distribution="deterministic"),
    Demand(0.3, distribution="empirical", quantiles_s=(0.0, 0.1, 0.2, 2.0)),
]


def test_reference_values_of_the_hash_stand() -> None:
    # SplitMix64 from state 0: its published first output.
    assert draws.mix(0) == 0xE220A8397B1DCDAF
    assert draws.component_key("foobar") == 0x85944171F73967E8  # FNV-1a's published vector
    assert uniform(1, "api", 0) == uniform_each(1, "api", np.arange(1))[0]
    assert [uniform(7, "api", request, 2, 1) for request in (0, 1, 10**6)] == pytest.approx(
        PINNED, abs=0
    )


@pytest.mark.parametrize("demand", KINDS)
def test_python_numpy_and_the_kernel_draw_the_same_bits(demand: Demand) -> None:
    n = 20_000
    zero = np.zeros(n, np.int64)
    trace = Trace(np.zeros(n), ("wait",), zero.astype(np.int16), zero, zero)
    model = StackModel((Station("unused", 1),), (Route("wait", (Delay(demand),)),))
    compiled = simulate(model, trace, seed=9).sojourn_s
    vectorised = demand.at_each(uniform_each(9, "delay", np.arange(n)))
    np.testing.assert_array_equal(compiled, vectorised)
    one_by_one = [demand_s(demand, 9, "delay", request) for request in range(2_000)]
    np.testing.assert_array_equal(one_by_one, compiled[:2_000])


def test_the_quantile_without_branches_leaves_the_far_tails_to_the_other() -> None:
    for u in (1.4e-11, 1e-3, 0.074, 0.076, 0.5, 0.93, 1 - 1.4e-11):
        assert compiled_draws.near_quantile(u) == draws.normal_quantile(u)
    for u in (2.0**-53, 1e-12, 1 - 1e-12, 1 - 2.0**-53):
        assert math.isnan(compiled_draws.near_quantile(u))


def test_uniforms_pass_chi_squared_and_lie_strictly_between_0_and_1() -> None:
    n, bins = 1_000_000, 1_000
    u = uniform_each(3, "mongo", np.arange(n))
    assert u.min() > 0
    assert u.max() < 1
    counts = np.histogram(u, bins, (0, 1))[0]
    chi_squared = float(((counts - n / bins) ** 2).sum() / (n / bins))
    # 99.9 % of a chi-squared with 999 degrees of freedom lies within normal 3.29 deviations
    assert abs(chi_squared - (bins - 1)) < 3.29 * math.sqrt(2 * (bins - 1))


@pytest.mark.parametrize(
    "other",
    [(3, "mongo", 1, 0), (3, "mongo", 0, 1), (3, "redis", 0, 0), (4, "mongo", 0, 0)],
    ids=["visit", "attempt", "component", "seed"],
)
def test_streams_that_differ_in_one_name_are_uncorrelated(
    other: tuple[int, str, int, int],
) -> None:
    n = 200_000
    seed, component, visit, attempt = other
    one = uniform_each(3, "mongo", np.arange(n))
    two = uniform_each(seed, component, np.arange(n), visit, attempt)
    assert abs(np.corrcoef(one, two)[0, 1]) < 3.29 / math.sqrt(n)
    assert abs(np.corrcoef(one[1:], one[:-1])[0, 1]) < 3.29 / math.sqrt(n)


def test_log_exp_and_normal_quantile_are_right_to_the_last_bits() -> None:
    u = uniform_each(5, "x", np.arange(5_000)).tolist()
    normal = statistics.NormalDist()
    for x in (*u, 2.0**-53, 1 - 2.0**-53, 1e-300, 1e300):
        assert draws.log_of(x) == pytest.approx(math.log(x), rel=4e-16)
    for x in np.linspace(-600, 600, 2_001).tolist():
        assert draws.exp_of(x) == pytest.approx(math.exp(x), rel=5e-16)
    for x in (*u, 2.0**-53, 1 - 2.0**-53):
        assert draws.normal_quantile(x) == pytest.approx(normal.inv_cdf(x), abs=4e-15)


@pytest.mark.parametrize("demand", KINDS)
def test_mean_of_many_draws_is_the_stated_mean(demand: Demand) -> None:
    n = 400_000
    drawn = demand.at_each(uniform_each(11, "y", np.arange(n)))
    assert abs(drawn.mean() - demand.expected_s) <= 3.3 * drawn.std() / math.sqrt(n) + 1e-12


@pytest.mark.parametrize(
    "fields",
    [
        {"mean_s": -1.0},
        {"mean_s": math.nan},
        {"mean_s": math.inf},
        {"mean_s": 1.0, "cv": math.nan},
        {"mean_s": 1.0, "distribution": "gamma"},
        {"mean_s": 1.0, "distribution": "empirical"},
        {"mean_s": 1.0, "distribution": "empirical", "quantiles_s": (0.2, 0.1)},
    ],
)
def test_impossible_demands_are_refused(fields: dict) -> None:
    with pytest.raises(InvalidScenario, match="demand"):
        Demand(**fields)
