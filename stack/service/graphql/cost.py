"""What a query may cost: fields, each counted as often as the lists around it are long.

    { products(limit: 50) { products { title price } } }  →  1 + 1 + 50 · 2 = 102

A query over the limit is refused before anything is read.
"""

from collections.abc import Callable, Iterator, Mapping
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
    """Refuses an operation that costs too much."""

    def on_execute(self) -> Iterator[None]:
        """Count before the first field is read."""
        context = self.execution_context
        operation, fragments = _parts(context)
        if operation is not None:
            cost = cost_of(operation, fragments, context.variables or {})
            if cost > MOST_COST:
                refusal = GraphQLError(
                    f"this query costs more than {MOST_COST}: ask for fewer fields, or shorter "
                    "lists (`limit`)",
                    extensions={"code": "TOO_COSTLY"},
                )
                context.result = ExecutionResult(data=None, errors=[refusal])
        yield


def _parts(
    context: ExecutionContext,
) -> tuple[OperationDefinitionNode | None, dict[str, FragmentDefinitionNode]]:
    assert context.graphql_document is not None
    fragments: dict[str, FragmentDefinitionNode] = {}
    wanted: Callable[[OperationDefinitionNode], bool] = lambda node: (  # noqa: E731
        context.operation_name is None
        or (node.name is not None and node.name.value == context.operation_name)
    )
    operation = None
    for definition in context.graphql_document.definitions:
        if isinstance(definition, FragmentDefinitionNode):
            fragments[definition.name.value] = definition
        elif isinstance(definition, OperationDefinitionNode) and wanted(definition):
            operation = operation or definition
    return operation, fragments
