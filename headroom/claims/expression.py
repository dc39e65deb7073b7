"""Arithmetic over named figures: `workload.requests_per_session * 2`, `max(a, b) / 3`."""

import ast
import math
import operator
from collections.abc import Callable, Mapping

from sim.errors import require

Number = float
_BINARY: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_FUNCTIONS: Mapping[str, Callable[..., float]] = {
    "min": min,
    "max": max,
    "sqrt": math.sqrt,
    "ceil": math.ceil,
}
_ALLOWED = "numbers, names of figures, + - * / **, min, max, sqrt, ceil"


class Expression:
    """A parsed formula. Nothing but arithmetic is understood, so a ledger can run no code.

    >>> Expression("2 * (a.b + 1)").value({"a.b": 3.0}.__getitem__)
    8.0
    """

    def __init__(self, text: str, where: str = "formula") -> None:
        self.text = text
        self._where = where
        try:
            self._tree = ast.parse(text, mode="eval").body
        except SyntaxError:
            require(False, where, text, _ALLOWED)
        self.names = frozenset(self._names(self._tree))

    def value(self, figure: Callable[[str], float]) -> float:
        """The formula's value with each name looked up; raises InvalidScenario on a division by 0
        or a result that is no finite number."""
        try:
            found = float(self._value(self._tree, figure))
        except (ArithmeticError, ValueError):
            found = math.nan
        require(math.isfinite(found), self._where, self.text, "a finite result")
        return found

    def _names(self, node: ast.expr) -> list[str]:
        match node:
            case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
                return []
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return self._names(left) + self._names(right)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._names(operand)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
                return [found for each in args for found in self._names(each)]
            case ast.Name() | ast.Attribute():
                return [_dotted(node, self._where)]
        require(False, self._where, ast.unparse(node), _ALLOWED)
        raise AssertionError

    def _value(self, node: ast.expr, figure: Callable[[str], float]) -> float:
        match node:
            case ast.Constant():
                return float(node.value)  # type: ignore[arg-type] # checked in _names
            case ast.BinOp(left=left, op=op, right=right):
                return _BINARY[type(op)](self._value(left, figure), self._value(right, figure))
            case ast.UnaryOp(operand=operand):
                return -self._value(operand, figure)
            case ast.Call(func=ast.Name(id=name), args=args):
                return _FUNCTIONS[name](*(self._value(each, figure) for each in args))
        return figure(_dotted(node, self._where))


def _dotted(node: ast.expr, where: str) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=inner, attr=name):
            return f"{_dotted(inner, where)}.{name}"
    require(False, where, ast.unparse(node), _ALLOWED)
    raise AssertionError
