"""`headroom`: the steps of the workbench as commands."""

import dataclasses
import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
import yaml

from headroom import steps
from headroom.access_log import workload_from_logs
from headroom.arguments import RUNS, AsJson, RunFolder, ScenarioName, scenario_at
from headroom.artefacts import Run
from headroom.claims.ledger import Ledger
from headroom.commands import claims as claims_commands
from headroom.commands import emulated as emulated_commands
from headroom.commands import fault as fault_commands
from headroom.commands import plan as plan_commands
from headroom.commands import price as price_commands
from headroom.commands import run as run_commands
from headroom.console import interrupt, output, progress, say, show, show_json
from headroom.diagnose import commands as diagnosis
from headroom.emulated import state_in_words, utilisation_of
from headroom.errors import HeadroomError
from headroom.explorer.commands import explore
from headroom.fidelity.commands import fidelity_app
from headroom.live import reindex_stack, seed_stack, stack_spec
from sim.errors import InvalidScenario, SimError
from sim.scenario import Scenario
from sim.scenario_file import json_schema
from stack.errors import StackError
from stack.load.errors import LoadError
from stack.local import (
    StackInfo,
    kill_part,
    logbook,
    restart,
    scale,
    stack_folder,
    start_detached,
    start_part,
    status,
    stop,
)

BAD_INPUT, BROKEN, INTERRUPTED = 2, 4, 130
app = typer.Typer(
    help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)

run_commands.add_to(app)
workload_app = typer.Typer(help="Workloads of your own.", no_args_is_help=True)
app.add_typer(workload_app, name="workload")
app.add_typer(price_commands.prices_app, name="prices")
app.command("price")(price_commands.price)
app.command("plan")(plan_commands.plan)
app.command("whatif")(plan_commands.whatif)
app.command("claims")(claims_commands.claims)
app.command("explore")(explore)
app.command("diagnose")(diagnosis.diagnose)
fidelity_app.command("diagnose")(diagnosis.diagnose_faults)
fidelity_app.command("diagnose-learn")(diagnosis.learn)
fidelity_app.command("diagnose-page")(diagnosis.page)
app.add_typer(fidelity_app, name="fidelity")
app.add_typer(fault_commands.fault_app, name="fault")

StackName = Annotated[str, typer.Option("--name", help="which stack, when several run")]


def main() -> NoReturn:
    """Run the CLI; every expected failure is one line and an exit code."""
    sys.unraisablehook = _unraisable
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)  # a shell's background job starts with it ignored
    try:
        code = app(standalone_mode=False)  # an exit's code comes back as a value, 130 for Ctrl-C
    except InvalidScenario as error:
        for problem in error.problems:
            where = f"{error.source}: " if error.source else ""
            progress.print(f"{where}{problem}", markup=False, soft_wrap=True)
        sys.exit(BAD_INPUT)
    except (SimError, HeadroomError, StackError, LoadError) as error:
        progress.print(str(error), markup=False, soft_wrap=True)
        sys.exit(BROKEN)
    except OSError as error:
        progress.print(f"{error.filename or 'system'}: {error.strerror}", markup=False)
        sys.exit(BROKEN)
    except (KeyboardInterrupt, typer.Abort):
        progress.print("interrupted; what was done so far is kept", markup=False)
        sys.exit(INTERRUPTED)
    except Exception as error:  # a usage error of the command line shows itself; all else is a bug
        show_usage = getattr(error, "show", None)
        if show_usage is None:
            raise
        show_usage()
        sys.exit(BAD_INPUT)
    sys.exit(code or _exit_code)


_exit_code = 0


def _end(code: int) -> None:
    global _exit_code  # noqa: PLW0603 - the one result of the process
    _exit_code = code


def _unraisable(lost: "sys.UnraisableHookArgs") -> None:
    """Say nothing of a Ctrl-C that landed in a callback: it is remembered, see `Interrupt`."""
    if lost.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(lost)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    interrupt.remember()
    raise KeyboardInterrupt


@app.command()
def up(
    scenario: ScenarioName = "million-users",
    port: Annotated[int, typer.Option(help="of the load balancer; 0: any free one")] = 0,
    name: StackName = "default",
    *,
    tls: Annotated[bool, typer.Option("--tls", help="HTTPS too, with a local certificate")] = False,
    faults: fault_commands.TakesFaults = False,
    emulated: emulated_commands.Emulated = False,
    scale: emulated_commands.Scale = None,
    machines: emulated_commands.Machines = "3-10",
    pace: emulated_commands.Pace = 1.0,
    as_json: AsJson = False,
) -> None:
    """Start the scenario's stack, seed it, and leave it running."""
    wanted = scenario_at(scenario)
    if emulated:
        topology = emulated_commands.emulated_topology(wanted, scale, machines, pace)
        info = emulated_commands.started_emulated(
            topology, name=name, port=port, tls=tls, faults=faults
        )
    else:
        info = _started(wanted, name=name, port=port, tls=tls, faults=faults)
    if as_json:
        show_json(json.loads(info.model_dump_json(exclude={"admin_password", "jwt_secret"})))
        return
    output.print(f"ready: {info.base_url}   API docs {info.base_url}/docs", markup=False)
    if info.https_url:
        output.print(f"HTTPS: {info.https_url}   certificate {info.certificate}", markup=False)
    output.print(f"administrator: admin@example.com  {info.admin_password}", markup=False)


def _started(wanted: Scenario, *, name: str, port: int, tls: bool, faults: bool) -> StackInfo:
    folder = stack_folder(name)
    spec = stack_spec(wanted, name=name, http_port=port, tls=tls, faults=faults)
    info = start_detached(spec, folder, progress=say)
    try:
        seed_stack(wanted, info, say)
    except BaseException:
        stop(folder)
        raise
    return info


@app.command()
def down(name: StackName = "default") -> None:
    """Stop a stack and remove everything of it."""
    stop(stack_folder(name))
    say(f"stack {name} stopped")


@app.command("status")
def show_status(name: StackName = "default", as_json: AsJson = False) -> None:
    """Show the parts of a running stack."""
    info = status(stack_folder(name))
    if as_json:
        show_json(json.loads(info.model_dump_json(exclude={"admin_password", "jwt_secret"})))
        return
    used = utilisation_of(info)
    show(
        f"{info.name}: {info.state}   {info.base_url or ''}",
        ("part", "state", "pid", "port", "waits for", *(["used"] if used else [])),
        [
            (p.name, p.state, str(p.pid or "–"), str(p.port or "–"), p.waits_for or "")
            + ((f"{used[p.name]:.0%}" if p.name in used else "",) if used else ())
            for p in info.parts
        ],
    )
    if info.spec.emulation is not None:
        output.print(state_in_words(info), markup=False, soft_wrap=True)
    for part in info.parts:
        if part.state == "dead":
            output.print(f"{part.name} ended with exit code {part.exit_code}:", markup=False)
            for line in part.last_lines:
                output.print(f"  {line}", markup=False)
    _end(0 if info.state == "ready" else 1)


@app.command("logs")
def show_logs(
    part: Annotated[str | None, typer.Argument(help="one part; all without it")] = None,
    *,
    lines: Annotated[int, typer.Option("-n", min=1)] = 50,
    grep: Annotated[str | None, typer.Option(help="a regular expression in the line")] = None,
    request: Annotated[str | None, typer.Option(help="a request's id (X-Request-ID)")] = None,
    level: Annotated[str, typer.Option(help="DEBUG, INFO, WARN or ERROR, and above")] = "DEBUG",
    since: Annotated[str, typer.Option(help="30s, 10m, 2h, 1d ago, or a time")] = "3650d",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on as lines come")] = False,
    name: StackName = "default",
    as_json: AsJson = False,
) -> None:
    """Print the last lines of all parts' logs in one view, by time; search them."""
    folder = stack_folder(name)
    search = logbook.LogSearch(
        part=part,
        grep=grep,
        request=request,
        level=level.upper(),  # type: ignore[arg-type] # LogSearch refuses what is no level
        since=logbook.since(since, time.time()),
    )
    look = logbook.followed if follow else logbook.found_in_logs
    for entry in look(folder, search, lines):
        if as_json:
            sys.stdout.write(json.dumps(dataclasses.asdict(entry) | {"time": entry.time}) + "\n")
        else:
            output.print(f"{entry.time[11:23]} {entry.part:>13} | {entry.line}", markup=False)


@app.command()
def kill(
    part: Annotated[str, typer.Argument(help="such as api-1")], name: StackName = "default"
) -> None:
    """Kill one part of a running stack (SIGKILL), to see what happens."""
    kill_part(stack_folder(name), part)
    say(f"{part} killed")


@app.command("start")
def start_dead(
    part: Annotated[str, typer.Argument(help="such as api-1")], name: StackName = "default"
) -> None:
    """Start a part that has died, or was killed, with the data it had."""
    start_part(stack_folder(name), part, progress=say)
    say(f"{part} is ready")


@app.command("scale")
def scale_parts(
    kind: Annotated[str, typer.Argument(help="what to have more or less of: api")],
    count: Annotated[int, typer.Argument(help="how many replicas to run")],
    name: StackName = "default",
) -> None:
    """Run more or fewer replicas, without losing a request."""
    info = scale(stack_folder(name), kind, count, progress=say)
    say(f"{kind}: {len(info.parts_of('api'))} replicas")


@app.command("restart")
def restart_parts(
    kind: Annotated[str, typer.Argument(help="what to restart: api")] = "api",
    name: StackName = "default",
) -> None:
    """Replace all replicas one after the other, without losing a request."""
    restart(stack_folder(name), kind, progress=say)
    say(f"{kind}: all replicas replaced")


@app.command()
def seed(
    scenario: ScenarioName = "million-users",
    products: Annotated[int | None, typer.Option(min=1, help="in place of the scenario's")] = None,
    name: StackName = "default",
) -> None:
    """Fill a running stack with the scenario's catalogue (idempotent)."""
    seed_stack(scenario_at(scenario), status(stack_folder(name)), say, products=products)


@app.command()
def reindex(name: StackName = "default") -> None:
    """Build the search index anew beside the old one, which serves until the new one is whole."""
    reindex_stack(status(stack_folder(name)), say)


def _on_a_run(step: Callable[[Run], object], folder: Path, as_json: bool) -> None:
    output.stderr = as_json  # JSON alone on stdout; the step's table goes beside it
    found = step(Run.open(folder))
    if as_json:
        show_json(found)  # type: ignore[arg-type] # every step returns an artefact or plain rows


@app.command("new")
def new_run(scenario: ScenarioName = "million-users", runs: Path = RUNS) -> None:
    """Make the folder of a new run, for the steps below to fill."""
    output.print(str(Run.create(runs, scenario_at(scenario)).folder), markup=False)


@app.command()
def calibrate(run: RunFolder, as_json: AsJson = False) -> None:
    """Measure what one request of each kind costs, at low load."""
    _on_a_run(steps.calibrated, run, as_json)


@app.command()
def predict(run: RunFolder, as_json: AsJson = False) -> None:
    """Predict the run's loads, before they are offered."""
    _on_a_run(steps.predicted, run, as_json)


@app.command()
def measure(run: RunFolder, as_json: AsJson = False) -> None:
    """Offer the run's loads to its stack."""
    _on_a_run(steps.measured, run, as_json)


@app.command()
def compare(run: RunFolder, as_json: AsJson = False) -> None:
    """Show prediction beside measurement and judge the run."""
    _on_a_run(steps.compared, run, as_json)


@app.command("availability")
def show_availability(
    scenario: ScenarioName = "million-users",
    api_needed: Annotated[int, typer.Option(min=1, help="API servers that the demand takes")] = 1,
    months: Annotated[int, typer.Option(min=2, max=10**6, help="simulated")] = 2000,
    as_json: AsJson = False,
) -> None:
    """Simulate months of the scenario's topology; name its weak points and their price."""
    output.stderr = as_json
    found = steps.availability_of_scenario(scenario_at(scenario), api_needed, months)
    if as_json:
        show_json(found)


@app.command()
def check(scenario: ScenarioName) -> None:
    """Validate a scenario file."""
    found = scenario_at(scenario)
    output.print(f"{found.name}: valid; peak {found.workload.peak_load_per_s:.3g} req/s")


@app.command()
def lab(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="on 127.0.0.1")] = 8888,
    browser: Annotated[bool, typer.Option(help="open one")] = True,
) -> None:
    """Open JupyterLab on the notebooks; Ctrl-C ends it and the stacks started in them."""
    from headroom.workbench.lab import serve

    serve(port, browser=browser)


@app.command()
def schema(
    ledger: Annotated[bool, typer.Option("--ledger", help="of a ledger of claims")] = False,
) -> None:
    """Print the JSON Schema of a scenario, or of a ledger of claims, for editors."""
    show_json(Ledger.model_json_schema() if ledger else json_schema())


@workload_app.command("from-log")
def from_log(
    files: Annotated[list[Path], typer.Argument(help="access logs, plain or .gz")],
) -> None:
    """Turn access logs (nginx, Apache, AWS ALB) into a scenario's workload section."""
    found = workload_from_logs(
        files, progress=lambda done, total: say(f"{done / 2**20:,.0f} of {total / 2**20:,.0f} MiB")
    )
    evidence = {"evidence": found["evidence"]}
    text = yaml.safe_dump(evidence, sort_keys=False, default_flow_style=None, width=72)
    progress.print(text, markup=False)
    section = {"workload": found["workload"]}
    sys.stdout.write(yaml.safe_dump(section, sort_keys=False, allow_unicode=True))


if __name__ == "__main__":
    main()
