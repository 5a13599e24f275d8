"""Returns of trajectories: lambda-returns, GAE, V-trace and what is like them, right at truncations.

    advantages, targets = returns.gae(rewards, values, gammas=0.99, lambdas=0.95,
                                      terminated=terminated, truncated=truncated, next_values=next_values)

All go backwards through X_t = a_t + c_t X_{t+1}, with sums carried in float64.  What they have in common:

rewards      (T,), (T, B), or with time_axis=1 (B, T); further axes are columns, too.  Entry t is R_{t+1}.
values       v(S_t): T + 1 rows; or T rows, and bootstrap.  So are q and expected_q.
gammas       gamma_{t+1}, the discount on arriving in S_{t+1}: a number, (T,), or as the rewards.
lambdas      lambda_{t+1}, the same.
terminated   the episode ended with transition t: nothing follows.
truncated    it was cut off there: what follows is next_values[t].  Terminated goes before truncated.
mask         False: no transition, as the dummy that Gymnasium's vector environments make after an end.
             It is passed over, and 0 comes out.
next_values  the value of the state that transition t arrived in; only read where truncated.
bootstrap    (B,), or a number: the value of S_T, where values has T rows.
horizon      G_{t:t+horizon} of every t, cut at T.  None: all that is there.
time_axis    1 where arrays are (B, T).
out          where the results go: an array, for gae and vtrace a pair; may overlap the inputs, but a pair
             not each other, and no two entries of an array one another.
backend      "auto", "c", "numba" or "numpy"; "cuda" for arrays on a GPU.

What flags, masks and weights of 0 rule out may be NaN; NaN elsewhere reaches the results that depend on it.
The results are of the inputs' type: float32, float64, float16 or bfloat16; float64 for integers.  They are of
the inputs' kind, too: NumPy's arrays, PyTorch's tensors, JAX's arrays, anything with DLPack; docs/returns.md.
lambda_returns, gae, discounted_sum and n_step_returns of tensors that require grad are differentiable.

Errors: ValueError for shapes, for a gamma, lambda, pi or sigma outside [0, 1], a rho below 0, for a
truncation without next_values, and for an out that is read-only or has entries on the same memory; TypeError
for what does not hold real numbers, for arrays of two kinds or on two devices, for a tensor that requires
grad where there is no gradient, and for a keyword that there is not; BackendUnavailable;
KeyboardInterrupt within a long call, after which what `out` holds is undefined.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, TypedDict, TypeVar, Unpack, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import arguments
from ..backends import Backend, Device, module, resolve
from ..kinds import CPU, foreign
from ..quick import native
from .arrays import host_array, of_its_kind
from .outs import outs_of, results_of
from .problem import (
    BOOL,
    FLOAT32,
    FLOAT64,
    Laying,
    Problem,
    all_flags,
    array_of,
    flags_of,
    time_axis_of,
    type_of,
    values_of,
)  # fmt: skip
from .simple import simple
from .typed import Floats, One, P, Pair, Two

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

Bars = tuple[float, float, float | None]
F = TypeVar("F", bound=Callable[..., Any])

_ONES: Bars = (1.0, 1.0, None)
_modules: dict[str, Any] = {}


class Common(TypedDict, total=False):
    """The keywords that all have in common; see above."""

    terminated: ArrayLike | None
    truncated: ArrayLike | None
    mask: ArrayLike | None
    next_values: ArrayLike | None
    bootstrap: ArrayLike | None
    horizon: int | None
    time_axis: int
    out: Any
    backend: Backend | Device


class Nothing(TypedDict):
    """No keyword at all: a wrong one is told by its name, and by type checkers."""


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


def _one(function: Callable[Concatenate[ArrayLike, P], Floats]) -> One[P]:
    return cast(One[P], _public(function))


def _two(function: Callable[Concatenate[ArrayLike, P], Pair]) -> Two[P]:
    return cast(Two[P], _public(function))


def _refuse_call(function: str, keywords: Mapping[str, object], **needed: Any) -> None:
    """TypeError for a keyword that there is not, or for what is needed and was not given."""
    allowed = list(inspect.signature(globals()[function]).parameters)
    for name in keywords:
        if name not in allowed:
            raise arguments.unknown_keyword(function, name, allowed)
    for name, value in needed.items():
        if value is _MISSING:
            raise TypeError(f"{function}: missing the argument {name!r}")


@_one
def lambda_returns(
    rewards: ArrayLike,
    values: ArrayLike,
    *,
    gammas: ArrayLike,
    lambdas: ArrayLike = 1.0,
    **common: Unpack[Common],
) -> Floats:
    """G_t = R_{t+1} + gamma_{t+1} ((1 - lambda_{t+1}) v_{t+1} + lambda_{t+1} G_{t+1}), with G_T = v_T.

    values  v(S_t); q(S_t, A_t) for the returns of Sarsa; sum_a pi(a|S_t) q(S_t, a) of Expected Sarsa.

    Source: Sutton & Barto 2018, equations 12.18 to 12.20.
    """
    return _returns("lambda_returns", rewards, {"values": values}, gammas, lambdas, common)


@_one
def off_policy_returns(
    rewards: ArrayLike,
    values: ArrayLike,
    rhos: ArrayLike,
    *,
    gammas: ArrayLike,
    lambdas: ArrayLike = 1.0,
    **common: Unpack[Common],
) -> Floats:
    """State values with control variates: rho_t times the lambda-return, plus (1 - rho_t) v_t.

    rhos  (T,) or (T + 1,) rows, the last without effect: pi(A_t|S_t) / mu(A_t|S_t).

    Source: Sutton & Barto 2018, equation 12.22.
    """
    own = {"values": values, "rhos": rhos}
    return _returns("off_policy_returns", rewards, own, gammas, lambdas, common)


@_one
def off_policy_action_returns(
    rewards: ArrayLike,
    q: ArrayLike,
    expected_q: ArrayLike,
    rhos: ArrayLike,
    *,
    gammas: ArrayLike,
    lambdas: ArrayLike = 1.0,
    **common: Unpack[Common],
) -> Floats:
    """Action values with control variates.

        G_t = R_{t+1} + gamma_{t+1} (V_{t+1} + lambda_{t+1} rho_{t+1} (G_{t+1} - q_{t+1}))

    q           q(S_t, A_t); its row T has no effect.
    expected_q  V_t = sum_a pi(a|S_t) q(S_t, a).  bootstrap is V_T.
    rhos        T or T + 1 rows; that of S_T has no effect.

    Source: Sutton & Barto 2018, equation 12.26.
    """
    own = {"q": q, "expected_q": expected_q, "rhos": rhos}
    return _returns("off_policy_action_returns", rewards, own, gammas, lambdas, common)


@_one
def retrace(
    rewards: ArrayLike,
    q: ArrayLike,
    expected_q: ArrayLike,
    rhos: ArrayLike,
    *,
    gammas: ArrayLike,
    lambdas: ArrayLike = 1.0,
    **common: Unpack[Common],
) -> Floats:
    """off_policy_action_returns with min(1, rho) for rho.

    Source: Munos et al. 2016, "Safe and efficient off-policy reinforcement learning".
    """
    own = {"q": q, "expected_q": expected_q, "rhos": rhos}
    return _returns("retrace", rewards, own, gammas, lambdas, common)


@_one
def tree_backup(
    rewards: ArrayLike,
    q: ArrayLike,
    expected_q: ArrayLike,
    pi: ArrayLike,
    *,
    gammas: ArrayLike,
    lambdas: ArrayLike = 1.0,
    **common: Unpack[Common],
) -> Floats:
    """off_policy_action_returns with pi(A_t|S_t) for rho.

    Source: Sutton & Barto 2018, section 12.10; Precup, Sutton & Singh 2000.
    """
    own = {"q": q, "expected_q": expected_q, "pi": pi}
    return _returns("tree_backup", rewards, own, gammas, lambdas, common)


@_one
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
    **common: Unpack[Common],
) -> Floats:
    """off_policy_action_returns with sigma rho + (1 - sigma) pi for rho.

    Source: Sutton & Barto 2018, sections 7.6 and 12.10.
    """
    own = {"q": q, "expected_q": expected_q, "rhos": rhos, "pi": pi, "sigmas": sigmas}
    return _returns("q_sigma", rewards, own, gammas, lambdas, common)


@_two
def gae(
    rewards: ArrayLike,
    values: ArrayLike,
    *,
    gammas: ArrayLike,
    lambdas: ArrayLike = 1.0,
    **common: Unpack[Common],
) -> Pair:
    """(advantages, returns): A_t = delta_t + gamma_{t+1} lambda_{t+1} A_{t+1}, returns = A + v.

    delta_t = R_{t+1} + gamma_{t+1} v_{t+1} - v_t.

    Source: Schulman et al. 2016, "High-dimensional continuous control using generalized advantage
    estimation", equation 16.
    """
    return _returns("gae", rewards, {"values": values}, gammas, lambdas, common)


@_two
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
    **common: Unpack[Common],
) -> Pair:
    """(vs, advantages): vs_t = v_t + Y_t, with c_t = lambda_{t+1} min(c_bar, rho_t) and

        Y_t = min(rho_bar, rho_t) delta_t + gamma_{t+1} c_t Y_{t+1}
        advantage_t = min(pg_rho_bar, rho_t) (R_{t+1} + gamma_{t+1} vs_{t+1} - v_t)

    rho_bar, c_bar  at least 0; infinity leaves the ratios as they are.
    pg_rho_bar      the same, of the ratio in the advantages alone; None: as rho_bar.

    Source: Espeholt et al. 2018, "IMPALA", section 4.1; pg_rho_bar is clip_pg_rho_threshold in its program.
    """
    own, bars = {"values": values, "rhos": rhos}, (rho_bar, c_bar, pg_rho_bar)
    return _returns("vtrace", rewards, own, gammas, lambdas, common, bars)


@_one
def discounted_sum(
    rewards: ArrayLike, *, gammas: ArrayLike, lambdas: ArrayLike = 1.0, **common: Unpack[Common]
) -> Floats:
    """X_t = R_{t+1} + gamma_{t+1} lambda_{t+1} X_{t+1}, with X_T = bootstrap, or 0.

    Where truncated, next_values[t] stands for X_{t+1}.  With a horizon, X_{t+h} = 0 before T.
    """
    return _returns("discounted_sum", rewards, {}, gammas, lambdas, common)


@_one
def n_step_returns(
    rewards: ArrayLike,
    values: ArrayLike,
    *,
    n: int,
    gammas: ArrayLike,
    lambdas: ArrayLike = 1.0,
    **common: Unpack[Common],
) -> Floats:
    """G_{t:t+n}: n rewards and the value of the state after them; fewer where an episode ends, or at T.

    lambda_returns with horizon=n: with lambdas below 1 these are the truncated lambda-returns.

    Source: Sutton & Barto 2018, equation 7.1.
    """
    if n is _MISSING:
        _refuse_call("n_step_returns", common, n=n)
    n = arguments.count("n", n, 1, 2**63 - 1)
    if (horizon := common.get("horizon")) is not None:
        n = min(n, arguments.count("horizon", horizon, 1, 2**63 - 1))
    common["horizon"] = n
    own = {"values": values}
    return _returns("lambda_returns", rewards, own, gammas, lambdas, common, _ONES, "n_step_returns")


@_one
def upgo(
    rewards: ArrayLike,
    values: ArrayLike,
    q: ArrayLike,
    *,
    gammas: ArrayLike,
    lambdas: ArrayLike = 1.0,
    **common: Unpack[Common],
) -> Floats:
    """G_t = R_{t+1} + gamma_{t+1} (G_{t+1} where q_{t+1} >= v_{t+1}, else v_{t+1}), with G_T = v_T.

    q  q(S_t, A_t), T or T + 1 rows; those of S_0 and S_T have no effect.
    With lambdas below 1, the lambda-return with lambda_{t+1} = 0 where q_{t+1} < v_{t+1}.

    Source: Vinyals et al. 2019, "Grandmaster level in StarCraft II", methods.
    """
    return _returns("upgo", rewards, {"values": values, "q": q}, gammas, lambdas, common)


@_public
def from_episode_starts(
    starts: ArrayLike, *, time_axis: int = 0, **wrong: Unpack[Nothing]
) -> NDArray[np.bool_]:
    """terminated (T,) from the flags (T + 1,) that say whether S_t is the first of an episode.

    Stable-Baselines3 (episode_starts, and the last dones) and CleanRL (dones, and next_done) keep these.
    They do not tell a truncation from a termination: see docs/returns.md.
    starts  (T + 1,), (T + 1, B), or with time_axis=1 (B, T + 1), of bool or of 0 and 1.
    """
    if wrong or starts is _MISSING:
        _refuse_call("from_episode_starts", wrong, starts=starts)
    kind = foreign(starts)
    if kind and kind.device(starts) == CPU:
        array = host_array(kind, "starts", starts)
        return kind.back(from_episode_starts(array, time_axis=time_axis), starts)
    flags: Any = starts if kind else flags_of("starts", starts)
    if not flags.ndim:
        raise ValueError(f"starts: got shape {flags.shape}, expected (T + 1,) or (T + 1, B, ...)")
    axis = time_axis_of(time_axis)
    axis = axis if flags.ndim > 1 else 0
    if flags.shape[axis] < 1:
        raise ValueError(f"starts: got shape {flags.shape}, expected at least one entry, that of S_0")
    later = flags[:, 1:] if axis else flags[1:]
    return later != 0 if kind else later.view(BOOL).copy()  # of a GPU's nothing is looked at


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


def _returns(
    family: str,
    rewards: ArrayLike,
    own: dict[str, ArrayLike],
    gammas: ArrayLike,
    lambdas: ArrayLike,
    common: Common,
    bars: Bars = _ONES,
    function: str = "",
) -> Any:
    """By one C function where the call is usual; it gives None where not, and while C is not loaded."""
    results = native and native.returns(family, rewards, own, gammas, lambdas, bars, common)
    if results is not None:
        return results
    return _any_returns(family, rewards, own, gammas, lambdas, bars, function, **common)


def _kernels(backend: Backend) -> Any:
    return _modules.get(backend) or _modules.setdefault(backend, module(resolve(backend), "returns"))


def _bars_of(rho_bar: float, c_bar: float, pg_rho_bar: float | None) -> Bars:
    own = None if pg_rho_bar is None else arguments.bar("pg_rho_bar", pg_rho_bar)
    return arguments.bar("rho_bar", rho_bar), arguments.bar("c_bar", c_bar), own


def _any_returns(
    family: str,
    rewards: ArrayLike,
    own: dict[str, ArrayLike],
    gammas: ArrayLike,
    lambdas: ArrayLike,
    bars: Bars,
    function: str,
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
    backend: Backend | Device = "auto",
    **wrong: Any,
) -> Any:
    if family == "vtrace":
        bars = _bars_of(*bars)
    if wrong or rewards is _MISSING or gammas is _MISSING:
        _refuse_call(function or family, wrong, rewards=rewards, **own, gammas=gammas)
    kernels: Any = None if backend == "cuda" else _kernels(backend)  # which knows its arrays by their kind
    if (
        truncated is None and mask is None and next_values is None and bootstrap is None and horizon is None
        and time_axis == 0 and len(own) == 1 and kernels is not None and kernels.run_simple is not None
    ):  # fmt: skip
        results = simple(kernels, family, rewards, own.get("values"), terminated, gammas, lambdas, out)
        if results is not None:
            return results
    for value in own.values():
        if value is _MISSING:
            _refuse_call(function or family, wrong, **own)
    each = {
        "rewards": rewards, **own, "gammas": gammas, "lambdas": lambdas, "terminated": terminated,
        "truncated": truncated, "mask": mask, "next_values": next_values, "bootstrap": bootstrap,
    }  # fmt: skip
    more = {"horizon": horizon, "time_axis": time_axis, "out": out, "backend": backend}
    if (results := of_its_kind(family, each, own, bars, more, _returns)) is not None:
        return results
    given = array_of("rewards", rewards)
    if not given.ndim:
        raise ValueError("rewards: got shape (), expected (T,), (T, B, ...), or with time_axis=1 (B, T, ...)")
    axis = time_axis_of(time_axis)
    axis = axis if given.ndim > 1 else 0
    arrays = {name: array_of(name, value) for name, value in own.items()}
    narrow = type_of(given, arrays)
    dtype = FLOAT64 if narrow is FLOAT64 else FLOAT32
    lay = Laying(given, axis, dtype)
    T, B = lay.T, lay.B

    reach = 0 if horizon is None else arguments.count("horizon", horizon, 1, 2**63 - 1)
    laid = lay("rewards", given, T)
    flags, terminations_only, skipped = all_flags(lay, terminated, truncated, mask, next_values is None)
    gamma, by_gamma = lay.rate("gammas", gammas, skipped)
    lambda_, by_lambda = lay.rate("lambdas", lambdas, skipped)
    after = None if next_values is None else lay("next_values", array_of("next_values", next_values), T)
    found = values_of(family, lay, arrays, bootstrap, reach, skipped)
    inputs = () if out is None else (laid, flags, by_gamma, by_lambda, after, *found.values())
    outs, written = outs_of(family, lay, narrow, out, inputs)
    if T and B:
        rho_bar, c_bar, pg_rho_bar = bars
        problem = Problem.of({
            "family": family, "T": T, "B": B, "batch_major": lay.batch_major, "horizon": reach,
            "rewards": laid, "out": written[0], "second": written[1] if len(written) == 2 else None,
            "gamma": gamma, "lambda_": lambda_, "gammas": by_gamma, "lambdas": by_lambda,
            "flags": flags, "terminations_only": terminations_only, "next_values": after,
            "rho_bar": rho_bar, "c_bar": c_bar, "pg_rho_bar": pg_rho_bar, **found,
        })  # fmt: skip
        kernels.run(problem)
    return results_of(lay, narrow, outs, written)


def _show_common() -> None:
    """Name the keywords behind `common` in the signature and the docstring of every function."""
    common = list(inspect.signature(_any_returns).parameters.values())
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
