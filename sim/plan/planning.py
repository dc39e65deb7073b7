"""A plan: the cheapest architecture that meets every objective with a stated probability."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.availability import drawn_futures as drawn_reliability
from sim.cost import PriceBook
from sim.errors import require
from sim.plan.choice import Choice, choose
from sim.plan.demand import MeasuredDemands, work_of
from sim.plan.futures import Input, drawn_futures, futures_at
from sim.plan.hits import hit_table
from sim.plan.inputs import inputs_of, left_out, speed_of
from sim.plan.inverse import Breaking, UsersThatFit, users_that_fit, what_breaks
from sim.plan.objectives import OBJECTIVES, targets_of
from sim.plan.screen import Planner, Progress, Screened, screened
from sim.plan.space import Candidate, Space, own_candidate, space_of
from sim.plan.verify import Checked, checked
from sim.replicate import sweep
from sim.scenario import Scenario

MOST_CHECKED = 12  # of the frontier; the chosen, the fallback and the own design always
CASE = 400  # candidates a Dask worker is given at once


@dataclass(frozen=True)
class Question:
    """What a plan is asked; everything a worker needs to build its planner.

    Args:
        scenario: workload, objectives, `plan`.
        measured: service demands.
        book: prices.
        inputs: what is uncertain.
    """

    scenario: Scenario
    measured: MeasuredDemands
    book: PriceBook
    inputs: tuple[Input, ...]

    def planner(self) -> Planner:
        """A planner over the futures of the scenario's `plan`: the same seed, the same futures."""
        planning = self.scenario.plan
        seed = np.random.SeedSequence(planning.seed, spawn_key=(zlib.crc32(b"reliability"),))
        reliability = drawn_reliability(
            self.scenario.reliability, planning.futures, np.random.default_rng(seed)
        )
        futures = drawn_futures(self.inputs, planning.futures, planning.seed)
        return Planner(self.scenario, self.measured, futures, self.book, reliability)

    def centre(self) -> Planner:
        """A planner with one future, every input at its centre."""
        return Planner(self.scenario, self.measured, futures_at(self.inputs, {}, 1), self.book)


@dataclass(frozen=True)
class Plan:
    """The answer.

    Args:
        question: what was asked.
        space: what could be bought.
        choice: what each candidate is worth; None where there is no candidate.
        targets: the objectives judged.
        reasons: why there is no feasible plan; empty where there is one.
        checked: the frontier by the compiled engine, beside the screen.
        users: by place, how many users fit the chosen (or nearest) and the own design.
        breaks: by place, what breaks first and next.
        unmoved: paths of `uncertainty` that a plan does not move.
    """

    question: Question
    space: Space
    choice: Choice | None
    targets: dict[str, float]
    reasons: tuple[str, ...]
    checked: tuple[Checked, ...]
    users: dict[int, UsersThatFit]
    breaks: dict[int, tuple[Breaking, ...]]
    unmoved: tuple[str, ...]

    @property
    def answer(self) -> int | None:
        """Place of the chosen candidate; else of the one that meets all that can be met."""
        if self.choice is None:
            return None
        return self.choice.chosen if self.choice.chosen is not None else self.choice.fallback


def question_of(
    scenario: Scenario, measured: MeasuredDemands, book: PriceBook
) -> tuple[Question, Space]:
    """The question of a scenario, and the space of its answers.

    Args:
        scenario: what is asked.
        measured: service demands of every operation of the mix.
        book: prices.
    Returns: the question, and all candidates.
    Raises: InvalidScenario for an unknown type, a missing price or an operation not measured.
    Source: `space_of` and `inputs_of`.

    >>> from sim.cost import price_book
    >>> from sim.example import shop, shop_demands
    >>> question, space = question_of(shop(), shop_demands(), price_book("2026-07"))
    >>> [candidate.api_replicas for candidate in space.candidates]
    [1, 2, 3]
    """
    measured.for_scenario(scenario)
    space = space_of(scenario, book, *_api_need(scenario, measured))
    asked = space.candidates or (own_candidate(scenario),)
    return Question(scenario, measured, book, inputs_of(scenario, measured, asked, book)), space


def _api_need(scenario: Scenario, measured: MeasuredDemands) -> tuple[float, float]:
    """CPU time of a mean request at the API on the scenario's type, s; and the load, 1/s."""
    objectives, workload = scenario.objectives, scenario.workload
    load = workload.peak_load_per_s * scenario.plan.growth_factor
    if objectives.concurrent_users is not None:
        load = max(load, objectives.concurrent_users / max(workload.think_time_s, 1e-3))
    require(load > 0, "workload", load, "a demand above 0 requests/s")
    work = work_of(scenario, measured)
    table = hit_table(scenario, 1.0, load, load)
    weights = work.weights(table.at(np.array([load]), np.array([table.people]), np.zeros(1)))
    busy = (work.mean_s.T @ weights[:, 0])[1:3].max() * scenario.plan.demand_factor
    return float(busy) / speed_of(scenario, scenario.topology.api.instance_type), load


def plan(
    scenario: Scenario,
    measured: MeasuredDemands,
    book: PriceBook,
    *,
    progress: Progress | None = None,
    dask_address: str | None = None,
    check: bool = True,
) -> Plan:
    """Look for the cheapest architecture that meets every objective with a stated probability.

    Args:
        scenario: its `plan` says what may be chosen, how sure to be, and the seed.
        measured: service demands of every operation of the mix.
        book: prices.
        progress: called as progress(done, total) in candidates.
        dask_address: of a scheduler, for a large space; the answer is the same.
        check: simulate the frontier with the compiled engine as well, and ask the inverse
            questions; else the choice alone.
    Returns: the plan; "no feasible plan" is a value with reasons.
    Raises: InvalidScenario for an unknown type, a missing price, an operation not measured.
    Source: `screened` over stratified futures [mckay1979], then `choose`; `checked` by the compiled
        engine.

    >>> from sim.cost import price_book
    >>> from sim.example import shop, shop_demands
    >>> found = plan(shop(), shop_demands(), price_book("2026-07"), check=False)
    >>> str(found.space.candidates[found.answer])  # one event loop carries 20/s of 10 ms
    '1 × m5.large, 1 × cache.m5.large, 3 × M30, on demand'
    """
    question, space = question_of(scenario, measured, book)
    unmoved = left_out(scenario)
    if not space.candidates:
        targets = targets_of(scenario)
        return Plan(question, space, None, targets, space.empty, (), {}, {}, unmoved)
    planner = question.planner()
    found = (
        screened(planner, space.candidates, progress)
        if dask_address is None
        else screened_on_cluster(question, space.candidates, dask_address, progress)
    )
    choice = choose(found, scenario.plan.confidence_fraction)
    best = choice.chosen if choice.chosen is not None else choice.fallback
    places = list(dict.fromkeys(p for p in (best, space.own) if p is not None))
    looked_at = _to_check(choice.frontier, places) if check else []
    return Plan(
        question=question,
        space=space,
        choice=choice,
        targets=found.targets,
        reasons=choice.reasons,
        checked=checked(question.centre(), looked_at, space.candidates),
        users={p: users_that_fit(planner, space.candidates[p]) for p in places if check},
        breaks={p: what_breaks(planner, space.candidates[p]) for p in places if check},
        unmoved=unmoved,
    )


def _to_check(frontier: Sequence[int], always: Sequence[int]) -> list[int]:
    """Places to simulate: those always looked at, and the frontier, thinned evenly."""
    if len(frontier) > MOST_CHECKED:
        steps = np.linspace(0, len(frontier) - 1, MOST_CHECKED)
        frontier = [frontier[round(step)] for step in steps]
    return list(dict.fromkeys([*always, *frontier]))


def screened_on_cluster(
    question: Question,
    candidates: Sequence[Candidate],
    dask_address: str,
    progress: Progress | None = None,
) -> Screened:
    """The screen on a Dask cluster: the same figures as `screened`, to the bit.

    Args:
        question: what a worker needs.
        candidates: at least one.
        dask_address: of a scheduler, such as tcp://127.0.0.1:8786.
        progress: called as progress(done, total) in shares of the space.
    Returns: every candidate in every future.
    Raises: InvalidScenario when the scheduler is not reached; else as `screened`.
    Source: `sim.replicate.sweep`; a test holds that the bytes are those of `screened`.

    >>> from sim.example import shop_question
    >>> from sim.plan import own_candidate
    >>> question = shop_question()
    >>> own = own_candidate(question.scenario)
    >>> case = (question, (own,))  # what a worker is given, and what it does with it
    >>> screened_case(case, np.random.default_rng()).candidates == (own,)
    True
    """
    starts = range(0, len(candidates), CASE)
    cases = [(question, tuple(candidates[i : i + CASE])) for i in starts]
    table = sweep(
        screened_case,
        cases,
        1,
        question.scenario.plan.seed,
        dask_address=dask_address,
        progress=progress,
    )
    return joined([row[0] for row in table])


def screened_case(
    case: tuple[Question, tuple[Candidate, ...]], _rng: np.random.Generator
) -> Screened:
    """One worker's share; its randomness is the question's own, not the sweep's."""
    question, candidates = case
    return screened(question.planner(), candidates)


def joined(parts: Sequence[Screened]) -> Screened:
    """Parts of a screen, put together in order."""
    figures = {
        name: np.concatenate([part.figures[name] for part in parts])
        for name in OBJECTIVES
        if name in parts[0].figures
    }
    return Screened(
        candidates=tuple(c for part in parts for c in part.candidates),
        usd_per_month=np.concatenate([part.usd_per_month for part in parts]),
        figures=figures,
        targets=parts[0].targets,
        utilisation=np.concatenate([part.utilisation for part in parts]),
        busiest=np.concatenate([part.busiest for part in parts]),
        mean_s=np.concatenate([part.mean_s for part in parts]),
    )
