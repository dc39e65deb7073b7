"""What was priced, tried and judged, as it is stored."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from headroom.records import Artefact, Estimate, Record


class BillLine(Record):
    """One line of the monthly bill."""

    item: str
    quantity: float
    unit: str
    unit_price_usd: float
    usd_per_month: Estimate
    source: str
    as_of: str
    confidence: str
    stated_usd: float | None = None
    component: str = ""
    basis: str = ""  # how the quantity comes about


class RepricedRecord(Record):
    """A line of the document's own cost table beside what the price book makes of it."""

    item: str
    stated_usd: float | None
    repriced_usd: Estimate | None


class BillArtefact(Artefact):
    """The monthly bill of the scenario's topology, beside what the document states."""

    book: str
    region: str
    purchase: str
    lines: tuple[BillLine, ...]
    total_usd: Estimate
    stated_total_usd: float | None
    usd_per_million_requests: Estimate
    usd_per_registered_user: Estimate
    repriced: tuple[RepricedRecord, ...] = ()
    excluded: tuple[str, ...] = ()  # what the bill leaves out
    usd_per_active_user: Estimate | None = None  # None where nobody is active
    stale: tuple[str, ...] = ()  # prices older than the scenario allows, or of unknown date
    oldest_months: float = 12.0


Status = Literal["PASS", "FAIL", "INVALID"]
ObjectiveStatus = Literal["PASS", "FAIL", "INVALID", "UNTESTED"]  # the last: not looked at


class ObjectiveResult(Record):
    """One objective: its target, what was measured and modelled, and whether it holds."""

    name: str
    target: str
    measured: Estimate | None
    modelled: Estimate | None
    unit: str
    status: ObjectiveStatus
    note: str = ""


class Verdict(Artefact):
    """The answer, first."""

    status: Status
    sentence: str
    capacity_per_s: Estimate
    peak_per_s: Estimate
    bound_by: str
    headroom_fraction: Estimate
    instances: int
    usd_per_month: Estimate
    objectives: tuple[ObjectiveResult, ...]
    actions: tuple[str, ...]
    valid_cells: int
    cells: int


class ExperimentResult(Record):
    """One figure found by trying it on a live stack."""

    value: Estimate
    unit: str
    samples: int
    how: str  # what was done, in a sentence


class Experiments(Artefact):
    """What was tried on the live stack for the claims of a document."""

    scenario_sha256: str
    machine_sha256: str
    started_at: datetime
    seed: int
    results: dict[str, ExperimentResult]
    failed: dict[str, str] = Field(default_factory=dict)  # experiments that gave no figure, and why


ClaimVerdict = Literal["holds", "holds if", "does not hold", "cannot be tested here"]


class JudgedClaim(Record):
    """A claim beside what was found."""

    id: str
    section: str
    statement: str
    stated: str
    tested_by: tuple[str, ...]  # formula, simulation, price book, live run
    formula: str
    result: Estimate | None
    unit: str
    verdict: ClaimVerdict
    why: str
    evidence: tuple[str, ...]  # files that hold the figures
    how: str = ""  # what was done on the live stack, for a figure found there


class JudgedLedger(Artefact):
    """Every claim of a document with its verdict."""

    document: str
    scenario: str
    scenario_sha256: str
    seed: int
    claims: tuple[JudgedClaim, ...]
    stale_prices: tuple[str, ...] = ()  # behind claims of money: too old, or of unknown date
