"""The chain from a scenario to its report; each step leaves an artefact and can be resumed."""

from collections.abc import Callable
from pathlib import Path

from headroom.applicable import require_applicable
from headroom.artefacts import Calibration, JudgedLedger, Prediction, Run, Summary, Verdict
from headroom.availability import available
from headroom.calibrate import calibrate
from headroom.claims import load_ledger
from headroom.claims.judging import judged_in
from headroom.compare import compared
from headroom.live import running_stack
from headroom.load_cost import api_demand_of, load_cost, triple
from headroom.measure import measure
from headroom.plan import measured_in, planned
from headroom.plan_records import PlanArtefact
from headroom.predict import predict
from headroom.price import priced
from headroom.traces import offered_order
from headroom.verdict import verdict
from headroom.whatif import WhatIfArtefact, what_ifs
from sim.cost import price_book
from sim.errors import InvalidScenario

Say = Callable[[str], None]
CLAIMS = Path(__file__).parents[1] / "reports" / "claims.yaml"  # of the document


def report(run: Run, say: Say) -> Path:
    """Do every step of a run that is not done yet; returns the path of the rendered report.

    The order is the point: price and scenario are checked before anything starts, the calibration
    sees low load only, and the prediction is stored and hashed before the first load is offered.
    """
    run.write(priced(run.scenario))
    if not measured_all(run):
        say(f"starting the stack of {run.scenario.name}")
        with running_stack(run.scenario, say, name=run.folder.name) as info:
            if not run.has(Calibration):
                say("calibrating: what one request of each kind costs")
                calibrate(run, info, say)
            require_applicable(run)
            if not run.has(Prediction):
                say("predicting, before any of these loads is offered")
                predict(run, say)
            say(f"measuring {len(offered_order(run.scenario))} cells with Locust")
            measure(run, info, say)
        say("stack stopped")
    judge(run)
    look_ahead(run, say)
    from headroom.render import render  # papermill and its formats: seconds of every command

    say("rendering the report")
    return render(run)


def measured_all(run: Run) -> bool:
    """Whether the measurement of a run is complete."""
    return run.has(Summary) and run.read(Summary).complete


def look_ahead(run: Run, say: Say) -> None:
    """Plan, ask what changes would do, judge the document: all from the run's own calibration."""
    demands = measured_in(run)
    for kind, ask in ((PlanArtefact, planned), (WhatIfArtefact, what_ifs)):
        if not run.has(kind):
            try:
                run.write(ask(run.scenario, demands, say))
            except InvalidScenario as error:  # such as a type that the book does not price
                say(f"no {kind.FILE}: {error}")
    ledger = load_ledger(CLAIMS)
    if ledger.scenario == run.scenario.name and not run.has(JudgedLedger):
        say(f"judging the {len(ledger.claims)} claims of the design document")
        judged_in(run, ledger)


def judge(run: Run) -> Verdict:
    """Compare, price and judge a measured run; stores comparison, bill and verdict."""
    scenario = run.scenario
    prediction, summary = run.read(Prediction), run.read(Summary)
    run.write_comparison(compared(prediction, summary))
    book = price_book(scenario.prices.book)
    hits = {family: ratio.value for family, ratio in prediction.steady_hit_ratio.items()}
    cpu_s, measured = api_demand_of(run, hits)
    bill = priced(scenario, api_cpu_s=triple(cpu_s))
    run.write(bill)
    run.write(load_cost(scenario, book, cpu_s, measured.measured_on, assumed=measured.assumed))
    advised = priced(scenario, prediction.replicas_for_peak, api_cpu_s=triple(cpu_s))
    modelled = available(scenario, book, api_needed=prediction.replicas_for_peak)
    run.write(modelled)
    found = verdict(scenario, prediction, summary, bill, advised, modelled=modelled)
    run.write(found)
    return found
