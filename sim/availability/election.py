"""How long a replica set takes no write after its primary dies, kill by kill.

Assumes: members stand for election after the timeout and a random share of it more; a majority is
    there and can be reached.
Lies when: votes split or the members are overloaded (more rounds); the network parts them.
"""

from dataclasses import dataclass

import numpy as np

from sim.errors import require
from sim.queueing.domain import count, positive

# A member waits a random share of the timeout more, at most this: not all stand at once.
OFFSET_FRACTION = 0.15
# Until a majority acknowledges again: votes, and the other members' search for whom to follow,
# which they repeat once a second.
RESUMES_WITHIN_S = 1.0
COVERED = (0.05, 0.95)
DRAWS = 20_000


@dataclass(frozen=True)
class ElectionOutage:
    """How long no write is acknowledged after the primary was killed, s.

    Attributes:
        mean_s: over many kills.
        low_s, high_s: that nine of ten kills lie between.
    """

    mean_s: float
    low_s: float
    high_s: float


def election_outage(timeout_s: float, electors: int, rng: np.random.Generator) -> ElectionOutage:
    """Time without an acknowledged write after the primary of a set that is written to is killed.

    Members hear from their primary with each write, so that all begin to wait at the kill. The
    first whose wait is over stands and is elected; a majority acknowledges once it follows.

    Args:
        timeout_s: election timeout, s, > 0; retryable writes wait as long as it takes.
        electors: members that are left and may be elected, 1..50; a majority of the set.
        rng: of the draws behind mean and range.
    Returns: mean and 90 % range of one outage.
    Raises: InvalidScenario outside those domains.
    Source: [ongaro2014, §5.2], random election timeouts; MongoDB's own offset is up to 15 % of the
        timeout (its server's replElectionTimeoutOffsetLimitFraction).

    >>> outage = election_outage(10.0, 2, np.random.default_rng(1))
    >>> round(outage.mean_s, 1)  # 10 + 1.5 / 3 (the shorter of two offsets) + 0.5
    11.0
    """
    timeout = positive("timeout_s", timeout_s)
    members = count("electors", electors, 50)
    require(members >= 1, "electors", electors, "1 to 50")
    offset_s = rng.uniform(0.0, OFFSET_FRACTION * timeout, (DRAWS, members)).min(axis=1)
    drawn_s = timeout + offset_s + rng.uniform(0.0, RESUMES_WITHIN_S, DRAWS)
    low_s, high_s = np.quantile(drawn_s, COVERED)
    return ElectionOutage(float(drawn_s.mean()), float(low_s), float(high_s))
