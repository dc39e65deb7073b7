"""A list of rules, causes before what follows from them; the first that holds names the fault.

Each looks at one figure that its fault moves and that nothing above it in the list explains. A slow
database also makes the API's requests wait longer, but only its own service time is longer; a lost
slot leaves service times alone and makes visits wait.

A run whose machine was disturbed is INVALID, and what a disturbed machine can move accuses nobody
then: the machine is named, and the run is to be repeated. What it cannot move still counts.

Assumes: one fault at a time; the figures of a healthy run stay within `limits`.
Lies when: two faults hide each other, or a fault moves its figure less than healthy runs stray.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from headroom.diagnose.limits import Limits
from headroom.diagnose.records import (
    Diagnosis,
    EntryLives,
    Evidence,
    Figure,
    Finding,
    Kind,
    Measure,
)

SURE = 2.0  # times its limit
FAR = 5.0  # times as far out of its limit
QUIET = 0.5  # a run in which every figure stays below this part of its limit
MOST = 0.6  # of the missed entries, more than of the found ones: what an explanation must part
LEAST_MISSES = 3  # that were predicted to hit: fewer may be late by a hair
# What a disturbed machine brings about by itself: late dispatches, waits, and all that is a time.
# In dilated time holds are stated and timeouts are stretched; in native time neither is.
MOVED_BY_NOISE: Mapping[str, frozenset[Kind]] = {
    "emulated": frozenset(
        {Kind.GENERATOR_LIMITED, Kind.FEWER_SLOTS, Kind.SLOW_HOP, Kind.FEWER_HITS}
    ),
    "native": frozenset(
        {Kind.GENERATOR_LIMITED, Kind.ERRORS, Kind.SLOWER_SERVICE, Kind.WAITING, Kind.FEWER_HITS}
    ),
}
NONE_FOUND = 0.02  # hit ratio of a cache that is never filled
Rule = Callable[[Evidence, Limits], Iterator[Finding]]


def diagnosed(evidence: Evidence, limits: Limits | None = None) -> Diagnosis:
    """What is wrong with a run, by the first rule that holds."""
    limits = limits or Limits.known()
    findings = tuple(finding for rule in RULES for finding in rule(evidence, limits))
    if evidence.disturbed:
        moved = MOVED_BY_NOISE[evidence.source]
        told = tuple(each for each in findings if each.kind not in moved)
        if not told or told[0].kind == Kind.NOISY_NEIGHBOUR:
            return _disturbed(evidence, findings)
        findings = told
    if not findings:
        return _nothing(evidence, limits)
    first = findings[0]
    sure: Literal["sure", "likely"] = "sure" if first.strength >= SURE else "likely"
    also = ", ".join(dict.fromkeys(_named(each) for each in findings[1:]))
    says = f"{_named(first)} ({sure}): {first.says}"
    return Diagnosis(
        run=evidence.run,
        kind=first.kind,
        component=first.component,
        sure=sure,
        says=f"{says}; what else stands out may follow from it: {also}" if also else says,
        findings=findings,
        cannot_tell=evidence.cannot_tell,
    )


def _disturbed(evidence: Evidence, findings: tuple[Finding, ...]) -> Diagnosis:
    """Of the machine, not of the stack."""
    strongest = [each.strength for each in findings if each.kind == Kind.NOISY_NEIGHBOUR]
    sure: Literal["sure", "likely"] = "sure" if max(strongest, default=0) >= SURE else "likely"
    others = [_named(each) for each in findings if each.kind != Kind.NOISY_NEIGHBOUR]
    says = (
        f"{Kind.NOISY_NEIGHBOUR}: host ({sure}): the machine was disturbed "
        f"({'; '.join(evidence.disturbed)}), so that the run is INVALID and nothing is said of the "
        "stack: repeat it"
    )
    if others:
        says += f"; what stands out may be of that: {', '.join(dict.fromkeys(others))}"
    return Diagnosis(
        run=evidence.run,
        kind=Kind.NOISY_NEIGHBOUR,
        component="host",
        sure=sure,
        says=says,
        findings=findings,
        cannot_tell=evidence.cannot_tell,
    )


def _nothing(evidence: Evidence, limits: Limits) -> Diagnosis:
    worst = max((limits.strength(figure) for figure in evidence.figures), default=0.0)
    sure: Literal["sure", "likely", "unsure"] = "sure" if worst < QUIET else "likely"
    says = f"{Kind.NOTHING}: every figure is within its limit, the furthest at {worst:.0%} of it"
    if not evidence.valid:
        sure = "unsure"
        says += f"; but the run is INVALID: {'; '.join(evidence.reasons)}"
    return Diagnosis(
        run=evidence.run,
        kind=Kind.NOTHING,
        component="",
        sure=sure,
        says=says,
        findings=(),
        cannot_tell=evidence.cannot_tell,
    )


def _named(finding: Finding) -> str:
    return f"{finding.kind}: {finding.component}" if finding.component else str(finding.kind)


def _out(evidence: Evidence, limits: Limits, *measures: Measure) -> list[tuple[float, Figure]]:
    """Figures that are out of their limit, the furthest first."""
    found = [
        (limits.strength(figure), figure)
        for figure in evidence.figures
        if figure.measure in measures
    ]
    return sorted((each for each in found if each[0] > 1), key=lambda each: -each[0])


def _generator(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    for strength, figure in _out(evidence, limits, "dropped", "unsent", "generator_cpu")[:1]:
        says = {
            "dropped": f"it never sent {figure.measured:.1%} of the requests",
            "unsent": f"it sent {figure.measured:.1%} fewer a second than planned",
        }.get(figure.measure, f"it used {figure.measured:.0%} of its core")
        yield Finding(
            kind=Kind.GENERATOR_LIMITED, component="load generator", strength=strength, says=says
        )


def _wrong_status(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    for strength, figure in _out(evidence, limits, "wrong_status"):
        yield Finding(
            kind=Kind.WRONG_STATUS,
            component="api",
            strength=strength,
            says=f"{figure.measured:.1%} of the requests were answered otherwise than expected, "
            "without a server error",
        )


def _retries(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    for strength, figure in _out(evidence, limits, "attempts"):
        yield Finding(
            kind=Kind.RETRY_STORM,
            component="load balancer",
            strength=strength,
            says=f"the replicas were visited {figure.deviation:.1%} more often than the requests "
            "explain",
        )


def _errors(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    for strength, figure in _out(evidence, limits, "errors"):
        yield Finding(
            kind=Kind.ERRORS,
            component="api",
            strength=strength,
            says=f"{figure.measured:.1%} of the requests failed",
        )


def _replicas(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    for strength, figure in _out(evidence, limits, "share"):
        told = f"it had {figure.measured:.0%} of the requests, predicted {figure.predicted:.0%}"
        if evidence.replicas_gone:
            yield Finding(
                kind=Kind.REPLICA_MISSING,
                component="api",
                strength=strength,
                says=f"{evidence.replicas_gone} of the scenario's replicas are not there",
            )
        else:
            says = f"{figure.where} is there, but {told}"
            yield Finding(
                kind=Kind.UNEVEN_BALANCER, component="load balancer", strength=strength, says=says
            )


def _cache(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    out = _out(evidence, limits, "hits")
    if not out:
        return
    strength = out[0][0]
    families = [figure for _, figure in out]
    told = ", ".join(
        f"{figure.where} {figure.measured:.0%} for {figure.predicted:.0%}" for figure in families
    )
    all_told = [figure for figure in evidence.figures if figure.measure == "hits"]
    if all(figure.measured <= NONE_FOUND for figure in all_told):
        says = f"look-ups find nothing: {told}"
        yield Finding(kind=Kind.NEVER_FILLED, component="cache", strength=strength, says=says)
        return
    lives = [each for each in evidence.lives if each.surplus]
    if sum(each.surplus for each in lives) >= LEAST_MISSES:
        yield from _lives(lives, strength, told)


def _lives(lives: list[EntryLives], strength: float, told: str) -> Iterator[Finding]:
    """What parts the entries that were missed from those that were found: an age, or an instant."""
    count = sum(each.surplus for each in lives)

    def mean(share: Callable[[EntryLives], float]) -> float:
        return sum(share(each) * each.surplus for each in lives) / count

    older, at_once = mean(lambda e: e.older_fraction), mean(lambda e: e.at_once_fraction)
    by_age = older - mean(lambda e: e.older_found_fraction)
    by_instant = at_once - mean(lambda e: e.lived_through_fraction)
    most = max(lives, key=lambda each: each.surplus)
    if max(by_age, by_instant) < MOST:
        return
    if by_instant > by_age:
        says = (
            f"{at_once:.0%} of {count} look-ups that should have hit missed what was stored before "
            f"{most.at_s:.1f} s ({told})"
        )
        yield Finding(kind=Kind.COLD_CACHE, component="cache", strength=strength, says=says)
    else:
        says = (
            f"{older:.0%} of {count} look-ups that should have hit were of entries older than most "
            f"that were found, {most.lived_s:.1f} s for {most.family}, which is kept for "
            f"{most.ttl_s:g} s ({told})"
        )
        yield Finding(kind=Kind.SHORTENED_TTL, component="cache", strength=strength, says=says)


def _fewer_hits(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    """Whatever the reason; slow reads are one, for what they bring is there later."""
    for strength, figure in _out(evidence, limits, "hits")[:1]:
        says = f"{figure.where} hits {figure.measured:.0%}, predicted {figure.predicted:.0%}"
        yield Finding(kind=Kind.FEWER_HITS, component="cache", strength=strength, says=says)


def _index(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    for strength, figure in _out(evidence, limits, "examined"):
        missing = ", ".join(evidence.missing_indexes) or "none of those it should have"
        yield Finding(
            kind=Kind.LOST_INDEX,
            component="mongo",
            strength=strength,
            says=f"a list looks at {figure.measured:.1f} documents for each it returns; "
            f"missing indexes: {missing}",
        )


def _slower(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    for strength, figure in _out(evidence, limits, "hold", "cpu"):
        told = (
            f"a visit is served in {figure.measured * 1e3:.1f} ms, predicted "
            f"{figure.predicted * 1e3:.1f} ms ({figure.deviation:+.0%})"
            if figure.measure == "hold"
            else f"it used {figure.measured:.2f} cores, predicted {figure.predicted:.2f}"
        )
        yield Finding(
            kind=Kind.SLOWER_SERVICE, component=figure.where, strength=strength, says=told
        )


def _neighbour(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    late = [strength for strength, _ in _out(evidence, limits, "wait", "outside")]
    for strength, figure in _out(evidence, limits, "foreign_cpu", "lag")[:1]:
        if late and max(late) > FAR * strength:
            return  # it explains no such waiting
        says = (
            f"others that do not give way used {figure.measured:.0%} of the machine"
            if figure.measure == "foreign_cpu"
            else f"requests were sent up to {figure.measured * 1e3:.1f} ms late (p99), though the "
            "generator had the time"
        )
        yield Finding(kind=Kind.NOISY_NEIGHBOUR, component="host", strength=strength, says=says)


def _slots(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    slower = {figure.where for _, figure in _out(evidence, limits, "hold")}
    for strength, figure in _out(evidence, limits, "wait"):
        if figure.where in slower:
            continue  # who is served for longer also makes the others wait
        tells_where = evidence.source == "emulated"
        yield Finding(
            kind=Kind.FEWER_SLOTS if tells_where else Kind.WAITING,
            component=figure.where,
            strength=strength,
            says=f"a visit waits {figure.measured * 1e3:.1f} ms, predicted "
            f"{figure.predicted * 1e3:.1f} ms, and is served no longer",
        )


def _hop(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    for strength, figure in _out(evidence, limits, "outside"):
        yield Finding(
            kind=Kind.SLOW_HOP,
            component="network",
            strength=strength,
            says=f"a request spends {figure.deviation * 1e3:.1f} ms more than predicted outside "
            "all machines",
        )


# What the noise of the machine cannot move comes before it, what it can comes after.
RULES: tuple[Rule, ...] = (
    _generator,
    _wrong_status,
    _retries,
    _errors,
    _replicas,
    _cache,
    _index,
    _slower,
    _neighbour,
    _slots,
    _hop,
    _fewer_hits,
)
