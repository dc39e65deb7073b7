"""The plan and the what-ifs as sections of the capacity report."""

from headroom.plan_records import PlanArtefact
from headroom.plan_tables import (
    PLAN_COLUMNS,
    answer_rows,
    breaking_rows,
    frontier_rows,
    input_rows,
    legend_rows,
    rejected_rows,
    sentences,
)
from headroom.sections import Html, folded, heading, paragraph, spaced, table
from headroom.whatif import WhatIfArtefact
from headroom.whatif_tables import WHATIF_COLUMNS, effect_rows, notes


def plan_answer(plan: PlanArtefact) -> Html:
    """The answer in words, and the architectures that it names."""
    words = "".join(paragraph(spaced(line)) for line in sentences(plan))
    if not plan.candidates:
        return Html(words)
    return Html(words + table(("", *PLAN_COLUMNS), answer_rows(plan)) + _legend(plan))


def plan_frontier(plan: PlanArtefact) -> Html:
    """The frontier, cheapest first, by screen and engine."""
    return table((*PLAN_COLUMNS, "p95 at the binding load: screen / engine"), frontier_rows(plan))


def plan_rejected(plan: PlanArtefact) -> Html:
    """Why others were not chosen."""
    said = paragraph(
        f"{len(plan.candidates):,} architectures in {plan.futures:,} futures, seed {plan.seed}; "
        "the cheapest of those rejected, and the next dearer:"
    )
    return Html(said + table(("No.", "US dollars", "Why not"), rejected_rows(plan), numeric=(1,)))


def plan_breaking(plan: PlanArtefact) -> Html:
    """What breaks first and next, on the answer and on the design."""
    found = ""
    for place, name in ((plan.answer, "The answer"), (plan.own, "The design as it stands")):
        if place is not None and plan.breaks.get(place):
            rows = breaking_rows(plan, place)
            found += heading(f"{name}: {plan.candidates[place].architecture}")
            columns = ("What", "At a peak of", "Registered users", "Growth")
            found += table(columns, rows, numeric=(1, 2, 3))
    return Html(found)


def plan_inputs(plan: PlanArtefact) -> Html:
    """What is uncertain, by how much, and who says so."""
    columns = ("Input", "Centre", "90 % of what it may be", "Basis")
    return folded("What is uncertain", table(columns, input_rows(plan)))


def what_if_table(found: WhatIfArtefact) -> Html:
    """Each change with its effect on every figure."""
    said = paragraph(
        f"{found.architecture}: each figure after the change, and in brackets the change with the "
        f"range of 90 % of {found.futures} futures; = where nothing changes."
    )
    said = Html(said + table(WHATIF_COLUMNS, effect_rows(found)))
    return Html(said + "".join(paragraph(line) for line in notes(found)))


def _legend(plan: PlanArtefact) -> Html:
    return folded("The architectures by number", table(("No.", "Architecture"), legend_rows(plan)))
