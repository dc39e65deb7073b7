"""The whole stack on one machine, without Docker or root: real servers under one supervisor.

    with start(StackSpec(name="demo"), progress=print) as running:
        print(running.info.base_url)

Nothing outlives the `with` block, or the process that runs it, however that process ends.
`start_detached`, `status`, `logs`, `kill_part` and `stop` serve a stack that lives on; `scale`,
`restart` and `start_part` change a running one without losing a request.
"""

from stack.local.autoscaler_log import Entry as AutoscalerEntry
from stack.local.autoscaler_log import entries as autoscaler_entries
from stack.local.autoscaling import AutoscalingPolicy
from stack.local.changes import (
    autoscale_from,
    hold_autoscaler,
    restart,
    scale,
    start_part,
)
from stack.local.control import (
    RunningStack,
    kill_part,
    logs,
    start,
    start_detached,
    status,
    stop,
)
from stack.local.folder import stack_folder
from stack.local.info import PartInfo, StackInfo
from stack.local.spec import StackSpec

__all__ = [
    "AutoscalerEntry",
    "AutoscalingPolicy",
    "PartInfo",
    "RunningStack",
    "StackInfo",
    "StackSpec",
    "autoscale_from",
    "autoscaler_entries",
    "hold_autoscaler",
    "kill_part",
    "logs",
    "restart",
    "scale",
    "stack_folder",
    "start",
    "start_detached",
    "start_part",
    "status",
    "stop",
]
