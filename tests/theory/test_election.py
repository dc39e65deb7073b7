"""The outage of a killed primary, beside its closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.availability import election_outage
from sim.availability.election import DRAWS, OFFSET_FRACTION, RESUMES_WITHIN_S
from sim.errors import InvalidScenario


@pytest.mark.parametrize("electors", [1, 2, 4])
@pytest.mark.parametrize("timeout_s", [2.0, 10.0])
def test_the_mean_outage_is_the_timeout_the_least_of_the_offsets_and_half_a_second(
    timeout_s: float, electors: int
) -> None:
    found = election_outage(timeout_s, electors, np.random.default_rng(3))
    longest_s = OFFSET_FRACTION * timeout_s
    offset_s = longest_s / (electors + 1)  # the least of so many uniform ones
    variance = longest_s**2 * electors / ((electors + 1) ** 2 * (electors + 2))
    variance += RESUMES_WITHIN_S**2 / 12
    error_s = 3.29 * (variance / DRAWS) ** 0.5
    assert abs(found.mean_s - (timeout_s + offset_s + RESUMES_WITHIN_S / 2)) < error_s


@given(timeout_s=st.floats(0.1, 600.0), electors=st.integers(1, 50))
def test_an_outage_is_never_shorter_than_the_timeout(timeout_s: float, electors: int) -> None:
    found = election_outage(timeout_s, electors, np.random.default_rng(1))
    assert timeout_s < found.low_s < found.mean_s < found.high_s
    assert found.high_s < timeout_s * (1 + OFFSET_FRACTION) + RESUMES_WITHIN_S


@pytest.mark.parametrize(("timeout_s", "electors"), [(0.0, 2), (10.0, 0), (10.0, 51)])
def test_impossible_sets_are_refused(timeout_s: float, electors: int) -> None:
    with pytest.raises(InvalidScenario):
        election_outage(timeout_s, electors, np.random.default_rng(1))
