"""What both engines simulate: stations, hosts, policies and routes as frozen data.

- `parts`: what has slots, cores, memory or a policy; disruptions.
- `steps`: what a request does, in order.
- `stack`: `StackModel`, the whole, and the rules by which time passes in it.
- `run`: `SimulatedRun`, what `sim.des.simulate` and `sim.kernel.simulate` return.
- `described`: `stack_model`, a Scenario and measured demands turned into a StackModel.
"""

from sim.draws import Demand
from sim.model.described import Demands, VisitDemand, stack_model
from sim.model.parts import (
    Autoscaler,
    Breaker,
    CacheFamily,
    CacheRestart,
    Client,
    Crash,
    Disruption,
    Drain,
    Group,
    Host,
    Pool,
    RateLimit,
    ReplicaSet,
    Station,
    rolling_deploy,
)
from sim.model.run import (
    CacheOutcome,
    FamilyLookups,
    Outcome,
    SimulatedRun,
    StationLoad,
)
from sim.model.stack import StackModel
from sim.model.steps import (
    Beat,
    Delay,
    Fill,
    Guard,
    Hold,
    Invalidate,
    Limit,
    Lookup,
    Replicate,
    Route,
    Spawn,
    Step,
    Visit,
)

__all__ = [
    "Autoscaler",
    "Beat",
    "Breaker",
    "CacheFamily",
    "CacheOutcome",
    "CacheRestart",
    "Client",
    "Crash",
    "Delay",
    "Demand",
    "Demands",
    "Disruption",
    "Drain",
    "FamilyLookups",
    "Fill",
    "Group",
    "Guard",
    "Hold",
    "Host",
    "Invalidate",
    "Limit",
    "Lookup",
    "Outcome",
    "Pool",
    "RateLimit",
    "ReplicaSet",
    "Replicate",
    "Route",
    "SimulatedRun",
    "Spawn",
    "StackModel",
    "Station",
    "StationLoad",
    "Step",
    "Visit",
    "VisitDemand",
    "rolling_deploy",
    "stack_model",
]
