"""What a query may cost: fields, each counted as often as the lists around it are long.

    { products(limit: 50) { products { title price } } }  →  1 + 1 + 50 · 2 = 102

A query over the limit is refused before anything is read.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from graphql import (
    ExecutionResult,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
)
from strawberry.extensions import SchemaExtension
from strawberry.types import ExecutionContext

MOST_COST = 5_000
NO_OPERATION = "NO_OPERATION"
ASKED_FOR = "operation"  # among the extensions of a request: the name that came with it
# How many things a field below these gives: by its argument `limit`, else this.
LENGTHS = {"products": 20, "search": 20, "favourites": 100}
LONGEST = 100
# The list inside a page is as long as its page, which was counted already.
PAGES = frozenset({"products", "search"})


def cost_of(
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
    variables: Mapping[str, Any],
    limit: int = MOST_COST,
) -> int:
    """The cost of an operation, or the first figure seen that is over `limit`."""

    def below(selections: SelectionSetNode, times: int, in_page: bool) -> int:
        cost = 0
        for node in selections.selections:
            if isinstance(node, FieldNode):
                name = node.name.value
                cost += times
                if node.selection_set is not None:
                    long = 1 if in_page else _length(node, name, variables)
                    cost += below(node.selection_set, times * long, long > 1 and name in PAGES)
            elif isinstance(node, InlineFragmentNode):
                cost += below(node.selection_set, times, in_page)
            elif isinstance(node, FragmentSpreadNode):  # valid by now: no cycles, no unknown names
                cost += below(fragments[node.name.value].selection_set, times, in_page)
            if cost > limit:
                return cost
        return cost

    return below(operation.selection_set, 1, False)


def _length(node: FieldNode, name: str, variables: Mapping[str, Any]) -> int:
    if name not in LENGTHS:
        return 1
    value: Any = LENGTHS[name]
    for argument in node.arguments or ():
        if argument.name.value == "limit":
            given = argument.value
            if isinstance(given, IntValueNode):
                value = int(given.value)
            elif isinstance(given, VariableNode):
                value = variables.get(given.name.value, value)
    # What is no number, or out of range, is refused by the field itself.
    return min(max(value, 1), LONGEST) if isinstance(value, int) else LONGEST


class CostLimit(SchemaExtension):
    """Refuses an operation that costs too much, and a choice of operations that nobody made."""

    def on_execute(self) -> Iterator[None]:
        """Count before the first field is read."""
        context = self.execution_context
        operations, fragments = _parts(context)
        # One at most has the name that was given. Without a name the first would be run.
        if len(operations) > 1:
            names = ", ".join(node.name.value for node in operations if node.name is not None)
            context.result = _refused(
                NO_OPERATION, f"there are several operations ({names}): name one in `operationName`"
            )
        elif any(
            cost_of(each, fragments, context.variables or {}) > MOST_COST for each in operations
        ):
            context.result = _refused(
                "TOO_COSTLY",
                f"this query costs more than {MOST_COST}: ask for fewer fields, or shorter "
                "lists (`limit`)",
            )
        yield


def _refused(code: str, message: str) -> ExecutionResult:
    return ExecutionResult(data=None, errors=[GraphQLError(message, extensions={"code": code})])


def _parts(
    context: ExecutionContext,
) -> tuple[list[OperationDefinitionNode], dict[str, FragmentDefinitionNode]]:
    """The operations that may be meant, and the fragments."""
    assert context.graphql_document is not None
    fragments: dict[str, FragmentDefinitionNode] = {}
    operations: list[OperationDefinitionNode] = []
    # Not `context.operation_name`: without a name that one says the first.
    name = (context.operation_extensions or {}).get(ASKED_FOR)
    for node in context.graphql_document.definitions:
        if isinstance(node, FragmentDefinitionNode):
            fragments[node.name.value] = node
        elif isinstance(node, OperationDefinitionNode) and (
            name is None or (node.name is not None and node.name.value == name)
        ):
            operations.append(node)
    return operations, fragments
