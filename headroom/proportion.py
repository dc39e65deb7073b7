"""A share of trials and how well it is known."""

from headroom.artefacts import Estimate

Z_95 = 1.959964


def wilson(successes: int, trials: int) -> Estimate:
    """A proportion with its 95 % Wilson score interval [wilson1927]; trials >= 1.

    >>> round(wilson(0, 100).high, 4)  # z²/(n + z²) with z = 1.96
    0.037
    """
    share = successes / trials
    centre = (share + Z_95**2 / (2 * trials)) / (1 + Z_95**2 / trials)
    spread = (share * (1 - share) / trials + (Z_95 / (2 * trials)) ** 2) ** 0.5
    half = Z_95 * spread / (1 + Z_95**2 / trials)
    # At the ends the closed form is exact up to rounding only.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == trials else centre + half
    return Estimate(value=share, low=low, high=high)
