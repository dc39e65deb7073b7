"""How much of the start of a run to throw away: MSER-5.

Assumes: the run starts in a state unlike its steady state (an empty queue) and moves towards it;
    it is at least several times as long as that takes.
Lies when: the run is too short to have settled, which it reports as NotConverged; a single run is
    used, whose chance bumps look like trends: give it all replications at once and it judges
    their average; load never settles, because it has a daily profile.
"""

import numpy as np
import numpy.typing as npt

from sim.errors import NotConverged, require

_BATCH = 5
_LEAST_BATCHES = 4  # the criterion says nothing about a handful of batches at the end


def mser5(series: npt.ArrayLike) -> int:
    """The number of observations at the start of a run that belong to its warm-up.

    Args:
        series: observations in the order of time, at least 40, any unit; or a table with one row a
            replication, which is averaged over the rows first.
    Returns: how many leading observations to discard, a multiple of 5; the first 5·d for which the
        standard error of what remains is smallest.
    Raises: InvalidScenario for fewer or non-finite observations; NotConverged where the smallest
        standard error lies in the second half of the run: it has not settled, run longer.
    Source: [white1997], batches of five after [spratt1998].

    >>> mser5([100.0] * 10 + [1.0, 2.0] * 50)
    10
    """
    try:
        table = np.atleast_2d(np.asarray(series, dtype=np.float64))
    except (TypeError, ValueError, OverflowError):
        table = np.empty((0, 0))
    least = 8 * _BATCH
    good = table.ndim == 2 and table.shape[-1] >= least and bool(np.isfinite(table).all())
    require(good, "series", f"{table.shape} values", f"at least {least} finite numbers a row")
    scale = float(np.abs(table).max()) or 1.0  # so that squares cannot overflow
    path = (table / scale).mean(axis=0)
    batches = path[: path.size // _BATCH * _BATCH].reshape(-1, _BATCH).mean(axis=1)
    batches -= batches.mean()
    n = batches.size
    # Sums over what remains after the first d batches, for all d at once.
    left = n - np.arange(n - _LEAST_BATCHES)
    sums = np.cumsum(batches[::-1])[::-1][: left.size]
    squares = np.cumsum(batches[::-1] ** 2)[::-1][: left.size]
    error = np.maximum(squares - sums**2 / left, 0.0) / left.astype(np.float64) ** 2
    # Rounding must not prefer a later cut of a constant run.
    best = int(np.argmax(error <= error.min() + 1e-18))
    if best > n // 2:
        raise NotConverged("warm-up (MSER-5)", best / n, 0.5, n)
    return best * _BATCH
