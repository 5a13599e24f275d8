"""The expressions of fasttrace.layout, compiled: what stands there is what is computed."""

from collections.abc import Callable, Iterable
from typing import Any

from . import verb


def bits(rows: Iterable[Any], column: str) -> int:
    """A column as the bits of a number: bit `value` is that of a row."""
    return sum(1 << row.value for row in rows if getattr(row, column))


def chosen(arguments: str, expressions: dict[int, str]) -> Callable[..., Any]:
    """A verb f(number, *arguments): the expression of that number; those that are alike are compiled once."""
    numbers: dict[str, int] = {}
    for number, expression in expressions.items():
        numbers[expression] = numbers.get(expression, 0) | 1 << number
    *others, last = numbers
    lines = [f"def chosen(number, {arguments}):"]
    for expression in others:
        lines += [f"    if {numbers[expression]} >> number & 1:", f"        return {expression}"]
    lines.append(f"    return {last}")
    scope: dict[str, Any] = {}
    exec("\n".join(lines), scope)
    return verb(scope["chosen"])
