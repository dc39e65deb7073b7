"""What changed between two runs, as a notebook shows it."""

import plotly.graph_objects as go

from headroom.charts import changes
from headroom.diff import RunDiff
from headroom.diff.sentence import html


class Difference(RunDiff):
    """Two runs side by side: a sentence, every figure, and a picture."""

    @classmethod
    def of(cls, found: RunDiff) -> "Difference":
        """The same, to be shown."""
        return cls(**dict(found))

    def plot(self) -> go.Figure:
        """Every change with its interval."""
        return changes(self)

    def _repr_html_(self) -> str:
        return html(self)
