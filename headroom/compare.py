"""Prediction beside measurement, with the repeat spread of the measurement itself."""

from statistics import median

from headroom.artefacts import ComparedCell, Estimate, MeasuredCell, Prediction, Summary


def compared(prediction: Prediction, summary: Summary) -> tuple[ComparedCell, ...]:
    """One cell per metric and load that both sides have, ordered by metric and load.

    Measured is the median over the valid repeats of a load; its range spans their intervals. Where
    no repeat is valid, all of them stand in and the cell is marked not valid.
    """
    cells = []
    for predicted in prediction.cells:
        repeats = [cell for cell in summary.cells if cell.cell == predicted.cell]
        for metric, model in predicted.metrics.items():
            found = measured_at(repeats, metric)
            if found is None:
                continue
            measured, valid = found
            cells.append(
                ComparedCell(
                    metric=metric,
                    load_per_s=predicted.load_per_s,
                    predicted=model.value,
                    predicted_low=model.low,
                    predicted_high=model.high,
                    measured=measured.value,
                    measured_low=measured.low,
                    measured_high=measured.high,
                    error_fraction=model.value / measured.value - 1 if measured.value else None,
                    valid=valid,
                )
            )
    return tuple(sorted(cells, key=lambda cell: (cell.metric, cell.load_per_s)))


def measured_at(repeats: list[MeasuredCell], metric: str) -> tuple[Estimate, bool] | None:
    """Median and range of a metric over the repeats of one load, and whether any was valid."""
    having = [cell for cell in repeats if metric in cell.metrics]
    if not having:
        return None
    usable = [cell for cell in having if cell.conditions.valid]
    figures = [cell.metrics[metric] for cell in usable or having]
    estimate = Estimate(
        value=median(figure.value for figure in figures),
        low=min(figure.low for figure in figures),
        high=max(figure.high for figure in figures),
    )
    return estimate, bool(usable)
