"""Calls from Python, each beside one of a C function that does nothing with two arguments."""

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import fasttrace as ft
from fasttrace import quick
from fasttrace.features import parse_rows

from .cases import Case, Spec
from .workloads import smooth_8

TABLE, NOTHING, SHORT = "calls from Python", "a call of nothing", "a stream of 1000"
ABOUT = "One call, C, k = 8, d = 2^16, in a loop of Python's: features as most programs have them."
ROUND = 200
CREW = "agents.step of 64, an agent"
KERNEL, LEARN, LEARN_64 = "the kernel alone", "learn", "learn, int64"


# At most so many times a call of nothing.
LIMITS = {
    "update, int32": 8.0, "update, int64": 8.0, "predict": 8.0, "q": 8.0, "act": 8.0, "agent.step": 14.0,
    "agent.start": 14.0, "coder(state)": 10.0,
}  # fmt: skip


def _calls() -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
    """By name: a function, and its arguments."""
    workload = smooth_8()
    x, x_next = workload.x[:2]
    td = ft.TD(workload.n, alpha=workload.alpha, backend="c")
    agent = ft.Sarsa(workload.n, 3, alpha=workload.alpha, seed=0, backend="c")
    coder = ft.TileCoder((-1.2, -0.07), (0.6, 0.07), 8, 8, backend="c")
    state = np.array([-0.5, 0.01])
    agent.start(x)
    wide, wide_next, rewards = x.astype(np.int64), x_next.astype(np.int64), np.ones(1)
    return {
        "update, int32": (td.update, (x, 1.0, x_next)),
        "update, int64": (td.update, (wide, 1.0, wide_next)),
        "update, lists": (td.update, (x.tolist(), 1.0, x_next.tolist())),
        "update, values": (td.update, ((x, np.ones(8)), 1.0, (x_next, np.ones(8)))),
        "predict": (td.predict, (x,)),
        "q": (agent.q, (x,)),
        "act": (agent.act, (x,)),
        "agent.step": (agent.step, (-1.0, x_next)),
        "agent.start": (agent.start, (x,)),
        "coder(state)": (coder, (state,)),
        "learn, one transition": (td.learn, (workload.x[:2], rewards)),
    }


def _case(
    name: str, function: Callable[..., Any], arguments: tuple[Any, ...], check: Callable[[], bool]
) -> Case:
    # Written out: a call by *arguments would cost as much again as some of these.
    rounds = [None] * ROUND

    def one(a: Any) -> None:
        for _ in rounds:
            function(a)

    def two(a: Any, b: Any) -> None:
        for _ in rounds:
            function(a, b)

    def three(a: Any, b: Any, c: Any) -> None:
        for _ in rounds:
            function(a, b, c)

    run = partial((one, two, three)[len(arguments) - 1], *arguments)
    return Case(Spec(name), TABLE, ROUND, lambda: None, run, check)


def cases() -> Iterator[Case]:
    """Each call, and that of nothing; what C does of a call must be to the bit what Python does."""
    if quick.native is None or ft.backends()["c"] is not None:
        return
    yield _case(NOTHING, quick.native.empty, (1.0, 2.0), lambda: True)
    for name, (function, arguments) in _calls().items():
        yield _case(name, function, arguments, partial(_is_python, name))
    yield _crew_case()


def _crew_case(N: int = 64) -> Case:
    """`step` of a population, an agent of it: each does what it does alone."""
    workload, rewards, rounds = smooth_8(), np.full(N, -1.0), [None] * 20
    rows = [np.ascontiguousarray(workload.x[i * N : (i + 1) * N]) for i in range(2)]

    def made() -> Any:
        agents = ft.Population(ft.Sarsa, workload.n, 3, N, alpha=workload.alpha, seed=0, backend="c")
        agents.start(rows[0])
        return agents

    agents = made()

    def run(step: Any = agents.step) -> None:
        for _ in rounds:
            step(rewards, rows[1])

    def check() -> bool:
        fresh = made()
        alone = [fresh[i] for i in range(N)]
        taken = [fresh.step(rewards, x) for x in rows]
        want = [[one.step(-1.0, x[i]) for i, one in enumerate(alone)] for x in rows]
        return np.array_equal(taken, want)

    return Case(Spec(CREW), TABLE, len(rounds) * N, lambda: None, run, check)


def _is_python(name: str) -> bool:
    function, arguments = _calls()[name]
    learner = getattr(function, "__self__", function)  # a coder is called itself
    method = function.__name__ if hasattr(function, "__name__") else "__call__"
    one, other = (copy.deepcopy(learner) for _ in range(2))
    quickly, slowly = getattr(one, method), getattr(other, f"_any_{method}")
    return all(np.array_equal(quickly(*arguments), slowly(*arguments)) for _ in range(3))


def stream_cases() -> Iterator[Case]:
    """`learn` of a stream of 1000, and what of it is the kernel's."""
    if ft.backends()["c"] is not None:
        return
    from fasttrace.backends.c import lib, linear

    workload = smooth_8().head(1000)
    x, rewards = np.ascontiguousarray(workload.x), workload.rewards
    wide, deltas, keep = x.astype(np.int64), np.empty(1000), []

    def made() -> Any:
        return ft.TD(workload.n, alpha=workload.alpha, gamma=workload.gamma, lambda_=0.9, backend="c")

    alone, by_call, by_wide = made(), made(), made()
    stream = alone._stream(
        parse_rows(x, workload.n), rewards, None, None, None,
        rhos=np.ones(1), interests=None, pis=None, options=alone._kind_options,
    )  # fmt: skip
    c, into = linear.c_stream(stream, keep), linear.room_of(deltas)
    trace, kind = linear.handle(alone._trace), lib.FT_ACCUMULATING

    def check() -> bool:
        one, other = made(), made()
        return bool((one.learn(wide, rewards) == other._any_learn(x, rewards)).all())

    def kernel(owners: Any = (alone, stream, keep)) -> None:  # alive while C has their addresses
        lib.ft_td_run(trace, kind, c, into)

    runs = {
        KERNEL: kernel,
        LEARN: lambda: by_call.learn(x, rewards),
        LEARN_64: lambda: by_wide.learn(wide, rewards),
    }
    for name, run in runs.items():
        yield Case(Spec(name), SHORT, 1000, lambda: None, run, check)
