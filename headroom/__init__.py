"""The workbench: the steps that join the models (`sim`) with the live stack (`stack`).

    import headroom as hr

    s = hr.scenario("million-users").with_(workload__users=2_000_000)
    hr.plan(s)

What a notebook needs stands in `headroom.workbench` and is found here by its short name. Nothing of
it is imported before it is used.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from inspect import Signature, signature
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what editors see; `_Step` below makes it true
    from headroom.workbench import availability as availability
    from headroom.workbench import claims as claims
    from headroom.workbench import compare as compare
    from headroom.workbench import crowd as crowd
    from headroom.workbench import diff as diff
    from headroom.workbench import explore as explore
    from headroom.workbench import plan as plan
    from headroom.workbench import predict as predict
    from headroom.workbench import price as price
    from headroom.workbench import run as run
    from headroom.workbench import scenario as scenario
    from headroom.workbench import scenarios as scenarios
    from headroom.workbench import stack as stack
    from headroom.workbench import whatif as whatif
    from headroom.workbench import workload as workload

__all__ = [
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

# Names that are a module of this package as well as a function of the workbench.
_STEPS = frozenset(
    {"availability", "claims", "compare", "diff", "plan", "predict", "price", "whatif"}
)


class _Step(ModuleType):
    """A module that can be called: `headroom.predict` is where predicting stands, and predicts."""

    @property
    def __call__(self) -> Callable[..., Any]:
        return _asked(self.__name__.rpartition(".")[2])

    @property
    def __signature__(self) -> Signature:
        return signature(_asked(self.__name__.rpartition(".")[2]))


class _Package(ModuleType):
    """The package; the import system sets each submodule on it once that is loaded."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in _STEPS and isinstance(value, ModuleType):
            value.__class__ = _Step
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def _asked(name: str) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(import_module("headroom.workbench"), name)
    return function


def __getattr__(name: str) -> Any:
    if name in _STEPS:
        return import_module(f"{__name__}.{name}")
    if name in __all__:
        return _asked(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
