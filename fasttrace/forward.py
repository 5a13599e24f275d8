"""Forward views over linear features: what the learners' backward views are checked against.

Plain NumPy, with dense vectors: O(T n) memory.  Time indices are those of `learn`: entry t of rewards,
gammas, lambdas and terminated belongs to the transition from S_t to S_{t+1}.

Every lambda-return is linear in the weights, G_t = g_t + y_t.w, and is kept as (g_t, y_t).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import arguments
from .features import Ragged, is_sparse, parse_rows, raise_bad_index
from .memory import Float64

VARIANTS = ("live", "sequential", "batch")


@arguments.explained
def offline_lambda_return(
    x: Any,
    rewards: Any,
    *,
    alpha: Any,
    gammas: Any,
    lambdas: Any,
    terminated: Any,
    variant: str = "live",
    n_features: int | None = None,
    weights: Any = None,
) -> Float64:
    """Weights (n,) of the off-line lambda-return algorithm: at an episode's end, for all its states in turn,

        w <- w + alpha_t (G_t - w.x_t) x_t
        G_t = R_{t+1} + gamma_{t+1} ((1 - lambda_{t+1}) w.x_{t+1} + lambda_{t+1} G_{t+1})

    x           features of S_0 to S_T in any form that `learn` takes
    rewards     (T,) R_{t+1}
    alpha       number or (T,)
    gammas      number or (T,): entry t is gamma_{t+1}; taken as 0 where terminated
    lambdas     number or (T,): entry t is lambda_{t+1}
    terminated  (T,) booleans: where, and only where, an episode ends and its updates are made.  A discount
                of 0 cuts the return, but starts no updates; what follows the last end leaves w as it is
    variant     "live": G_t under the weights of the moment; "sequential": all G_t under the weights before
                the pass; "batch": the errors G_t - w.x_t, too
    n_features  n; None where weights or dense features tell
    weights     (n,) the first w; None is 0

    Source: Sutton & Barto 2018, section 12.1, (12.4); "live" gives figures 12.3 and 12.8.
    Errors: ValueError, TypeError, FeatureIndexError.
    """
    arguments.choice("variant", variant, VARIANTS)
    s = _task(x, rewards, alpha, gammas, lambdas, terminated, n_features, weights)
    w = s.w
    for start, stop in s.episodes():
        g, Y = _lambda_returns(s, start, stop)
        old = w.copy()
        for t in range(start, stop):
            under = w if variant == "live" else old
            v = (old if variant == "batch" else w) @ s.x[t]
            w += s.alphas[t] * (g[t - start] + Y[t - start] @ under - v) * s.x[t]
    return w


@arguments.explained
def monte_carlo(
    x: Any,
    rewards: Any,
    *,
    alpha: Any,
    gammas: Any,
    terminated: Any,
    lambdas: Any = None,
    n_features: int | None = None,
    weights: Any = None,
) -> Float64:
    """Weights (n,) of gradient Monte Carlo: at an episode's end, for all its states in turn,

        w <- w + alpha_t (G_t - w.x_t) x_t,  G_t = R_{t+1} + gamma_{t+1} G_{t+1}

    lambdas is not used: it is there so that one call fits every forward view.  The other arguments, and what
    `terminated` means, are offline_lambda_return's, which this is with lambda = 1.

    Source: Sutton & Barto 2018, section 9.3.
    """
    return offline_lambda_return(
        x, rewards, alpha=alpha, gammas=gammas, lambdas=1.0, terminated=terminated, variant="sequential",
        n_features=n_features, weights=weights,
    )  # fmt: skip


@arguments.explained
def online_lambda_return(
    x: Any,
    rewards: Any,
    *,
    alpha: Any,
    gammas: Any,
    lambdas: Any,
    rhos: Any = None,
    terminated: Any = None,
    n_features: int | None = None,
    weights: Any = None,
) -> Float64:
    """Weights (n,) of the online lambda-return algorithm, which true online TD(lambda) has at every step.

    At each horizon h = 1, ..., T all updates since the episode began are done again, from the weights that
    there were, towards returns that end at h:

        w   <- w + alpha_t rho_t (G_t - w.x_t) x_t             t = 0, ..., h - 1
        G_t = R_{t+1} + gamma_{t+1} ((1 - lambda_{t+1}) v_{t+1} + lambda_{t+1} H_{t+1})
        H_t = rho_t G_t + (1 - rho_t) v_t,  H_h = v_h          v_t = w.x_t under w after horizon t - 1

    rhos        number, (T,) or (T + 1,): importance ratios; None is on-policy
    terminated  (T,) booleans or None: where the discount is taken as 0

    The other arguments are offline_lambda_return's.  O(n) a horizon and step of an episode; a discount of 0
    ends one, since no return looks beyond it.

    Source: Sutton & Barto 2018, section 12.4; van Hasselt, Mahmood & Sutton 2014 for rho.
    """
    s = _task(x, rewards, alpha, gammas, lambdas, terminated, n_features, weights)
    given = arguments.series("rhos", rhos, s.steps, 1.0, "not_negative", spare=True)
    rho = np.broadcast_to(given, s.steps)
    w, start = s.w, 0
    first, v = w.copy(), np.zeros(s.steps + 1)
    for h in range(1, s.steps + 1):
        v[h] = w @ s.x[h]
        G, H = np.empty(h), v[h]
        for t in reversed(range(start, h)):
            G[t] = s.rewards[t] + s.gammas[t] * ((1.0 - s.lambdas[t]) * v[t + 1] + s.lambdas[t] * H)
            H = rho[t] * G[t] + (1.0 - rho[t]) * v[t]
        w = first.copy()
        for t in range(start, h):
            w += s.alphas[t] * rho[t] * (G[t] - w @ s.x[t]) * s.x[t]
        if s.gammas[h - 1] == 0.0:
            start, first = h, w.copy()
    return w


@arguments.explained
def truncated_td(
    x: Any,
    rewards: Any,
    *,
    n: int,
    alpha: Any,
    gammas: Any,
    lambdas: Any,
    terminated: Any,
    n_features: int | None = None,
    weights: Any = None,
) -> Float64:
    """Weights (n_features,) of truncated TD(lambda), TTD(lambda), whose returns look n steps ahead.

    On arriving in S_h the state n steps back is updated; at an episode's end the n - 1 that are left, too:

        w   <- w + alpha_t (G_{t:h} - w.x_t) x_t               h = t + n, or the end
        G_{t:h} = R_{t+1} + gamma_{t+1} ((1 - lambda_{t+1}) v_{t+1} + lambda_{t+1} G_{t+1:h}),  G_{h:h} = v_h

    v_h = w.x_h under the weights at the arrival, before the update.  n = 1 is TD(0).

    terminated  (T,) booleans: where, and only where, the updates that are left are made; the last n - 1 of a
                stream that does not end so are not

    The other arguments are offline_lambda_return's.
    Source: Sutton & Barto 2018, section 12.3, (12.9), (12.10).
    """
    n = arguments.count("n", n)
    s = _task(x, rewards, alpha, gammas, lambdas, terminated, n_features, weights)
    w, v = s.w, np.zeros(s.steps + 1)

    def update(t: int, h: int) -> None:
        G = v[h]
        for i in reversed(range(t, h)):
            G = s.rewards[i] + s.gammas[i] * ((1.0 - s.lambdas[i]) * v[i + 1] + s.lambdas[i] * G)
        w[:] += s.alphas[t] * (G - w @ s.x[t]) * s.x[t]

    start = 0
    for h in range(1, s.steps + 1):
        v[h] = w @ s.x[h]
        if h - n >= start:
            update(h - n, h)
        if s.terminated[h - 1]:
            for t in range(max(start, h - n + 1), h):
                update(t, h)
            start = h
    return w


@arguments.explained
def dutch_monte_carlo(
    x: Any, G: Any, *, alpha: Any, n_features: int | None = None, weights: Any = None
) -> Float64:
    """Weights (n,) of Monte Carlo with a dutch trace: one episode, whose return G is known at its end only.

        a <- a - alpha_t (a.x_t) x_t,  e <- e + alpha_t (1 - e.x_t) x_t       for t = 0, ..., T - 1
        w  = a + G e                                                          a = w, e = 0 before

    The result is that of w <- w + alpha_t (G - w.x_t) x_t for each t, without keeping the x_t: O(n) a step.

    x      features of S_0 to S_{T-1}, in any form that `learn` takes
    G      the return, the same for every state: no discount, one reward at the end
    alpha  number or (T,)

    The book lets a begin as a_0 = w_0 after the first state; it takes the product F_0 w_0, as here.
    Source: Sutton & Barto 2018, section 12.6, (12.13), (12.14); e = alpha z.
    Errors: ValueError, TypeError, FeatureIndexError.
    """
    a, X = _dense(x, n_features, weights)
    G = arguments.finite("G", G)
    alphas = _numbers("alpha", alpha, len(X), "positive")
    e = np.zeros_like(a)
    for x_t, alpha_t in zip(X, alphas, strict=True):
        a -= alpha_t * (a @ x_t) * x_t
        e += alpha_t * (1.0 - e @ x_t) * x_t
    return a + G * e


# ---- what they share ----


@dataclass
class _Task:
    """T transitions, dense: x (T + 1, n), the rest (T,); gammas are 0 where terminated.  w (n,) to learn."""

    x: Float64
    rewards: Float64
    alphas: Float64
    gammas: Float64
    lambdas: Float64
    terminated: NDArray[np.bool_]
    w: Float64

    @property
    def steps(self) -> int:
        return len(self.rewards)

    def episodes(self) -> Iterator[tuple[int, int]]:
        """(start, stop) of each episode that ends."""
        start = 0
        for last in np.flatnonzero(self.terminated).tolist():
            yield start, last + 1
            start = last + 1


def _lambda_returns(s: _Task, start: int, stop: int) -> tuple[Float64, Float64]:
    """(g, Y), (L,) and (L, n), of the episode's L returns: G_t = g_t + Y_t.w.  Its last discount is 0."""
    g, Y = np.zeros(stop - start), np.zeros((stop - start, len(s.w)))
    g_next, y_next = 0.0, np.zeros(len(s.w))
    for t in reversed(range(start, stop)):
        if s.gammas[t]:
            g_next = s.gammas[t] * s.lambdas[t] * g_next
            y_next = s.gammas[t] * ((1.0 - s.lambdas[t]) * s.x[t + 1] + s.lambdas[t] * y_next)
        else:
            g_next, y_next = 0.0, np.zeros(len(s.w))
        g_next = g[t - start] = s.rewards[t] + g_next
        Y[t - start] = y_next
    return g, Y


def _task(
    x: Any, rewards: Any, alpha: Any, gammas: Any, lambdas: Any, terminated: Any, n: int | None, weights: Any
) -> _Task:
    w, X = _dense(x, n, weights)
    T = len(X) - 1
    rewards = arguments.floats("rewards", rewards)
    if rewards.shape != (T,):
        raise ValueError(
            f"rewards: got shape {rewards.shape}, expected ({T},): x has {T + 1} rows, "
            "one more than there are rewards"
        )
    flags = np.zeros(T, bool) if terminated is None else _flags(terminated, T)
    return _Task(
        X,
        arguments.finite_array("rewards", rewards, (T,)),
        _numbers("alpha", alpha, T, "positive"),
        np.where(flags, 0.0, _numbers("gammas", gammas, T, "unit")),
        _numbers("lambdas", lambdas, T, "unit"),
        flags,
        w,
    )


def _dense(x: Any, n: int | None, weights: Any) -> tuple[Float64, Float64]:
    """The first weights (n,), a copy, and the features of every state, (rows, n)."""
    if n is not None:
        n = arguments.count("n_features", n)
    elif weights is not None:
        n = np.size(weights)
    elif is_sparse(x) or (
        not isinstance(x, (Ragged, tuple)) and arguments.array_of("x", x).dtype.kind == "f"
    ):
        n = np.shape(x)[-1]
    else:
        raise ValueError("n_features: got None, which only weights or dense features can stand for")
    rows = parse_rows(x, n)
    raise_bad_index(rows.indices, n, shape=rows.shape)
    if rows.count < 1:
        raise ValueError("x: got no rows, expected T + 1 with T rewards")
    w = np.zeros(n) if weights is None else arguments.finite_array("weights", weights, (n,)).copy()
    return w, np.array([rows.dense(r) for r in range(rows.count)])


def _numbers(name: str, value: Any, T: int, allowed: str) -> Float64:
    if value is None:
        raise ValueError(f"{name}: got None, expected a number or ({T},)")
    return np.broadcast_to(arguments.series(name, value, T, None, allowed), T)  # type: ignore[arg-type]


def _flags(terminated: Any, T: int) -> NDArray[np.bool_]:
    flags = arguments.array_of("terminated", terminated)
    if flags.dtype.kind not in "biu" and flags.size:
        raise TypeError(f"terminated: got dtype {flags.dtype}, expected booleans")
    if flags.shape != (T,):
        raise ValueError(f"terminated: got shape {flags.shape}, expected ({T},)")
    if flags.dtype.kind != "b" and not np.isin(flags, (0, 1)).all():
        raise ValueError("terminated: expected booleans, or numbers that are 0 or 1")
    return flags.astype(bool)
