"""The judged ledger as tables: what is wrong first, so that a minute is enough."""

import html

from headroom.artefacts import ClaimVerdict, JudgedClaim, JudgedLedger, Run
from headroom.sections import Html, folded, paragraph, spaced, table
from headroom.wording import amount, span, with_range

COLUMNS = ("claim", "stated", "found", "verdict", "tested by")
# In the order in which a reader wants them, with the class and sign that the report draws.
_VERDICTS: dict[ClaimVerdict, tuple[str, str, str]] = {
    "does not hold": ("fail", "✗", "do not hold"),
    "holds if": ("invalid", "?", "hold if something else does"),
    "cannot be tested here": ("untested", "–", "cannot be tested here"),
    "holds": ("pass", "✓", "hold"),
}
LIVE = "live run"


def in_order(found: JudgedLedger) -> tuple[JudgedClaim, ...]:
    """The claims by verdict, and as in the ledger within each."""
    order = list(_VERDICTS)
    return tuple(sorted(found.claims, key=lambda claim: order.index(claim.verdict)))


def claim_rows(found: JudgedLedger) -> list[tuple[str, ...]]:
    """A row for each claim, under COLUMNS."""
    return [
        (
            claim.statement,
            claim.stated or "–",
            with_range(claim.result, claim.unit) if claim.result else "–",
            claim.verdict,
            ", ".join(claim.tested_by) or "–",
        )
        for claim in in_order(found)
    ]


def counted(found: JudgedLedger) -> str:
    """How many claims hold, and how many were tried on a live stack."""
    counts = {verdict: sum(c.verdict == verdict for c in found.claims) for verdict in _VERDICTS}
    parts = [f"{counts[verdict]} {words}" for verdict, (_, _, words) in reversed(_VERDICTS.items())]
    live = sum(LIVE in claim.tested_by and claim.result is not None for claim in found.claims)
    return (
        f"Of {len(found.claims)} claims {', '.join(parts[:-1])} and {parts[-1]}; "
        f"{live} were tried on live stacks of this machine."
    )


def old_prices(found: JudgedLedger) -> list[str]:
    """Prices behind the claims that are old or undated, one a line."""
    return [f"Old price: {line}" for line in found.stale_prices]


def claim_section(run: Run) -> Html:
    """The claims that a run judged; what to do where it judged none."""
    if not run.has(JudgedLedger):
        return paragraph("Not judged: headroom claims --run, then render again.")
    found = run.read(JudgedLedger)
    return Html(paragraph(counted(found)) + claim_table(found))


def claim_table(found: JudgedLedger) -> Html:
    """Every claim with its verdict and why; below it, how each was tried."""
    rows = [
        (
            _below(claim.statement, " · ".join((claim.section, *claim.tested_by))),
            _unbroken(claim.stated or "–"),
            _found(claim),
            _pill(claim.verdict),
            spaced(claim.why),
        )
        for claim in in_order(found)
    ]
    columns = ("The document says", "Stated", "Found", "Verdict", "Why")
    tried = [
        (claim.statement, claim.formula, claim.how, ", ".join(claim.evidence))
        for claim in found.claims
        if claim.formula
    ]
    ways = table(("Claim", "Formula", "How it was tried", "Evidence"), tried)
    old = "".join(paragraph(line) for line in old_prices(found))
    return Html(table(columns, rows, numeric=(1, 2)) + old + folded("How each was tested", ways))


def _found(claim: JudgedClaim) -> Html:
    """What was found, with its range on a second line."""
    if claim.result is None:
        return Html("–")
    value = amount(claim.result.value, claim.unit)
    ends = span(claim.result.low, claim.result.high, claim.unit)
    return _unbroken(value) if ends == value else _below(value, ends)


def _below(text: str, second: str) -> Html:
    """Text with smaller text on a line below it."""
    first, last = (html.escape(spaced(part).replace(" %", "\u00a0%")) for part in (text, second))
    return Html(f'{first}<br><span class="r">{last}</span>')


def _unbroken(text: str) -> Html:
    return Html(f'<span class="nb">{html.escape(spaced(text))}</span>')


def _pill(verdict: ClaimVerdict) -> Html:
    kind, mark, _ = _VERDICTS[verdict]
    return Html(f'<span class="pill {kind}">{mark} {verdict}</span>')
