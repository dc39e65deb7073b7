"""The cheapest architecture that meets every objective, over uncertain inputs.

- `space`: what can be bought. `inputs`, `futures`: what is uncertain, and draws of it.
- `demand`, `hits`, `response`, `costs`: one architecture in many futures, in arrays.
- `objectives`: what is judged. `screen`: every candidate in every future. `losses`: after a loss
  that a plan must survive.
- `choice`: the cheapest, the least regret, the frontier, why not the others.
- `verify`: the compiled engine beside the screen. `inverse`: how many users fit, what breaks first.
- `planning`: all of it for one scenario.
- `effects`, `transients`, `whatif`: what one change does, in the steady state and by the engine.
- `tornado`: which uncertain input matters.
"""

from sim.plan.choice import Choice, Judgement, Miss, Spread, choose
from sim.plan.demand import TIER_NAMES, TIERS, MeasuredDemands, Work, work_of
from sim.plan.effects import Shift, Steady, steady
from sim.plan.futures import Input, InputFutures, drawn_futures, futures_at
from sim.plan.inputs import inputs_of, label
from sim.plan.inverse import Breaking, UsersThatFit, users_that_fit, what_breaks
from sim.plan.planning import Plan, Question, plan, question_of, screened_on_cluster
from sim.plan.screen import Planner, Screened, screened
from sim.plan.space import Candidate, Space, own_candidate, space_of
from sim.plan.tornado import Bar, Tornado, tornado
from sim.plan.verify import Checked, checked
from sim.plan.whatif import WHAT_IFS, Effect, what_if

__all__ = [
    "TIERS",
    "TIER_NAMES",
    "WHAT_IFS",
    "Bar",
    "Breaking",
    "Candidate",
    "Checked",
    "Choice",
    "Effect",
    "Input",
    "InputFutures",
    "Judgement",
    "MeasuredDemands",
    "Miss",
    "Plan",
    "Planner",
    "Question",
    "Screened",
    "Shift",
    "Space",
    "Spread",
    "Steady",
    "Tornado",
    "UsersThatFit",
    "Work",
    "checked",
    "choose",
    "drawn_futures",
    "futures_at",
    "inputs_of",
    "label",
    "own_candidate",
    "plan",
    "question_of",
    "screened",
    "screened_on_cluster",
    "space_of",
    "steady",
    "tornado",
    "users_that_fit",
    "what_breaks",
    "what_if",
    "work_of",
]
