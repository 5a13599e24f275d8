"""A multilayer perceptron with flat parameters: outputs, gradients, Jacobians."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import arguments
from ..backends import Backend, Name, module, resolve
from ..memory import Array, aligned_zeros, dtype_of, owned

Activation = Literal["tanh", "leaky_relu"]
ACTIVATIONS: tuple[Activation, ...] = ("tanh", "leaky_relu")


def flag(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: got {value!r}, expected True or False")
    return bool(value)


def states_array(name: str, value: Any, n_inputs: int) -> NDArray[np.float64]:
    """States (N, i) as float64.  Errors: TypeError, ValueError for shapes and numbers that are not finite."""
    array = arguments.floats(name, value)
    if array.ndim != 2 or array.shape[1] != n_inputs:
        raise ValueError(f"{name}: got shape {array.shape}, expected (T + 1, {n_inputs})")
    return arguments.finite_array(name, array, array.shape)


def state_array(name: str, value: Any, n_inputs: int) -> NDArray[np.float64]:
    """One state (i,) as float64.  Errors: TypeError, ValueError."""
    return arguments.finite_array(name, value, (n_inputs,))


def fitting(name: str, array: Array, dtype: np.dtype[Any]) -> Array:
    """A finite array as one of `dtype`.  Errors: ValueError for a number that is beyond it."""
    with np.errstate(over="ignore"):
        found = array.astype(dtype)
    if not np.isfinite(found).all():
        raise ValueError(f"{name}: got {array[~np.isfinite(found)][0]}, which {dtype} cannot hold")
    return found


class MLP:
    """A multilayer perceptron, its last layer linear.

    sizes       inputs, hidden layers, outputs
    activation  "tanh", or "leaky_relu" of slope 0.01
    layer_norm  between a hidden layer's sums and its activation: mean 0, variance 1 (epsilon 1e-5), without
                parameters
    sparsity    None: weights uniform in +-sqrt(3 / fan_in) (LeCun); else each unit has floor(sparsity fan_in)
                weights of 0, the others uniform in +-1 / sqrt(fan_in).  Biases are 0
    seed        int or Generator, of the first parameters
    dtype       float32 or float64; inputs are converted to it

    params      (n,) the live, writable array: W1 (out x in, C order), b1, W2, b2, ...

    Source of layer_norm and sparsity: Elsayed, Vasan & Mahmood 2024, "Streaming deep reinforcement learning
    finally works".
    """

    @arguments.explained
    def __init__(
        self,
        sizes: Any,
        *,
        activation: Activation = "tanh",
        layer_norm: bool = False,
        sparsity: float | None = None,
        seed: Any = 0,
        dtype: Any = np.float32,
        backend: Backend = "auto",
    ) -> None:
        if not isinstance(sizes, (tuple, list, np.ndarray)) or len(sizes) < 2:
            raise ValueError(f"sizes: got {sizes!r}, expected (inputs, hidden layers ..., outputs)")
        self.sizes = tuple(arguments.count(f"sizes[{place}]", size) for place, size in enumerate(sizes))
        self.activation = arguments.choice("activation", activation, ACTIVATIONS)
        self.layer_norm = flag("layer_norm", layer_norm)
        self.sparsity = None if sparsity is None else arguments.unit("sparsity", sparsity)
        self.dtype = dtype_of(dtype)
        self._backend = resolve(backend)
        self.handle: Any = None  # of the backend, made when first used
        n = sum((n_in + 1) * n_out for n_in, n_out in zip(self.sizes, self.sizes[1:], strict=False))
        self._params = aligned_zeros(n, self.dtype)
        self._initialise(np.random.default_rng(seed))

    def _initialise(self, rng: np.random.Generator) -> None:
        at = 0
        for n_in, n_out in zip(self.sizes, self.sizes[1:], strict=False):
            bound = math.sqrt((3.0 if self.sparsity is None else 1.0) / n_in)
            W = rng.uniform(-bound, bound, (n_out, n_in))
            for row in W if self.sparsity is not None else ():
                row[rng.permutation(n_in)[: math.floor(self.sparsity * n_in)]] = 0.0  # type: ignore[operator]
            self._params[at : at + W.size] = W.ravel()
            at += W.size + n_out

    # ---- parameters ----------------------------------------------------------------------------------------

    @property
    def params(self) -> Array:
        """(n,) the live parameters; setting them copies into the same memory."""
        return self._params

    @params.setter
    def params(self, value: Any) -> None:
        w = arguments.finite_array("params", value, self._params.shape)
        self._params[:] = fitting("params", w, self.dtype)

    @property
    def n_params(self) -> int:
        return len(self._params)

    @property
    def n_inputs(self) -> int:
        return self.sizes[0]

    @property
    def n_outputs(self) -> int:
        return self.sizes[-1]

    @property
    def backend(self) -> Name:
        """Name of the backend in use."""
        return self._backend

    def to(self, backend: Backend) -> MLP:
        """Change to another backend; returns the network."""
        self._backend = resolve(backend)
        self.handle = None
        return self

    def options(self) -> dict[str, Any]:
        """Arguments that build a network like this one, but for seed and backend, as plain data."""
        return {
            "sizes": list(self.sizes),
            "activation": self.activation,
            "layer_norm": self.layer_norm,
            "sparsity": self.sparsity,
            "dtype": self.dtype.name,
        }

    # ---- what it computes ----------------------------------------------------------------------------------

    def _one(self, s: Any) -> Array:
        return fitting("s", state_array("s", s, self.n_inputs), self.dtype)

    def to_be_written(self) -> None:
        """Refuse parameters that a learner could not change."""
        if not self._params.flags.writeable:
            raise ValueError("params: got a read-only array, expected one that can be written in place")

    def _checked(self) -> Any:
        if not np.isfinite(self._params).all():
            place = int(np.argmin(np.isfinite(self._params)))
            raise FloatingPointError(f"params: not finite before step 0 (entry {place})")
        return module(self._backend, "neural")

    def forward(self, s: Any) -> Array:
        """Outputs (m,) of a state (i,), or (N, m) of states (N, i).

        Errors: ValueError for shapes and for inputs that are not finite; TypeError; FloatingPointError for a
        parameter that is not.
        """
        if np.ndim(s) != 2:
            return self._checked().forward(self, self._one(s)[None])[0]
        states = fitting("s", states_array("s", s, self.n_inputs), self.dtype)
        return self._checked().forward(self, states)

    def jacobian(self, s: Any) -> tuple[Array, Array]:
        """Outputs y (m,) of a state (i,), and J (m, n): the gradient of each.  Errors: as forward."""
        return self._checked().gradients(self, self._one(s), np.eye(self.n_outputs, dtype=self.dtype))

    def gradient(self, s: Any, output: int = 0) -> Array:
        """Gradient (n,) of one output at a state (i,).  Errors: as forward, IndexError for the output."""
        if not 0 <= arguments.count("output", output, -(2**31)) < self.n_outputs:
            raise IndexError(f"output: {output} is out of range, expected 0 to {self.n_outputs - 1}")
        dy = np.zeros((1, self.n_outputs), self.dtype)
        dy[0, output] = 1
        return self._checked().gradients(self, self._one(s), dy)[1][0]

    def pullback(self, s: Any, dy: Any) -> tuple[Array, Array]:
        """Outputs y (m,) of a state (i,), the gradient (n,) of dy . y for dy (m,).  Errors: as forward."""
        weights = fitting("dy", arguments.finite_array("dy", dy, (self.n_outputs,)), self.dtype)
        y, J = self._checked().gradients(self, self._one(s), weights[None])
        return y, J[0]

    # ---- copies --------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "handle": None, "_params": self._params.copy()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(owned(state))

    def __repr__(self) -> str:
        return (
            f"MLP({self.sizes}, activation={self.activation!r}, layer_norm={self.layer_norm}, "
            f"dtype={self.dtype.name}, backend={self._backend!r})"
        )
