"""What changed between two runs, with intervals, and whether it is more than chance."""

from headroom.diff.between import run_diff
from headroom.diff.records import NO_CHANGE, Change, Lane, RunDiff, RunFigures
from headroom.diff.sentence import markdown

__all__ = ["NO_CHANGE", "Change", "Lane", "RunDiff", "RunFigures", "markdown", "run_diff"]
