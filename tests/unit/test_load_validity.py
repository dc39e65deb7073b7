import numpy as np
import pytest

from stack.load.plan import ANSWERED, DROPPED, JOURNAL, TIMEOUT, UNSENT
from stack.load.validity import Limits, Validity, Window, judge, of_the_machine
from stack.observe.cpu import CpuUse

QUIET = CpuUse(wall_s=10.0, cores=2, cpu_s={"api": 4.0, "generator": 1.0}, busy_s=5.2, steal_s=0.1)


def run(
    *,
    lag_s: float = 0.0005,
    load_per_s: int = 100,
    use: CpuUse = QUIET,
    speeds_per_s: tuple[float, float] = (100.0, 100.0),
    complete: bool = True,
    status: int = 200,
    end: int = ANSWERED,
    spoilt: int = 0,
    limits: Limits | None = None,
) -> Validity:
    """Ten seconds of load of which the first `spoilt` requests end with `end` and `status`."""
    intended_s = np.linspace(2.0, 12.0, load_per_s * 10)
    rows = np.zeros(intended_s.size, JOURNAL)
    rows["sent_s"] = intended_s + lag_s
    rows["done_s"] = rows["sent_s"] + 0.01
    rows["status"], rows["end"] = 200, ANSWERED
    rows["status"][:spoilt], rows["end"][:spoilt] = status, end
    expected = np.full(intended_s.size, 200, np.int16)
    return judge(
        Window(intended_s, rows, expected, 2.0, 12.0),
        use,
        generator="generator",
        speeds_per_s=speeds_per_s,
        complete=complete,
        limits=limits or Limits(),
    )


def test_a_quiet_run_is_valid_and_says_what_was_seen() -> None:
    seen = run()
    assert seen.valid
    assert seen.reasons == ()
    assert seen.planned_per_s == pytest.approx(100)
    assert seen.dispatch_lag_p99_s == pytest.approx(0.0005)
    assert seen.generator_cpu_fraction == pytest.approx(0.1)
    assert seen.steal_fraction == pytest.approx(0.005)
    assert seen.foreign_cpu_fraction == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (run(lag_s=0.0093), "dispatch lag p99 is 9.3 ms, limit 5 ms"),
        (run(load_per_s=2000), "planned 2000 requests/s; one generator gives trustworthy tails"),
        (run(lag_s=0.5), "sent 95.2 of 100.0 planned requests/s, limit 99%"),
        (run(complete=False), "the run was cut short"),
        (run(spoilt=1000, status=422), "no request was answered as expected"),
        (run(spoilt=2, status=422), "wrong status codes: 0.20%, limit 0.10%"),
        (run(spoilt=60, status=503), "failed requests: 6.00%, limit 5.00%"),
        (run(spoilt=60, status=0, end=TIMEOUT), "failed requests: 6.00%, limit 5.00%"),
        (run(spoilt=1, status=0, end=DROPPED), "drops: 0.10%, limit 0.00%"),
        (run(speeds_per_s=(100.0, 40.0)), "the machine became 0.40 times as fast"),
        (run(use=CpuUse(10.0, 2, {"generator": 9.0}, 9.2, 0.1)), "generator CPU: 90.00%, limit"),
        (run(use=CpuUse(10.0, 2, {"generator": 1.0}, 1.2, 2.0)), "steal: 10.00%, limit 5.00%"),
        (run(use=CpuUse(10.0, 2, {"generator": 1.0}, 5.0, 0.1)), "foreign CPU: 20.00%, limit"),
    ],
)
def test_each_limit_gives_its_reason_in_words(seen: Validity, reason: str) -> None:
    assert not seen.valid
    assert any(text.startswith(reason) for text in seen.reasons), seen.reasons


BUSY, STOLEN, SHARED = (
    CpuUse(10.0, 2, {"generator": own}, total, steal)
    for own, total, steal in ((9.0, 9.2, 0.1), (1.0, 1.2, 2.0), (1.0, 5.0, 0.1))
)


@pytest.mark.parametrize(
    ("seen", "count"),
    [
        (run(use=STOLEN), 1),
        (run(use=SHARED), 1),
        (run(speeds_per_s=(100.0, 40.0)), 1),
        (run(lag_s=0.0093), 1),  # though the generator had the time
        (run(lag_s=0.0093, use=BUSY), 0),
        (run(load_per_s=2000, lag_s=0.0093), 0),
        (run(lag_s=0.0093, use=SHARED, spoilt=1, status=0, end=DROPPED), 2),
        (run(spoilt=2, status=422), 0),
        (run(), 0),
    ],
)
def test_the_machine_is_the_reason_where_others_use_it_and_not_where_the_generator_is_late_itself(
    seen: Validity, count: int
) -> None:
    assert len(of_the_machine(seen.reasons)) == count, seen.reasons


def test_a_stack_that_fails_some_requests_is_a_finding_not_an_invalid_run() -> None:
    seen = run(spoilt=40, status=503)
    assert seen.valid
    assert seen.failed == 40
    assert seen.wrong_status == 0


def test_a_run_in_which_nothing_was_sent_is_invalid_and_has_no_nan() -> None:
    seen = run(spoilt=1000, status=0, end=UNSENT)
    assert not seen.valid
    assert seen.achieved_per_s == 0
    assert seen.dispatch_lag_p99_s == 0


def test_dilated_time_bears_more_steal() -> None:
    assert Limits().dilated().steal_fraction > Limits().steal_fraction


def test_in_dilated_time_only_work_that_does_not_give_way_counts_as_foreign() -> None:
    use = CpuUse(10.0, 2, {"generator": 1.0}, 19.0, 0.1, lower_s=17.0)
    limits = Limits().dilated()
    assert run(use=use, limits=limits).valid
    assert run(use=use, limits=limits).lower_cpu_fraction == pytest.approx(0.85)
    assert run(use=use).reasons == ("foreign CPU: 90.00%, limit 10.00%",)
    hog = CpuUse(10.0, 2, {"generator": 1.0}, 19.0, 0.1, lower_s=9.0)
    assert run(use=hog, limits=limits).reasons == ("foreign CPU: 45.00%, limit 25.00%",)
