"""A run folder with invented figures, for tests of charts and report: nothing was measured."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from headroom.artefacts import (
    Calibration,
    Capacity,
    Conditions,
    CurvePoint,
    Demand,
    Estimate,
    Machine,
    MeasuredCell,
    PredictedCell,
    Prediction,
    Run,
    Singles,
    Summary,
)
from headroom.availability import available
from headroom.chain import CLAIMS
from headroom.claims import load_ledger
from headroom.claims.judging import judged_in
from headroom.compare import compared
from headroom.load_cost import api_demand_of, load_cost
from headroom.plan import example_demands, planned
from headroom.price import priced
from headroom.variants import variant
from headroom.verdict import verdict
from headroom.whatif import what_ifs
from sim.cost import price_book
from sim.scenario_file import load_scenario

SCENARIO = Path(__file__).parents[1] / "scenarios" / "million-users.yaml"
BEGIN = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
SOME_CLAIMS = ("requests-per-day", "cost-total", "p95-target", "cdn-ten-times", "database-failover")
FAMILIES = ("listing", "favourites", "search")


def around(value: float, share: float) -> Estimate:
    return Estimate(value=value, low=value * (1 - share), high=value * (1 + share))


def latencies(load_per_s: float, limit_per_s: float, share: float) -> dict[str, Estimate]:
    """Percentiles that grow as 1/(1 − ρ): the shape of a queue, not its figures."""
    slow = 0.004 / max(1 - load_per_s / (1.3 * limit_per_s), 0.02)
    return {
        "p50_s": around(slow, share),
        "p95_s": around(slow * 8, share),
        "p99_s": around(slow * 16, share * 1.5),
        "throughput_per_s": Estimate.exact(load_per_s),
        "utilisation.api": around(0.6 * load_per_s / limit_per_s, share / 4),
        "utilisation.mongo": around(0.2 * load_per_s / limit_per_s, share / 4),
        "utilisation.host": around(0.9 * load_per_s / limit_per_s, share / 4),
    }


def ratios(load_per_s: float, off: float) -> dict[str, Estimate]:
    found = {
        f"hit_ratio.{family}": around(base + 0.1 * load_per_s / 120 + off, 0.02)
        for family, base in zip(FAMILIES, (0.7, 0.12, 0.45), strict=True)
    }
    return found | {"hit_ratio.all": around(0.5 + 0.1 * load_per_s / 120 + off, 0.02)}


def conditions(load_per_s: float, valid: bool) -> Conditions:
    return Conditions(
        planned_per_s=load_per_s,
        achieved_per_s=load_per_s * 0.998,
        dispatch_lag_p50_s=0.0004,
        dispatch_lag_p99_s=0.0021 if valid else 0.0312,
        dispatch_lag_max_s=0.009,
        generator_cpu_fraction=0.31,
        steal_fraction=0.012 if valid else 0.14,
        foreign_cpu_fraction=0.02,
        dropped=0,
        wrong_status=0,
        speed_ratio=1.01,
        valid=valid,
        reasons=() if valid else ("dispatch lag p99 31 ms is over 5 ms", "steal 14 % is over 2 %"),
    )


def look_ahead(run: Run) -> None:
    """A plan and what-ifs beside the run, of few architectures in few futures."""
    asked = variant(
        run.scenario,
        {
            "plan.futures": 20,
            "plan.space.api_types": ["t3.medium", "c7g.large"],
            "plan.space.api_replicas": [1, 3],
            "plan.space.purchases": ["on_demand"],
        },
    )
    run.write(planned(asked, example_demands(), lambda _line: None))
    run.write(what_ifs(asked, example_demands(), lambda _line: None, ("growth", "price", "region")))
    judged_in(run, load_ledger(CLAIMS).only(SOME_CLAIMS))


def example_run(root: Path) -> Run:
    """A complete run under `root`, as the steps of the chain would leave it."""
    scenario = load_scenario(SCENARIO)
    run = Run.create(root, scenario)
    machine_sha = run.write(
        Machine(
            facts={"cpu": "invented, 2 cores", "memory_gib": 8.0, "versions": {"redis": "8.2"}},
            sha256="0" * 64,
        )
    )
    calibration_sha = run.write(
        Calibration(
            created_at=BEGIN + timedelta(seconds=40),
            scenario_sha256=run.scenario_sha256,
            machine_sha256=machine_sha,
            started_at=BEGIN,
            load_per_s=8.0,
            cores=2,
            demands=tuple(
                Demand(
                    operation="list",
                    outcome=outcome,
                    component=component,
                    cpu_s=around(cpu_s, 0.1),
                    cv=0.5,
                    samples=200,
                )
                for outcome, component, cpu_s in (
                    ("hit", "api", 0.002),
                    ("miss", "api", 0.004),
                    ("miss", "database", 0.003),
                )
            ),
            singles=(Singles(operation="list", outcome="hit", latency_s=(0.003,) * 40),),
            generator_cpu_s=around(0.0008, 0.1),
            idle_fraction=0.05,
            idle_cores={"elasticsearch": 0.05},
            index_lag_s=0.5,
            conditions=conditions(8.0, valid=True),
        )
    )
    loads = scenario.experiment.loads_per_s
    local, production = 150.0, 420.0
    prediction = Prediction(
        created_at=BEGIN + timedelta(seconds=55),
        scenario_sha256=run.scenario_sha256,
        calibration_sha256=calibration_sha,
        engine="invented",
        seed=11,
        cells=tuple(
            PredictedCell(
                cell=f"{load:g}-per-s",
                load_per_s=load,
                metrics=latencies(load, local, 0.08) | ratios(load, 0.0),
            )
            for load in loads
        ),
        curve=tuple(
            CurvePoint(load_per_s=load, metrics=latencies(load, local, 0.08))
            for load in range(10, 181, 10)
        ),
        local=Capacity(
            load_per_s=around(local, 0.1),
            bound_by="cores",
            utilisation={"cores": 0.93, "api": 0.6, "database": 0.21, "search": 0.17},
        ),
        production=Capacity(
            load_per_s=around(production, 0.15),
            bound_by="api",
            utilisation={"api": 0.86, "database": 0.41, "search": 0.63, "cache": 0.04},
        ),
        production_curve=tuple(
            CurvePoint(load_per_s=load, metrics=latencies(load, production, 0.1))
            for load in (5, 10, 20, 40, 80, 160, 240, 320, 400, 440, 480)
        ),
        replicas_for_peak=1,
        replicas_for_concurrent_users=3,
        steady_hit_ratio={
            "listing": around(0.82, 0.01),
            "favourites": around(0.1, 0.01),
            "search": around(0.4, 0.01),
            "all": around(0.58, 0.01),
        },
        mean_sojourn_s=0.02,
    )
    prediction_sha = run.write(prediction)
    cells = []
    for repeat in range(scenario.experiment.repeats):
        for index, load in enumerate(loads):
            started = BEGIN + timedelta(seconds=70 + 30 * (repeat * len(loads) + index))
            metrics = latencies(load * (1.03 + 0.02 * repeat), local, 0.12)
            metrics |= ratios(load, 0.006 - 0.004 * repeat)
            metrics |= {"error_fraction": Estimate(value=0.0, low=0.0, high=0.002)}
            cells.append(
                MeasuredCell(
                    cell=f"{load:g}-per-s",
                    load_per_s=load,
                    repeat=repeat,
                    started_at=started,
                    finished_at=started + timedelta(seconds=25),
                    requests=int(load * 20),
                    metrics=metrics,
                    conditions=conditions(load, valid=not (repeat == 1 and load == loads[-1])),
                )
            )
    summary = Summary(
        scenario_sha256=run.scenario_sha256,
        prediction_sha256=prediction_sha,
        prediction_at=BEGIN + timedelta(seconds=56),
        cells=tuple(cells),
    )
    run.write(summary)
    run.write_comparison(compared(prediction, summary))
    cpu_s, measured = api_demand_of(run, {})
    run.write(
        load_cost(
            scenario,
            price_book(scenario.prices.book),
            cpu_s,
            measured.measured_on,
            assumed=measured.assumed,
        )
    )
    bill = priced(scenario)
    run.write(bill)
    advised = priced(scenario, prediction.replicas_for_peak)
    modelled = available(scenario, price_book(scenario.prices.book), months=50)
    run.write(modelled)
    run.write(verdict(scenario, prediction, summary, bill, advised, modelled=modelled))
    return run
