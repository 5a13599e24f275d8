"""Networks, timed: a streaming step in C, Numba and PyTorch, and the pass over a trace of Jacobians.

PyTorch's step is written as the published program of Elsayed, Vasan & Mahmood 2024 works: modules, autograd,
an optimiser that goes over the parameters; one call a step, as `update` is.  Everything runs in one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np

import fasttrace as ft

from .cases import Spec, there
from .interleave import Step, interleave

SIZES, GAMMA, LAMBDA = (8, 64, 64, 1), 0.99, 0.8
STEPS, FEW = 400, 40  # of a stream; of PyTorch's, which take a hundred times as long
OUTPUTS, PARAMETERS = 4, 1_000_000
FLOAT32, FLOAT64 = 1e-5, 1e-10  # largest errors of parameters after 400 steps that count as right
STREAM, CALL = "StreamTD, a stream", "StreamTD, one call a step"
ACTING = "StreamQ, one call a step"
LABELS = {"c": "C", "numba": "Numba"}
TORCH = "PyTorch"


def example(steps: int = STEPS) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(steps + 1, SIZES[0])), rng.normal(size=steps)


def learner(backend: str, dtype: Any = np.float32) -> Any:
    found = ft.neural.StreamTD(
        SIZES[0],
        hidden=SIZES[1:-1],
        gamma=GAMMA,
        lambda_=LAMBDA,
        normalise=False,
        scale_rewards=False,
        backend=backend,
        dtype=dtype,
        seed=1,
    )
    if dtype == np.float64:
        found.params[:] = learner("numpy").params
    return found


def error(params: Any, steps: int, wanted: dict[int, Any] = {}) -> float:  # noqa: B006 - kept on purpose
    """Largest difference of parameters after so many steps to those of the float64 reference."""
    if steps not in wanted:
        reference = learner("numpy", np.float64)
        reference.learn(*example(steps))
        wanted[steps] = reference.weights
    return float(np.abs(params - wanted[steps]).max())


def stream(backend: str) -> Step:
    S, R = example()
    timed = learner(backend)

    def check() -> bool:
        fresh = learner(backend)
        fresh.learn(S, R)
        return error(fresh.params, STEPS) <= FLOAT32

    return Step(Spec(LABELS[backend], STREAM), STEPS, lambda: timed.learn(S, R), check)


def calls(backend: str) -> Step:
    S, R = example()
    timed = learner(backend)

    def run(one: Any = timed) -> None:
        for t in range(STEPS):
            one.update(S[t], R[t], S[t + 1])

    def check() -> bool:
        fresh = learner(backend)
        run(fresh)
        return error(fresh.params, STEPS) <= FLOAT32

    return Step(Spec(LABELS[backend], CALL), STEPS, run, check)


def acting(backend: str) -> Step:
    """StreamQ as an agent: `step` from Python, which learns and chooses the next action."""
    S, R = example()

    def agent(backend: str, dtype: Any = np.float32) -> Any:
        return ft.neural.StreamQ(
            SIZES[0], 2, hidden=SIZES[1:-1], normalise=False, scale_rewards=False, backend=backend,
            dtype=dtype, seed=1,
        )  # fmt: skip

    def walk(one: Any, steps: int = STEPS) -> list[int]:
        return [one.start(S[0]), *(one.step(R[t], S[t + 1]) for t in range(steps))]

    def check() -> bool:
        one, reference = agent(backend), agent("numpy", np.float64)
        reference.params[:] = one.params
        same_walk = walk(one, FEW) == walk(reference, FEW)
        return same_walk and float(np.abs(one.params - reference.params).max()) <= FLOAT32

    timed = agent(backend)
    return Step(Spec(LABELS[backend], ACTING), STEPS, lambda: walk(timed), check)


class TorchStep:
    """The same learner of modules, autograd and a loop over the parameters."""

    def __init__(self) -> None:
        import torch

        torch.set_num_threads(1)
        self.torch = torch
        layers: list[Any] = []
        params = torch.from_numpy(learner("numpy").weights)
        at = 0
        for place, (n_in, n_out) in enumerate(pairwise(SIZES)):
            linear = torch.nn.Linear(n_in, n_out)
            with torch.no_grad():
                for parameter in (linear.weight, linear.bias):
                    parameter.copy_(params[at : at + parameter.numel()].view_as(parameter))
                    at += parameter.numel()
            layers.append(linear)
            if place < len(SIZES) - 2:
                layers += [torch.nn.LayerNorm(n_out, elementwise_affine=False), torch.nn.LeakyReLU()]
        self.net = torch.nn.Sequential(*layers)
        self.traces = [torch.zeros_like(each) for each in self.net.parameters()]

    def run(self) -> None:
        torch = self.torch
        S, R = (each.astype(np.float32) for each in example(FEW))
        for t in range(FEW):
            s, after = torch.from_numpy(S[t]), torch.from_numpy(S[t + 1])
            v, v_next = self.net(s), self.net(after)
            delta = (R[t] + GAMMA * v_next - v).item()
            self.net.zero_grad()
            (-v).backward()
            self.step(delta)

    def step(self, delta: float) -> None:
        torch, size = self.torch, 0.0
        with torch.no_grad():
            for parameter, z in zip(self.net.parameters(), self.traces, strict=True):
                z.mul_(GAMMA * LAMBDA).add_(parameter.grad)
                size += z.abs().sum().item()
            bound = 2.0 * max(abs(delta), 1.0) * size
            alpha = 1.0 / bound if bound > 1.0 else 1.0
            for parameter, z in zip(self.net.parameters(), self.traces, strict=True):
                parameter.add_(delta * z, alpha=-alpha)

    def params(self) -> Any:
        return np.concatenate([each.detach().numpy().ravel() for each in self.net.parameters()])


def pytorch() -> Step:
    def check() -> bool:
        fresh = TorchStep()
        fresh.run()
        return error(fresh.params(), FEW) <= FLOAT32

    return Step(Spec(TORCH, CALL), FEW, TorchStep().run, check)


def jacobian(backend: str) -> Step:
    """step of a trace (4, 1e6) in float32; a run is one step."""
    rng = np.random.default_rng(0)
    J = rng.normal(size=(OUTPUTS, PARAMETERS)).astype(np.float32)
    delta = rng.normal(size=OUTPUTS)
    trace = ft.neural.JacobianTrace(PARAMETERS, OUTPUTS, backend=backend)
    params = np.zeros(PARAMETERS, np.float32)

    def check() -> bool:
        fresh, w = ft.neural.JacobianTrace(PARAMETERS, OUTPUTS, backend=backend), np.zeros_like(params)
        for _ in range(2):
            fresh.step(w, J, delta, 0.5, 0.01)
        return bool(np.abs(w - 0.025 * (delta @ J)).max() < 1e-5)

    return Step(
        Spec(LABELS[backend], "JacobianTrace.step"), 1, lambda: trace.step(params, J, delta, 0.9, 1e-3), check
    )


TRACE_BYTES = 4 * PARAMETERS * (3 * OUTPUTS + 2)  # reads Z, J, params; writes Z, params
TRIAD_BYTES = 4 * 3 * PARAMETERS * OUTPUTS


def triad() -> Step:
    """a = b + s c over arrays as large as Z: what memory gives to a plain loop."""
    import numba

    @numba.njit(error_model="numpy")
    def loop(a: Any, b: Any, c: Any, s: Any) -> None:
        for i in range(len(a)):
            a[i] = b[i] + s * c[i]

    a, b, c = (np.full(PARAMETERS * OUTPUTS, x, np.float32) for x in (0.0, 1.0, 2.0))

    def run() -> None:
        loop(a, b, c, np.float32(0.5))

    def check() -> bool:
        run()
        return bool((a == 2.0).all())

    return Step(Spec("triad", "JacobianTrace.step"), 1, run, check)


def builders() -> list[Callable[[], Step]]:
    found: list[Callable[[], Step]] = []
    for backend in LABELS:
        if backend in there():
            found += [
                lambda make=make, backend=backend: make(backend) for make in (stream, calls, acting, jacobian)
            ]
    if "numba" in there():
        found.append(triad)
    if find_spec("torch") is not None:
        found.append(pytorch)
    return found


def measure(rounds: int) -> dict[str, Any]:
    """ns: nanoseconds a step by workload and implementation; accuracy: largest errors; wrong: what is."""
    cases, wrong = [], []
    for build in builders():
        case = build()
        case.run()
        if case.check():
            cases.append(case)
        else:
            wrong.append(f"{case.spec}: not the reference's result")
    timings = interleave(cases, rounds)
    ns: dict[str, dict[str, float]] = {}
    for case, timing in zip(cases, timings, strict=True):
        ns.setdefault(case.spec.kernel, {})[case.spec.implementation] = timing.ns
    return {"ns": ns, "accuracy": accuracy(), "wrong": wrong}


def accuracy() -> dict[str, float]:
    """Largest error of parameters after 400 steps in C against the float64 reference."""
    if "c" not in there():
        return {}
    found = {}
    for dtype in (np.float32, np.float64):
        one = learner("c", dtype)
        one.learn(*example())
        found[np.dtype(dtype).name] = error(one.params, STEPS)
    return found


def ratios(found: dict[str, Any]) -> dict[str, float]:
    """The figures with a target: name to ratio."""
    ns = found.get("ns", {})
    whole, single, pass_ = (ns.get(each, {}) for each in (STREAM, CALL, "JacobianTrace.step"))
    figures = {}
    if TORCH in single and "C" in whole:
        figures[f"{STREAM}: PyTorch, one call a step / C"] = single[TORCH] / whole["C"]
        figures[f"{CALL}: PyTorch / C"] = single[TORCH] / single["C"]
    if {"Numba", "C"} <= whole.keys():
        figures[f"{STREAM}: Numba / C"] = whole["Numba"] / whole["C"]
        figures[f"{CALL}: Numba / C"] = single["Numba"] / single["C"]
    if {"triad", "C", "Numba"} <= pass_.keys():
        speed = {name: (TRIAD_BYTES if name == "triad" else TRACE_BYTES) / t for name, t in pass_.items()}
        figures["JacobianTrace.step: bytes a second, C / triad"] = speed["C"] / speed["triad"]
        figures["JacobianTrace.step: Numba / C"] = pass_["Numba"] / pass_["C"]
    return figures


TARGETS = (
    (f"{STREAM}: PyTorch, one call a step / C", 50.0, False),
    (f"{CALL}: PyTorch / C", 12.0, False),
    (f"{STREAM}: Numba / C", 2.0, True),
    (f"{CALL}: Numba / C", 2.0, True),
    ("JacobianTrace.step: Numba / C", 2.0, True),
    ("JacobianTrace.step: bytes a second, C / triad", 0.7, False),
)


def main() -> None:
    found = measure(9)
    for workload, row in found["ns"].items():
        print(workload, {name: round(t / 1e3, 3) for name, t in row.items()}, "us")
    for name, ratio in ratios(found).items():
        print(f"{name}: {ratio:.2f}")
    print(found["accuracy"], found["wrong"])


if __name__ == "__main__":
    main()
