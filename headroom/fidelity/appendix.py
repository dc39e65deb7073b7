"""What occasions found of the model's structure, short enough for the capacity report."""

from statistics import median

from headroom.fidelity.promises import promises
from headroom.fidelity.record import FidelityRecord
from headroom.sections import Html, paragraph, table


def structure(record: FidelityRecord) -> Html:
    """How the promises about emulated stacks were kept, over all occasions on record."""
    cells = [cell for occasion in record.occasions for cell in occasion.cells]
    valid = [cell for cell in cells if cell.valid]
    if not valid:
        return paragraph("No occasion is on record: make fidelity makes one.")
    occasions = sum(bool(each.cells) for each in record.occasions)
    topologies = len({cell.topology for cell in cells})
    correlations = [cell.correlation for cell in valid if cell.correlation is not None]
    says = (
        f"{len(cells)} blind predictions of {topologies} topologies of emulated machines (dilated "
        f"time) on {occasions} occasions, {len(valid)} of them valid. Single requests "
        f"follow their prediction with a correlation of {median(correlations):.4f} (median). This "
        "tells of the model's structure, not of this run and not of the speed of any hardware."
    )
    rows = [
        (
            each.name,
            f"±{each.shown(each.limit)}",
            f"{each.kept} of {each.cells}",
            each.shown(each.median_error),
            each.shown(each.worst_error, sign=True),
        )
        for each in promises(valid)
    ]
    columns = ("Figure", "Promised", "Cells that kept it", "Median error", "Worst")
    return Html(paragraph(says) + table(columns, rows, numeric=(1, 2, 3, 4)))
