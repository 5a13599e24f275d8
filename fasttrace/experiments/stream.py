"""`python -m fasttrace stream`: a network learns in a Gymnasium environment, step by step.

Each step is learned from once, when it comes, and forgotten: no replay, no batches, no target network.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends import Backend, resolve
from ..errors import BackendUnavailable
from .stream_runs import LAST, LEARNERS, SOLVED, Run, Settings

if TYPE_CHECKING:
    import gymnasium
    from rich.console import Console
    from rich.table import Table

CHUNK = 500  # steps between two looks at the bar


def settled(settings: Settings, env: gymnasium.Env[Any, Any]) -> Settings:
    """With a learner that takes this environment's actions, where none is named."""
    if settings.learner is not None:
        return settings
    return replace(settings, learner="ac" if _moves(env) else "q")


def _moves(env: gymnasium.Env[Any, Any]) -> int:
    """How many real numbers an action is; 0: actions are numbered, or of another kind."""
    import gymnasium

    return math.prod(env.action_space.shape) if isinstance(env.action_space, gymnasium.spaces.Box) else 0


def make(settings: Settings, env: gymnasium.Env[Any, Any], seed: int, backend: Backend) -> Any:
    """The agent for an environment of vectors and actions that are numbered, or for "ac" real-valued.

    Errors: ValueError for another kind of environment.
    """
    from .. import neural

    assert settings.learner is not None
    shape = getattr(env.observation_space, "shape", None)
    n_actions, moves = int(getattr(env.action_space, "n", 0)), _moves(env)
    if shape is None or len(shape) != 1 or not (n_actions or (moves and settings.learner == "ac")):
        raise ValueError(
            f"{settings.env}: observations {env.observation_space}, actions {env.action_space}; "
            "expected a vector and numbered actions, or real-valued ones with --learner ac"
        )
    options: dict[str, Any] = {"hidden": settings.hidden} | settings.options
    if settings.learner != "ac":
        options["epsilon"] = (1.0, 0.01, max(1, settings.steps // 5))
    kind = getattr(neural, LEARNERS[settings.learner])
    actions = {"n_moves": moves} if moves else {"n_actions": n_actions}
    return kind(shape[0], **actions, seed=seed, backend=backend, **options)


def _givable(env: gymnasium.Env[Any, Any]) -> Callable[[Any], Any]:
    """From an agent's action to the environment's: the number that is meant, or numbers within its bounds."""
    space: Any = env.action_space
    if not _moves(env):
        first = int(getattr(space, "start", 0))
        return lambda action: first + action
    return lambda action: np.clip(np.reshape(action, space.shape), space.low, space.high).astype(space.dtype)


def train(
    settings: Settings,
    seed: int,
    backend: Backend = "auto",
    watch: Callable[[int], object] = lambda done: None,
) -> Run:
    """One run, from the environment's first state to the last of `settings.steps`.

    seed  of the weights, the actions and the start states
    """
    import gymnasium

    env = gymnasium.make(settings.env)
    settings = settled(settings, env)
    agent, givable = make(settings, env, seed, backend), _givable(env)
    returns, ends, total = [], [], 0.0
    began = time.perf_counter()
    x, _ = env.reset(seed=seed)
    action = agent.start(x)
    for t in range(1, settings.steps + 1):
        x, reward, terminated, truncated, _ = env.step(givable(action))
        total += float(reward)
        if terminated:
            agent.end(float(reward))
        elif truncated:  # the time was up, not the task: its last state has a value
            agent.truncate(float(reward), x)
        else:
            action = agent.step(float(reward), x)
        if terminated or truncated:
            returns.append(total)
            ends.append(t)
            total = 0.0
            x, _ = env.reset()
            action = agent.start(x)
        if t % CHUNK == 0:
            watch(CHUNK)
    watch(settings.steps % CHUNK)
    env.close()
    return Run(seed, np.array(returns), np.array(ends, np.int64), time.perf_counter() - began)


def run(settings: Settings, seeds: int, output: str, backend: Backend) -> int:
    """Train, print, draw; the exit status."""
    try:
        import gymnasium
        import matplotlib
        import rich
    except ImportError as error:
        print(f'fasttrace stream: {error}; pip install "fasttrace[demo,gym]"', file=sys.stderr)
        return 1
    del matplotlib, rich
    folder = Path(output)
    try:
        backend = resolve(backend)
        env = gymnasium.make(settings.env)
        settings = settled(settings, env)
        make(settings, env, 0, backend)
        env.close()
        folder.mkdir(parents=True, exist_ok=True)
    except (BackendUnavailable, ImportError, OSError, ValueError, gymnasium.error.Error) as error:
        print(f"fasttrace stream: {error}", file=sys.stderr)
        return 1
    from rich.console import Console

    from .stream_figures import learning_curves

    console = Console()
    runs = _train_all(settings, seeds, backend, console)
    console.print(table(settings, runs))
    picture = folder / "stream.png"
    learning_curves(settings, runs, picture)
    console.print(f"Learning curves: {picture}", highlight=False, soft_wrap=True)
    return 0


def _train_all(settings: Settings, seeds: int, backend: Backend, console: Console) -> list[Run]:
    """Every seed, with a bar for each that says how it is doing."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    runs = []
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %")
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        for seed in range(seeds):
            name = f"{settings.env}: {settings.name}, seed {seed}"
            bar = progress.add_task(f"{name:44}", total=settings.steps)
            runs.append(train(settings, seed, backend, partial(progress.advance, bar)))
    return runs


def table(settings: Settings, runs: list[Run]) -> Table:
    """Means over the last episodes, seed by seed."""
    from rich.table import Table

    goal = SOLVED.get(settings.env)
    grid = Table("seed", title=f"{settings.name} on {settings.env}, {settings.steps:,} steps")
    headings = ["episodes", f"mean return, last {LAST}", "microseconds a step"]
    if goal is not None:
        headings.insert(2, f"steps until above {goal:g}")
    for heading in headings:
        grid.add_column(heading, justify="right")
    for each in runs:
        cells = [
            str(len(each.returns)),
            f"{each.last():.1f}" if len(each.returns) else "-",
            f"{each.seconds / settings.steps * 1e6:.1f}",
        ]
        if goal is not None:
            reached = each.reached(goal)
            cells.insert(2, "-" if reached is None else f"{reached:,}")
        grid.add_row(str(each.seed), *cells)
    if goal is not None:
        good = sum(each.last() > goal for each in runs)
        grid.caption = f"above {goal:g} at the end: {good} of {len(runs)}"
    return grid
