"""Compile the engine ahead of time: `python -m sim.kernel`. numba keeps the result on disk."""

import numpy as np

from sim.draws import Demand
from sim.kernel import simulate
from sim.model import CacheFamily, Fill, Lookup, Route, StackModel, Station, Visit
from sim.workload import Trace


def main() -> None:
    """Run a model of two requests once through each path of the kernel.

    Returns: nothing; what numba compiles for it stays on disk.
    Source: numba's cache of compiled functions, as `sim.kernel.compiled` sets it.

    >>> main()  # at once when it was called before
    """
    trace = Trace(
        arrival_s=np.array([0.0, 1.0]),
        operations=("get",),
        operation=np.zeros(2, np.int16),
        key=np.zeros(2, np.int64),
        user=np.zeros(2, np.int64),
    )
    visit = Visit("web", Demand(0.01))
    family = CacheFamily("pages", 10.0, 1, "key", 1)
    cached = Lookup("pages", miss=(visit, Fill("pages")))
    for steps, families in (((visit,), ()), ((visit, cached), (family,))):
        model = StackModel(
            stations=(Station("web", 1),), routes=(Route("get", steps),), families=families
        )
        simulate(model, trace, seed=1)


if __name__ == "__main__":
    main()
