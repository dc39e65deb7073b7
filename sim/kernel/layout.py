"""The memory of the kernel: one array of records per kind of part, all plain numbers.

Everything that changes during a run is in these arrays, so a run can stop at any event (to be
given more memory, or the next chunk of its trace) and go on as if nothing had happened. Lists are
linked through `attempts.next`; -1 ends a list and means "none" everywhere.
"""

from typing import Any, NamedTuple

import numpy as np

# Demands are drawn for so many requests at once, and so many such blocks are kept for each step.
BLOCK, AHEAD = 32, 4
I8, I32, I64, U64, F64 = np.int8, np.int32, np.int64, np.uint64, np.float64


def _record(**fields: Any) -> np.dtype[Any]:
    return np.dtype(list(fields.items()), align=True)


# fmt: off
GLOBAL = _record(
    now=F64, seq=I64, arrival=I64, arrival_seq=I64, unfinished=I64, heap=I64, hole=I64,
    free=I64, spare=I64, timer_first=I64, timer_last=I64, started=I64,
    timeout_s=F64, retries=I64, backoff_s=F64, backoff_cap_s=F64, jitter=I64, retry_base=U64,
    budget_fraction=F64, budget_cap=F64, budget=F64, cancels=I64,
    caches_down=I64, jobs_completed=I64, stale_reads=I64, actions=I64, widest=I64,
)
# A step as the machine reads it; what a, b, c, d mean depends on `op`.
CODE = _record(
    op=I32, a=I32, b=I32, c=I32, d=I32, kind=I32, p0=F64, p1=F64, table_at=I64, table_last=I64,
    visit=I64, base=U64, stream=U64,
)
STATION = _record(
    kind=I32, host=I32, slots=I64, limit=I64, down=I32, known_down=I32, drains=I32, active=I32,
    eligible=I32, connections=I64, credit=I64, here=I64, in_service=I64, free_slots=I64,
    free_at=I64, first=I32, last=I32, visits=I64, completed=I64, wait_s=F64, busy_s=F64,
    counted_s=F64, set=I32, place=I32,
)
HOST = _record(  # also the shared cores of a processor-sharing station without host
    shares=I32, cores=I64, stretch=F64, busy=I64, first=I32, last=I32, busy_s=F64, counted_s=F64,
    work_s=F64, jobs=I64, joined=I64, pending=I64, row=I32, agenda=I32,
)
GROUP = _record(
    policy=I32, first=I32, count=I32, turn=I32, eligible=I32, base=U64, first_draw=U64,
    second_draw=U64,
)
SET = _record(
    first=I32, count=I32, primary=I32, electing=I32, turn=I32, parked=I32, parked_last=I32,
    agenda=I32, election_s=F64, keys=I64, keys_at=I64, writes=I64,
)
POOL = _record(free=I64, first=I32, last=I32)
FAMILY = _record(
    ttl_s=F64, keys=I64, by_user=I32, coalesce=I32, keys_per_group=I64, group=I32, variants=I32,
    cells_at=I64, generations_at=I64, flights_at=I64, epoch=I64,
    hits=I64, misses=I64, coalesced=I64,
)
CELL = _record(expires_s=F64, stamp=I64)
FLIGHT = _record(leader=I64, stamp=I64)
LIMIT = _record(rate_per_s=F64, burst=F64, users=I64, at=I64)
BUCKET = _record(tokens=F64, seen_s=F64)
BREAKER = _record(
    limit=I64, slow_s=F64, open_s=F64, state=I64, failures=I64, until_s=F64, probing=I64,
)
SCALER = _record(
    group=I32, low=I64, high=I64, target=F64, period_s=F64, boot_s=F64, cooldown_s=F64,
    not_before_s=F64, busy_s=F64, agenda=I32, name=I32,
)
AGENDA = _record(kind=I32, a=I32, b=I32)  # events that belong to no attempt
ACTION = _record(time_s=F64, scaler=I64, wanted=I64)
EVENT = _record(time_s=F64, seq=I64, what=I64)  # what: an attempt, or -1 - a row of the agenda
BLOCKS = _record(number=I64, uses=I32, drawn=I32)
JOB = _record(tag=F64, order=I64, who=I64)
ATTEMPT = _record(
    pending=I64, request=I64, key=I64, user=I64, arrival_s=F64, pc=I32, state=I32, station=I32,
    number=I32, start=I32, next=I32, abandoned=I8, job=I8, timed=I8, cache_outcome=I8,
    connection=I32, breaker=I32, joined_s=F64, demand_s=F64, entered_s=F64, order=I64,
    flight=I64, flight_family=I32, waiting=I32, waiting_last=I32, before=I32, after=I32,
    deadline_s=F64, timer_seq=I64, write=I64,
)
# fmt: on


class World(NamedTuple):
    """All arrays of a run. `g` has one record; the rest one per part, attempt or event."""

    g: Any
    code: Any
    tables: Any
    stations: Any
    free_s: Any  # per slot of a booked station, a heap per station: when it becomes free
    hosts: Any
    groups: Any
    members: Any  # stations of groups and sets
    member_pools: Any  # per pool: index by replica
    sets: Any
    applied: Any  # per member of a set
    last_write: Any
    pools: Any
    families: Any
    generations: Any
    cells: Any
    flights: Any
    limits: Any
    buckets: Any
    breakers: Any
    scalers: Any
    booting: Any
    agenda: Any
    actions: Any
    heap: Any
    jobs: Any  # [processor-sharing host, job]
    attempts: Any
    picked: Any  # [attempt, group]: place of the replica it holds
    stamps: Any  # [attempt, family]: generations as of the last lookup
    scratch: Any
    histogram: Any
    blocks: Any  # [AHEAD * step + …]: which requests' demands are drawn ahead there
    drawn_s: Any  # … and those demands


class Chunk(NamedTuple):
    """A stretch of the trace, and where its requests' fates are written (empty: nowhere).

    Of closed users it is all, and its arrivals are those of their first requests.
    """

    arrival_s: Any
    start: Any  # first instruction of each request's route
    key: Any
    user: Any
    sojourn_s: Any
    outcome: Any
    cache_outcome: Any
    attempts: Any
    job_s: Any
    sent_s: Any  # of closed users: when each request was sent
    think_s: Any  # … what each is preceded by
    users: int  # … how far a user's next request is from the last; 0: nobody asks again
    until_s: float


# Instructions
(
    END, VISIT, VISIT_GROUP, VISIT_MEMBER, DELAY, LOOKUP, JUMP, FILL, INVALIDATE, TAKE, GIVE,
    ENTER, EXIT, LIMITED, SPAWN, REPLICATE, APPLIED, BEAT,
) = range(18)  # fmt: skip
# Kinds of stations
OWN, HOSTED, SHARING = range(3)
# What an attempt's pending event means
(
    SERVED, LAPSED, HANDED, ELECTED, LANDED, ABORTED, BEGINS, STARTS, WAITS,
) = range(9)  # fmt: skip
# Agenda
(
    CRASH, DETECTED, RECOVERED, DRAINED, UNDRAINED, CACHE_DOWN, CACHE_UP, ELECTION, EVALUATION,
    BOOTED, SHARED_END,
) = range(11)  # fmt: skip
ROUND_ROBIN, LEAST_CONNECTIONS, POWER_OF_TWO = range(3)
# Why the loop returns
FINISHED, MORE_ATTEMPTS, MORE_EVENTS, MORE_TRACE, MORE_ACTIONS, STUCK = range(6)
