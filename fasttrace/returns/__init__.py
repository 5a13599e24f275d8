"""Returns of trajectories: lambda-returns, GAE, V-trace and what is like them, right at truncations.

    advantages, targets = returns.gae(rewards, values, gammas=0.99, lambdas=0.95,
                                      terminated=terminated, truncated=truncated, next_values=next_values)

All go backwards through X_t = a_t + c_t X_{t+1}, with sums carried in float64.  What they have in common:

rewards      (T,), (T, B), or with time_axis=1 (B, T).  Entry t is R_{t+1}.
values       v(S_t): T + 1 rows; or T rows, and bootstrap.  So are q and expected_q.
gammas       gamma_{t+1}, the discount on arriving in S_{t+1}: a number, (T,), or as the rewards.
lambdas      lambda_{t+1}, the same.
terminated   the episode ended with transition t: nothing follows.
truncated    it was cut off there: what follows is next_values[t].  Terminated goes before truncated.
mask         False: no transition, as the dummy that Gymnasium's vector environments make after an end.
             It is passed over, and 0 comes out.
next_values  the value of the state that transition t arrived in; only read where truncated.
bootstrap    (B,), or a number for (T,): the value of S_T, where values has T rows.
horizon      G_{t:t+horizon} of every t, cut at T.  None: all that is there.
time_axis    1 where arrays are (B, T).
out          where the results go: an array, for gae and vtrace a pair; may overlap the inputs, but a pair
             not each other, and no two entries of an array one another.
backend      "auto", "c", "numba" or "numpy".

What flags, masks and weights of 0 rule out may be NaN; NaN elsewhere reaches the results that depend on it.
The results are NumPy arrays of the inputs' type: float32, float64 or float16; float64 for integers.
Anything that np.asarray takes goes in: PyTorch tensors, JAX arrays.

Errors: ValueError for shapes, for a gamma, lambda, pi or sigma outside [0, 1], a rho below 0, for a
truncation without next_values, and for an out that is read-only or has entries on the same memory; TypeError
for what does not hold real numbers, and for a keyword that there is not; BackendUnavailable;
KeyboardInterrupt within a long call, after which what `out` holds is undefined.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import arguments
from ..backends import module, resolve
from ..memory import Array

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

Pair = tuple[Array, Array]
F = TypeVar("F", bound=Callable[..., Any])

_FLOAT32, _FLOAT64, _BOOL = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.bool_)
_TERMINATED, _TRUNCATED, _SKIPPED = np.uint8(1), np.uint8(2), np.uint8(4)
_PAIRS = ("gae", "vtrace")
_WITH_ENDS = ("lambda_returns", "off_policy_returns", "upgo")  # what they carry is a return of values
_overlap: Any = np.may_share_memory  # whether the bounds meet
_WORK = 1000  # of NumPy's exact search for memory in common, whose time can grow exponentially
_SMALL = 8192  # entries
_modules: dict[str, Any] = {}


_MISSING: Any = object()  # in place of an argument that was not given


def _public(function: F) -> F:
    """Lets a call without some argument get as far as _refuse_call, which knows what a keyword should be."""
    shown = [p for p in inspect.signature(function).parameters.values() if p.name != "wrong"]
    signature = inspect.signature(function).replace(parameters=shown)
    function.__signature__ = signature  # type: ignore[attr-defined]
    positional = [p for p in shown if p.kind is p.POSITIONAL_OR_KEYWORD]
    function.__defaults__ = (_MISSING,) * len(positional)
    function.__kwdefaults__ = {
        p.name: _MISSING if p.default is p.empty else p.default for p in shown if p.kind is p.KEYWORD_ONLY
    }
    return function


def _refuse_call(function: str, keywords: dict[str, Any], **needed: Any) -> None:
    """TypeError for a keyword that there is not, or for what is needed and was not given."""
    allowed = list(inspect.signature(globals()[function]).parameters)
    for name in keywords:
        if name not in allowed:
            raise arguments.unknown_keyword(function, name, allowed)
    for name, value in needed.items():
        if value is _MISSING:
            raise TypeError(f"{function}: missing the argument {name!r}")


@_public
def lambda_returns(
    rewards: ArrayLike, values: ArrayLike, *, gammas: ArrayLike, lambdas: ArrayLike = 1.0, **common: Any
) -> Array:
    """G_t = R_{t+1} + gamma_{t+1} ((1 - lambda_{t+1}) v_{t+1} + lambda_{t+1} G_{t+1}), with G_T = v_T.

    values  v(S_t); q(S_t, A_t) for the returns of Sarsa; sum_a pi(a|S_t) q(S_t, a) of Expected Sarsa.

    Source: Sutton & Barto 2018, equations 12.18 to 12.20.
    """
    return _returns("lambda_returns", rewards, {"values": values}, gammas, lambdas, **common)


@_public
def off_policy_returns(
    rewards: ArrayLike,
    values: ArrayLike,
    rhos: ArrayLike,
    *,
    gammas: ArrayLike,
    lambdas: ArrayLike = 1.0,
    **common: Any,
) -> Array:
    """State values with control variates: rho_t times the lambda-return, plus (1 - rho_t) v_t.

    rhos  (T,) or (T + 1,) rows, the last without effect: pi(A_t|S_t) / mu(A_t|S_t).

    Source: Sutton & Barto 2018, equation 12.22.
    """
    own = {"values": values, "rhos": rhos}
    return _returns("off_policy_returns", rewards, own, gammas, lambdas, **common)


@_public
def off_policy_action_returns(
    rewards: ArrayLike,
    q: ArrayLike,
    expected_q: ArrayLike,
    rhos: ArrayLike,
    *,
    gammas: ArrayLike,
    lambdas: ArrayLike = 1.0,
    **common: Any,
) -> Array:
    """Action values with control variates.

        G_t = R_{t+1} + gamma_{t+1} (V_{t+1} + lambda_{t+1} rho_{t+1} (G_{t+1} - q_{t+1}))

    q           q(S_t, A_t); its row T has no effect.
    expected_q  V_t = sum_a pi(a|S_t) q(S_t, a).  bootstrap is V_T.
    rhos        T or T + 1 rows; that of S_T has no effect.

    Source: Sutton & Barto 2018, equation 12.26.
    """
    own = {"q": q, "expected_q": expected_q, "rhos": rhos}
    return _returns("off_policy_action_returns", rewards, own, gammas, lambdas, **common)


@_public
def retrace(
    rewards: ArrayLike,
    q: ArrayLike,
    expected_q: ArrayLike,
    rhos: ArrayLike,
    *,
    gammas: ArrayLike,
    lambdas: ArrayLike = 1.0,
    **common: Any,
) -> Array:
    """off_policy_action_returns with min(1, rho) for rho.

    Source: Munos et al. 2016, "Safe and efficient off-policy reinforcement learning".
    """
    own = {"q": q, "expected_q": expected_q, "rhos": rhos}
    return _returns("retrace", rewards, own, gammas, lambdas, **common)


@_public
def tree_backup(
    rewards: ArrayLike,
    q: ArrayLike,
    expected_q: ArrayLike,
    pi: ArrayLike,
    *,
    gammas: ArrayLike,
    lambdas: ArrayLike = 1.0,
    **common: Any,
) -> Array:
    """off_policy_action_returns with pi(A_t|S_t) for rho.

    Source: Sutton & Barto 2018, section 12.10; Precup, Sutton & Singh 2000.
    """
    own = {"q": q, "expected_q": expected_q, "pi": pi}
    return _returns("tree_backup", rewards, own, gammas, lambdas, **common)


@_public
def q_sigma(
    rewards: ArrayLike,
    q: ArrayLike,
    expected_q: ArrayLike,
    rhos: ArrayLike,
    pi: ArrayLike,
    sigmas: ArrayLike,
    *,
    gammas: ArrayLike,
    lambdas: ArrayLike = 1.0,
    **common: Any,
) -> Array:
    """off_policy_action_returns with sigma rho + (1 - sigma) pi for rho.

    Source: Sutton & Barto 2018, sections 7.6 and 12.10.
    """
    own = {"q": q, "expected_q": expected_q, "rhos": rhos, "pi": pi, "sigmas": sigmas}
    return _returns("q_sigma", rewards, own, gammas, lambdas, **common)


@_public
def gae(
    rewards: ArrayLike, values: ArrayLike, *, gammas: ArrayLike, lambdas: ArrayLike = 1.0, **common: Any
) -> Pair:
    """(advantages, returns): A_t = delta_t + gamma_{t+1} lambda_{t+1} A_{t+1}, returns = A + v.

    delta_t = R_{t+1} + gamma_{t+1} v_{t+1} - v_t.

    Source: Schulman et al. 2016, "High-dimensional continuous control using generalized advantage
    estimation", equation 16.
    """
    return _returns("gae", rewards, {"values": values}, gammas, lambdas, **common)


@_public
def vtrace(
    rewards: ArrayLike,
    values: ArrayLike,
    rhos: ArrayLike,
    *,
    gammas: ArrayLike,
    lambdas: ArrayLike = 1.0,
    rho_bar: float = 1.0,
    c_bar: float = 1.0,
    pg_rho_bar: float | None = None,
    **common: Any,
) -> Pair:
    """(vs, advantages): vs_t = v_t + Y_t, with c_t = lambda_{t+1} min(c_bar, rho_t) and

        Y_t = min(rho_bar, rho_t) delta_t + gamma_{t+1} c_t Y_{t+1}
        advantage_t = min(pg_rho_bar, rho_t) (R_{t+1} + gamma_{t+1} vs_{t+1} - v_t)

    rho_bar, c_bar  at least 0; infinity leaves the ratios as they are.
    pg_rho_bar      the same, of the ratio in the advantages alone; None: as rho_bar.

    Source: Espeholt et al. 2018, "IMPALA", section 4.1; pg_rho_bar is clip_pg_rho_threshold in its program.
    """
    own_bar = None if pg_rho_bar is None else _bar("pg_rho_bar", pg_rho_bar)
    bars = _bar("rho_bar", rho_bar), _bar("c_bar", c_bar), own_bar
    own = {"values": values, "rhos": rhos}
    return _returns("vtrace", rewards, own, gammas, lambdas, bars, **common)


@_public
def discounted_sum(
    rewards: ArrayLike, *, gammas: ArrayLike, lambdas: ArrayLike = 1.0, **common: Any
) -> Array:
    """X_t = R_{t+1} + gamma_{t+1} lambda_{t+1} X_{t+1}, with X_T = bootstrap, or 0.

    Where truncated, next_values[t] stands for X_{t+1}.  With a horizon, X_{t+h} = 0 before T.
    """
    return _returns("discounted_sum", rewards, {}, gammas, lambdas, **common)


@_public
def n_step_returns(
    rewards: ArrayLike,
    values: ArrayLike,
    *,
    n: int,
    gammas: ArrayLike,
    lambdas: ArrayLike = 1.0,
    horizon: int | None = None,
    **common: Any,
) -> Array:
    """G_{t:t+n}: n rewards and the value of the state after them; fewer where an episode ends, or at T.

    lambda_returns with horizon=n: with lambdas below 1 these are the truncated lambda-returns.

    Source: Sutton & Barto 2018, equation 7.1.
    """
    if n is _MISSING:
        _refuse_call("n_step_returns", common, n=n)
    n = arguments.count("n", n, 1, 2**63 - 1)
    if horizon is not None:
        n = min(n, arguments.count("horizon", horizon, 1, 2**63 - 1))
    own, bars = {"values": values}, (1.0, 1.0, None)
    return _returns(
        "lambda_returns", rewards, own, gammas, lambdas, bars, "n_step_returns", horizon=n, **common
    )


@_public
def upgo(
    rewards: ArrayLike,
    values: ArrayLike,
    q: ArrayLike,
    *,
    gammas: ArrayLike,
    lambdas: ArrayLike = 1.0,
    **common: Any,
) -> Array:
    """G_t = R_{t+1} + gamma_{t+1} (G_{t+1} where q_{t+1} >= v_{t+1}, else v_{t+1}), with G_T = v_T.

    q  q(S_t, A_t), T or T + 1 rows; those of S_0 and S_T have no effect.
    With lambdas below 1, the lambda-return with lambda_{t+1} = 0 where q_{t+1} < v_{t+1}.

    Source: Vinyals et al. 2019, "Grandmaster level in StarCraft II", methods.
    """
    return _returns("upgo", rewards, {"values": values, "q": q}, gammas, lambdas, **common)


@_public
def from_episode_starts(starts: ArrayLike, *, time_axis: int = 0, **wrong: Any) -> NDArray[np.bool_]:
    """terminated (T,) from the flags (T + 1,) that say whether S_t is the first of an episode.

    Stable-Baselines3 (episode_starts, and the last dones) and CleanRL (dones, and next_done) keep these.
    They do not tell a truncation from a termination: see docs/returns.md.
    starts  (T + 1,), (T + 1, B), or with time_axis=1 (B, T + 1), of bool or of 0 and 1.
    """
    if wrong or starts is _MISSING:
        _refuse_call("from_episode_starts", wrong, starts=starts)
    flags = _flags("starts", starts)
    if flags.ndim not in (1, 2):
        raise ValueError(f"starts: got shape {flags.shape}, expected (T + 1,) or (T + 1, B)")
    axis = _time_axis(time_axis)
    if flags.ndim == 1:
        axis = 0
    if flags.shape[axis] < 1:
        raise ValueError(f"starts: got shape {flags.shape}, expected at least one entry, that of S_0")
    return (flags[:, 1:] if axis else flags[1:]).view(_BOOL).copy()


def half_life(lambda_: float) -> float:
    """The steps after which lambda_ ** steps is one half: -ln 2 / ln lambda.  0 has 0, 1 has infinity.

    Errors: ValueError for lambda_ outside [0, 1].
    """
    lambda_ = arguments.unit("lambda_", lambda_)
    if lambda_ in (0.0, 1.0):
        return math.inf if lambda_ else 0.0
    return -math.log(2.0) / math.log(lambda_)


def lambda_from_half_life(tau: float) -> float:
    """The lambda whose half-life is tau steps: 2 ** (-1 / tau).

    Errors: ValueError for tau below 0.
    """
    tau = arguments.real("tau", tau)
    if not tau >= 0.0:
        raise ValueError(f"tau: got {tau}, expected a number of at least 0")
    return 2.0 ** (-1.0 / tau) if tau else 0.0


# ---- from what was given to what the kernels take ----


class Problem:
    """What a backend computes: `family` is the public name, results go to `out` and `second`.

    Arrays lie in memory as (T, B), or where batch_major as (B, T), or (T,) where B is 1: their last axis is
    dense.  All are of the type of `out`, float32 or float64, but for flags (uint8, csrc/fasttrace.h), gammas
    and lambdas.

    values, nexts  T or T + 1 rows; nexts[t + 1] is the value of the next state.
    last           (B,) that of S_T, or what an unended trajectory goes on with.
    ends           as values: G_{t:t} where there is a horizon, None for zeros.
    q              upgo's.
    gamma, lambda_ numbers, not used where gammas, lambdas are arrays: float64 (T,), or as the rewards.
    """

    values: Any = None
    nexts: Any = None
    last: Any = None
    ends: Any = None
    next_values: Any = None
    rhos: Any = None
    pi: Any = None
    sigmas: Any = None
    q: Any = None
    flags: Any = None
    second: Any = None
    terminations_only = True
    rho_bar = c_bar = 1.0
    pg_rho_bar: float | None = None  # that of the second result of vtrace; None: rho_bar

    family: str
    T: int
    B: int
    batch_major: bool
    horizon: int
    gamma: float
    lambda_: float
    gammas: Array | None
    lambdas: Array | None
    rewards: Array
    out: Array


def _returns(
    family: str,
    rewards: ArrayLike,
    own: dict[str, ArrayLike],
    gammas: ArrayLike,
    lambdas: ArrayLike,
    bars: tuple[float, float, float | None] = (1.0, 1.0, None),
    function: str = "",
    /,
    *,
    terminated: ArrayLike | None = None,
    truncated: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    next_values: ArrayLike | None = None,
    bootstrap: ArrayLike | None = None,
    horizon: int | None = None,
    time_axis: int = 0,
    out: Any = None,
    backend: str = "auto",
    **wrong: Any,
) -> Any:
    if wrong or rewards is _MISSING or gammas is _MISSING:
        _refuse_call(function or family, wrong, rewards=rewards, **own, gammas=gammas)
    kernels = _modules.get(backend) or _modules.setdefault(backend, module(resolve(backend), "returns"))
    if (
        truncated is None and mask is None and next_values is None and bootstrap is None
        and horizon is None and time_axis == 0 and len(own) == 1 and kernels.run_simple is not None
    ):  # fmt: skip
        results = _simple(kernels, family, rewards, own.get("values"), terminated, gammas, lambdas, out)
        if results is not None:
            return results
    given = _array("rewards", rewards)
    shape = given.shape
    if len(shape) not in (1, 2):
        raise ValueError(f"rewards: got shape {shape}, expected (T,), (T, B), or with time_axis=1 (B, T)")
    axis = _time_axis(time_axis)
    if len(shape) == 1:
        axis = 0
    T, B = shape[axis], (shape[1 - axis] if len(shape) == 2 else 1)
    for value in own.values():
        if value is _MISSING:
            _refuse_call(function or family, wrong, **own)
    arrays = {name: _array(name, value) for name, value in own.items()}
    narrow = _type_of(given, arrays)
    dtype = _FLOAT64 if narrow is _FLOAT64 else _FLOAT32
    lay = _Laying(given, axis, T, B, dtype)

    p = Problem()
    p.family, p.T, p.B, p.batch_major = family, T, B, lay.batch_major
    p.horizon = 0 if horizon is None else arguments.count("horizon", horizon, 1, 2**63 - 1)
    p.rho_bar, p.c_bar, p.pg_rho_bar = bars
    p.rewards = lay("rewards", given, T)
    p.flags, p.terminations_only, skipped = _all_flags(lay, terminated, truncated, mask, next_values is None)
    p.gamma, p.gammas = lay.rate("gammas", gammas, skipped)
    p.lambda_, p.lambdas = lay.rate("lambdas", lambdas, skipped)
    if next_values is not None:
        p.next_values = lay("next_values", _array("next_values", next_values), T)
    _values(p, lay, arrays, bootstrap, skipped)
    outs = _outs(p, lay, narrow, out)
    if T and B:
        kernels.run(p)
    return _results(p, lay, narrow, outs)


def _simple(
    kernels: Any, family: str, rewards: Any, values: Any, terminated: Any, gamma: Any, lambda_: Any, out: Any
) -> Any:
    """The usual call, arrays of one type that lie as a kernel takes them, without the detours; or None."""
    if not (type(rewards) is type(values) is np.ndarray and type(gamma) is type(lambda_) is float):
        return None
    dtype, shape = rewards.dtype, rewards.shape
    if not (
        len(shape) == 2
        and (dtype is _FLOAT32 or dtype is _FLOAT64)
        and values.dtype is dtype
        and values.shape == (shape[0] + 1, shape[1])
        and rewards.flags.carray
        and values.flags.carray
        and shape[0] > 0
        and shape[1] > 1
        and 0.0 <= gamma <= 1.0
        and 0.0 <= lambda_ <= 1.0
    ):
        return None
    if terminated is not None and not (
        type(terminated) is np.ndarray
        and terminated.dtype is _BOOL
        and terminated.shape == shape
        and terminated.flags.carray
    ):
        return None
    if out is not None:
        if type(out) is not tuple or len(out) != 2 or family != "gae":
            return None
        first, second = out
        for each in out:
            if not (
                type(each) is np.ndarray and each.dtype is dtype and each.shape == shape and each.flags.carray
            ):
                return None
            if any(_overlap(each, other) for other in (rewards, values, terminated) if other is not None):
                return None
        if _overlap(first, second):
            return None
    elif family != "gae":
        first, second = np.empty(shape, dtype), None
    elif shape[0] * shape[1] < _SMALL:  # one allocation is quicker than two
        first, second = np.empty((2, *shape), dtype)
    else:
        first, second = np.empty(shape, dtype), np.empty(shape, dtype)
    if not kernels.run_simple(family, *shape, gamma, lambda_, rewards, values, terminated, first, second):
        return None
    return first if second is None else (first, second) if out is None else out


def _time_axis(value: Any) -> int:
    return arguments.count("time_axis", value, 0, 1)


def _bar(name: str, value: Any) -> float:
    number = arguments.real(name, value)
    if not number >= 0.0:
        raise ValueError(f"{name}: got {number}, expected a number of at least 0")
    return number


def _unreadable(name: str, value: Any, error: Exception) -> Exception:
    """In place of an error of NumPy or of another library, which does not say which argument it was."""
    kind = ValueError if isinstance(error, ValueError) else TypeError
    return kind(
        f"{name}: got {type(value).__name__} that NumPy cannot read ({error}), expected what np.asarray "
        "takes; of a tensor float32 or float64, on the CPU, without gradient"
    )


def _array(name: str, value: Any) -> Array:
    try:
        array = np.asarray(value)
    except Exception as error:
        raise _unreadable(name, value, error) from error
    if array.dtype.kind not in "fiu" and array.size:
        raise TypeError(f"{name}: expected real numbers, got dtype {array.dtype}")
    return array


def _type_of(rewards: Array, arrays: dict[str, Array]) -> np.dtype[Any]:
    """The results' type: the floats'; float64 where there are integers.  Single numbers do not count."""
    found = {rewards.dtype, *[array.dtype for array in arrays.values() if array.ndim]}
    if found == {_FLOAT32}:
        return _FLOAT32
    if any(dtype.kind != "f" for dtype in found):
        return _FLOAT64
    widest = np.result_type(*found)
    return _FLOAT64 if widest.itemsize >= 8 else widest


class _Laying:
    """Brings arrays into the memory order of a problem; what lies so already is not copied."""

    def __init__(self, rewards: Array, axis: int, T: int, B: int, dtype: np.dtype[Any]) -> None:
        self.axis, self.T, self.B, self.dtype = axis, T, B, dtype
        self.two = rewards.ndim == 2
        flags = rewards.flags
        if not self.two:
            self.batch_major = True
        elif axis:
            self.batch_major = B > 0 and (flags.c_contiguous or not flags.f_contiguous)
        else:
            self.batch_major = flags.f_contiguous and (B == 1 or not flags.c_contiguous)
        self.turned = self.two and self.batch_major == (axis == 0)  # memory order is not the user's

    def shape(self, rows: int) -> tuple[int, ...]:
        """Of an array with so many rows, as the user has it."""
        if not self.two:
            return (rows,)
        return (self.B, rows) if self.axis else (rows, self.B)

    def __call__(self, name: str, array: Array, *rows: int, number: bool = False) -> Array:
        """`array` in memory order.  rows: how many it may have; number: it may be one for all."""
        if number and array.ndim == 0:
            array = np.broadcast_to(array, self.shape(rows[0]))
        elif array.shape not in [self.shape(each) for each in rows]:
            expected = " or ".join(str(self.shape(each)) for each in rows)
            raise ValueError(f"{name}: got shape {array.shape}, expected {expected}")
        return self.dense(array, self.dtype)

    def dense(self, array: Array, dtype: np.dtype[Any]) -> Array:
        """In memory order, the last axis without gaps."""
        if self.turned:
            array = array.T
        if array.dtype is dtype and array.flags.c_contiguous and array.flags.aligned:
            return array
        return np.require(array, dtype, ["C", "A"])

    def rate(
        self, name: str, value: ArrayLike, skipped: NDArray[np.bool_] | None
    ) -> tuple[float, Array | None]:
        """gammas or lambdas: (the number, None), or (0, an array)."""
        if type(value) is float and 0.0 <= value <= 1.0:
            return value, None
        array = _array(name, value)
        if array.ndim == 0:
            return arguments.unit(name, value), None
        if array.shape == self.shape(self.T):
            dtype = _FLOAT32 if array.dtype.kind == "f" and array.dtype.itemsize <= 4 else _FLOAT64
            array = self.dense(array, dtype)
            _between(name, array, 1.0, skipped)
        elif self.two and array.shape == (self.T,):
            array = np.require(array, np.float64, ["C", "A"])
            _between(name, array, 1.0, None)
        else:
            each = f" or {self.shape(self.T)}" if self.two else ""
            raise ValueError(f"{name}: got shape {array.shape}, expected a number, ({self.T},){each}")
        return 0.0, array

    def rows(self, array: Array) -> Array:
        """A view of an array in memory order with time first: (rows, B)."""
        return array.reshape(self.B, -1).T if self.batch_major else array


def _between(name: str, array: Array, high: float, skipped: NDArray[np.bool_] | None) -> None:
    """Refuse entries outside [0, high]; NaN is let through, and so is what is skipped."""
    if not array.size or (array.min() >= 0.0 and array.max() <= high):
        return
    wrong = (array < 0.0) | (array > high)
    if skipped is not None:
        wrong &= ~skipped
    if wrong.any():
        place = np.unravel_index(int(wrong.argmax()), array.shape)
        where = ", ".join(str(int(i)) for i in place)
        allowed = "numbers from 0 to 1" if high == 1.0 else "numbers of at least 0"
        raise ValueError(f"{name}: entry {where} is {array[place]}, expected {allowed}")


def _flags(name: str, value: Any) -> NDArray[np.uint8]:
    """Flags as 0 and 1."""
    try:
        array = np.asarray(value)
    except Exception as error:
        raise _unreadable(name, value, error) from error
    if array.dtype is _BOOL:
        return array.view(np.uint8)
    if array.dtype.kind not in "biuf" and array.size:
        raise TypeError(f"{name}: expected flags, bool or 0 and 1, got dtype {array.dtype}")
    ones = array == 1
    if not (ones | (array == 0)).all():
        wrong = array[~(ones | (array == 0))][0]
        raise ValueError(f"{name}: got {wrong}, expected flags, bool or 0 and 1")
    return ones.view(np.uint8)


def _all_flags(
    lay: _Laying, terminated: Any, truncated: Any, mask: Any, no_next_values: bool
) -> tuple[NDArray[np.uint8] | None, bool, NDArray[np.bool_] | None]:
    """(flags or None, whether they only terminate, what is skipped), in memory order."""
    flags, skipped = None, None
    shape = lay.shape(lay.T)
    laid: list[NDArray[np.uint8] | None] = []
    for name, given in (("terminated", terminated), ("truncated", truncated), ("mask", mask)):
        if given is None:
            laid.append(None)
            continue
        array = _flags(name, given)
        if array.shape != shape:
            raise ValueError(f"{name}: got shape {array.shape}, expected {shape}")
        laid.append(lay.dense(array, array.dtype))
    ends, cuts, there = laid
    if cuts is None and there is None:
        return ends, True, None
    flags = np.zeros_like(cuts if cuts is not None else there) if ends is None else ends.copy()
    if cuts is not None:
        flags |= cuts + cuts  # NumPy shifts bytes one at a time
    if there is not None:
        skipped = there == 0
        flags -= _SKIPPED  # modulo 256: where there is 0, _SKIPPED comes out; else what was
        flags *= there
        flags += _SKIPPED
    if no_next_values and cuts is not None:
        lost = flags == _TRUNCATED
        if lost.any():
            place = np.unravel_index(int(lost.argmax()), lost.shape)
            where = ", ".join(str(int(i)) for i in (place[::-1] if lay.turned else place))
            raise ValueError(
                f"truncated: entry {where} is set, expected next_values as well: what follows a truncation "
                "is the value of the state that it arrived in"
            )
    return flags, False, skipped


def _values(
    p: Problem, lay: _Laying, arrays: dict[str, Array], bootstrap: Any, skipped: NDArray[np.bool_] | None
) -> None:
    """Values of states and of what comes after the last one; importance ratios and what is like them."""
    T = lay.T
    following = "expected_q" if "expected_q" in arrays else "values"
    if p.family == "discounted_sum":
        p.last = np.zeros(lay.B, lay.dtype) if bootstrap is None else _last(lay, bootstrap)
    else:
        rows = arrays[following].shape[lay.axis] if arrays[following].ndim == 1 + lay.two else -1
        p.nexts = lay(following, arrays[following], *((T + 1,) if bootstrap is None and rows != T else (T,)))
        if bootstrap is None:
            if rows == T:
                raise ValueError(
                    f"{following}: got {T} rows, expected {T + 1}, or bootstrap= for that of S_T"
                )
            p.last = lay.rows(p.nexts)[T] if not lay.batch_major or lay.two else p.nexts[T:]
        else:
            p.last = _last(lay, bootstrap)
        p.values = p.nexts if following == "values" else lay("q", arrays["q"], T, T + 1)
        if p.family == "upgo":
            p.q = lay("q", arrays["q"], T, T + 1)
            if skipped is not None and skipped.any():
                p.q = _across_gaps(p, lay, skipped)
        if p.family in _WITH_ENDS and (p.horizon or skipped is not None):
            _mind_the_gaps(p, lay, skipped)
        if not p.last.flags.c_contiguous:
            p.last = p.last.copy()
    for name, high in (("rhos", np.inf), ("pi", 1.0), ("sigmas", 1.0)):
        if name in arrays:
            array = lay(name, arrays[name], T, T + 1, number=True)
            _between(name, lay.rows(array)[:T], high, None if skipped is None else lay.rows(skipped))
            setattr(p, name, array)


def _last(lay: _Laying, bootstrap: Any) -> Array:
    array = _array("bootstrap", bootstrap)
    if array.ndim and array.shape != (lay.B,):
        raise ValueError(f"bootstrap: got shape {array.shape}, expected ({lay.B},)")
    return np.require(np.broadcast_to(array, (lay.B,)), lay.dtype, ["C", "A"])


def _across_gaps(p: Problem, lay: _Laying, skipped: NDArray[np.bool_]) -> Array:
    """q (T, B) in memory order for upgo: in a skipped slot what decides as the next transition does."""
    q, v, gap = lay.rows(p.q)[: lay.T].copy(), lay.rows(p.nexts)[: lay.T], lay.rows(skipped)
    there = np.where(gap, lay.T, np.arange(lay.T)[:, None])  # the next one that is not skipped
    there = np.minimum.accumulate(there[::-1], axis=0)[::-1]
    at = np.minimum(there, lay.T - 1)
    q_there, v_there = np.take_along_axis(q, at, axis=0), np.take_along_axis(v, at, axis=0)
    decided = np.where(q_there >= v_there, np.inf, -np.inf).astype(lay.dtype)
    decided[np.isnan(q_there) | np.isnan(v_there)] = np.nan
    q[gap] = np.where(there == lay.T, v, decided)[gap]
    return np.ascontiguousarray(q.T) if lay.batch_major else q


def _mind_the_gaps(p: Problem, lay: _Laying, skipped: NDArray[np.bool_] | None) -> None:
    """What a return goes on with, S_T's value or that at its horizon, is of the state after its last
    transition that is not skipped."""
    p.ends = p.nexts
    if skipped is None or not skipped.any():
        return
    T, B = lay.T, lay.B
    values = np.empty((T + 1, B), lay.dtype)
    values[:T], values[T] = lay.rows(p.nexts)[:T], p.last
    after = np.zeros((T + 1, B), np.intp)  # 1 + the last transition before S_t
    after[1:] = np.where(lay.rows(skipped), 0, np.arange(1, T + 1)[:, None])
    ends = np.take_along_axis(values, np.maximum.accumulate(after, axis=0), axis=0)
    p.last = ends[T].copy()
    p.ends = np.ascontiguousarray(ends.T) if lay.batch_major else ends


def _is_out(name: str, out: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name}: got {type(out).__name__}, expected a NumPy array")
    if out.shape != shape:
        raise ValueError(f"{name}: got shape {out.shape}, expected {shape}")
    if not np.can_cast(dtype, out.dtype, "same_kind"):
        raise TypeError(f"{name}: got dtype {out.dtype}, expected {dtype}")
    if not out.flags.writeable:
        raise ValueError(f"{name}: got an array that is read-only")
    if _overlaps_itself(out):
        raise ValueError(
            f"{name}: got shape {out.shape} with strides {out.strides}, where entries share memory, "
            "expected an array whose entries do not overlap"
        )
    return out


def _overlaps_itself(array: Array) -> bool:
    if array.flags.forc:
        return False
    size = array.itemsize
    for stride, n in sorted((abs(stride), n) for stride, n in zip(array.strides, array.shape, strict=True)):
        if n > 1 and stride < size:  # an axis is not clear of those within it
            return _meet(array)
        size += stride * (n - 1)
    return False


def _meet(*arrays: Array) -> bool:
    """Whether two entries of these arrays lie on the same byte: exact, by sorting all of them."""
    starts, sizes = [], []
    for each in arrays:
        at = np.array([each.__array_interface__["data"][0]], np.int64)
        for stride, n in zip(each.strides, each.shape, strict=True):
            at = (at[:, None] + stride * np.arange(n)).reshape(-1)
        starts.append(at)
        sizes.append(np.full(at.size, each.itemsize))
    start, size = np.concatenate(starts), np.concatenate(sizes)
    order = start.argsort()
    return bool((np.diff(start[order]) < size[order][:-1]).any())


def _outs(p: Problem, lay: _Laying, narrow: np.dtype[Any], out: Any) -> list[Array] | None:
    """Checks what the caller wants the results in, and lays p.out and p.second over it where that can be."""
    shape = lay.shape(lay.T)
    outs: list[Array] | None = None
    if out is not None:
        if p.family not in _PAIRS:
            outs = [_is_out("out", out, shape, narrow)]
        elif isinstance(out, (tuple, list)) and len(out) == 2:
            outs = [_is_out(f"out[{i}]", each, shape, narrow) for i, each in enumerate(out)]
            if _overlap(*outs) and _overlap(*outs, max_work=_WORK) and _meet(*outs):
                raise ValueError(
                    "out: got a pair of arrays that share memory, expected two that do not overlap each other"
                )
        else:
            raise TypeError(f"out: got {type(out).__name__}, expected a pair of NumPy arrays")
    if outs is not None and _can_write(p, lay, outs):
        laid = [each.T if lay.turned else each for each in outs]
    else:
        memory = shape[::-1] if lay.turned else shape
        laid = [np.empty(memory, lay.dtype) for _ in range(1 + (p.family in _PAIRS))]
    p.out = laid[0]
    if len(laid) > 1:
        p.second = laid[1]
    return outs


def _can_write(p: Problem, lay: _Laying, outs: list[Array]) -> bool:
    """Whether a kernel can write there: of its type, dense, and no memory of the inputs or of each other."""
    for each in outs:
        laid = each.T if lay.turned else each
        if laid.dtype is not lay.dtype or not (laid.flags.c_contiguous and laid.flags.aligned):
            return False
    inputs = [each for each in vars(p).values() if isinstance(each, np.ndarray)]
    inputs += outs[1:]
    return not any(_overlap(out, each) for out in outs[:1] for each in inputs) and not any(
        _overlap(out, each) for out in outs[1:] for each in inputs if each is not out
    )


def _results(p: Problem, lay: _Laying, narrow: np.dtype[Any], outs: list[Array] | None) -> Any:
    found = [p.out] if p.second is None else [p.out, p.second]
    results = []
    for i, each in enumerate(found):
        result = each.T if lay.turned else each
        if outs is not None:
            if not _overlap(outs[i], result):
                outs[i][...] = result
            result = outs[i]
        elif result.dtype != narrow:
            result = result.astype(narrow)
        results.append(result)
    return results[0] if len(results) == 1 else (results[0], results[1])


def _show_common() -> None:
    """Name the keywords behind `common` in the signature and the docstring of every function."""
    common = list(inspect.signature(_returns).parameters.values())
    about = __doc__ and __doc__[__doc__.index("gammas       ") : __doc__.index("\n\nWhat flags")]
    for name in __all__:
        function = globals()[name]
        signature = inspect.signature(function)
        own = signature.parameters
        if "common" not in own:
            continue
        more = [p for p in common if p.kind is p.KEYWORD_ONLY and p.name not in own]
        shown = [p for p in own.values() if p.name != "common"]
        function.__signature__ = signature.replace(parameters=[*shown, *more])
        if function.__doc__ and about:
            says = inspect.cleandoc(function.__doc__)
            function.__doc__ = f"{says}\n\nIn common with the others:\n\n{about}"


_show_common()
