"""Native cells told again from their raw runs, by the model as it is now. None of it is blind.

Whoever changes the model sees what the change would have done; nothing is stored, and what was
predicted stays what was predicted.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from headroom.artefacts import sha256_of
from headroom.errors import ArtefactError
from headroom.fidelity.artefacts import read
from headroom.fidelity.native import NativeCampaign, given_state, machine_state, said_again
from headroom.fidelity.native_page import NAMES
from headroom.fidelity.native_records import (
    BLIND,
    GIVEN,
    LATENCIES,
    NativeCell,
    NativeCosts,
    NativePrediction,
)
from stack.load.run import read_result

AGAIN = ("figure", "as it was said", "by the model as it is now", "cells")


@dataclass(frozen=True)
class ToldAgain:
    """A cell, and what the model as it is now says of it.

    Args:
        hindsight: from the calibration alone; the run is known by now, so it is not blind.
        given: given the run's own state, read off its raw file.
    """

    cell: NativeCell
    hindsight: dict[str, float]
    given: dict[str, float]

    def error(self, metric: str, *, given: bool) -> float | None:
        """Said to measured, less one; None where either is missing."""
        said = (self.given if given else self.hindsight).get(metric)
        seen = self.cell.measured.get(metric)
        return said / seen - 1 if said is not None and seen else None


def told_again(campaign: NativeCampaign) -> Iterator[ToldAgain]:
    """Every cell of the campaign.

    Raises: ArtefactError where there is none, or where the calibration of one was not kept.
    """
    if not any(True for system in campaign.systems for _ in campaign.results(system)):
        names = ", ".join(system.name for system in campaign.systems)
        raise ArtefactError(f"{campaign.folder / campaign.occasion}: no native cells of {names}")
    for system in campaign.systems:
        place = campaign.place(system)
        for cell in campaign.results(system):
            name = f"{cell.cell}-{cell.attempt}"
            prediction = read(place / f"{name}.prediction.json", NativePrediction)
            costs = _costs(place, prediction)
            state = machine_state(read_result(place / f"{name}.load.parquet"), costs)
            yield ToldAgain(
                cell,
                said_again(costs, system, prediction).metrics,
                given_state(costs, system, prediction, state),
            )


def _costs(place: Path, prediction: NativePrediction) -> NativeCosts:
    """The calibration that a prediction was said with, of all that its system had."""
    for path in sorted(place.glob("costs*.json")):
        if sha256_of(path) == prediction.costs_sha256:
            return read(path, NativeCosts)
    sha256 = prediction.costs_sha256[:12]
    raise ArtefactError(f"{place}: the calibration {sha256}… of {prediction.cell} was not kept")


def rows(told: Sequence[ToldAgain]) -> list[tuple[str, ...]]:
    """Over valid cells, the median of |error| as it was, and as it would be."""
    valid = [each for each in told if each.cell.valid]
    found: list[tuple[str, ...]] = []
    for text, limits, given in (("in hindsight", BLIND, False), ("given its state", GIVEN, True)):
        for metric in limits:
            before = _sizes(each.cell.error(metric, given=given) for each in valid)
            now = _sizes(each.error(metric, given=given) for each in valid)
            found.append((f"{NAMES[metric]}, {text}", _median(before), _median(now), str(len(now))))
    return found


def _sizes(errors: Iterable[float | None]) -> list[float]:
    return [abs(error) for error in errors if error is not None]


def _median(sizes: Sequence[float]) -> str:
    return f"{median(sizes):.1%}" if sizes else "–"


def lines(told: Sequence[ToldAgain]) -> Iterator[str]:
    """Each cell's errors, in hindsight and given its state."""
    for each in told:
        texts = []
        for metric in (*LATENCIES, "maximum_per_s"):
            error, again = (each.error(metric, given=given) for given in (False, True))
            if error is not None:
                given = "" if again is None else f" ({again:+.0%} given the state)"
                texts.append(f"{NAMES[metric]} {error:+.0%}{given}")
        valid = "" if each.cell.valid else "  INVALID"
        yield f"{each.cell.system} {each.cell.cell}: {', '.join(texts)}{valid}"
