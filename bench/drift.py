"""The products that the learners with two vectors keep, over ten million steps: python -m bench.drift

z.v, z.z and their kin are moved on by what each step adds to them, and never taken anew.  Here they are
compared with the products of the whole vectors after every million steps, and both weight vectors with
those of the dense loop in float64, which takes every product anew on every step.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

import fasttrace as ft
from fasttrace.experiments import info
from fasttrace.linear import gradient_trace

Float64 = NDArray[np.float64]

N, K, A, CHUNK = 24, 3, 3, 1_000_000  # A actions, for GQ
LEARNERS = ("GTD", "HTD", "TrueOnlineGTD", "GTD2", "TDRC", "ProximalGTD2", "GQ")
# Decays, and the step sizes alpha and beta: the longer a trace lives, the smaller.
REGIMES = {"constant": (0.01, 0.002), "random": (0.01, 0.002), "about 1": (1e-4, 2e-5)}


@numba.njit
def dense(kind, w, v, z, u, g, carried, x, rewards, gammas, lambdas, rhos, alpha, beta):
    """The book's loop.  u is zb of HTD and k of true online GTD; carried: gamma lambda and v_old.

    TDRC has a step size of v of beta and decays it by beta.
    """
    n = len(w)
    for t in range(len(rewards)):
        rho, gamma, lambda_ = rhos[t], gammas[t], lambdas[t]
        kept = carried[0]
        D = rho * kept
        value = value_next = vx = 0.0
        for i in x[t]:
            value += w[i]
            vx += v[i]
        for i in x[t + 1]:
            value_next += w[i]
        delta = rewards[t] + gamma * value_next - value
        for i in range(n):
            z[i] *= D
            u[i] *= kept if kind == 1 else D
            g[i] *= D
        if kind == 2:
            ex = ux = 0.0
            for i in x[t]:
                ex += z[i]
                ux += u[i]
            for i in x[t]:
                z[i] += rho * alpha * (1 - ex)
                u[i] += beta * (rho - ux)
                g[i] += rho
        else:
            for i in x[t]:
                z[i] += rho
                u[i] += 1.0
        zv = uv = gv = 0.0
        for i in range(n):
            zv += z[i] * v[i]
            uv += u[i] * v[i]
            gv += g[i] * v[i]
        if kind >= 3 and kind != 4:  # GTD2(lambda), and where proximal GTD2 goes on from
            f, m, ahead = gamma * (1 - lambda_), vx, delta
            if kind == 5:
                xx = xy = yy = zx = zz = 0.0
                for i in range(n):
                    here, there = 0.0, 0.0
                    for j in x[t]:
                        here += i == j
                    for j in x[t + 1]:
                        there += i == j
                    xx, xy, yy = xx + here * here, xy + here * there, yy + there * there
                    zx, zz = zx + here * z[i], zz + z[i] * z[i]
                value += alpha * (vx * xx - f * zv * xy)
                value_next += alpha * (vx * xy - f * zv * yy)
                ahead = rewards[t] + gamma * value_next - value
                m = vx + beta * (delta * zx - vx * xx)
                zv += beta * (delta * zz - vx * zx)
            for i in range(n):
                v[i] += beta * ahead * z[i]
            for i in x[t]:
                w[i] += alpha * m
                v[i] -= beta * m
            for i in x[t + 1]:
                w[i] -= alpha * f * zv
        elif kind == 0 or kind == 4:
            for i in range(n):
                w[i] += alpha * delta * z[i]
                v[i] += beta * (delta * z[i] - (v[i] if kind == 4 else 0.0))
            for i in x[t]:
                v[i] -= beta * vx
            for i in x[t + 1]:
                w[i] -= alpha * gamma * (1 - lambda_) * zv
        elif kind == 1:
            for i in range(n):
                w[i] += alpha * delta * z[i]
                v[i] += beta * delta * z[i]
            for i in x[t]:
                w[i] += alpha * (zv - uv)
                v[i] -= beta * uv
            for i in x[t + 1]:
                w[i] -= gamma * alpha * (zv - uv)
                v[i] += gamma * beta * uv
        else:
            correction = value - carried[1] if D != 0 else 0.0
            for i in range(n):
                w[i] += (delta + correction) * z[i]
                v[i] += delta * u[i]
            for i in x[t]:
                w[i] -= alpha * rho * correction
                v[i] -= beta * vx
            for i in x[t + 1]:
                w[i] -= alpha * gamma * (1 - lambda_) * gv
        carried[0], carried[1] = gamma * lambda_, value_next


@numba.njit
def dense_gq(w, v, z, carried, x, actions, rewards, gammas, lambdas, rhos, policy, alpha, beta):
    """The book's loop for GQ; w, v, z are (n, A).  carried: gamma lambda."""
    n, A = w.shape
    y = np.zeros((n, A))
    for t in range(len(rewards)):
        gamma, lambda_, a = gammas[t], lambdas[t], actions[t]
        D = rhos[t] * carried[0]
        y[:] = 0.0
        for i in x[t + 1]:
            for b in range(A):
                y[i, b] += policy[t + 1, b]
        q = q_next = vx = 0.0
        for i in x[t]:
            q += w[i, a]
            vx += v[i, a]
        for i in range(n):
            for b in range(A):
                q_next += w[i, b] * y[i, b]
                z[i, b] *= D
        delta = rewards[t] + gamma * q_next - q
        for i in x[t]:
            z[i, a] += 1.0
        zv = 0.0
        for i in range(n):
            for b in range(A):
                zv += z[i, b] * v[i, b]
        for i in range(n):
            for b in range(A):
                w[i, b] += alpha * delta * z[i, b] - alpha * gamma * (1 - lambda_) * zv * y[i, b]
                v[i, b] += beta * delta * z[i, b]
        for i in x[t]:
            v[i, a] -= beta * vx
        carried[0] = gamma * lambda_


def streams(regime: str, steps: int) -> Iterator[tuple[Any, ...]]:
    """Chunks of x, rewards, gammas, lambdas, rhos, and actions and target policy, which GQ alone takes.

    Features, actions and policy go on from one chunk to the next.
    """
    rng = np.random.default_rng(list(REGIMES).index(regime))
    control = np.random.default_rng(len(REGIMES))
    action, pi = control.integers(A), control.dirichlet(np.ones(A))
    last = np.arange(K) * (N // K)
    for start in range(0, steps, CHUNK):
        T = min(CHUNK, steps - start)
        x = np.arange(K) * (N // K) + rng.integers(N // K, size=(T + 1, K))
        x[0], last = last, x[-1]
        if regime == "constant":
            numbers = np.full(T, 0.99), np.full(T, 0.9), np.ones(T)
        elif regime == "random":
            zeros = rng.random((2, T)) < 0.01
            numbers = (
                np.where(zeros[0], 0.0, rng.uniform(0.9, 1, T)),
                np.where(zeros[1], 0.0, rng.uniform(0.6, 1, T)),
                rng.choice([0.0, 0.6, 1.0, 1.3], T, p=[0.02, 0.3, 0.38, 0.3]),
            )
        else:
            near = 1.0 - 10.0 ** rng.uniform(-4.0, -1.5, (2, T))
            numbers = near[0], near[1], np.exp(0.05 * rng.standard_normal(T) - 0.00125)
        actions, policy = control.integers(A, size=T + 1), control.dirichlet(np.ones(A), T + 1)
        actions[0], policy[0], action, pi = action, pi, actions[-1], policy[-1]
        yield (x.astype(np.int32), rng.standard_normal(T), *numbers, actions.astype(np.int32), policy)


def relative(got: Float64, want: Float64) -> float:
    return float(np.abs(got - want).max() / np.abs(want).max())


def drift(name: str, regime: str, backend: str, steps: int) -> tuple[float, float, float]:
    """Largest errors, over all chunks, of the kept products and of w and v against the dense loop.

    A product of two vectors is in error relative to the product of their lengths.
    """
    alpha, beta = REGIMES[regime]
    sizes = (N, A) if name == "GQ" else (N,)
    options = {"beta": 1.0, "eta": beta / alpha} if name == "TDRC" else {"beta": beta}
    if name == "GTD2":
        options["lambda_"] = 0.9
    learner = getattr(ft, name)(*sizes, alpha=alpha, **options, backend=backend)
    trace = learner._trace
    w, v, z, u, g = np.zeros((5, *sizes))
    carried = np.zeros(2)
    worst = [0.0, 0.0, 0.0]
    for x, rewards, gammas, lambdas, rhos, actions, policy in streams(regime, steps):
        numbers = {"gammas": gammas, "lambdas": lambdas, "rhos": rhos}
        if name == "GQ":
            learner.learn(x, actions, rewards, **numbers, target_policy=policy)
            dense_gq(w, v, z, carried, x, actions, rewards, gammas, lambdas, rhos, policy, alpha, beta)
        else:
            learner.learn(x, rewards, **numbers)
            kind = LEARNERS.index(name)
            dense(kind, w, v, z, u, g, carried, x, rewards, gammas, lambdas, rhos, alpha, beta)
        vectors = trace.vectors()
        lengths = {key: float(np.linalg.norm(each)) for key, each in vectors.items()}
        first = "g" if name == "TrueOnlineGTD" else "z"
        for product, want in gradient_trace.products(trace.kind, vectors).items():
            one = "zb" if product == "zbv" else first
            other = {"zv": "v", "zbv": "v", "zzb": "zb"}.get(product, "k" if first == "g" else "z")
            kept = trace.scalars[gradient_trace._SCALARS.index(product)]
            size = lengths[one] * lengths[other]
            worst[0] = np.maximum(worst[0], abs(kept - want) / size if size else abs(kept - want))
        worst[1] = np.maximum(worst[1], relative(learner.weights, w))
        worst[2] = np.maximum(worst[2], relative(learner.v, v))  # NaN comes out
    return worst[0], worst[1], worst[2]


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.drift", description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000_000)
    parser.add_argument("--backend", default="c")
    parser.add_argument(
        "--learner", choices=LEARNERS, action="append", help="this one alone; may be repeated"
    )
    options = parser.parse_args()
    print("\n".join(info.lines(info.report())))
    print(f"\n{options.steps:,} steps, {N} weights, {K} active, backend {options.backend}\n")
    print("| learner | decays | products kept | w | v |")
    print("|---|---|---:|---:|---:|")
    for name in options.learner or LEARNERS:
        for regime in REGIMES:
            errors = drift(name, regime, options.backend, options.steps)
            print(f"| `{name}` | {regime} | {' | '.join(f'{each:.1e}' for each in errors)} |", flush=True)


if __name__ == "__main__":
    main()
