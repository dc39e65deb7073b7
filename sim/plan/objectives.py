"""The objectives that a plan judges: which there are, and which of them are ceilings."""

from sim.scenario import Scenario

OBJECTIVES = ("p95_s", "concurrent_users", "error_fraction", "hit_ratio_fraction", "availability")


def at_most(objective: str) -> bool:
    """Whether an objective is a ceiling; the others are floors.

    Args:
        objective: one of OBJECTIVES.
    Returns: True for a ceiling.
    Source: service level objectives: times and errors are bounded above.

    >>> at_most("p95_s"), at_most("availability")
    (True, False)
    """
    return objective in ("p95_s", "concurrent_users", "error_fraction")


def targets_of(scenario: Scenario) -> dict[str, float]:
    """The objectives that a screen judges, with their targets.

    Args:
        scenario: its objectives.
    Returns: by name, those it states: times in s, shares as fractions.
    Source: the scenario.

    >>> from sim.example import shop
    >>> targets_of(shop())
    {'p95_s': 0.2, 'error_fraction': 0.001, 'availability': 0.99}
    """
    objectives = scenario.objectives
    found = {"p95_s": objectives.p95_s, "error_fraction": objectives.error_fraction}
    if objectives.concurrent_users is not None:
        found["concurrent_users"] = objectives.p95_s
    if objectives.hit_ratio_fraction is not None:
        found["hit_ratio_fraction"] = objectives.hit_ratio_fraction
    found["availability"] = objectives.availability_fraction
    return {name: found[name] for name in OBJECTIVES if name in found}
