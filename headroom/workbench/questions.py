"""The questions of the workbench; each is a step of the CLI and of the report, for a cell."""

from collections.abc import Callable, Collection
from importlib.resources import files
from pathlib import Path
from typing import Any

from headroom import chain
from headroom.access_log import workload_from_logs
from headroom.arguments import RUNS
from headroom.artefacts import Calibration, Machine, Prediction, Run, Summary
from headroom.availability import MONTHS, available
from headroom.claims import figures_of, load_ledger
from headroom.claims.experiments import try_live
from headroom.claims.judging import judged_in
from headroom.diff import run_diff
from headroom.plan import EXAMPLE, demands_for, planned
from headroom.predict import predict as predicted
from headroom.price import priced
from headroom.whatif import what_ifs
from headroom.workbench.answers import Availability, Bill, Claims, Plan, WhatIfs
from headroom.workbench.cell import Progress, as_asked, home, in_a_cell
from headroom.workbench.crowds import Crowd
from headroom.workbench.differences import Difference
from headroom.workbench.evidence import Calibrated, Comparison, Forecast, Measurement
from headroom.workbench.live import LiveStack
from headroom.workbench.studies import Asked, scenario, study_of
from sim.cost import price_book

Known = Run | Calibrated | Forecast | Measurement | Comparison  # what holds a calibration


@in_a_cell
def predict(s: Asked, live: LiveStack | None = None) -> Forecast:
    """Foretell latency, capacity, hit ratio and what binds, at loads nobody has offered.

    Args:
        s: the scenario, or its name.
        live: its running stack, which is calibrated at low load first. Without one the service
            demands of the shipped example stand in; the answer says so.
    Raises: InvalidScenario when the demands of an operation are not known; HeadroomError when
        `live` is of another architecture.

    >>> import headroom as hr
    >>> p = hr.predict(hr.scenario("million-users"))  # doctest: +SKIP
    """
    study = study_of(s)
    if live is not None:
        return live.forecast(study)
    run = Run.create(home() / RUNS, study)
    machine = files("headroom").joinpath("example_machine.json").read_bytes()
    for artefact in (_example(), Machine.model_validate_json(machine)):
        run.write(artefact)
    with Progress(f"predicting {study.name} from the example's calibration") as say:
        predicted(run, say)
    return Forecast(run, assumed=True)


@in_a_cell
def stack(s: Asked, *, name: str | None = None) -> LiveStack:
    """The scenario's stack on this machine; use it as a block, or call `start` and `stop`.

    Args:
        s: the scenario, or its name.
        name: of the stack, where several of a scenario run at once.

    >>> import headroom as hr
    >>> with hr.stack(hr.scenario("laptop")) as live:  # doctest: +SKIP
    ...     m = live.measure()
    """
    study = study_of(s)
    return LiveStack(study, name or f"lab-{study.name}"[:63])


@in_a_cell
def compare(forecast: Forecast, measurement: Measurement) -> Comparison:
    """Set a prediction beside a measurement; where they are of one run, judge that run.

    >>> import headroom as hr
    >>> hr.compare(p, m)  # doctest: +SKIP
    """
    verdict = None
    if forecast.run.folder == measurement.run.folder:
        with Progress("judging"):
            verdict = chain.judge(measurement.run)
    return Comparison(forecast, measurement, verdict)


@in_a_cell
def plan(s: Asked, known: Known | None = None, **changes: Any) -> Plan:
    """The cheapest architecture that meets every objective with a stated probability.

    Args:
        s: the scenario, or its name.
        known: what holds a calibration of this service, such as a forecast from a live stack;
            without it the shipped example's demands stand in, between half and twice of them.
        changes: fields of the scenario's `plan`, such as confidence_fraction=0.8, futures=200.
    Raises: InvalidScenario for an unknown type, a missing price, an operation not measured.

    >>> import headroom as hr
    >>> hr.plan(hr.scenario("million-users"), futures=200)  # doctest: +SKIP
    """
    study = study_of(s)
    asked = study.with_({f"plan.{name}": value for name, value in changes.items()})
    with Progress(f"planning {study.name}") as say:
        return Plan(planned(asked, demands_for(_run(known)), say))


@in_a_cell
def whatif(
    s: Asked,
    *names: str,
    known: Known | None = None,
    size: float | None = None,
    region: str | None = None,
) -> WhatIfs:
    """What changes would do to the architecture, and which uncertain input matters.

    Args:
        s: the scenario, or its name.
        names: such as "growth", "cold_cache", "lost_primary"; none asks all.
        known: as in `plan`.
        size: of the one change that is asked: a factor; of "hit_ratio" a share of 1.
        region: to move to, for "region".
    Raises: InvalidScenario naming what may be asked.

    >>> import headroom as hr
    >>> hr.whatif(hr.scenario("million-users"), "growth", size=3.0)  # doctest: +SKIP
    """
    study = study_of(s)
    with Progress(f"what if, on {study.name}") as say:
        found = what_ifs(study, demands_for(_run(known)), say, names, size=size, region=region)
    return WhatIfs(found)


@in_a_cell
def price(s: Asked, *, replicas: int | None = None) -> Bill:
    """The monthly bill, from a dated price book.

    Args:
        s: the scenario, or its name.
        replicas: API servers in place of the scenario's.
    Raises: InvalidScenario for a price that the book does not have.

    >>> import headroom as hr
    >>> round(hr.price(hr.scenario("million-users")).artefact.stated_total_usd)
    975
    """
    study = study_of(s)
    return Bill(priced(study, replicas))


@in_a_cell
def availability(s: Asked, *, api_needed: int = 1, months: int = MONTHS) -> Availability:
    """Minutes lost a month, the single points of failure, and what removing each costs.

    Args:
        s: the scenario, or its name.
        api_needed: API servers that the demand takes.
        months: simulated.

    >>> import headroom as hr
    >>> hr.availability(hr.scenario("million-users"), months=200).status
    'FAIL'
    """
    study = study_of(s)
    return Availability(
        available(study, price_book(study.prices.book), api_needed=api_needed, months=months)
    )


@in_a_cell
def claims(
    ledger: str | Path = "reports/claims.yaml",
    known: Known | None = None,
    *,
    only: Collection[str] = (),
    live: bool | Collection[str] = False,
) -> Claims:
    """A verdict on every figure that a design document states.

    Args:
        ledger: a YAML file of claims.
        known: a measured run to judge by; without it a new one is made.
        only: ids of claims; all of them where none is given.
        live: try on live stacks what formulas and models cannot tell, which takes minutes; or the
            ids of those claims that are to be tried.
    Raises: InvalidScenario naming a fault of the ledger.

    >>> import headroom as hr
    >>> hr.claims()  # doctest: +SKIP
    """
    wanted = load_ledger(as_asked(ledger)).only(only)
    run = _run(known) or Run.create(home() / RUNS, scenario(wanted.scenario))
    with Progress(f"judging {len(wanted.claims)} claims") as say:
        if live:
            asked = wanted if live is True else wanted.only(live)
            try_live(run, say, figures=figures_of(asked))
        return Claims(judged_in(run, wanted))


@in_a_cell
def crowd(s: Asked, known: Known | None = None) -> Crowd:
    """The minutes around the highest one of the scenario's demand, autoscaler included.

    Args:
        s: the scenario, or its name: its demand's profile, and its autoscaling.
        known: what holds a calibration of this service; without it the shipped example's.
    Raises: InvalidScenario for an unknown recording, or an operation not measured.

    >>> import headroom as hr
    >>> hr.crowd(hr.scenario("flash-crowd"))  # doctest: +SKIP
    """
    study = study_of(s)
    held = _run(known)
    with Progress(f"simulating the crowd of {study.name}"):
        return Crowd(study, held.read(Calibration) if held else _example(), assumed=held is None)


@in_a_cell
def workload(*paths: str | Path) -> dict[str, Any]:
    """The workload section of a scenario from access logs (nginx, Apache, AWS load balancer).

    Returns: the section, for `with_(workload=…)`, and below "evidence" what it rests on.
    Raises: InvalidScenario if a file cannot be opened, or none holds a readable request.

    >>> import headroom as hr
    >>> found = hr.workload("access.log")  # doctest: +SKIP
    """
    with Progress(f"reading {len(paths)} log{'s' if len(paths) > 1 else ''}") as say:
        return workload_from_logs([as_asked(path) for path in paths], progress=_megabytes(say))


@in_a_cell
def run(folder: str | Path) -> Comparison:
    """A measured run of `runs/`, read back: its prediction beside its measurement.

    Raises: ArtefactError when it is none, or not measured yet.

    >>> import headroom as hr
    >>> hr.run("runs/20261125-101500-laptop")  # doctest: +SKIP
    """
    opened = Run.open(as_asked(folder))
    opened.read(Prediction)
    opened.read(Summary)
    forecast = Forecast(opened, assumed=False)
    return compare(forecast, Measurement(opened, forecast))


@in_a_cell
def diff(
    before: Measurement | Comparison | Run | str | Path,
    after: Measurement | Comparison | Run | str | Path,
) -> Difference:
    """What changed between two measured runs, and whether it is more than chance.

    Args:
        before, after: measurements, comparisons, or folders of `runs/`.
    Raises: ArtefactError when one of them is no run or was not measured.

    >>> import headroom as hr
    >>> hr.diff("runs/20261125-101500-laptop", "runs/20261125-113000-laptop")  # doctest: +SKIP
    """
    return Difference.of(run_diff(_measured(before), _measured(after)))


def _measured(known: Measurement | Comparison | Run | str | Path) -> Run:
    if isinstance(known, str | Path):
        return Run.open(as_asked(known))
    found = _run(known)
    assert found is not None
    return found


def _example() -> Calibration:
    return Calibration.model_validate_json(files("headroom").joinpath(EXAMPLE).read_bytes())


def _run(known: Known | None) -> Run | None:
    if known is None or isinstance(known, Run):
        return known
    if isinstance(known, Comparison):
        known = known.measurement
    return known.run


def _megabytes(say: Callable[[str], None]) -> Callable[[int, int], None]:
    return lambda done, total: say(f"{done / 2**20:,.0f} of {total / 2**20:,.0f} MiB")
