"""Load balancer capacity units: the largest of four dimensions of an hour's traffic.

Assumes: all four dimensions rise and fall together over the day; one connection a session.
Lies when: connections are kept open for hours (WebSockets), or opened for each request.
"""

from dataclasses import dataclass

from sim.queueing.domain import count, non_negative

# What one unit covers [AWS ELB pricing; figures in the price book's LCU row].
NEW_CONNECTIONS_PER_S = 25.0
ACTIVE_CONNECTIONS = 3000.0
GIB_PER_H = 1.0
RULE_EVALUATIONS_PER_S = 1000.0
FREE_RULES = 10


@dataclass(frozen=True)
class CapacityUnits:
    """Units used in each dimension; an hour is billed by the largest."""

    new_connections: float
    active_connections: float
    processed_bytes: float
    rule_evaluations: float

    @property
    def billed(self) -> float:
        """Units that are billed."""
        return max(self.by_connections_and_rules, self.processed_bytes)

    @property
    def by_connections_and_rules(self) -> float:
        """Units that would be billed if bytes did not count."""
        return max(self.new_connections, self.active_connections, self.rule_evaluations)

    @property
    def dimension(self) -> str:
        """The dimension that decides, in words."""
        largest = max(vars(self), key=lambda name: float(vars(self)[name]))
        return largest.replace("_", " ")


def capacity_units(
    *,
    new_connections_per_s: float,
    connection_s: float,
    gib_per_h: float,
    requests_per_s: float = 0.0,
    rules: int = 0,
) -> CapacityUnits:
    """Units of an Application Load Balancer by dimension.

    Args:
        new_connections_per_s: opened a second, >= 0.
        connection_s: how long one counts as active, s, >= 0.
        gib_per_h: requests and answers together, GB/h, >= 0.
        requests_per_s: evaluated against the rules, >= 0.
        rules: listener rules, >= 0; the first ten are free.
    Returns: units in each of the four dimensions.
    Raises: InvalidScenario outside those domains.
    Source: https://aws.amazon.com/elasticloadbalancing/pricing/

    >>> units = capacity_units(new_connections_per_s=50, connection_s=30, gib_per_h=0.5)
    >>> units.billed, units.dimension  # 50 / 25, above 1500 / 3000 and 0.5 / 1
    (2.0, 'new connections')
    """
    opened = non_negative("new_connections_per_s", new_connections_per_s)
    charged = max(0, count("rules", rules, 1000, least=0) - FREE_RULES)
    return CapacityUnits(
        new_connections=opened / NEW_CONNECTIONS_PER_S,
        active_connections=opened * non_negative("connection_s", connection_s) / ACTIVE_CONNECTIONS,
        processed_bytes=non_negative("gib_per_h", gib_per_h) / GIB_PER_H,
        rule_evaluations=non_negative("requests_per_s", requests_per_s)
        * charged
        / RULE_EVALUATIONS_PER_S,
    )
