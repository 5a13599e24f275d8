"""`python -m fasttrace bench --cuda`: figures of a GPU, each with a check of what it times."""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fasttrace as ft
from fasttrace.backends.cuda import device
from fasttrace.backends.cuda.returns import on_device
from fasttrace.experiments.bench import parser

ABOUT = """\
# fasttrace {version} on {card}

Advantages and returns of `ft.returns.gae` in float32, 1 % of the entries terminations, beside `torch.add` of
as many: microseconds by the GPU's clock from before the call to after it, what Python takes meanwhile
included; by turns, the median of {rounds} rounds. Wrong results are left blank.

| (T, B) | GAE | torch.add | GAE / torch.add |
|---|---|---|---|
"""
ABOUT_POPULATIONS = """
Populations in the mountain car, true online Sarsa(.9), 8 tilings of 8 by 8, {episodes} episodes an agent:
steps a second of `ft.simulate`. Blank where the agents have not learned to leave within 300 steps.

| agents | | steps | seconds | million steps/s |
|---|---|---|---|---|
"""
ABOUT_HORDES = """
Hordes, true online TD, decays from .45 to .9, {features} features of which 8 are active, {steps} steps in a
call of `learn`: nanoseconds a prediction and step, copies of cumulants and TD errors included; beside the
host's backend on one core. Blank where TD errors are not those of the host, to the bit.

| predictions | GPU | host | host / GPU |
|---|---|---|---|
"""
SHAPES = ((2048, 64), (128, 4096), (1_000_000, 1), (128, 65536))
POPULATIONS = (1024, 8192, 32768)
HORDES, FEATURES, STEPS = (1000, 8192, 65536), 4096, 200
ROUNDS, EPISODES = 50, 200


def main(argv: Sequence[str]) -> int:
    arguments = parser().parse_args(argv)
    if (reason := ft.backends()["cuda"]) is not None:
        print(f"fasttrace bench: {reason}", file=sys.stderr)
        return 1
    try:
        import torch
    except ImportError as error:
        print(f"fasttrace bench: {error}; install PyTorch for CUDA", file=sys.stderr)
        return 1
    folder = Path(arguments.output)
    folder.mkdir(parents=True, exist_ok=True)
    rounds, episodes = (5, 5) if arguments.quick else (ROUNDS, EPISODES)
    card = torch.cuda.get_device_name()
    with (folder / "cuda.md").open("w", encoding="utf-8") as file:
        for line in report(torch, card, rounds, episodes):
            print(line, end="", flush=True)
            file.write(line)
    return 0


def report(torch: Any, card: str, rounds: int, episodes: int) -> Iterator[str]:
    yield ABOUT.format(version=ft.__version__, card=f"{card} ({device.arch(0)})", rounds=rounds)
    for T, B in SHAPES:
        right, gae, add = returns(torch, T, B, rounds)
        cells = f"{gae:.1f} | {add:.1f} | {gae / add:.2f}" if right else f" | {add:.1f} | "
        yield f"| ({T}, {B}) | {cells} |\n"
    yield ABOUT_POPULATIONS.format(episodes=episodes)
    for N, dtype in itertools.product(POPULATIONS, ("float64", "float32")):
        right, steps, seconds = population(N, episodes, dtype)
        speed = f"{steps / seconds / 1e6:.0f}" if right else ""
        yield f"| {N} | {dtype} | {steps:.3g} | {seconds:.2f} | {speed} |\n"
    yield ABOUT_HORDES.format(features=FEATURES, steps=STEPS)
    for m in HORDES:
        right, there, here = horde(m, rounds)
        cells = f"{there:.2f} | {here:.2f} | {here / there:.1f}" if right else f" | {here:.2f} | "
        yield f"| {m} | {cells} |\n"


def returns(torch: Any, T: int, B: int, rounds: int) -> tuple[bool, float, float]:
    """Whether GAE is right, and the microseconds that it and torch.add take."""
    rng = np.random.default_rng(0)
    rewards, values = rng.standard_normal((T, B), np.float32), rng.standard_normal((T + 1, B), np.float32)
    ends = rng.random((T, B)) < 0.01
    r, v, e = (torch.tensor(each, device="cuda") for each in (rewards, values, ends))
    given = {"rewards": r, "values": v, "terminated": e, "gammas": 0.99, "lambdas": 0.95}
    gae, add = by_turns(torch, rounds, lambda: on_device("gae", given), lambda: torch.add(r, v[:-1]))
    want = ft.returns.gae(rewards, values, terminated=ends, gammas=0.99, lambdas=0.95)
    errors = (
        np.abs(got.cpu().numpy() - each).max() / np.abs(each).max()
        for got, each in zip(on_device("gae", given), want, strict=True)
    )
    return all(error < 2e-7 for error in errors), gae, add


def by_turns(torch: Any, rounds: int, *calls: Callable[[], Any]) -> list[float]:
    """Median microseconds of each."""
    took: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds + 2):
        for each, call in zip(took, calls, strict=True):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            call()
            end.record()
            torch.cuda.synchronize()
            each.append(1e3 * begin.elapsed_time(end))
    return [statistics.median(each[2:]) for each in took]  # the first ones compile


def population(N: int, episodes: int, dtype: str) -> tuple[bool, int, float]:
    """Whether N agents have learned; the steps that they make, and the seconds they take."""
    env = ft.envs.MountainCar()
    coder = ft.TileCoder(env.low, env.high, 8, 8)
    agents = ft.Population(
        ft.TrueOnlineSarsa, coder.n_features, 3, N, alpha=1 / 8, gamma=1.0, epsilon=0.0, backend="cuda",
        dtype=dtype,
    )  # fmt: skip
    ft.simulate(env, agents, coder, episodes=1, max_episode_steps=5000, seed=1)  # which compiles
    history = ft.simulate(env, agents, coder, episodes=episodes, max_episode_steps=5000, seed=0)
    return bool(history.lengths[:, -1].mean() < 300), int(history.steps.sum()), history.seconds


def horde(m: int, rounds: int) -> tuple[bool, float, float]:
    """Whether m predictions are learned right; nanoseconds for one and a step, there and here."""
    rng = np.random.default_rng(0)
    x, cumulants = rng.integers(0, FEATURES, (STEPS + 1, 8)), rng.standard_normal((STEPS, m))
    numbers: dict[str, Any] = {"alpha": 0.01, "gamma": np.linspace(0.5, 1.0, m)}
    there, here = (
        ft.Horde(FEATURES, m, "TrueOnlineTD", **numbers, backend=name) for name in ("cuda", "auto")
    )
    right, took = True, ([], [])  # type: tuple[bool, tuple[list[float], list[float]]]
    for _ in range(1 + min(rounds, 5)):
        found = []
        for each, of_each in zip((there, here), took, strict=True):
            begun = time.perf_counter()
            found.append(each.learn(x, cumulants))
            of_each.append(time.perf_counter() - begun)
        right &= np.array_equal(found[0], found[1])
    there_took, here_took = (1e9 * min(each[1:]) / m / STEPS for each in took)  # the first ones compile
    return right, there_took, here_took


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
