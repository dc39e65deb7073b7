"""Evidence and diagnosis, as data."""

from enum import StrEnum
from typing import Literal

from pydantic import TypeAdapter

from headroom.artefacts import Artefact, Record
from stack.load.validity import of_the_machine


class Kind(StrEnum):
    """What can be wrong."""

    NOTHING = "nothing stands out"
    SLOWER_SERVICE = "slower service"
    FEWER_SLOTS = "fewer slots"
    REPLICA_MISSING = "replica missing"
    UNEVEN_BALANCER = "uneven balancer"
    COLD_CACHE = "cold cache"
    SHORTENED_TTL = "shortened TTL"
    NEVER_FILLED = "cache never filled"
    LOST_INDEX = "lost index"
    NOISY_NEIGHBOUR = "noisy neighbour"
    ERRORS = "errors"
    RETRY_STORM = "retry storm"
    GENERATOR_LIMITED = "generator limited"
    WRONG_STATUS = "wrong status codes"
    SLOW_HOP = "slow hop"
    WAITING = "longer waiting"  # of a run that does not tell at what
    FEWER_HITS = "fewer hits"  # of a run that does not tell why


Measure = Literal[
    "dropped",  # share of the requests that the generator did not send
    "unsent",  # how far the rate stayed behind the planned one, share
    "generator_cpu",  # share of a core
    "lag",  # dispatch lag p99, s
    "foreign_cpu",  # share of the machine, by processes that do not give way
    "wrong_status",  # share of the requests
    "errors",  # share of the requests: server errors, timeouts, broken connections
    "attempts",  # visits at the replicas, relative
    "share",  # of the requests, by replica: furthest from the prediction
    "hits",  # hit ratio by family, difference
    "examined",  # documents looked at for one returned, relative
    "hold",  # service time of a visit, by component, relative
    "cpu",  # cores used, by component, relative: of a run that does not count visits
    "wait",  # waiting of a visit, by component, in service times
    "outside",  # time of a request outside all machines, s
]


class Figure(Record):
    """One figure, predicted and measured, and how far apart they are in its own measure."""

    measure: Measure
    where: str = ""  # component, family or replica
    predicted: float
    measured: float
    deviation: float


class EntryLives(Record):
    """How the look-ups of a family came to miss what was predicted to be there.

    Args:
        family: of the keys.
        ttl_s: how long its entries are kept.
        surplus: look-ups that were predicted to hit and missed.
        lived_s: the age that best parts the entries that were missed from those that were found.
        older_fraction: of the surplus, entries of that age and older.
        older_found_fraction: of the entries that were found, those of that age and older.
        at_s: the instant that most of the surplus entries did not live through.
        at_once_fraction: of the surplus, those that did not live through it.
        lived_through_fraction: of all entries that were asked for across it, those that did.
    """

    family: str
    ttl_s: float
    surplus: int
    lived_s: float
    older_fraction: float
    older_found_fraction: float
    at_s: float
    at_once_fraction: float
    lived_through_fraction: float


class Evidence(Artefact):
    """All that a run tells a diagnosis."""

    run: str
    source: Literal["emulated", "native"]
    figures: tuple[Figure, ...]
    lives: tuple[EntryLives, ...] = ()
    replicas_gone: int = 0  # fewer than the scenario has
    missing_indexes: tuple[str, ...] = ()
    valid: bool
    reasons: tuple[str, ...] = ()
    cannot_tell: tuple[str, ...] = ()

    @property
    def disturbed(self) -> tuple[str, ...]:
        """Why the run is INVALID, as far as the machine beneath is the reason."""
        return of_the_machine(self.reasons)


class Injected(Artefact):
    """What was wrong with a run of a campaign, and at which utilisation of the busiest machine."""

    topology: str
    name: str
    target: float
    kind: Kind
    component: str


class Finding(Record):
    """One rule that holds: what it takes for wrong, and why.

    `strength` is how far the figure is out of its limit: 1 is at it.
    """

    kind: Kind
    component: str
    strength: float
    says: str


class Diagnosis(Artefact):
    """What is wrong with a run, in words; other findings may follow from the first."""

    run: str
    kind: Kind
    component: str
    sure: Literal["sure", "likely", "unsure"]
    says: str
    findings: tuple[Finding, ...]
    cannot_tell: tuple[str, ...] = ()


Diagnoses = TypeAdapter(tuple[Diagnosis, ...])
