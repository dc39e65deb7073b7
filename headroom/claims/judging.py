"""The verdict on each claim: what was found beside what is stated.

A claim is looked at in `FUTURES` futures: the scenario's uncertain inputs and the intervals of the
figures are drawn in each. It holds when it is true in 95 % of them, and does not hold when it is
true in 5 % or less. In between it depends; where the ledger names inputs to vary, the threshold is
looked for and stated.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headroom.artefacts import (
    BillArtefact,
    ClaimVerdict,
    Estimate,
    Experiments,
    JudgedClaim,
    JudgedLedger,
    Run,
)
from headroom.claims.evidence import Evidence, NoEvidence
from headroom.claims.expression import Expression
from headroom.claims.figures import Figure, figure_named
from headroom.claims.ledger import Claim, Ledger, Varied
from headroom.price import priced
from headroom.variants import variant
from headroom.wording import amount, digits
from sim.errors import InvalidScenario, Problem
from sim.plan.futures import Input, drawn_futures
from sim.scenario import FieldError, number_at

FUTURES = 200
LIKELY, UNLIKELY = 0.95, 0.05
THRESHOLD_POINTS = 25  # at which an input is tried before the threshold is bisected
BISECTIONS = 20
KINDS = ("formula", "simulation", "price book", "live run")


def judged(ledger: Ledger, evidence: Evidence, *, seed: int = 1) -> JudgedLedger:
    """Every claim of a ledger with its verdict.

    Raises: InvalidScenario for a name that is no figure; nothing is judged then.
    """
    formulas = [_checked(number, claim, evidence) for number, claim in enumerate(ledger.claims)]
    return JudgedLedger(
        document=ledger.document,
        scenario=evidence.scenario.name,
        scenario_sha256=evidence.run.scenario_sha256 if evidence.run else "",
        seed=seed,
        claims=tuple(
            _untestable(claim) if formula is None else _judged(claim, formula, evidence, seed)
            for claim, formula in zip(ledger.claims, formulas, strict=True)
        ),
        stale_prices=_stale(formulas, evidence),
    )


def _stale(formulas: Iterable[Expression | None], evidence: Evidence) -> tuple[str, ...]:
    names = {name for formula in formulas if formula is not None for name in formula.names}
    return evidence.bill.stale if any(name.startswith("price.") for name in names) else ()


def judged_in(run: Run, ledger: Ledger) -> JudgedLedger:
    """Judge a ledger by all that a run holds, and store what was found in it."""
    if not run.has(BillArtefact):
        run.write(priced(run.scenario))
    experiments = run.read(Experiments) if run.has(Experiments) else None
    found = judged(ledger, Evidence(run.scenario, run, experiments))
    run.write(found)
    return found


def figures_of(ledger: Ledger) -> frozenset[str]:
    """Names that a ledger's formulas speak of."""
    formulas = [claim.formula for claim in ledger.claims if claim.formula is not None]
    return frozenset().union(*(Expression(formula).names for formula in formulas))


def _checked(number: int, claim: Claim, evidence: Evidence) -> Expression | None:
    where = f"claims.{number}"
    for at, varied in enumerate(claim.holds_if):
        _scenario_number(evidence, varied.input, f"{where}.holds_if.{at}.input")
    if claim.formula is None:
        return None
    formula = Expression(claim.formula, f"{where}.formula")
    for name in formula.names:
        if _is_figure(evidence, name):
            figure_named(name, f"{where}.formula")
    return formula


def _scenario_number(evidence: Evidence, path: str, where: str) -> float:
    try:
        return number_at(evidence.scenario, path)
    except FieldError as error:
        raise InvalidScenario(Problem(where, path, str(error))) from None


def _is_figure(evidence: Evidence, name: str) -> bool:
    try:
        number_at(evidence.scenario, name)
    except FieldError:
        return True
    return False


def _untestable(claim: Claim) -> JudgedClaim:
    assert claim.untestable is not None
    return JudgedClaim(
        id=claim.id,
        section=claim.section,
        statement=claim.statement,
        stated="",
        tested_by=(),
        formula="",
        result=None,
        unit=claim.unit,
        verdict="cannot be tested here",
        why=claim.untestable,
        evidence=(),
    )


@dataclass(frozen=True)
class _Case:
    """A formula with the evidence for its names."""

    formula: Expression
    evidence: Evidence
    figures: Mapping[str, Figure]

    @property
    def kinds(self) -> tuple[str, ...]:
        kinds = {figure.kind for figure in self.figures.values()} or {"formula"}
        return tuple(kind for kind in KINDS if kind in kinds)

    def estimate(self, seed: int) -> tuple[Estimate, NDArray[np.float64]]:
        """The figure with its 95 % range, and its value in each future."""
        inputs, central = [], {}
        for name in sorted(self.formula.names):
            found = self._found(name)
            central[name] = found.value
            if found.low < found.high:
                inputs.append(Input(name, found.low, found.value, found.high, False, ""))
        moved = [
            Input(path, span.low, number_at(self.evidence.scenario, path), span.high, True, "")
            for path, span in self.evidence.scenario.uncertainty.items()
            if path not in self.formula.names
        ]
        depends = any(figure.varied for figure in self.figures.values())
        futures = drawn_futures([*inputs, *(moved if depends else [])], FUTURES, seed)
        varies = inputs or (depends and moved)
        values = np.array(
            [
                self._in_future({name: float(v[k]) for name, v in futures.values.items()}, central)
                for k in range(FUTURES if varies else 1)
            ]
        )
        middle = self.formula.value(central.__getitem__)
        low, high = np.quantile(values, [0.025, 0.975])
        return Estimate(value=middle, low=min(low, middle), high=max(high, middle)), values

    def _found(self, name: str) -> Estimate:
        figure = self.figures.get(name)
        if figure is not None:
            return figure.find(self.evidence)
        value = number_at(self.evidence.scenario, name)
        span = self.evidence.scenario.uncertainty.get(name)
        if span is None:
            return Estimate.exact(value)
        return Estimate(value=value, low=span.low, high=span.high)

    def _in_future(self, drawn: Mapping[str, float], central: Mapping[str, float]) -> float:
        changes = {
            path: _like(number_at(self.evidence.scenario, path), value)
            for path, value in drawn.items()
            if path not in self.figures
        }
        scenario = variant(self.evidence.scenario, changes) if changes else None

        def figure(name: str) -> float:
            known = self.figures.get(name)
            if name in drawn:
                return drawn[name]
            if known is not None and known.varied is not None and scenario is not None:
                return known.varied(self.evidence, scenario)
            return central[name]

        return self.formula.value(figure)

    def with_input(self, path: str, value: float) -> float | None:
        """The figure with one input changed; None where the scenario does not allow the value."""
        number = _like(number_at(self.evidence.scenario, path), value)
        try:
            scenario = variant(self.evidence.scenario, {path: number})
        except InvalidScenario:
            return None

        def figure(name: str) -> float:
            known = self.figures.get(name)
            if known is None:
                return number_at(scenario, name)
            if known.varied is not None:
                return known.varied(self.evidence, scenario)
            return known.find(self.evidence).value

        return self.formula.value(figure)


def _like(before: float, value: float) -> float:
    return round(value) if isinstance(before, int) else value


def _judged(claim: Claim, formula: Expression, evidence: Evidence, seed: int) -> JudgedClaim:
    assert claim.stated is not None
    assert claim.formula is not None
    named = {n: figure_named(n, claim.id) for n in formula.names if _is_figure(evidence, n)}
    case = _Case(formula, evidence, named)
    found: Estimate | None = None
    verdict: ClaimVerdict = "cannot be tested here"
    try:
        found, values = case.estimate(seed)
    except NoEvidence as missing:
        why = str(missing)
    else:
        low, high = claim.stated.range
        true_fraction = float(np.mean((values >= low) & (values <= high)))
        verdict, why = _verdict(claim, case, true_fraction)
    return JudgedClaim(
        id=claim.id,
        section=claim.section,
        statement=claim.statement,
        stated=_stated(claim),
        tested_by=case.kinds,
        formula=claim.formula,
        result=found,
        unit=claim.unit,
        verdict=verdict,
        why=". ".join(part for part in (why, claim.remark) if part),
        evidence=tuple(sorted({figure.artefact for figure in named.values()})),
        how=_how(evidence, named),
    )


def _how(evidence: Evidence, named: Mapping[str, Figure]) -> str:
    tried = evidence.experiments.results if evidence.experiments else {}
    return "; ".join(tried[name].how for name in sorted(named) if name in tried)


def _verdict(claim: Claim, case: _Case, true_fraction: float) -> tuple[ClaimVerdict, str]:
    if true_fraction >= LIKELY:
        return "holds", ""
    conditions = [text for varied in claim.holds_if if (text := _condition(claim, case, varied))]
    if conditions:
        return "holds if", " or ".join(conditions)
    if true_fraction <= UNLIKELY:
        return "does not hold", ""
    if case.kinds == ("live run",):
        share = f"the measured range crosses the stated value (inside in {true_fraction:.0%} of it)"
        return "cannot be tested here", f"not precisely enough: {share}"
    return "holds if", f"it is true in {true_fraction:.0%} of what the uncertain inputs may be"


def _condition(claim: Claim, case: _Case, varied: Varied) -> str | None:
    """In words, for which values of an input the claim is true; None when for none or for all."""
    assert claim.stated is not None
    low, high = claim.stated.range

    def found_at(value: float) -> float | None:
        return case.with_input(varied.input, value)

    def is_true(value: float) -> bool:
        found = found_at(value)
        return found is not None and low <= found <= high

    spaced = np.geomspace if varied.low > 0 else np.linspace
    points = [float(x) for x in spaced(varied.low, varied.high, THRESHOLD_POINTS)]
    between = _stepped_over(found_at, points, low, high)
    points = points if between is None else sorted([*points, between])
    true = [is_true(point) for point in points]
    if not any(true) or all(true):
        return None
    first, last = true.index(True), len(true) - 1 - true[::-1].index(True)
    ends = []
    if first > 0:
        ends.append(f"≥ {digits(_edge(is_true, points[first], points[first - 1]))}")
    if last < len(points) - 1:
        ends.append(f"≤ {digits(_edge(is_true, points[last], points[last + 1]))}")
    here = digits(number_at(case.evidence.scenario, varied.input))
    return f"{varied.input} is {' and '.join(ends)} (the scenario has {here})"


def _stepped_over(
    found_at: Callable[[float], float | None], points: list[float], low: float, high: float
) -> float | None:
    """An input between two points for which the claim is true, where it is true at neither.

    A narrow statement (equals, within 10 %) is passed between two points of any grid.
    """
    values = [found_at(point) for point in points]
    for place in range(len(points) - 1):
        first, last = values[place], values[place + 1]
        if first is None or last is None:
            continue
        if min(first, last) < low and max(first, last) > high:
            inside, outside, rising = points[place], points[place + 1], first < last
            for _ in range(BISECTIONS):
                middle = (inside + outside) / 2
                found = found_at(middle)
                if found is None or low <= found <= high:
                    return None if found is None else middle
                below = found < low
                inside, outside = (middle, outside) if below == rising else (inside, middle)
    return None


def _edge(is_true: Callable[[float], bool], inside: float, outside: float) -> float:
    """The last value, from inside on, at which the claim is true."""
    for _ in range(BISECTIONS):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if is_true(middle) else (inside, middle)
    return inside


def _stated(claim: Claim) -> str:
    """What the document says, with its unit."""
    stated = claim.stated
    assert stated is not None
    if stated.equals is not None:
        return amount(stated.equals, claim.unit)
    low, high = stated.range
    if stated.between is not None:
        return f"{amount(low, claim.unit)} to {amount(high, claim.unit)}"
    return (
        f"≥ {amount(low, claim.unit)}"
        if stated.at_least is not None
        else (f"≤ {amount(high, claim.unit)}")
    )
