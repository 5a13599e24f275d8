"""Gradients of returns that are linear in rewards and values: the scan, transposed.

    X_t = a_t + c_t X_{t+1}     has the transpose     y_t = g_t + c_{t-1} y_{t-1}

where g_t is the gradient of X_t as a result, and y_t that of a_t: a discounted sum that looks back.  The same
kernels do it, on arrays that are turned back in time.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import module, resolve
from ..memory import Array
from .problem import BOOL, FLOAT32, FLOAT64, Problem, flags_of

FLAGS = ("terminated", "truncated", "mask")
Bools = NDArray[np.bool_]


@cache
def _kernels(backend: str) -> Any:
    return module(resolve(backend), "returns")


class Linear:
    """A call of lambda_returns, gae or discounted_sum: linear in rewards, values, next_values and bootstrap.

    shape      of the rewards
    bootstraps whether there is a bootstrap
    given      gammas, lambdas and flags by name, as NumPy's arrays or numbers; the call has checked them
    """

    def __init__(
        self,
        family: str,
        shape: tuple[int, ...],
        bootstraps: bool,
        given: dict[str, Any],
        more: dict[str, Any],
    ) -> None:
        self.family, self.bootstraps = family, bootstraps
        self.shape = tuple(shape)
        self.at = more["time_axis"] if len(self.shape) > 1 else 0
        self.T = self.shape[self.at]
        self.horizon = more["horizon"] or 0
        self.kernels = _kernels(more["backend"])
        self.gamma, self.lambda_ = self._rate(given["gammas"]), self._rate(given["lambdas"])
        terminated, truncated, mask = map(self._flags, map(given.get, FLAGS))
        self.skipped = None if mask is None or mask.all() else ~mask
        self.whole = self.skipped is None and not 0 < self.horizon < self.T  # each is handed on to the next
        self.plain = self.whole and self.at == 0 and len(self.shape) == 2  # arrays are as they have to be
        self.ended, self.cut = terminated, None
        if truncated is not None:
            self.cut = truncated if terminated is None else truncated & ~terminated
            self.ended = truncated if terminated is None else truncated | terminated
            self.cut = self.cut if self.skipped is None else self.cut & ~self.skipped

    def _first(self, array: Array) -> Array:
        """As (T or T + 1, B), dense."""
        if array.ndim != 2 or self.at:
            array = np.moveaxis(array, self.at, 0).reshape(array.shape[self.at], -1)
        return np.ascontiguousarray(array)

    def _back(self, array: Array) -> Array:
        """The reverse: time where it was, with as many rows as there are."""
        rest = self.shape[: self.at] + self.shape[self.at + 1 :]
        return np.ascontiguousarray(np.moveaxis(array.reshape(len(array), *rest), 0, self.at))

    def _rate(self, value: Any) -> Any:
        """A number, or (T, 1), or (T, B)."""
        if type(value) is float:
            return value
        array = np.asarray(value)
        if array.ndim == 0:
            return float(array)
        array = array.astype(FLOAT64)
        return array[:, None] if array.shape != self.shape or array.ndim == 1 else self._first(array)

    def _flags(self, value: Any) -> Bools | None:
        return None if value is None else self._first(flags_of("flags", value)).view(BOOL)

    def transposed(self, first: Array | None, second: Array | None) -> dict[str, Array]:
        """Gradients by rewards, values, next_values and bootstrap for those by the results; None: zeros.

        That by bootstrap is (B,), others are as the arguments.
        """
        if not self.plain:
            first = None if first is None else self._there(self._first(first))
            second = None if second is None else self._there(self._first(second))
        g: Any = second if first is None else first if second is None else first + second
        g = np.ascontiguousarray(g, FLOAT64 if g.dtype == FLOAT64 else FLOAT32)
        y, beyond = self._scan(g)
        found = {"rewards": y}
        if self.cut is not None:
            rate = self.gamma * self.lambda_ if self.family == "discounted_sum" else self.gamma
            found["next_values"] = np.where(self.cut, y * rate, 0).astype(y.dtype, copy=False)
        if not self.plain:
            found = {name: self._back(array) for name, array in found.items()}
        if self.family == "discounted_sum":
            return {**found, "bootstrap": beyond}
        v = self._of_gae(y, first, second) if self.family == "gae" else self._of_values(g, y, beyond)
        if self.bootstraps:
            v, found["bootstrap"] = v[:-1], v[-1]
        found["values"] = v if self.plain else self._back(v)
        return found

    def _there(self, array: Array) -> Array:
        return (
            array
            if self.skipped is None
            else np.where(self.skipped, 0, array).astype(array.dtype, copy=False)
        )

    def _on(self, array: Array) -> Array:
        """0 where an episode ended, in place."""
        if self.ended is not None:
            np.copyto(array, 0, where=self.ended)
        return array

    def _scan(self, g: Array) -> tuple[Array, Array]:
        """y (T, B), and what goes on from there beyond the end (B,)."""
        T = self.T
        if self.whole:
            y = np.empty_like(g)
            y[0] = g[0]
            if T > 1 and not self._quick(g, y):
                ended = None if self.ended is None else self.ended[-2::-1].view(np.uint8)
                self._run(g[:0:-1], y[:0:-1], g[0], flags=ended, **self._rates())
        else:
            y = self._look_back(g, self._decay(slice(None)))
        if self.family == "gae":  # nothing goes on there
            return self._there(y), y[-1]
        c = self._decay(slice(T - 1, T))[0]
        beyond = np.where(c == 0.0, 0, c * y[-1]).astype(y.dtype, copy=False)
        return self._there(y), beyond

    def _quick(self, g: Array, y: Array) -> bool:
        """Whether the shorter way has done it; y[0] is there."""
        back, ended = getattr(self.kernels, "run_back", None), self.ended
        if back is None or type(self.gamma) is not float or type(self.lambda_) is not float:
            return False
        return back(*g.shape, self.gamma, self.lambda_, g, ended, y)

    def _rates(self) -> dict[str, Any]:
        """gamma and lambda of all transitions but the last, as a problem has them."""
        found: dict[str, Any] = {}
        for name, each in (("gamma", self.gamma), ("lambda", self.lambda_)):
            if isinstance(each, float):
                found["lambda_" if name == "lambda" else name] = each
            elif each.shape[1] == 1:
                found[f"{name}s"] = np.ascontiguousarray(each[-2::-1, 0])
            else:
                found[f"{name}s"] = each[-2::-1]
        return found

    def _decay(self, rows: slice) -> Array:
        """c of some transitions: gamma lambda, 0 at an end, 1 where there is none."""
        given = [each if isinstance(each, float) else each[rows] for each in (self.gamma, self.lambda_)]
        B = math.prod(self.shape) // self.T
        c = np.broadcast_to(given[0] * given[1], (len(range(self.T)[rows]), B)).copy()
        if self.ended is not None:
            c[self.ended[rows]] = 0.0
        if self.skipped is not None:
            c[self.skipped[rows]] = 1.0
        return c

    def _look_back(self, g: Array, c: Array) -> Array:
        """The scan with any c (T, B), over the last `horizon` transitions alone where there is one."""
        before = np.zeros_like(c)
        before[:0:-1] = c[:-1][::-1]
        return self._turned(g, before[::-1], "discounted_sum", last=np.zeros_like(g[0]))

    def _turned(self, g: Array, c: Array, family: str, last: Array, **more: Any) -> Array:
        """A return with the rewards g, back in time; c and more are turned already."""
        y = np.empty_like(g)
        self._run(g[::-1], y[::-1], last, family, gammas=c, horizon=self.horizon, **more)
        return y

    def _run(self, g: Array, y: Array, last: Array, family: str = "discounted_sum", **more: Any) -> None:
        T, B = g.shape
        self.kernels.run(Problem.of({
            "family": family, "T": T, "B": B, "batch_major": False, "rewards": g, "out": y, "last": last,
            **more,
        }))  # fmt: skip

    def _of_gae(self, y: Array, first: Array | None, second: Array | None) -> Array:
        """By values (T + 1, B): each delta has one as v and one as the next v, and the returns add v.

        second_t - y_t is -first_t - c_{t-1} y_{t-1} where each y is handed on.
        """
        v = np.empty((len(y) + 1, *y.shape[1:]), y.dtype)
        v[0] = 0
        np.multiply(y, self.gamma - self.gamma * self.lambda_ if self.whole else self.gamma, out=v[1:])
        if self.whole:  # behind the last there is none that it is handed on to
            np.multiply(y[-1], self.gamma if type(self.gamma) is float else self.gamma[-1], out=v[-1])
        self._on(v[1:])
        if not self.whole:
            v[:-1] -= y if second is None else y - second
        elif first is not None:
            v[:-1] -= first
        return v

    def _of_values(self, g: Array, y: Array, beyond: Array) -> Array:
        """By values (T + 1, B): on the way, and at the end or the horizon."""
        T, B = y.shape
        v = np.zeros((T + 1, B), y.dtype)
        v[1:] = self._on((y * (self.gamma * (1.0 - self.lambda_))).astype(y.dtype, copy=False))
        ends = np.zeros_like(v)
        ends[T] = beyond
        if (h := self.horizon) and h < T:
            c, turned = self._decay(slice(None))[::-1], np.zeros_like(g)
            turned[1:] = g[:0:-1]
            more = {"nexts": turned, "ends": turned}
            at = self._turned(np.zeros_like(g), np.ascontiguousarray(c), "lambda_returns", g[0], **more)[::-1]
            ends[h:T] = at[1 : T - h + 1][::-1]
        if self.skipped is None:
            return v + ends
        after = np.zeros((T + 1, B), np.intp)  # as in problem.py
        after[1:] = np.where(self.skipped, 0, np.arange(1, T + 1)[:, None])
        np.add.at(v, (np.maximum.accumulate(after), np.arange(B)), ends)
        return v
