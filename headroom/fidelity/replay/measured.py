"""A crowd offered to a live emulated stack, its autoscaler at work, beside what was foretold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headroom.artefacts import Conditions, Run, sha256_of
from headroom.dilation import emulation_of
from headroom.emulated import measured_overheads
from headroom.errors import CalibrationError, ScaleTooSmall
from headroom.fidelity.artefacts import Constants, read, stored
from headroom.fidelity.measured import OVERRUNS_LIMIT, Requests, read_requests, until_idle
from headroom.fidelity.predicted import model_of
from headroom.fidelity.replay.crowd import (
    SCALE,
    STEP_S,
    Crowd,
    Foretold,
    agreement,
    machines_at,
    period_ends_s,
    predicted_replay,
    windows_of,
)
from headroom.fidelity.replay.plainer import plainer_serving
from headroom.fidelity.replay.records import (
    FILE,
    FOLDER,
    Look,
    MeasuredReplay,
    PredictedReplay,
    PredictedWindow,
    Serving,
)
from headroom.live import (
    catalogue_of,
    credentials_of,
    empty_cache,
    fresh_balancer,
    pids_of,
    running_stack,
)
from headroom.measure import conditions_of
from headroom.traces import write_trace
from stack.gates.addressed import run_id_with_seed
from stack.infra.nginx import NginxConfig
from stack.load.generator import Progress
from stack.load.run import LoadResult, run_load
from stack.load.validity import Limits
from stack.local import (
    AutoscalerEntry,
    StackInfo,
    autoscale_from,
    autoscaler_entries,
    hold_autoscaler,
)
from stack.observe.machine import facts_sha256, machine_facts

Say = Callable[[str], None]
TRIES = 3  # of a disturbed low load
BOOT_LATE_PERIODS = 0.25  # later, and a machine is not the one that was emulated
PATIENCE_S = float(NginxConfig.model_fields["answer_s"].default)  # of the balancer, at any scale
LAG_PERIODS = 2.0  # up to which the best agreement is looked for


@dataclass(frozen=True)
class Offered:
    """A crowd, offered."""

    result: LoadResult
    requests: Requests
    entries: tuple[AutoscalerEntry, ...]  # what the autoscaler did, since it was held


def replayed(crowd: Crowd, name: str, folder: Path, occasion: str, say: Say) -> MeasuredReplay:
    """Start the stack, foretell the crowd, store and hash that, offer it, and compare.

    Raises CalibrationError when the machine is too slow for the scale, or disturbed all the time.
    """
    place = folder / occasion / FOLDER
    topology = crowd.topology
    emulation = emulation_of(model_of(topology), SCALE)
    with running_stack(
        topology.scenario, lambda _: None, name="fidelity-replay", emulation=emulation
    ) as info:
        hold_autoscaler(info.folder)
        constants = _constants(crowd, info, place, say)
        prediction, exact = predicted_replay(crowd, constants, name)
        sha256 = stored(place / "prediction.json", prediction)
        require_patience(prediction)
        say(f"foretold, and stored as {sha256[:12]}: {in_words(prediction.serving)}")
        found = offered(crowd, exact, info, place)
    if sha256 != sha256_of(place / "prediction.json"):
        raise CalibrationError("the prediction was changed while the crowd was offered")
    result = compared(crowd, prediction, sha256, exact, found, occasion=occasion)
    stored(place / FILE, result)
    say(f"live:                                  {in_words(result.serving)}")
    return result


def require_patience(prediction: PredictedReplay) -> None:
    """Raise CalibrationError when the load balancer would not wait for the slowest answer."""
    if prediction.longest_s > PATIENCE_S:
        raise CalibrationError(
            f"{prediction.scenario}: a request is foretold to take {prediction.longest_s:.0f} s of "
            f"real time, and the load balancer waits {PATIENCE_S:g} s: allowed are fewer minutes, "
            "another seed, or an autoscaler with a lower target"
        )


def _constants(crowd: Crowd, info: StackInfo, place: Path, say: Say) -> Constants:
    for tries_left in reversed(range(TRIES)):
        try:
            return measured_overheads(crowd.topology, info, place).constants
        except ScaleTooSmall:
            raise
        except CalibrationError as error:
            if not tries_left:
                raise
            say(f"again: {error}")
    raise AssertionError("every try returns or raises")


def offered(crowd: Crowd, exact: Foretold, info: StackInfo, place: Path) -> Offered:
    """Offer the crowd to the running stack, whose autoscaler's clock begins with it."""
    assert info.base_url is not None
    until_idle(info)
    empty_cache(info)
    fresh_balancer(info)
    hold_autoscaler(info.folder)
    before = len(autoscaler_entries(info.folder)) - 1  # the hold itself has the sums so far
    began: list[float] = []

    def begin(progress: Progress) -> None:
        if not began:
            began.append(progress.start_s)
            autoscale_from(info.folder, progress.start_s)

    out = place / "crowd.load.parquet"
    result = run_load(
        write_trace(Run(place), "crowd", exact.trace),
        info.base_url,
        out,
        catalogue=catalogue_of(crowd.scenario),
        credentials=credentials_of(info),
        run_id=run_id_with_seed("crowd", crowd.seed),
        timeout_s=crowd.scenario.topology.api.timeout_s * SCALE,
        pids_by_part=pids_of(info),  # what is started later is the supervisor's
        limits=Limits().dilated(),
        is_punctual=True,
        progress=begin,
    )
    hold_autoscaler(info.folder)
    return Offered(
        result, read_requests(out, len(exact.trace)), autoscaler_entries(info.folder)[before:]
    )


def compared(
    crowd: Crowd,
    prediction: PredictedReplay,
    sha256: str,
    exact: Foretold,
    found: Offered,
    *,
    occasion: str,
) -> MeasuredReplay:
    """What was foretold beside what came."""
    requests = found.requests
    count = requests.latency_s.size
    looks = tuple(
        Look(at_s=e.at_s, used_fraction=e.used_fraction, active=e.active, wanted=e.wanted)
        for e in found.entries
        if e.event == "looked" and e.at_s < crowd.duration_s
    )
    serving = live_serving(crowd, found.entries)
    decided = {look.at_s: look.wanted for look in changes(looks)}
    foretold = {at_s: wanted for at_s, _, wanted in exact.run.scaling if at_s < crowd.duration_s}
    late_s = boot_late_s(crowd, changes(looks), serving)
    failures = sum(entry.event == "failed" for entry in found.entries)
    overruns = overruns_fraction(found.entries)
    both = requests.answered & exact.run.is_ok[:count]
    predicted_s = exact.run.sojourn_s[:count]
    return MeasuredReplay(
        occasion=occasion,
        prediction=prediction,
        prediction_sha256=sha256,
        started_at=found.result.started_at,
        finished_at=found.result.finished_at,
        conditions=_judged(crowd, found.result, overruns, late_s, failures),
        overruns_fraction=overruns,
        requests=count,
        failed=int((~requests.answered).sum()),
        serving=serving,
        looks=looks,
        windows=tuple(_windows(crowd, exact, requests, serving)),
        same_fraction=agreement(crowd, prediction.serving, serving, 0),
        near_fraction=agreement(crowd, prediction.serving, serving, 1),
        kin_fraction=within_kin(crowd, prediction, serving),
        lag_periods=lag_s(crowd, prediction.serving, serving) / crowd.period_s,
        plainer_fraction=agreement(crowd, plainer_serving(crowd), serving, 0),
        busy_error=(found.entries[-1].busy_s - found.entries[0].busy_s) / busy_s(crowd, exact) - 1,
        decisions=len(decided),
        predicted_decisions=len(foretold),
        same_decisions=sum(decided.get(at_s) == wanted for at_s, wanted in foretold.items()),
        boot_late_s=late_s,
        boots_failed=failures,
        correlation=float(np.corrcoef(predicted_s[both], requests.latency_s[both])[0, 1])
        if both.sum() > 1
        else None,
        machine_sha256=facts_sha256(machine_facts()),
    )


def busy_s(crowd: Crowd, exact: Foretold) -> float:
    """Seconds for which the model's API slots together are busy."""
    machines = [load for load in exact.run.stations if load.name.startswith("api")]
    return sum(load.utilisation for load in machines) * crowd.slots * exact.run.end_s


def _windows(
    crowd: Crowd, exact: Foretold, requests: Requests, serving: Sequence[Serving]
) -> list[PredictedWindow]:
    arrival_s = exact.trace.arrival_s[: requests.latency_s.size]
    return windows_of(crowd, arrival_s, requests.latency_s, requests.answered, serving)


def live_serving(crowd: Crowd, entries: Sequence[AutoscalerEntry]) -> tuple[Serving, ...]:
    """How many machines served from when on, as the load balancer was told."""
    first = Serving(from_s=0.0, machines=crowd.topology.scenario.topology.api.replicas)
    later = [
        Serving(from_s=entry.at_s, machines=entry.active)
        for entry in entries
        if entry.event == "serving" and 0.0 < entry.at_s < crowd.duration_s
    ]
    return (first, *later)


def changes(looks: Sequence[Look]) -> list[Look]:
    """The looks at which another number was wanted than before."""
    found, wanted = [], looks[0].active if looks else 0
    for look in looks:
        if look.wanted != wanted:
            found.append(look)
        wanted = look.wanted
    return found


def boot_late_s(crowd: Crowd, decisions: Sequence[Look], serving: Sequence[Serving]) -> float:
    """The latest that machines served after they should have booted."""
    latest_s = 0.0
    for look in decisions:
        due_s = look.at_s + crowd.boot_s
        if look.wanted <= look.active or due_s >= crowd.duration_s:
            continue
        came_s = [s.from_s for s in serving if s.from_s >= due_s - STEP_S]
        latest_s = max(latest_s, min(came_s, default=crowd.duration_s) - due_s)
    return latest_s


def overruns_fraction(entries: Sequence[AutoscalerEntry]) -> float:
    """Of the holds between the first entry and the last, those that real work outlasted."""
    visits = entries[-1].visits - entries[0].visits
    return (entries[-1].overruns - entries[0].overruns) / visits if visits else 0.0


def within_kin(crowd: Crowd, prediction: PredictedReplay, serving: Sequence[Serving]) -> float:
    """Share of the periods' ends at which as many served as nine of ten kin have."""
    live = machines_at(serving, period_ends_s(crowd)).tolist()
    pairs = zip(prediction.kin, live, strict=True)
    return float(np.mean([said.low <= count <= said.high for said, count in pairs]))


def lag_s(crowd: Crowd, predicted: Sequence[Serving], live: Sequence[Serving]) -> float:
    """By how much later than foretold machines came and went, where both agree best."""
    most_s = LAG_PERIODS * crowd.period_s
    lags_s = np.arange(-most_s, most_s + STEP_S / 2, STEP_S)
    shares = np.array([agreement(crowd, predicted, live, 0, float(lag)) for lag in lags_s])
    best = lags_s[shares > shares.max() - 1e-9]
    return float(best[np.argmin(np.abs(best))])


def _judged(
    crowd: Crowd, result: LoadResult, overruns: float, late_s: float, failures: int
) -> Conditions:
    conditions = conditions_of(result.validity)
    reasons = list(conditions.reasons)
    if overruns > OVERRUNS_LIMIT:
        reasons.append(
            f"real work outlasted {overruns:.1%} of the holds, limit {OVERRUNS_LIMIT:.0%}"
        )
    if late_s > BOOT_LATE_PERIODS * crowd.period_s:
        reasons.append(
            f"a machine served {late_s:.1f} s after it should have booted, "
            f"limit {BOOT_LATE_PERIODS * crowd.period_s:.1f} s"
        )
    if failures:
        reasons.append(f"{failures} change(s) of the autoscaler failed")
    return conditions.model_copy(update={"valid": not reasons, "reasons": tuple(reasons)})


def in_words(serving: Sequence[Serving]) -> str:
    """Machines over time, in a row."""
    return ", ".join(f"{each.machines} from {each.from_s:.0f} s" for each in serving)


def stored_replay(folder: Path) -> MeasuredReplay | None:
    """What an occasion's folder holds of it."""
    path = folder / FOLDER / FILE
    return read(path, MeasuredReplay) if path.is_file() else None
