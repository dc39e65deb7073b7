"""What a notebook works with: `import headroom as hr` finds all of it by its short name.

- `scenario`, `scenarios`: what is asked; `with_` changes it.
- `predict`, `stack`, `compare`: foretell, measure on the live stack, set beside each other.
- `plan`, `whatif`, `price`, `availability`, `crowd`, `claims`: what models, price book and ledger
  say.
- `explore`: all of it under sliders.
- `workload`, `run`: from access logs; from a run that was made before.
- `diff`: what changed between two runs, and whether it is more than chance.
"""

from headroom.workbench.answers import Answer
from headroom.workbench.crowds import Crowd
from headroom.workbench.differences import Difference
from headroom.workbench.evidence import Calibrated, Comparison, Forecast, Measurement
from headroom.workbench.exploring import explore
from headroom.workbench.live import LiveStack
from headroom.workbench.questions import (
    availability,
    claims,
    compare,
    crowd,
    diff,
    plan,
    predict,
    price,
    run,
    stack,
    whatif,
    workload,
)
from headroom.workbench.studies import Study, scenario, scenarios

__all__ = [
    "Answer",
    "Calibrated",
    "Comparison",
    "Crowd",
    "Difference",
    "Forecast",
    "LiveStack",
    "Measurement",
    "Study",
    "availability",
    "claims",
    "compare",
    "crowd",
    "diff",
    "explore",
    "plan",
    "predict",
    "price",
    "run",
    "scenario",
    "scenarios",
    "stack",
    "whatif",
    "workload",
]
