"""The trace of a Jacobian, for any network whose gradients come as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import arguments
from ..backends import Backend, Name, module, resolve
from ..memory import Array, aligned_zeros, dtype_of, owned
from .staleness import compare


class JacobianTrace:
    """Z (m, n): the eligibility traces of m outputs that share n parameters.

        Z <- diag(decay) Z + J                      J (m, n), row r the gradient of output r
        params <- params + alpha Z' delta           delta (m,) TD errors

    n_params, n_outputs  n and m
    dtype    float32 or float64; every array that comes in must be of it

    Z, J and the parameters stay finite: a call that would change that raises FloatingPointError, and changes
    nothing.  Source: Sutton & Barto 2018, eq. 12.5 and 12.7; docs/networks.md.
    """

    @arguments.explained
    def __init__(
        self, n_params: int, n_outputs: int = 1, *, dtype: Any = np.float32, backend: Backend = "auto"
    ) -> None:
        n, m = arguments.count("n_params", n_params, 1, 2**62), arguments.count("n_outputs", n_outputs)
        self.dtype = dtype_of(dtype)
        self._backend = resolve(backend)
        self.memory = aligned_zeros(m * n, self.dtype)
        # Bounds on |Z| by the row, then what the kernels write there.
        self.largest = aligned_zeros(2 * m, np.float64)

    @property
    def backend(self) -> Name:
        """Name of the backend in use."""
        return self._backend

    def to(self, backend: Backend) -> JacobianTrace:
        """Change to another backend; returns the trace."""
        self._backend = resolve(backend)
        return self

    @property
    def _rows(self) -> int:
        return len(self.largest) // 2

    @property
    def Z(self) -> Array:  # noqa: N802 - the field's name
        """(m, n), as the last step used it, not yet decayed; read-only."""
        view = self.memory.reshape(self._rows, -1)
        view.flags.writeable = False
        return view

    def reset(self) -> None:
        """Empty the trace."""
        self.memory[:] = 0
        self.largest[:] = 0.0

    # ---- checks --------------------------------------------------------------------------------------------

    def _array(self, name: str, value: Any, shape: tuple[int, ...]) -> Array:
        array = np.asarray(value)
        if array.dtype != self.dtype:
            raise TypeError(f"{name}: got dtype {array.dtype}, expected {self.dtype}, that of the trace")
        if array.shape != shape:
            raise ValueError(f"{name}: got shape {array.shape}, expected {shape}")
        return np.require(array, requirements=["C", "A"])

    def _numbers(self, name: str, value: Any) -> Array:
        """One number a row, of any real type: (m,) of the trace's."""
        array = arguments.floats(name, value)
        if array.shape not in ((), (self._rows,)):
            raise ValueError(f"{name}: got shape {array.shape}, expected a number or ({self._rows},)")
        with np.errstate(over="ignore"):
            numbers = np.broadcast_to(array, (self._rows,)).astype(self.dtype)
        if not np.isfinite(numbers).all():
            raise FloatingPointError(f"{name}: got {value!r}, expected finite numbers; nothing has changed")
        return numbers

    def _decay(self, value: Any) -> Array:
        array = arguments.floats("decay", value)
        if array.size and not (array.min() >= 0.0 and array.max() <= 1.0):
            raise ValueError(f"decay: got {value!r}, expected numbers from 0 to 1")
        return self._numbers("decay", array)

    def _delta_step(self, delta: Any, alpha: Any) -> Array:
        step = self._numbers("delta", delta).astype(np.float64) * arguments.positive("alpha", alpha)
        return self._numbers("alpha delta", step)

    def _params(self, params: Any) -> Array:
        n = len(self.memory) // self._rows
        if not isinstance(params, np.ndarray):
            raise TypeError(f"params: got {type(params).__name__}, expected a NumPy array, changed in place")
        self._array("params", params, (n,))
        if not params.flags.writeable:
            raise ValueError("params: got a read-only array, expected one that can be written in place")
        if np.shares_memory(params, self.memory):
            raise ValueError("params: got the trace's own memory")
        return params

    def _call(self, jacobian: Any, params: Any, decay: Any, step: Any) -> None:
        J = None if jacobian is None else self._array("jacobian", jacobian, self.Z.shape)
        if J is not None and np.may_share_memory(J, self.memory):
            J = J.copy()
        if J is not None and params is not None and np.may_share_memory(J, params):
            J = J.copy()
        w = params
        if w is not None and not (w.flags.c_contiguous and w.flags.aligned):
            w = np.array(params)
        if not module(self._backend, "neural").jacobian_step(self, J, w, decay, step):
            what = {"jacobian": J, "params": w}
            for name, array in what.items():
                if array is not None and not np.isfinite(array).all():
                    place = np.unravel_index(int(np.argmin(np.isfinite(array))), array.shape)
                    where = ", ".join(str(int(each)) for each in place)
                    raise FloatingPointError(f"{name}: entry {where} is {array[place]}; nothing has changed")
            raise FloatingPointError("the trace or the parameters would not stay finite; nothing has changed")
        if w is not params:
            params[...] = w

    # ---- the trace -----------------------------------------------------------------------------------------

    def accumulate(self, jacobian: Any, decay: Any) -> None:
        """Z <- diag(decay) Z + J.

        jacobian  (m, n)
        decay     number or (m,): gamma lambda of the state arrived in

        Errors: TypeError for dtypes, ValueError for shapes, FloatingPointError for what is not finite, and
        then nothing has changed.
        """
        self._call(jacobian, None, self._decay(decay), None)

    def apply(self, params: Array, delta: Any, alpha: float) -> None:
        """params <- params + alpha Z' delta, in place.

        params  (n,) writable, of any stride
        delta   (m,) TD errors, or a number
        Errors: as accumulate.
        """
        self._call(None, self._params(params), None, self._delta_step(delta, alpha))

    def step(self, params: Array, jacobian: Any, delta: Any, decay: Any, alpha: float) -> None:
        """accumulate and apply in one pass over memory.  Errors: as accumulate."""
        w, c = self._params(params), self._delta_step(delta, alpha)
        self._call(jacobian, w, self._decay(decay), c)

    def staleness(self, fresh: Any) -> tuple[float, float]:
        """(relative distance |Z - fresh| / |fresh|, cosine) of Z and what it would be now, (m, n)."""
        array = self._array("fresh", fresh, self.Z.shape)
        if not np.isfinite(array).all():
            raise ValueError("fresh: has an entry that is not finite")
        return compare(self.Z, array)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(owned(state))

    def __repr__(self) -> str:
        m, n = self.Z.shape
        return f"JacobianTrace({n}, {m}, dtype={self.dtype.name}, backend={self._backend!r})"
