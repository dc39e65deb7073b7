"""Every case, so many replications of each, on all cores or on a cluster: same seed, same bytes.

Assumes: the function depends on nothing but its case and its stream; it can be imported by name in
    another process.
Lies when: the function reads a clock, a global, the environment or numpy's global stream; different
    machines of a cluster run different versions of NumPy or of the function.
"""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Any

from sim.errors import require
from sim.queueing.domain import count
from sim.replicate.processes import Workers, require_portable
from sim.replicate.tasks import Chunk, Function, Job, Streams, UnitFailed, chunks

Progress = Callable[[int, int], None]


def sweep(
    function: Function,
    cases: Sequence[Any],
    replications: int,
    seed: int,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    dask_address: str | None = None,
    common_random_numbers: bool = False,
) -> list[list[Any]]:
    """Call `function(case, rng)` for each case and replication, wherever there are cores.

    Args:
        function: called as function(case, rng) with rng a numpy Generator of its own; defined in a
            module unless workers is 1; its results must be picklable.
        cases: the arguments to compare, at least one, picklable.
        replications: independent repeats of each case, 1..1_000_000.
        seed: root of all streams, 0..2^63-1.
        workers: processes on this machine, 1..1024; 1 runs here, None takes every core allowed.
        progress: called as progress(done, total) after each chunk, in this process.
        dask_address: "tcp://host:port" of a Dask scheduler to use instead of processes.
        common_random_numbers: give replication r of every case the same stream, so that
            differences between cases are sharper (see paired_difference).
    Returns: results[case][replication], in the order of `cases`, the same to the bit for any
        workers, any cluster, and after the loss of workers.
    Raises: InvalidScenario outside those domains; whatever `function` raises, with a note that
        names case and replication; NotConverged where workers die again and again.
    Source: [law2015, §9.4.1] replications; [oneill2014] the generator, PCG64;
        streams by SeedSequence spawn keys.

    >>> sweep(lambda case, rng: case * 2, [1, 2], replications=2, seed=1, workers=1)
    [[2, 2], [4, 4]]
    """
    require(callable(function), "function", function, "a function of (case, rng)")
    require(len(cases) >= 1, "cases", list(cases), "at least one case")
    repeats = count("replications", replications, 1_000_000)
    streams = Streams(count("seed", seed, 2**63 - 1, least=0), common_random_numbers)
    job = Job(function, tuple(cases), streams)
    size = count("workers", _cores() if workers is None else workers, 1024)
    total = len(cases) * repeats
    work = chunks(len(cases), repeats, size)
    size = min(size, len(work))
    table: list[list[Any]] = [[None] * repeats for _ in cases]
    done = 0
    try:
        # Closed here, not by the garbage collector: on Ctrl-C the workers must go at once.
        with closing(_computed(job, work, size, dask_address)) as stream:
            for chunk, results in stream:
                for (case, replication), result in zip(chunk.units, results, strict=True):
                    table[case][replication] = result
                done += len(results)
                if progress is not None:
                    progress(done, total)
    except UnitFailed as failure:
        failure.error.add_note(f"in case {failure.case}, replication {failure.replication}")
        raise failure.error from None
    return table


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _computed(
    job: Job, work: list[Chunk], size: int, dask_address: str | None
) -> Generator[tuple[Chunk, list[Any]], None, None]:
    if dask_address is not None:
        from sim.replicate.cluster import cluster_results

        yield from cluster_results(dask_address, job, work)
    elif size == 1:
        for chunk in work:
            yield chunk, job.results(chunk)
    else:
        require_portable(job)
        with Workers(size, job) as pool:
            yield from pool.results(work)
