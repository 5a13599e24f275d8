"""The functions of ft.returns under JAX's jit, vmap and grad: calls of the kernels on the host.

    advantages, targets = ft.jax.gae(rewards, values, gammas=0.99, lambdas=0.95)

Arguments are those of ft.returns, but for `out`; shapes, horizon, n, time_axis, backend and bounds on ratios
are static.  Axes that vmap adds become columns of one call.  lambda_returns, gae, discounted_sum and
n_step_returns can be differentiated by rewards, values, next_values and bootstrap, again and again; others
cannot.  Outside of jit and grad ft.returns takes JAX's arrays itself, at less.

Needs JAX: pip install "fasttrace[jax]".
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

try:
    import jax
    import jax.numpy as jnp
except ImportError as error:
    raise ImportError(f'fasttrace.jax: {error}; pip install "fasttrace[jax]"') from error

from . import returns
from .returns.arrays import BY, DIFFERENTIABLE
from .returns.gradients import Linear
from .returns.outs import PAIRS
from .returns.problem import BOOL

__all__ = [
    "discounted_sum",
    "from_episode_starts",
    "gae",
    "lambda_returns",
    "n_step_returns",
    "off_policy_action_returns",
    "off_policy_returns",
    "q_sigma",
    "retrace",
    "tree_backup",
    "upgo",
    "vtrace",
]

Operands = dict[str, Any]
_STATIC = ("horizon", "time_axis", "backend", "n", "rho_bar", "c_bar", "pg_rho_bar")


class _Static(NamedTuple):
    """What a call is compiled for: the function, what stays the same, the operands, the results' type."""

    function: str
    more: tuple[tuple[str, Any], ...]
    shapes: tuple[tuple[str, Any], ...]
    dtype: Any

    @property
    def family(self) -> str:
        return "lambda_returns" if self.function == "n_step_returns" else self.function

    @property
    def results(self) -> int:
        return 1 + (self.family in PAIRS)


def _columns(static: _Static, given: Operands) -> tuple[Operands, tuple[int, ...]]:
    """Operands as NumPy's; axes in front, which vmap has made, as the last one.  Their sizes, too."""
    dims = {name: len(each.shape) for name, each in static.shapes}
    arrays = {name: np.asarray(each) for name, each in given.items()}
    rewards = arrays["rewards"]
    batch = rewards.shape[: rewards.ndim - dims["rewards"]]
    if not batch:
        return arrays, ()
    like = rewards.shape[len(batch) :]
    at = dict(static.more).get("time_axis", 0) if len(like) > 1 else 0
    rest = like[:at] + like[at + 1 :]
    for name, each in arrays.items():
        each = np.moveaxis(each.reshape(-1, *each.shape[len(batch) :]), 0, -1)
        N = each.shape[-1]
        if name == "bootstrap":
            each = np.broadcast_to(each, (*rest, N)) if rest else each.reshape(N)
        elif name in ("gammas", "lambdas") and each.shape[:-1] != like:  # a number, or by the step
            by_step = [size if axis == at and each.ndim == 2 else 1 for axis, size in enumerate(like)]
            each = np.broadcast_to(each.reshape(*by_step, N), (*like, N))
        arrays[name] = each
    return arrays, batch


def _unbatched(array: Any, batch: tuple[int, ...], dtype: Any) -> Any:
    array = np.asarray(array)
    if batch:
        array = np.moveaxis(array, -1, 0).reshape(*batch, *array.shape[:-1])
    return np.asarray(array, dtype, order="C")


def _host(static: _Static, given: Operands) -> Any:
    given, batch = _columns(static, given)
    found = getattr(returns, static.function)(**given, **dict(static.more))
    found = found if isinstance(found, tuple) else (found,)
    return tuple(_unbatched(each, batch, static.dtype) for each in found)


@lru_cache(1024)
def _check(static: _Static) -> None:
    """Raise what the call would raise, whatever the arrays hold: JAX wraps errors of a callback."""
    with np.errstate(all="ignore"):
        _host(static, {name: np.zeros(each.shape, each.dtype) for name, each in static.shapes})


def _callback(function: Callable[..., Any], shapes: Any, *given: Any) -> Any:
    return jax.pure_callback(function, shapes, *given, vmap_method="broadcast_all")


def _run(static: _Static, given: Operands) -> Any:
    shape = jax.ShapeDtypeStruct(given["rewards"].shape, static.dtype)
    return _callback(partial(_host, static), (shape,) * static.results, given)


def _host_back(static: _Static, others: Operands, grads: Any) -> Any:
    """See _Transposed of fasttrace.torch.returns."""
    names = [f"grad {i}" for i in range(len(grads))]
    shapes = {name: each for name, each in static.shapes if name in BY}
    its = static._replace(shapes=(*static.shapes, *((name, shapes["rewards"]) for name in names)))
    given, batch = _columns(its, {"rewards": grads[0], **others, **dict(zip(names, grads, strict=True))})
    wide = [
        given.pop(name).astype(np.float64 if static.dtype == np.float64 else np.float32) for name in names
    ]
    more = {"horizon": None, "time_axis": 0, "backend": "auto"} | dict(static.more)
    if "n" in more:
        more["horizon"] = min(more["n"], more["horizon"] or more["n"])
    rates = {name: value for name, value in more.items() if name in ("gammas", "lambdas")} | given
    rates.setdefault("lambdas", 1.0)
    linear = Linear(static.family, wide[0].shape, "bootstrap" in shapes, rates, more)
    found = linear.transposed(wide[0], wide[1] if len(wide) > 1 else None)
    results = {}
    for name, shape in shapes.items():
        like = (*shape.shape, *([int(np.prod(batch))] if batch else []))
        array = found.get(name)
        if array is None:
            array = np.zeros(like)
        elif not shape.shape:  # one bootstrap for all
            array = array.reshape(-1, *like).sum(axis=0)
        results[name] = _unbatched(array.reshape(like), batch, shape.dtype)
    return results


# ---- linear functions: each is the gradient of its gradient ----


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _linear(static: _Static, by: Operands, others: Operands) -> Any:
    return _run(static, {**by, **others})


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _back(static: _Static, others: Operands, grads: Any) -> Any:
    shapes = {name: each for name, each in static.shapes if name in BY}
    return _callback(partial(_host_back, static), shapes, others, grads)


def _values(static: _Static, given: Any) -> Any:
    """Primal values, of which those that are differentiated by must be among BY."""
    for name, each in given.items():
        if each.perturbed:
            raise TypeError(
                f"{name}: {static.function} cannot be differentiated by it; jax.lax.stop_gradient stops that"
            )
    return {name: each.value for name, each in given.items()}


def _linear_forward(static: _Static, by: Any, others: Any) -> Any:
    values, rest = {name: each.value for name, each in by.items()}, _values(static, others)
    return _linear(static, values, rest), rest


def _linear_backward(static: _Static, others: Operands, grads: Any) -> Any:
    return _back(static, others, tuple(_filled(each) for each in grads)), None


def _back_forward(static: _Static, others: Any, grads: Any) -> Any:
    rest = _values(static, others)
    return _back(static, rest, tuple(each.value for each in grads)), rest


def _back_backward(static: _Static, others: Operands, by: Any) -> Any:
    return None, _linear(static, {name: _filled(each) for name, each in by.items()}, others)


def _filled(grad: Any) -> Any:
    if isinstance(grad, jax.custom_derivatives.SymbolicZero):
        return jnp.zeros(grad.shape, grad.dtype)
    return grad


_linear.defvjp(_linear_forward, _linear_backward, symbolic_zeros=True)
_back.defvjp(_back_forward, _back_backward, symbolic_zeros=True)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _other(static: _Static, given: Operands) -> Any:
    return _run(static, given)


def _other_forward(static: _Static, given: Operands) -> Any:
    raise TypeError(
        f"{static.function}: cannot be differentiated; jax.lax.stop_gradient of its arguments stops that"
    )


_other.defvjp(_other_forward, lambda static, kept, grads: (None,))


# ---- the public functions ----


def _call(function: str, signature: inspect.Signature, *arrays: Any, **keywords: Any) -> Any:
    try:
        given = dict(signature.bind(*arrays, **keywords).arguments)
    except TypeError:
        getattr(returns, function)(*arrays, **keywords)  # says which keyword there is not
        raise
    more = {name: given.pop(name) for name in _STATIC if name in given}
    if given.pop("out", None) is not None:
        raise TypeError("out: JAX's arrays are not written to, expected None")
    operands = {}
    for name, value in given.items():
        if isinstance(value, (bool, int, float)):
            more[name] = value
        elif value is not None:
            operands[name] = jnp.asarray(value)
    if "rewards" not in operands or not operands["rewards"].ndim:
        raise ValueError("rewards: got shape (), expected (T,), (T, B, ...), or with time_axis=1 (B, T, ...)")
    own = [
        name for name in operands if name in ("rewards", "values", "q", "expected_q", "rhos", "pi", "sigmas")
    ]
    shapes = tuple((name, jax.ShapeDtypeStruct(each.shape, each.dtype)) for name, each in operands.items())
    static = _Static(
        function, tuple(sorted(more.items())), shapes, _type_of([operands[name] for name in own])
    )
    _check(static)
    if static.family in DIFFERENTIABLE:
        by = {name: operands.pop(name) for name in BY if name in operands}
        found = _linear(static, by, operands)
    else:
        found = _other(static, operands)
    return found if static.results == 2 else found[0]


def _type_of(arrays: list[Any]) -> Any:
    """As ft.returns has it: the floats' type; float64 where there are integers, if JAX has that."""
    types = {each.dtype for each in arrays if each.ndim}
    if all(jnp.issubdtype(each, jnp.floating) for each in types):
        return np.dtype(jnp.result_type(*types))
    return np.dtype(jax.dtypes.canonicalize_dtype(np.float64))


def _public(function: str) -> Any:
    of = getattr(returns, function)
    signature = inspect.signature(of)
    signature = signature.replace(parameters=[p for p in signature.parameters.values() if p.name != "out"])

    def call(*arrays: Any, **keywords: Any) -> Any:
        return _call(function, signature, *arrays, **keywords)

    call.__name__ = call.__qualname__ = function
    call.__doc__ = of.__doc__
    call.__signature__ = signature  # type: ignore[attr-defined]
    return call


def from_episode_starts(starts: Any, *, time_axis: int = 0) -> Any:
    """terminated from the flags that say whether S_t is the first of an episode; see ft.returns."""
    starts = jnp.asarray(starts)
    at = time_axis if starts.ndim > 1 else 0
    return jax.lax.slice_in_dim(starts, 1, starts.shape[at], axis=at).astype(BOOL)


discounted_sum = _public("discounted_sum")
gae = _public("gae")
lambda_returns = _public("lambda_returns")
n_step_returns = _public("n_step_returns")
off_policy_action_returns = _public("off_policy_action_returns")
off_policy_returns = _public("off_policy_returns")
q_sigma = _public("q_sigma")
retrace = _public("retrace")
tree_backup = _public("tree_backup")
upgo = _public("upgo")
vtrace = _public("vtrace")
