"""`headroom fault …`: switch faults on and off in a stack that was started with `--faults`."""

import time
from typing import Annotated

import typer
import yaml
from pydantic import ValidationError

from headroom.console import say
from stack.infra.faults import NOTHING, Faults
from stack.local import stack_folder, status
from stack.local.faults import (
    MOST_S,
    cpu_hog,
    lose_index,
    restore_indexes,
    slow_queries,
    switch,
    unbalance,
)

StackName = Annotated[str, typer.Option("--name", help="which stack, when several run")]

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
    name: StackName = "default",
) -> None:
    """Make the database answer each query later."""
    slow_queries(status(stack_folder(name)), by_s)
    say(f"stack {name}: queries take {by_s:g} s more" if by_s else f"stack {name}: as fast as ever")


@fault_app.command("set")
def set_faults(
    faults: Annotated[
        list[str], typer.Argument(help="NAME=VALUE, such as ttl_factor=0.2 or slots={'mongo':1}")
    ],
    name: StackName = "default",
) -> None:
    """Make this wrong in replicas and gates, and nothing else (slower, slots, ttl_factor, …)."""
    told = dict(each.partition("=")[::2] for each in faults)
    try:
        found = Faults.model_validate({key: yaml.safe_load(text) for key, text in told.items()})
    except (ValidationError, yaml.YAMLError) as error:
        raise typer.BadParameter(str(error)) from error
    switch(status(stack_folder(name)), found)
    say(f"stack {name}: {found.model_dump_json(exclude_defaults=True)}")


@fault_app.command("balance")
def balance(
    weights: Annotated[list[str], typer.Argument(help="REPLICA=WEIGHT, such as api-1=0")],
    *,
    retries: Annotated[bool, typer.Option(help="ask another replica after a 503")] = False,
    name: StackName = "default",
) -> None:
    """Give replicas another share of the requests."""
    told = dict(each.partition("=")[::2] for each in weights)
    try:
        found = {replica: int(weight) for replica, weight in told.items()}
        unbalance(status(stack_folder(name)), found, retries_503=retries)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    say(f"stack {name}: {found}")


@fault_app.command("lose-index")
def drop_index(
    index: Annotated[str, typer.Argument(help="of the products")] = "category_newest",
    name: StackName = "default",
) -> None:
    """Drop an index of the database."""
    try:
        lose_index(status(stack_folder(name)), index)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    say(f"stack {name}: the index {index} is gone")


@fault_app.command("hog")
def hog(
    for_s: Annotated[float, typer.Argument(min=1, max=MOST_S, help="seconds")] = 20.0,
    processes: Annotated[int, typer.Option(min=1, max=8, help="each keeps a core busy")] = 1,
) -> None:
    """Keep cores of this machine busy, as a noisy neighbour does; needs no stack."""
    with cpu_hog(for_s, processes):
        time.sleep(for_s)
    say(f"{processes} for {for_s:g} s")


@fault_app.command("off")
def off(name: StackName = "default") -> None:
    """Switch off whatever is switched on."""
    info = status(stack_folder(name))
    switch(info, NOTHING)
    slow_queries(info, 0.0)
    unbalance(info, {})
    restore_indexes(info)
    say(f"stack {name}: nothing is wrong any more")
