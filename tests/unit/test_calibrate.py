"""From measured costs of requests to the service demands of the models."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sim.calibrate import CV_RANGE, NEGLIGIBLE_S, RequestClass, demands
from sim.errors import InvalidScenario

QUIET = np.full(5, 0.02)  # single requests without any spread
SEARCH_CPU_S = {"nginx": 1e-4, "api": 2e-3, "redis": 2e-4, "elasticsearch": 5e-3}


def path_of(one: RequestClass) -> list[tuple[str, float]]:
    return [(visit.component, pytest.approx(visit.mean_s)) for visit in one.visits()]


def test_a_miss_looks_up_asks_the_back_end_fills_and_answers() -> None:
    assert path_of(RequestClass("search", "miss", SEARCH_CPU_S, QUIET)) == [
        ("nginx", 1e-4),
        ("api", 1e-3),
        ("redis", 1e-4),
        ("elasticsearch", 5e-3),
        ("redis", 1e-4),
        ("api", 1e-3),
    ]


def test_a_hit_asks_no_back_end() -> None:
    names = [name for name, _ in path_of(RequestClass("search", "hit", SEARCH_CPU_S, QUIET))]
    assert names == ["nginx", "api", "redis", "api"]


def test_a_write_clears_keys_after_the_back_end() -> None:
    cpu_s = {"nginx": 1e-4, "api": 2e-3, "mongo": 1e-3, "redis": 1e-4}
    names = [name for name, _ in path_of(RequestClass("favourite_add", "none", cpu_s, QUIET))]
    assert names == ["nginx", "api", "mongo", "redis", "api"]


def test_a_back_end_that_ticked_on_its_own_is_not_on_the_path() -> None:
    cpu_s = {"api": 2e-3, "mongo": NEGLIGIBLE_S / 2, "elasticsearch": 1e-3}
    names = [name for name, _ in path_of(RequestClass("search", "none", cpu_s, QUIET))]
    assert names == ["api", "elasticsearch", "api"]


def test_a_miss_reaches_the_lookup_as_a_hit_does() -> None:
    hit = RequestClass("search", "hit", {"api": 1e-3, "redis": 1e-4}, QUIET)
    miss = RequestClass("search", "miss", {"api": 3e-3, "redis": 2e-4, "mongo": 1e-3}, QUIET)
    visits = demands([hit, miss], host_cores=2).visits
    first = [visits["search", outcome][0].mean_s for outcome in ("hit", "miss")]
    assert first == pytest.approx([0.5e-3, 0.5e-3])
    assert visits["search", "miss"][-1].mean_s == pytest.approx(2.5e-3)


def test_the_delay_is_what_a_single_request_takes_beyond_its_cpu() -> None:
    one = RequestClass("detail", "none", {"api": 2e-3, "indexer": 9e-3}, QUIET)
    assert one.delay_s == pytest.approx(0.018)
    assert one.background_cpu_s == pytest.approx(9e-3)  # beside the path: no part of the delay
    late = RequestClass("detail", "none", {"api": 2e-3}, np.array([0.02] * 9 + [5.0]))
    assert late.delay_s == pytest.approx(0.018)  # one stall does not move it


def test_cpu_beyond_the_time_of_a_single_request_leaves_no_negative_delay() -> None:
    assert RequestClass("detail", "none", {"api": 0.05}, QUIET).delay_s == 0.0


def test_the_coefficient_of_variation_of_lognormal_times_is_found() -> None:
    sigma = 0.5
    times_s = np.random.default_rng(3).lognormal(-4.0, sigma, 20_000)
    cv = RequestClass("detail", "none", {"api": 1e-3}, times_s).cv
    assert cv == pytest.approx(np.sqrt(np.expm1(sigma**2)), rel=0.03)


@pytest.mark.parametrize(("times_s", "cv"), [(QUIET, CV_RANGE[0]), (np.zeros(5), CV_RANGE[0])])
def test_the_coefficient_of_variation_stays_within_its_range(
    times_s: NDArray[np.float64], cv: float
) -> None:
    assert RequestClass("detail", "none", {"api": 1e-3}, times_s).cv == cv


def test_a_machine_twice_as_fast_halves_the_times_there() -> None:
    one = RequestClass("detail", "none", {"api": 2e-3, "mongo": 1e-3}, QUIET)
    visits = demands([one], host_cores=None, speed={"api": 2.0}).visits["detail", "none"]
    assert [(v.component, v.mean_s) for v in visits] == [
        ("api", pytest.approx(0.5e-3)),
        ("mongo", pytest.approx(1e-3)),
        ("api", pytest.approx(0.5e-3)),
    ]


@given(
    outcome=st.sampled_from(["hit", "miss", "none"]),
    cpu_s=st.dictionaries(
        st.sampled_from(["nginx", "api", "redis", "mongo", "elasticsearch"]),
        st.floats(1e-4, 1.0),
        min_size=1,
    ),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_the_visits_of_a_class_add_up_to_its_cpu(outcome: str, cpu_s: Mapping[str, float]) -> None:
    one = RequestClass("search", outcome, cpu_s, QUIET)
    back_ends = (
        0.0 if outcome != "hit" else sum(cpu_s.get(b, 0) for b in ("mongo", "elasticsearch"))
    )
    total_s = sum(visit.mean_s for visit in one.visits())
    assert total_s == pytest.approx(sum(cpu_s.values()) - back_ends)
    assert all(visit.mean_s > 0 for visit in one.visits())


@pytest.mark.parametrize(
    ("cpu_s", "times_s", "place"),
    [
        ({"api": -1e-3}, QUIET, "calibration.detail.none.api"),
        ({"api": float("nan")}, QUIET, "calibration.detail.none.api"),
        ({"api": float("inf")}, QUIET, "calibration.detail.none.api"),
        ({"api": 1e-3}, QUIET[:4], "calibration.detail.none.latency_s"),
        ({"api": 1e-3}, np.array([1, 2, 3, 4, np.nan]), "calibration.detail.none.latency_s"),
    ],
)
def test_costs_outside_their_domain_are_refused_by_name(
    cpu_s: Mapping[str, float], times_s: NDArray[np.float64], place: str
) -> None:
    with pytest.raises(InvalidScenario) as caught:
        RequestClass("detail", "none", cpu_s, times_s)
    assert [problem.path for problem in caught.value.problems] == [place]


def test_an_unknown_operation_or_component_is_refused() -> None:
    odd = RequestClass("fetch", "none", {"api": 1e-3}, QUIET)
    with pytest.raises(InvalidScenario, match=r"demands\.fetch\.none"):
        demands([odd], host_cores=2)
    known = RequestClass("detail", "none", {"api": 1e-3}, QUIET)
    with pytest.raises(InvalidScenario, match=r"demands\.slots"):
        demands([known], host_cores=None, slots={"memcached": 2})
