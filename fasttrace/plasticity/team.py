"""Threads that share a pass, and matrix products that leave the cores to them.

OpenBLAS multiplies large matrices in threads of its own, which go on waiting busily for tens of milliseconds
and take the cores from whatever runs next.  Products of at most 2^18 multiplications it does where it is
called, so larger ones are made of such here, and the team's threads share them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import numpy as np

from ..memory import Array
from ..pieces import held

_QUIET = 1 << 18  # multiplications that OpenBLAS does not hand to its threads
_FEWEST = 4  # rows of a product; where fewer would be quiet, BLAS does the whole as it likes
_BUFFER = 1 << 17  # entries of products that wait to be added
_HEARD = 1 << 28  # multiplications after which Ctrl-C is heard: hundredths of a second


class Stopped(BaseException):
    """Ends the part of a thread whose result nobody waits for any more."""


class Team:
    """Call it to run function(first, last) over the parts of range(size): team(function, size) -> [results].

    A context manager; one thread is the caller's own.  Where that fails or is interrupted, the others end at
    their next go_on().
    """

    def __init__(self, threads: int) -> None:
        self._n = threads
        self._pool: Any = None
        self._stopped = False

    def go_on(self) -> None:
        """Between two pieces of a part.  Raises Stopped where there is no reason to go on."""
        if self._stopped:
            raise Stopped

    def __enter__(self) -> Team:
        if self._n > 1:
            from concurrent.futures import ThreadPoolExecutor  # takes longer to import than all the rest

            self._pool = ThreadPoolExecutor(self._n - 1)
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        if isinstance(error, KeyboardInterrupt):
            error.steps = 0  # type: ignore[attr-defined]  # what a team has begun is whole or nothing

    def __call__(self, function: Callable[[int, int], Any], size: int) -> list[Any]:
        n = max(1, min(self._n, size))
        bounds = [size * i // n for i in range(n + 1)]
        others: list[Any] = []
        try:
            # Each in a copy of the caller's context: np.errstate holds there too.
            for i in range(1, n):
                with held():  # or a thread could start of which nobody knows
                    others.append(self._pool.submit(copy_context().run, function, *bounds[i : i + 2]))
            first = function(*bounds[:2])
            for each in others:
                each.exception()
        except BaseException:
            self._stopped = len(others) > 0  # ALONE is everyone's
            raise
        finally:  # an error waits for those that still write
            for each in others:
                each.exception()
        return [first, *(each.result() for each in others)]


ALONE = Team(1)


def _stacked(a: Array, k: int) -> tuple[Array, Array]:
    """The rows of `a` in a stack of k each, and what is left."""
    n = len(a) // k
    return a[: n * k].reshape(n, k, a.shape[1]), a[n * k :]


def times(team: Team, a: Array, b: Array, out: Array) -> None:
    """out = a b, for C-contiguous a (rows, k) and out (rows, n)."""
    k = _QUIET // max(1, b.size)
    at_once = max(1, k) * max(1, _HEARD // max(1, b.size) // max(1, k))  # rows

    def part(first: int, last: int) -> None:
        for i in range(first, last, at_once):
            team.go_on()
            x, y = a[i : min(i + at_once, last)], out[i : min(i + at_once, last)]
            if k < _FEWEST:
                np.matmul(x, b, out=y)
                continue
            stack, rest = _stacked(x, k)
            stack_out, rest_out = _stacked(y, k)
            np.matmul(stack, b, out=stack_out)
            np.matmul(rest, b, out=rest_out)

    if k < _FEWEST:
        part(0, len(a))
    else:
        team(part, len(a))


def gram(team: Team, a: Array, b: Array) -> Array:
    """a' b of C-contiguous a (rows, m), b (rows, n): the sum over the rows of their outer products."""
    m, n = a.shape[1], b.shape[1]
    k = _QUIET // max(1, m * n)
    if k < _FEWEST:
        rows = max(1, _HEARD // (m * n))
        total = a[:rows].T @ b[:rows]
        for i in range(rows, len(a), rows):
            total += a[i : i + rows].T @ b[i : i + rows]
        return total

    def part(first: int, last: int) -> Array:
        stack_a, rest_a = _stacked(a[first:last], k)
        stack_b, rest_b = _stacked(b[first:last], k)
        total = rest_a.T @ rest_b
        at_once = max(1, _BUFFER // max(1, m * n))
        for i in range(0, len(stack_a), at_once):
            team.go_on()
            total += np.matmul(stack_a[i : i + at_once].transpose(0, 2, 1), stack_b[i : i + at_once]).sum(0)
        return total

    parts = team(part, len(a))
    return parts[0] if len(parts) == 1 else np.sum(parts, axis=0)
