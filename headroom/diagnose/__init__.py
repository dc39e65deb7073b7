"""Where a measurement and its prediction part: which component, which kind of fault, how sure.

- `records`: evidence and diagnosis, as data. `emulated`, `native`: the evidence of a cell of an
  emulated stack, of a run of a report. `entries`: how long cached entries lived.
- `limits`: how far healthy runs stray. `rules`: the decision list.
- `injections`: faults to be found. `campaign`: they and healthy runs, offered in shuffled order.
  `scored`, `page`: how many were named right, and docs/diagnosis.md.
"""

from headroom.diagnose.records import Diagnosis, Evidence, Figure, Kind
from headroom.diagnose.rules import diagnosed

__all__ = ["Diagnosis", "Evidence", "Figure", "Kind", "diagnosed"]
