"""Formulas against published tables and worked examples, to the digits that were printed."""

import csv
import decimal
import math
from pathlib import Path

import numpy as np
import pytest

from sim.queueing.abandonment import mmc_abandonment
from sim.queueing.bounds import closed_bounds, knee_utilisation_fraction
from sim.queueing.inversion import invert
from sim.queueing.jackson import open_network, traffic_per_s
from sim.queueing.mg1 import mg1
from sim.queueing.mgc import mgc
from sim.queueing.mmc import erlang_b_fraction, mmc, servers_for_sojourn
from sim.queueing.mmck import mmck
from sim.queueing.mva import mva_exact, mva_linearizer, mva_schweitzer
from sim.queueing.population import mmc_population
from sim.queueing.service import service_time
from sim.queueing.usl import fit_usl
from sim.replicate.student import t_quantile

DATA = Path(__file__).parents[1] / "data"
with (DATA / "queueing_tables.csv").open(encoding="utf-8") as file:
    ROWS = list(csv.DictReader(file))


def computed(model, arguments, quantity):
    words = arguments.split()
    given = {name: float(value) for name, value in zip(words[::2], words[1::2], strict=True)}
    if model == "erlang_b":
        return erlang_b_fraction(given["offered"], int(given["servers"]))
    if model == "knee":
        return knee_utilisation_fraction(int(given["servers"]))
    if model == "t":
        return t_quantile(0.975, int(given["degrees"]))
    size = int(given["servers"])
    if model == "mmc":
        station = mmc(given["rate"], given["service"], size)
    else:
        station = mmc_abandonment(given["rate"], given["service"], size, given["patience"])
    if quantity == "wait_p90_s":
        return station.queue_wait.quantile_s(0.9)
    return getattr(station, quantity)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['model']} {row['arguments']}")
def test_tables_are_reproduced_to_the_digits_printed(row):
    value = computed(row["model"], row["arguments"], row["quantity"])
    assert value == pytest.approx(float(row["published"]), abs=float(row["printed_to"]))


def test_the_open_central_server_of_bolch_is_reproduced():
    # [bolch2006, example 7.4]
    routing = [[0, 0.5, 0.5, 0], [1, 0, 0, 0], [0.6, 0, 0, 0], [1, 0, 0, 0]]
    network = open_network([0, 0, 0, 4.0], routing, [0.04, 0.03, 0.06, 0.05], [1] * 4)
    rates = [station.arrivals_per_s for station in network.stations]
    assert rates == pytest.approx([20, 10, 10, 4])
    sojourns = [station.mean_sojourn_s for station in network.stations]
    assert sojourns == pytest.approx([0.2, 0.043, 0.15, 0.0625], abs=5e-4)
    present = [station.jobs_present for station in network.stations]
    assert present == pytest.approx([4, 0.429, 1.5, 0.25], abs=5e-4)


def test_mva_of_one_class_is_lazowskas():
    # [lazowska1984, §6.4, p. 117]: three users, think 15 s, a CPU and two disks
    network = mva_exact([[0.605, 2.1, 1.35]], [3], [15.0])
    assert network.queue[0] == pytest.approx((0.0976, 0.3947, 0.2350), abs=5e-5)
    approximate = mva_schweitzer([[0.605, 2.1, 1.35]], [3], [15.0])
    # Published to three digits by a solver that stops earlier than ours.
    assert approximate.queue[0] == pytest.approx((0.0973, 0.4012, 0.2359), abs=1e-3)


def test_mva_of_two_classes_is_lazowskas():
    # [lazowska1984, §7.4]: p. 142 exact with one user each; p. 131 ten batch, 25 interactive
    small = mva_exact([[1.0, 3.0], [2.0, 4.0]], [1, 1], [0.0, 0.0])
    assert small.throughput_per_s == pytest.approx((3 / 19, 2 / 19))
    assert small.residence_s[0] == pytest.approx((4 / 3, 5.0))
    assert small.residence_s[1] == pytest.approx((5 / 2, 7.0))
    large = mva_exact([[1.0, 0.09], [0.1, 0.9]], [10, 25], [0.0, 30.0])
    assert large.queue[0] == pytest.approx((9.717, 0.2827), abs=5e-4)
    assert large.queue[1] == pytest.approx((0.8496, 2.090), abs=5e-4)
    approximate = mva_schweitzer([[1.0, 0.09], [0.1, 0.9]], [10, 25], [0.0, 30.0])
    assert approximate.queue[0] == pytest.approx((9.7047, 0.2953), rel=0.01)
    assert approximate.queue[1] == pytest.approx((0.8385, 2.303), rel=0.01)


def test_mva_with_think_times_is_schwetmans():
    # Schwetman, CSD-TR-330, example 5(b), corrected in later tools: 15 and 5 users, one PS station
    network = mva_exact([[0.025], [0.5]], [15, 5], [1.0, 15.0])
    assert network.throughput_per_s == pytest.approx((14.323, 0.314), abs=1e-3)
    assert network.response_s == pytest.approx((0.047, 0.934), abs=1e-3)


def test_linearizer_is_closer_to_exact_than_schweitzer():
    demands, users, think = [[1.0, 0.09], [0.1, 0.9]], [10, 25], [0.0, 30.0]
    exact = np.array(mva_exact(demands, users, think).queue)
    errors = [
        float(np.max(np.abs(np.array(solve(demands, users, think).queue) / exact - 1)))
        for solve in (mva_linearizer, mva_schweitzer)
    ]
    assert errors[0] < 0.015
    assert errors[1] > 5 * errors[0]


def test_the_usl_fit_of_schwartzs_benchmark_is_reproduced():
    points = np.loadtxt(DATA / "usl_cisco.csv", delimiter=",", skiprows=2)
    law = fit_usl(points[:, 0].tolist(), points[:, 1].tolist())
    assert law.contention_fraction == pytest.approx(0.02671591, rel=1e-5)
    assert law.coherence_fraction == pytest.approx(7.690945e-4, rel=1e-5)
    assert law.single_per_s == pytest.approx(995.6486, rel=1e-6)
    assert int(law.peak_concurrency) == 35
    assert law.throughput_per_s(35) == pytest.approx(12341.7454, rel=1e-6)


def test_asymptotic_bounds_enclose_exact_mva():
    demands = [0.605, 2.1, 1.35]
    for users in (1, 3, 7, 20, 100):
        limits = closed_bounds(demands, users, 15.0)
        exact = mva_exact([demands], [users], [15.0])
        assert limits.throughput_low_per_s <= exact.throughput_per_s[0] * (1 + 1e-12)
        assert exact.throughput_per_s[0] <= limits.balanced_high_per_s * (1 + 1e-12)
        assert limits.balanced_high_per_s <= limits.throughput_high_per_s * (1 + 1e-12)
        assert limits.response_low_s <= exact.response_s[0] * (1 + 1e-12)
        assert exact.response_s[0] <= limits.response_high_s * (1 + 1e-12)
    assert limits.saturation_users == pytest.approx(19.055 / 2.1)
    assert limits.bottleneck == 1


def md1_wait_exceeds(load, time):
    """Erlang's alternating series for M/D/1 with D = 1, in 60 digits, where it does not cancel."""
    with decimal.localcontext(decimal.Context(prec=60)):
        rate, at = decimal.Decimal(str(load)), decimal.Decimal(str(time))
        total = sum(
            (rate * (k - at)) ** k / math.factorial(k) * (-rate * (k - at)).exp()
            for k in range(int(at) + 1)
        )
        return float(1 - (1 - rate) * total)


@pytest.mark.parametrize("load", [0.1, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("time", [0.05, 0.99, 1.01, 2.5, 7.3, 19.9])
def test_md1_waits_follow_erlangs_series(load, time):
    wait = mg1(load, service_time(1.0, 0.0)).queue_wait
    assert wait.exceeds_fraction(time) == pytest.approx(md1_wait_exceeds(load, time), abs=1e-9)


@pytest.mark.parametrize("load", [0.05, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("fraction", [0.5, 0.95, 0.999])
def test_the_inverted_transform_of_mm1_is_the_closed_form(load, fraction):
    sojourn = mg1(load, service_time(1.0, 1.0)).sojourn
    assert sojourn.quantile_s(fraction) == pytest.approx(
        -math.log1p(-fraction) / (1 - load), rel=1e-4
    )
    assert sojourn.exceeds_fraction(sojourn.mean_s) == pytest.approx(math.exp(-1), abs=1e-7)


def test_inversion_returns_an_erlang_tail_to_eight_digits():
    for time in (0.1, 1.0, 5.0, 20.0):
        tail = invert(lambda s: (1 - (1 + s / 2) ** -2) / s, time)
        assert tail == pytest.approx((1 + 2 * time) * math.exp(-2 * time), abs=3e-8)


def test_models_agree_where_they_meet():
    for load in (0.3, 0.8, 0.99):
        one = mmc(load, 1.0, 1)
        for other in (
            mg1(load, service_time(1.0, 1.0)),
            mgc(load, 1.0, 1, 1.0),
            mmck(load, 1.0, 1, 20_000),
            mmc_abandonment(load, 1.0, 1, 1e12),
        ):
            assert other.mean_sojourn_s == pytest.approx(one.mean_sojourn_s, rel=1e-6)
            assert other.sojourn.quantile_s(0.95) == pytest.approx(
                one.sojourn.quantile_s(0.95), rel=1e-6
            )
    assert mmck(3.0, 1.0, 4, 4).lost_fraction == pytest.approx(erlang_b_fraction(3.0, 4))
    # A huge population of rare users is a Poisson stream.
    many = mmc_population(10**9, 1e9 / 0.8, 1.0, 1)
    assert many.mean_sojourn_s == pytest.approx(5.0, rel=1e-4)
    assert mva_exact([[1.0]], [9], [4.0]).response_s[0] == pytest.approx(
        mmc_population(9, 4.0, 1.0, 1).mean_sojourn_s, rel=1e-12
    )


def test_ten_thousand_servers_keep_the_square_root_rule():
    # [halfin1981]: with c = a + β√a the delay probability tends to 1/(1 + β Φ(β)/φ(β)); β = 1
    limit = 1 / (1 + 0.841344746 / 0.241970725)
    load = 10_000 - 100.0
    assert mmc(load, 1.0, 10_000).delayed_fraction == pytest.approx(limit, abs=0.01)


def test_pooling_two_mm1_queues_shortens_the_mean_wait():
    assert mmc(1.6, 1.0, 2).mean_queue_wait_s < mmc(0.8, 1.0, 1).mean_queue_wait_s / 2


def test_fewest_servers_meet_the_sojourn_and_one_less_does_not():
    for rate in (5.0, 100.0, 1e5):
        servers = servers_for_sojourn(rate, 0.1, 0.32)
        assert mmc(rate, 0.1, servers).sojourn.quantile_s(0.95) <= 0.32
        if rate * 0.1 < servers - 1:
            assert mmc(rate, 0.1, servers - 1).sojourn.quantile_s(0.95) > 0.32


def test_returning_jobs_count_at_every_visit():
    assert traffic_per_s([1.0], [[0.75]]) == pytest.approx((4.0,))
