"""What redundancy buys: unavailability in closed form and by simulation, promises, weak points."""

from sim.availability.closed_form import availability_of
from sim.availability.election import ElectionOutage, election_outage
from sim.availability.futures import ReliabilityFutures, drawn_futures, middle_future
from sim.availability.month import Months, simulated_months
from sim.availability.outcome import (
    MINUTES_PER_MONTH,
    Availability,
    TierOutcome,
    WeakPoint,
    availability,
)
from sim.availability.replica_set import no_primary
from sim.availability.sla import Sla, promised_together, sla, sla_table
from sim.availability.structure import alternating, k_of_n, parallel, series, with_common_cause
from sim.availability.tiers import Tier, tiers_of

__all__ = [
    "MINUTES_PER_MONTH",
    "Availability",
    "ElectionOutage",
    "Months",
    "ReliabilityFutures",
    "Sla",
    "Tier",
    "TierOutcome",
    "WeakPoint",
    "alternating",
    "availability",
    "availability_of",
    "drawn_futures",
    "election_outage",
    "k_of_n",
    "middle_future",
    "no_primary",
    "parallel",
    "promised_together",
    "series",
    "simulated_months",
    "sla",
    "sla_table",
    "tiers_of",
    "with_common_cause",
]
