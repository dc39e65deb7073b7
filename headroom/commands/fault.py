"""`headroom fault …`: switch faults on and off in a stack that was started with `--faults`."""

from typing import Annotated

import typer

from headroom.console import say
from stack.local import stack_folder, status
from stack.local.faults import MOST_S, slow_queries

TakesFaults = Annotated[
    bool, typer.Option("--faults", help="a stack in which faults can be switched on, for tests")
]
fault_app = typer.Typer(
    help="Faults for a diagnosis to find, in a stack started with `up --faults`.",
    no_args_is_help=True,
)


@fault_app.callback()
def faults() -> None:
    """Keep the name of the fault in the command, however few there are."""


@fault_app.command("slow-query")
def slow_query(
    by_s: Annotated[float, typer.Option(min=0, max=MOST_S, help="seconds more; 0: off")] = 0.05,
    name: Annotated[str, typer.Option("--name", help="which stack, when several run")] = "default",
) -> None:
    """Make the database answer each query later."""
    slow_queries(status(stack_folder(name)), by_s)
    say(f"stack {name}: queries take {by_s:g} s more" if by_s else f"stack {name}: as fast as ever")
