"""The section on a killed server, Redis down and an emptied cache, written from the record."""

from collections.abc import Sequence

from headroom.artefacts import Estimate
from headroom.fidelity.parts.forecasts import AFTER_FLUSH_S, MAX_FAILS, REPLICAS
from headroom.fidelity.parts.kills import PartKill, PartKills

HEADS = {
    "api": (
        "A killed API server",
        f"One of {REPLICAS} servers is killed. *Outage*: until the balancer leaves it alone, after "
        f"{MAX_FAILS} tries that were refused. *Longer way*: tried at a second server.",
    ),
    "redis": (
        "Redis down",
        "Redis is killed and started again two seconds later. *Outage*: from its return until the "
        "last server asks it again. *Longer way*: read from the database, past the cache. The "
        "forecast spreads the servers' pauses evenly. In truth all begin at the kill and keep in "
        "step, so that a Redis which is back between two tries waits for the next: near 0.1 s or "
        "near 0.5 s, and seldom between.",
    ),
    "cache": (
        "An emptied cache",
        "All keys are forgotten at once. Nobody goes without an answer. *Longer way*: look-ups "
        f"that missed in the {AFTER_FLUSH_S:g} s after it, as the model of the cache says.",
    ),
}
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
                texts.append(f"### {title}: {each.occasion}\n\n{says}\n")
                texts.append(_kills(each))
    return "\n".join(texts)


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
