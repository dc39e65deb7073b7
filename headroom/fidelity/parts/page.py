"""The section on a killed server, Redis down and an emptied cache, written from the record."""

from collections.abc import Sequence

from headroom.artefacts import Estimate
from headroom.fidelity.parts.forecasts import AFTER_FLUSH_S, MAX_FAILS, REPLICAS
from headroom.fidelity.parts.kills import PartKill, PartKills
from headroom.fidelity.parts.readback import READ_BACK, fitted_afterwards

HEADS = {
    "api": (
        "A killed API server",
        f"One of {REPLICAS} servers is killed. *Outage*: until the balancer leaves it alone, after "
        f"{MAX_FAILS} tries that were refused. *Longer way*: tried at a second server.",
    ),
    "redis": (
        "Redis down",
        "Redis is killed and started again two seconds later. *Outage*: from its return until the "
        "last server asks it again. *Longer way*: read from the database, past the cache.",
    ),
    "cache": (
        "An emptied cache",
        "All keys are forgotten at once. Nobody goes without an answer. *Longer way*: look-ups "
        f"that missed in the {AFTER_FLUSH_S:g} s after it, as the model of the cache says.",
    ),
}
PLAYED = (
    "Each server's pauses were played through from the kill on: they begin with a refusal, the "
    "tries come about 0.55 s apart, and a Redis that is back just after one waits for the next. "
    "The time in which it starts was known from {count} starts before the last kill: {low:.0f} to "
    "{high:.0f} ms."
)
SPREAD = (
    "The forecast of this occasion spread the servers' pauses evenly. In truth all begin at the "
    "kill and keep in step. Fitted afterwards (no forecast): with the pauses played through and "
    "starts of Redis of {low:.0f} to {high:.0f} ms, read back from these very outages, the range "
    "holds {inside} of {kills} outages. Later occasions are forecast that way, with starts that "
    "were timed beforehand."
)
HEAD = """## Other parts that die

Not dilated: real processes in real time, under a load of even distances. What each kill would do
was forecast, and the forecast stored and hashed, before it. A forecast is right when what was seen
lies in its range (nine of ten; a failed request is one without a good answer).
"""


def parts_section(found: Sequence[PartKills]) -> str:
    """All parts of all occasions; empty where there is none."""
    if not found:
        return ""
    texts = [HEAD]
    for part, (title, says) in HEADS.items():
        for each in found:
            if each.part == part:
                texts.append(f"### {title}: {each.occasion}\n\n{says}{_how(each)}\n")
                texts.append(_kills(each))
    return "\n".join(texts)


def _how(found: PartKills) -> str:
    """How an outage of Redis was forecast."""
    if found.part != "redis" or not found.kills:
        return ""
    starts_ms = [1e3 * each for each in found.kills[-1].forecast.starts_s]
    if starts_ms:
        return " " + PLAYED.format(count=len(starts_ms), low=min(starts_ms), high=max(starts_ms))
    read_ms = [1e3 * each for each in READ_BACK.starts_s]
    outages = [each.inside[0] for each in fitted_afterwards(found)]
    return " " + SPREAD.format(
        low=min(read_ms), high=max(read_ms), inside=sum(outages), kills=len(outages)
    )


def tally(kills: Sequence[PartKill]) -> str:
    """In how many kills each figure was in its range."""
    names = ("outage", "failed requests", "longer way")
    counts = [sum(kill.inside[place] for kill in kills) for place in range(len(names))]
    return ", ".join(f"{name} {n}" for name, n in zip(names, counts, strict=True))


def _kills(found: PartKills) -> str:
    rows = [
        f"| {kill.member} | {kill.outage_s:.2f} | {_range(kill.forecast.outage_s, 2)} "
        f"| {kill.failed} | {_range(kill.forecast.failed, 0)} "
        f"| {kill.slowed} | {_range(kill.forecast.slowed, 0)} | {kill.requests} |"
        for kill in found.kills
    ]
    return "\n".join(
        [
            f"{found.load_per_s:g} requests/s; in range of {len(found.kills)} kills: "
            f"{tally(found.kills)}; failed in all "
            f"{sum(kill.failed for kill in found.kills)} of "
            f"{sum(kill.requests for kill in found.kills):,} requests.\n",
            "| killed | outage s | said | failed | said | longer way | said | requests |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _range(said: Estimate, digits: int) -> str:
    if said.low == said.high:
        return f"{said.value:.{digits}f}"
    return f"{said.low:.{digits}f} to {said.high:.{digits}f}"
