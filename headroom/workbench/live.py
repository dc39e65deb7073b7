"""A live stack in a notebook: it starts, is measured, hurt and mended from cells."""

import atexit
import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pandas as pd

from headroom.arguments import RUNS
from headroom.artefacts import Calibration, ExperimentResult, Machine, Prediction, Run
from headroom.calibrate import calibrate
from headroom.claims.keeping import failover
from headroom.claims.live import Live
from headroom.errors import HeadroomError
from headroom.live import running_stack, seed_stack, stack_spec
from headroom.measure import measure
from headroom.predict import predict
from headroom.sections import Html, table
from headroom.trial import Trial, trial
from headroom.workbench.answers import STYLE
from headroom.workbench.cell import Progress, home, in_a_cell
from headroom.workbench.evidence import Calibrated, Forecast, Measurement
from headroom.workbench.studies import Study, study_of
from sim.errors import InvalidScenario, Problem
from sim.scenario import Scenario
from stack.errors import StackNotRunning
from stack.local import StackInfo, kill_part, scale, stack_folder, start_part, status


class LiveStack:
    """The scenario's stack on this machine: real servers, seeded, for as long as the block lasts.

    It ends with the `with` block, with `stop()`, and with the kernel, however that one ends. Where
    `headroom up` has left the same architecture running, that one is used and left running.
    """

    def __init__(self, scenario: Scenario, name: str) -> None:
        if scenario.time.scale != 1:
            allowed = "1: emulations in dilated time are run by `headroom fidelity`"
            raise InvalidScenario(Problem("time.scale", scenario.time.scale, allowed))
        self.scenario: Study = study_of(scenario)
        self._name = name
        self._opened = contextlib.ExitStack()
        self._folder: Path | None = None
        self._calibrated: Run | None = None

    @in_a_cell
    def start(self) -> Self:
        """Start it and wait until it is ready and seeded; harmless when it runs.

        Raises: a StackError that says why it cannot start; nothing is left of it then.
        """
        if self._folder is not None:
            return self
        with Progress(f"starting the stack of {self.scenario.name}") as say:
            left = _left_running(self.scenario)
            if left is not None:
                say(f"going on with {left.name}, which `headroom up` left running")
                seed_stack(self.scenario, left, say)
                self._folder = left.folder
                return self
            found = running_stack(self.scenario, say, name=self._name)
            self._folder = self._opened.enter_context(found).folder
        atexit.register(self.stop)
        return self

    @in_a_cell
    def stop(self) -> None:
        """Stop it and wait until nothing is left; harmless when it does not run."""
        atexit.unregister(self.stop)
        self._folder = None
        self._opened.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def info(self) -> StackInfo:
        """The stack as it is now. Raises StackNotRunning before its start and after its end."""
        if self._folder is None:
            raise StackNotRunning(folder=self._name)
        return status(self._folder)

    @property
    def url(self) -> str:
        """Where its load balancer listens."""
        found = self.info.base_url
        assert found is not None
        return found

    @property
    def parts(self) -> pd.DataFrame:
        """Its processes: state, pid, port, seconds until ready."""
        columns = ["name", "kind", "state", "pid", "port", "started_s"]
        return pd.DataFrame([part.model_dump(include=set(columns)) for part in self.info.parts])[
            columns
        ]

    @in_a_cell
    def calibrate(self) -> Calibrated:
        """What one request of each kind costs, measured at low load; done once for a stack."""
        return Calibrated(self._calibration(self.scenario))

    @in_a_cell
    def measure(
        self,
        forecast: Forecast | None = None,
        *,
        loads_per_s: Sequence[float] | None = None,
        cell_s: float | None = None,
        warmup_s: float | None = None,
    ) -> Measurement:
        """Offer the loads of the scenario's experiment, open loop, from a Locust process.

        Args:
            forecast: what is to be judged: the very requests it was made for are sent. Without it,
                the stack is calibrated and its answers are foretold first.
            loads_per_s, cell_s, warmup_s: in place of the scenario's, without a forecast.
        Raises: InvalidScenario when the forecast is for another architecture.

        >>> import headroom as hr
        >>> with hr.stack(hr.scenario("laptop")) as live:  # doctest: +SKIP
        ...     m = live.measure(loads_per_s=[10, 20, 40, 80], cell_s=5)
        """
        wanted = {"loads_per_s": loads_per_s, "cell_s": cell_s, "warmup_s": warmup_s}
        changes = {f"experiment.{n}": v for n, v in wanted.items() if v is not None}
        if forecast is None:
            forecast = self.forecast(self.scenario.with_(changes) if changes else self.scenario)
        elif changes:
            allowed = "nothing beside a forecast, whose requests are already drawn"
            raise InvalidScenario(Problem(", ".join(changes), list(changes.values()), allowed))
        self._require_same(forecast.scenario)
        with Progress(f"measuring {len(forecast.cells)} loads") as say:
            measure(forecast.run, self.info, say)
        return Measurement(forecast.run, forecast)

    @in_a_cell
    def forecast(self, scenario: Scenario | None = None) -> Forecast:
        """Foretell what this stack will do, from its own calibration; `hr.predict(s, live)`."""
        asked = study_of(scenario or self.scenario)
        self._require_same(asked)
        calibrated = self._calibration(asked)
        run = calibrated
        if calibrated.has(Prediction) or study_of(calibrated.scenario) != asked:
            run = Run.create(home() / RUNS, asked)
            for kind in (Calibration, Machine):
                run.write(calibrated.read(kind))
        with Progress("predicting, before any load is offered") as say:
            predict(run, say)
        return Forecast(run, assumed=False)

    @in_a_cell
    def trial(
        self,
        load_per_s: float,
        duration_s: float,
        *,
        warmup_s: float = 0.0,
        meanwhile: Callable[[], object] | None = None,
    ) -> Trial:
        """Offer the scenario's mix at one load, once, with a cold cache.

        Args:
            load_per_s: requests/s offered, open loop.
            duration_s: how long, warm-up included.
            warmup_s: from the start, sent but not judged.
            meanwhile: called while the load lasts, such as `lambda: live.scale(3)`.
        Returns: the seeded requests and what was measured of them after the warm-up.
        """
        folder = home() / RUNS / "trials" / self._name
        with Progress(f"offering {load_per_s:g} req/s for {duration_s:g} s"), _beside(meanwhile):
            return trial(
                self.scenario, self.info, folder, load_per_s, duration_s, warmup_s=warmup_s
            )

    @in_a_cell
    def failover(self) -> dict[str, ExperimentResult]:
        """Kill the primary of the replica set under writes, and start it again afterwards.

        Returns: `live.failover_s`, the longest gap between acknowledged writes, and
            `live.lost_writes`, those that were acknowledged and are gone.
        Raises: TimeoutError when no other member takes over.
        """
        folder, rng = home() / RUNS / "trials", np.random.default_rng(self.scenario.experiment.seed)
        with Progress("killing the primary under writes") as say:
            found = failover(Live(self.scenario, self.info, self.info, folder, rng))
            for part in self.info.parts:
                if part.state == "dead":
                    start_part(self.info.folder, part.name, progress=say)
        return found

    @in_a_cell
    def kill(self, part: str) -> None:
        """Kill one part (SIGKILL), such as "api-1", to see what happens."""
        kill_part(self.info.folder, part)

    @in_a_cell
    def mend(self, part: str) -> None:
        """Start a part that is dead, with the data it had."""
        self._changed(
            f"starting {part}", lambda say: start_part(self.info.folder, part, progress=say)
        )

    @in_a_cell
    def scale(self, replicas: int) -> None:
        """Run so many API replicas, without losing a request."""
        self._changed(
            f"scaling to {replicas} API replicas",
            lambda say: scale(self.info.folder, "api", replicas, progress=say),
        )

    def _changed(self, title: str, change: Callable[[Progress], object]) -> None:
        with Progress(title) as say:
            change(say)

    def _calibration(self, scenario: Scenario) -> Run:
        """The run that holds this stack's calibration."""
        if self._calibrated is None:
            run = Run.create(home() / RUNS, scenario)
            with Progress("calibrating at low load") as say:
                calibrate(run, self.info, say)
            self._calibrated = run
        return self._calibrated

    def _require_same(self, scenario: Scenario) -> None:
        mine, other = (dict(stack_spec(each, name="any")) for each in (self.scenario, scenario))
        different = [name for name in mine if mine[name] != other[name]]
        if different:
            raise HeadroomError(
                f"{scenario.name} is of another architecture than the running stack, by "
                f"{', '.join(different)}: start it with hr.stack(…)"
            )

    def __repr__(self) -> str:
        if self._folder is None:
            return f"LiveStack({self.scenario.name!r}, not running)"
        return f"LiveStack({self.scenario.name!r}, {self.info.state}, {self.url})"

    def _repr_html_(self) -> str:
        if self._folder is None:
            return Html(f"<p>The stack of {self.scenario.name} does not run.</p>")
        info = self.info
        rows = [(p.name, p.state, str(p.pid or "–"), str(p.port or "–")) for p in info.parts]
        return Html(
            f'{STYLE}<div class="headroom"><p class="answer">{info.state}: '
            f'<a href="{self.url}/docs">{self.url}</a></p>'
            f"{table(('Part', 'State', 'pid', 'Port'), rows, numeric=(2, 3))}</div>"
        )


@contextlib.contextmanager
def _beside(meanwhile: Callable[[], object] | None) -> Iterator[None]:
    """Call something in a thread of its own; what it raises is raised when the block ends."""
    if meanwhile is None:
        yield
        return
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(meanwhile)
        yield
        done.result()


def _left_running(scenario: Scenario) -> StackInfo | None:
    """A stack of that very architecture that no process owns."""
    for folder in sorted(stack_folder("any").parent.glob("*")):
        try:
            found = status(folder)
        except (StackNotRunning, OSError):
            continue
        wanted = stack_spec(scenario, name=found.name, http_port=found.spec.http_port)
        if found.owner_pid is None and found.state == "ready" and found.spec == wanted:
            return found
    return None
