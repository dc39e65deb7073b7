"""docs/diagnosis.md: which faults were named right, written from the record of the campaigns."""

from collections import Counter
from collections.abc import Iterator, Sequence

from headroom.diagnose.injections import FAULTS
from headroom.diagnose.limits import MARGIN
from headroom.diagnose.records import Kind
from headroom.diagnose.rules import RULES, SURE
from headroom.diagnose.scored import DiagnosisRecord, ScoredOccasion, ScoredTrial
from headroom.proportion import wilson

HEAD = """# What is wrong with a run

`headroom diagnose RUN` says where a measurement and its prediction part: the component and the kind
of fault, with the figures that say so and how sure that is; or that nothing stands out.

This page shows how often it is right, on **emulated** stacks in dilated time (see
[how far the predictions can be trusted](fidelity.md)): the real nginx, API, Redis, MongoDB and
Elasticsearch, behind gates that stand for machines. Real faults were switched on in running stacks
(`headroom fault …`), one at a time and in shuffled order, among healthy runs. The model knows each
request, so a figure of a healthy run is off by the noise of the machine alone.

The method is a list of {rules} rules, causes before what follows from them. Each looks at one
figure: {margin:g} times the furthest that any healthy run of the learning occasion strayed is its
limit, and never less than a stated floor. The first rule whose figure is out of its limit names the
fault; it is called *sure* from {sure:g} times the limit. What the noise of a machine cannot move
(service times that the gates hold, statuses, hits, shares) comes before what it can (waiting, time
on the way).

A run that a disturbed machine made INVALID (steal, foreign CPU, late dispatches) accuses nobody by
what such a machine can move by itself: *noisy neighbour: host* is said then, of the machine, and
nothing of the stack. What it cannot move still counts.

What it assumes: one fault at a time; the prediction is of the very requests that were offered.
Where it lies: two faults may hide each other; a fault that moves its figure less than healthy runs
stray is not seen; an emptied cache and a shortened TTL are told apart by the ages of entries, which
takes some dozen look-ups. A run of a report (not emulated) tells less: its machines' waits are not
counted, so lost slots, a slow hop and a lost index are not told apart there, and it says so.
Written by `headroom fidelity diagnose-page` from `docs/diagnosis.json`; edit nothing here.
"""


def page(record: DiagnosisRecord) -> str:
    """The whole page."""
    sections = [HEAD.format(rules=len(RULES), margin=MARGIN, sure=SURE)]
    sections += [_summary(record), "\n".join(_injected()), _limits(record)]
    for occasion in record.occasions:
        sections.append("\n".join(_confusion(occasion)))
        sections.append("\n".join(_wrong(occasion)))
    sections += ["\n".join(_every(occasion)) for occasion in record.occasions]
    return "\n".join(section for section in sections if section).rstrip() + "\n"


def _summary(record: DiagnosisRecord) -> str:
    lines = [
        "## In short\n",
        "| occasion | faults | named right (kind and component) | 95 % interval "
        "| called sure, of these right | healthy runs | false alarms "
        "| healthy, machine disturbed: nothing said of the stack | offered once more "
        "| INVALID runs |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for occasion in record.occasions:
        faults, healthy = occasion.faults, occasion.healthy
        right = sum(trial.right for trial in faults)
        share = wilson(right, len(faults)) if faults else None
        interval = f"{share.low:.0%} to {share.high:.0%}" if share else "–"
        invalid = sum(not trial.valid for trial in occasion.trials)
        lines.append(
            f"| {occasion.name} ({occasion.role}) | {len(faults)} | {right} | {interval} "
            f"| {_sure(faults)} | {len(healthy)} | {sum(t.is_alarm for t in healthy)} "
            f"| {sum(t.disturbed for t in healthy)} | {len(occasion.repeats)} | {invalid} |"
        )
    lines.append(
        "\nThe limits were learnt from the learning occasion's healthy runs, and the rules made "
        "with its faults in sight and judged it anew; a blind one was offered afterwards, with "
        "other seeds and loads, and each run diagnosed before the next. An ended one was begun as "
        "a blind one and given up for the flaws that its first runs showed.\n\n"
        "A run that a disturbed machine made INVALID, healthy or not, is offered once more, and "
        "the repeat is what counts; both are listed below. Where the repeat is disturbed as well, "
        "a healthy run is no alarm when the machine alone is named, and no clean one either. "
        "Other INVALID runs count like the valid ones: some faults are reasons for it themselves. "
        "The occasions A to D were offered before this rule and repeated nothing; by the count "
        "of then, the disturbed healthy run of D that was called a noisy neighbour was an alarm. "
        "Two shortened TTLs and a slower database of 2026-11-25-E led to a change: since then the "
        "ages of missed and of found entries are told apart where they part best, and no longer "
        "at the oldest that was found. No occasion of this page was diagnosed by that rule.\n"
    )
    return "\n".join(lines)


def _sure(faults: Sequence[ScoredTrial]) -> str:
    sure = [trial for trial in faults if trial.sure == "sure" and trial.found != Kind.NOTHING]
    return f"{len(sure)}, {sum(trial.right for trial in sure)}"


def _injected() -> Iterator[str]:
    yield "## What was injected\n"
    yield (
        "Strengths were chosen so that a fault is felt at 40 % load and ends in no timeout at "
        "80 %; faults of the database went where it has something to do.\n"
    )
    yield "| kind | component | switched on |"
    yield "|---|---|---|"
    for each in FAULTS:
        yield f"| {each.kind} | {each.component} | {each.says} |"
    yield ""


def _limits(record: DiagnosisRecord) -> str:
    lines = [
        "## How far healthy runs stray\n",
        "Relative to the prediction, in shares or seconds, each on its bad side.\n",
        "| figure | values | mean | standard deviation | worst | limit |",
        "|---|---|---|---|---|---|",
    ]
    for measure, known in record.limits.healthy.items():
        lines.append(
            f"| {measure.replace('_', ' ')} | {known.runs} | {known.mean:.4f} "
            f"| {known.deviation:.4f} | {known.worst:.4f} | {record.limits.of(measure):.4f} |"
        )
    return "\n".join(lines) + "\n"


def _confusion(occasion: ScoredOccasion) -> Iterator[str]:
    """Injected by row, found by column; kinds that were never found have no column."""
    yield f"## {occasion.name}: injected and found\n"
    counted = occasion.counted
    columns = [kind for kind in Kind if any(trial.found == kind for trial in counted)]
    yield f"| injected | runs | {' | '.join(columns)} |"
    yield f"|---|---|{'---|' * len(columns)}"
    for kind in Kind:
        trials = [trial for trial in counted if trial.injected == kind]
        if trials:
            found = Counter(trial.found for trial in trials)
            cells = [str(found[each]) if found[each] else "" for each in columns]
            yield f"| {kind} | {len(trials)} | {' | '.join(cells)} |"
    yield ""


def _wrong(occasion: ScoredOccasion) -> Iterator[str]:
    wrong = [trial for trial in occasion.counted if not trial.right]
    if not wrong:
        return
    yield "Not named right:\n"
    for trial in wrong:
        at = f" ({trial.injected_at})" if trial.injected_at else ""
        yield (
            f"- {trial.topology}, {trial.target:.0%} busy, {trial.injected}{at}: said {trial.says}"
        )
    yield ""


def _every(occasion: ScoredOccasion) -> Iterator[str]:
    yield f"## Every run: {occasion.name}\n"
    facts = "; ".join(f"{k.replace('_', ' ')} {v}" for k, v in occasion.machine.items())
    yield f"The machine: {facts}.\n"
    yield "| topology | busiest machine | injected | said | sure | valid |"
    yield "|---|---|---|---|---|---|"
    counted = occasion.counted
    for trial in _in_order(occasion.trials):
        said = f"{trial.found}: {trial.found_at}" if trial.found_at else str(trial.found)
        injected = f"{trial.injected}: {trial.injected_at}" if trial.injected_at else "healthy"
        mark = said if trial.right else f"**{said}**"
        valid = "yes" if trial.valid else f"NO: {'; '.join(trial.reasons)}"
        if trial not in counted:
            valid += " (offered once more)"
        elif trial in occasion.repeats:
            valid += " (a repeat)"
        yield (
            f"| {trial.topology} | {trial.target:.0%} | {injected} | {mark} | {trial.sure} "
            f"| {valid} |"
        )
    yield ""


def _in_order(trials: Sequence[ScoredTrial]) -> list[ScoredTrial]:
    return sorted(trials, key=lambda trial: (list(Kind).index(trial.injected), trial.injected_at))
