"""Plastic networks, timed: forward and backward of a sequence, ours and PyTorch's, in one thread.

`measure` runs this file in a process of its own, where the libraries of matrix products are held to one
thread from the start; memory is measured in further ones, one an implementation.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fasttrace.plasticity import MODES, PlasticRNN

from .cases import Spec
from .cases import there as backends_there
from .interleave import interleave

INPUTS = 20
BUSY = 0.5  # how much of a second core others may use while two threads are timed
EAGER, COMPILED = "torch eager", "torch.compile"
LABELS = {"c": "C", "numba": "Numba"}
FLOAT32, FLOAT64 = 5e-5, 1e-9  # largest errors of gradients that count as right, relative to the largest
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Workload(NamedTuple):
    mode: str
    hidden: int
    batch: int
    steps: int

    def __str__(self) -> str:
        return f"{self.mode} {self.hidden}/{self.batch}/{self.steps}"


SIMPLE = Workload("simple", 100, 30, 200)
RETROACTIVE = Workload("retroactive", 100, 30, 200)
SHORT = Workload("retroactive", 64, 16, 26)
WORKLOADS = (SIMPLE, RETROACTIVE, SHORT)
MEMORY = Workload("retroactive", 200, 30, 120)
ACCURACY = [Workload(mode, 100, 3, 60) for mode in MODES]


def network(w: Workload, backend: str, dtype: Any = np.float32, **options: Any) -> PlasticRNN:
    """Of a recurrent gain of at most 0.6, whatever Hebb is."""
    net = PlasticRNN(INPUTS, w.hidden, mode=w.mode, backend=backend, dtype=dtype, seed=1, **options)
    net.params["W"] *= 0.4 / np.linalg.norm(net.params["W"], 2)
    net.params["al"] *= 0.2 / np.linalg.norm(net.params["al"], 2)
    return net


def example(w: Workload, dtype: Any = np.float32) -> tuple[Any, Any]:
    """Inputs and the gradient of h."""
    rng = np.random.default_rng(0)
    shapes = (w.steps, w.batch, INPUTS), (w.steps, w.batch, w.hidden)
    xs, dh = (rng.normal(size=shape).astype(dtype) for shape in shapes)
    return xs, dh


def gradients(net: PlasticRNN, xs: Any, dh: Any, **options: Any) -> dict[str, Any]:
    return net.backward(net.forward(xs, **options), dh, **options)


def error(got: dict[str, Any], want: dict[str, Any]) -> float:
    """Largest of max|got - want| / max|want| over the parameters."""
    names = [name for name in want if name in got and np.abs(want[name]).max() > 0.0]
    return max(float(np.abs(got[name] - want[name]).max() / np.abs(want[name]).max()) for name in names)


def same_network(net: PlasticRNN, other: PlasticRNN) -> PlasticRNN:
    for name, array in net.params.items():
        other.params[name][...] = array
    return other


# ---- what is timed ----


@dataclass
class Case:
    """Forward and backward of a workload by one implementation; as interleave.Timed."""

    spec: Spec
    workload: Workload
    run: Callable[[], object]
    got: Callable[[], dict[str, Any]]

    @property
    def steps(self) -> int:
        return self.workload.steps * self.workload.batch

    def prepare(self) -> None:
        """Nothing changes in a run."""

    def check(self) -> bool:
        """Whether the gradients are those of our float64, which the tests hold to the reference."""
        w = self.workload
        net = network(w, "auto")
        wide = same_network(net, network(w, "auto", np.float64))
        xs, dh = (each.astype(np.float64) for each in example(w))
        return error(self.got(), gradients(wide, xs, dh)) <= FLOAT32


def ours(w: Workload, backend: str) -> Case:
    net, (xs, dh) = network(w, backend), example(w)

    def run() -> dict[str, Any]:
        return gradients(net, xs, dh)

    return Case(Spec(LABELS[backend], str(w)), w, run, run)


def pytorch(w: Workload, compiled: bool) -> Case:
    """The same written with PyTorch's operations, step by step."""
    import torch

    torch.set_num_threads(1)
    eager = {"simple": _simple, "retroactive": _retroactive}[w.mode]
    step = torch.compile(eager) if compiled else eager
    params = {
        name: torch.tensor(array, requires_grad=True) for name, array in network(w, "auto").params.items()
    }
    xs, dh = (torch.from_numpy(each) for each in example(w))
    names = ("W", "al", "wm", "bm", "eta")

    def run() -> dict[str, Any]:
        for each in params.values():
            each.grad = None
        u = xs @ params["Wx"].T + params["bx"]
        h = torch.zeros(w.batch, w.hidden)
        hebb, E = (torch.zeros(w.batch, w.hidden, w.hidden) for _ in range(2))
        hs = []
        for t in range(w.steps):
            h, hebb, E = step(u[t], h, hebb, E, *(params[name] for name in names))
            hs.append(h)
        torch.autograd.backward(torch.stack(hs), dh)
        return params

    def got() -> dict[str, Any]:
        return {name: each.grad.numpy() for name, each in run().items() if each.grad is not None}

    return Case(Spec(COMPILED if compiled else EAGER, str(w)), w, run, got)


def _simple(u: Any, before: Any, hebb: Any, E: Any, W: Any, al: Any, wm: Any, bm: Any, eta: Any) -> Any:
    h = (u + ((W + al * hebb) @ before.unsqueeze(2)).squeeze(2)).tanh()
    M = (h @ wm + bm).tanh()[:, None, None]
    return h, (hebb + M * h.unsqueeze(2) * before.unsqueeze(1)).clamp(-1.0, 1.0), E


def _retroactive(u: Any, before: Any, hebb: Any, E: Any, W: Any, al: Any, wm: Any, bm: Any, eta: Any) -> Any:
    h = (u + ((W + al * hebb) @ before.unsqueeze(2)).squeeze(2)).tanh()
    M = (h @ wm + bm).tanh()[:, None, None]
    moved = (1.0 - eta) * E + eta * (h.unsqueeze(2) * before.unsqueeze(1))
    return h, (hebb + M * E).clamp(-1.0, 1.0), moved


def builders(w: Workload, compiled: bool) -> Iterator[Callable[[], Case]]:
    """Implementations that are there."""
    for backend in ("c", "numba"):
        if backend in backends_there():
            yield lambda backend=backend: ours(w, backend)
    if find_spec("torch") is not None:
        yield lambda: pytorch(w, False)
        if compiled:
            yield lambda: pytorch(w, True)


# ---- measuring, in a process of its own ----


def times(rounds: int, compiled: bool) -> tuple[dict[str, dict[str, float]], list[str]]:
    """(milliseconds by workload and implementation, what was wrong)."""
    found: dict[str, dict[str, float]] = {}
    wrong = []
    for w in WORKLOADS:
        right = []
        for build in builders(w, compiled and w is SIMPLE):
            try:
                case = build()
                if case.check():
                    right.append(case)
                else:
                    wrong.append(f"{case.spec}: not the reference's result")
            except Exception as problem:  # one that fails must not take the others with it
                wrong.append(f"{w}: {type(problem).__name__}: {problem}".partition("\n")[0])
        timings = interleave(right, rounds)
        found[str(w)] = {
            case.spec.implementation: timing.ns * timing.steps / 1e6
            for case, timing in zip(right, timings, strict=True)
        }
    return found, wrong


def two_threads(rounds: int) -> float | None:
    """Seconds of one thread by those of two, by the clock on the wall; None where no second core is idle."""
    if "c" not in backends_there() or (os.cpu_count() or 1) < 2:
        return None
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > (os.cpu_count() or 1) - BUSY:
        return None
    net, (xs, dh) = network(SIMPLE, "c"), example(SIMPLE)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for threads, found in seconds.items():
            began = time.perf_counter()
            gradients(net, xs, dh, threads=threads)
            found.append(time.perf_counter() - began)
    return min(seconds[1]) / min(seconds[2])


def accuracy() -> dict[str, float]:
    """Largest error of gradients in C against the float64 reference, over the modes, with an active clip."""
    if "c" not in backends_there():
        return {}
    worst = {"float32": 0.0, "float64": 0.0}
    for w in ACCURACY:
        for dtype in (np.float32, np.float64):
            net = network(w, "c", dtype, clip=0.1)
            reference = same_network(net, network(w, "numpy", np.float64, clip=0.1))
            xs, dh = (each.astype(np.float64) for each in example(w))
            want = gradients(reference, xs, dh)
            name = np.dtype(dtype).name
            for spacing in (None, 1, 7, w.steps):
                s = net.forward(xs.astype(dtype))
                got = net.backward(s, dh.astype(dtype), spacing=spacing)
                worst[name] = max(worst[name], error(got, want))
    return worst


def peak(implementation: str) -> float:
    """MiB that forward and backward add to the largest size of this process."""

    def size() -> float:  # of this program: what getrusage knows begins with that of the parent
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    small = MEMORY._replace(hidden=8, batch=2, steps=3)
    for w in (small, MEMORY):
        case = ours(w, "c") if implementation == "C" else pytorch(w, False)
        before = size()
        case.run()
    return size() - before


def _child(*arguments: str, env: dict[str, str] = _ONE_THREAD) -> Any:
    """This file in a new process; what it prints last."""
    command = [sys.executable, "-m", f"{__package__}.plasticity_cases", *arguments]
    environment = {**os.environ, **env, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    printed = subprocess.run(command, env=environment, text=True, capture_output=True, check=True)
    return json.loads(printed.stdout.splitlines()[-1])


def measure(rounds: int, full: bool) -> dict[str, Any]:
    """Everything about plastic networks that the report shows."""
    found: dict[str, Any] = _child("--rounds", str(rounds), *(["--compiled"] if full else []))
    found["threads"] = _child("--threads", str(min(2 * rounds, 60)), env={})  # as a user calls it
    found["memory"] = {}
    if sys.platform == "linux" and full:
        if "c" in backends_there():
            found["memory"]["C"] = _child("--peak", "C")
        if find_spec("torch") is not None:
            found["memory"][EAGER] = _child("--peak", EAGER)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--peak")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.peak:
        print(json.dumps(peak(options.peak)))
        return
    if options.threads:
        print(json.dumps(two_threads(options.threads)))
        return
    found, wrong = times(options.rounds, options.compiled)
    print(
        json.dumps(
            {
                "times": found,
                "wrong": wrong,
                "accuracy": accuracy(),
                "torch": version("torch") if find_spec("torch") is not None else None,
            }
        )
    )


if __name__ == "__main__":
    main()
