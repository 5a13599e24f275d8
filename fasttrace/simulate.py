"""Environment, coder and agent in one native loop; and agents in Gymnasium's environments."""

from __future__ import annotations

import inspect
import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from . import arguments
from .backends import module
from .envs import Environment
from .layout import KINDS
from .learner import Learner
from .linear.agent import Agent
from .linear.learner import LinearLearner
from .linear.trace import LazyTrace
from .many.crew import threads_of
from .many.population import Population
from .many.vectors import evaluate_all
from .many.walks import Histories, OneByOne, Report, Walks
from .pieces import held, paced, tell
from .policy import Method
from .tiles import TileCoder

if TYPE_CHECKING:
    import gymnasium

_AT_FIRST = 1 << 12  # steps of a native loop before the first look at the clock
_FOREVER = 1 << 62
_LOOK = 1 << 16  # steps between two looks whether the agent has diverged: by the walk, not by the clock


@dataclass(frozen=True)
class History:
    """What happened.

    returns  (E,) undiscounted sum of rewards of each episode that ended
    lengths  (E,) its steps
    steps    in all, with those of an episode that has not ended
    seconds  in the loop
    diverged whether the agent was found to have diverged
    """

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    steps: int
    seconds: float
    diverged: bool = False


@overload
def simulate(
    env: Environment,
    agent: LinearLearner,
    coder: TileCoder | None = None,
    *,
    episodes: int | None = None,
    steps: int | None = None,
    max_episode_steps: int | None = None,
    seed: int | np.random.Generator | None = None,
    threads: None = None,
    progress: bool | Callable[..., object] = False,
) -> History: ...
@overload
def simulate(
    env: Environment,
    agent: Population,
    coder: TileCoder | None = None,
    *,
    episodes: int | None = None,
    steps: int | None = None,
    max_episode_steps: int | None = None,
    seed: int | NDArray[Any] | Sequence[int] | None = None,
    threads: int | None = None,
    progress: bool | Callable[..., object] = False,
) -> Histories: ...
@arguments.explained
def simulate(
    env: Environment,
    agent: LinearLearner | Population,
    coder: TileCoder | None = None,
    *,
    episodes: int | None = None,
    steps: int | None = None,
    max_episode_steps: int | None = None,
    seed: Any = None,
    threads: int | None = None,
    progress: bool | Callable[..., object] = False,
) -> History | Histories:
    """Let an agent learn in an environment, all in one loop of the agent's backend.

    env                Environment of fasttrace.envs, with as many actions as the agent has, or with none for
                       learners of state values
    agent              a learner; or a Population, each agent of which has a world of its own
    coder              TileCoder for the environment's states; None where they are one-hot features
    episodes, steps    ends at whichever comes first; one of them is needed
    max_episode_steps  truncates: the agent bootstraps from the last state, then the episode ends
    seed               of start states, dynamics, exploration and ties, in the same order in every
                       backend: the same seed is the same walk.  None is the agent's generator.
                       Of a Population an int, 0 for None, or (N,): agent i draws from
                       Generator(Philox(key=[seed, i])), or [seed[i], 0]
    threads            for a Population; None is one a core
    progress           True shows a bar (with rich installed); a function gets steps and episodes so far.  One
                       that needs a third argument, or names it returns, gets the returns (m,) of the episodes
                       that ended since the last call too

    Begins a new episode.  Ctrl-C is heard within a fraction of a second, between two steps: KeyboardInterrupt
    then has what was done as `steps` and `history`.
    An agent that has diverged is a RuntimeWarning, once, and ends the simulation: what it does means nothing
    any more, and an episode of it may never end.  Looked for every 65 536 steps, less often where there are
    many weights, and at the end; `History.diverged` says so.

    Every agent of a Population has so many episodes and steps to go, and one that diverges ends alone.
    Returns and lengths are (N, E), steps and diverged (N,); see fasttrace.many.walks.Histories.  An agent
    becomes what it would have become alone with its generator, to the bit, whatever the threads.

    Errors: ValueError, TypeError for arguments; ValueError for an environment that gives numbers that are
    not finite; FeatureIndexError for a state that is no feature.
    """
    check(env, agent, coder)
    if episodes is None and steps is None:
        raise ValueError("episodes, steps: got neither, expected one of them, or both")
    most_episodes = _FOREVER if episodes is None else arguments.count("episodes", episodes, 0, _FOREVER)
    most_steps = _FOREVER if steps is None else arguments.count("steps", steps, 0, _FOREVER)
    longest = 0 if max_episode_steps is None else arguments.count("max_episode_steps", max_episode_steps)
    if isinstance(agent, Population):
        keys = _keys(seed, len(agent))
        return _simulate_all(
            env, agent, coder, episodes, most_episodes, most_steps, longest, keys, threads, progress
        )
    if threads is not None:
        raise ValueError(f"threads: got {threads!r}, but one agent has one thread; give a Population")
    drawn = getattr(agent, "generator", None)
    generator = drawn if seed is None and drawn is not None else np.random.default_rng(seed)
    report, close = _progress(progress, episodes, steps)

    def walk(method: Method) -> History:
        loop = _loop(agent.backend, env, coder, method, generator, longest)
        return _walk(agent, method, loop, most_steps, most_episodes, _first(agent.backend, method), report)

    try:
        history = agent.lend(walk)
    finally:
        close()
    if history.diverged:
        name = type(agent).__name__
        _warn(f"{name} has diverged: a weight or its trace is not finite after {history.steps}", 1)
    return history


def _warn(what: str, frames: int) -> None:
    """Where simulate is called, so many frames below."""
    warnings.warn(f"{what} steps of simulate; try a smaller alpha", RuntimeWarning, stacklevel=frames + 3)


def _compiled(backend: str, method: Method) -> bool:
    """Whether the loop is the backend's own, and lets other threads run."""
    return method.stem == "linear" and backend != "numpy"


def _first(backend: str, method: Method) -> int:
    """Steps of the first piece."""
    return _AT_FIRST if _compiled(backend, method) else 1


def _look_every(agent: LinearLearner) -> tuple[int, int]:
    """Steps between two looks whether it has diverged, and its weights."""
    n_weights = agent.n_features * getattr(agent, "n_actions", 1)
    return max(_LOOK, 32 * n_weights), n_weights


def _keys(seed: Any, N: int) -> list[tuple[int, int]]:
    """Of the generator of each of N agents."""
    highest = 2**64 - 1
    if seed is None or np.ndim(seed) == 0:
        return [(arguments.count("seed", 0 if seed is None else seed, 0, highest), i) for i in range(N)]
    if np.shape(seed) != (N,):
        raise ValueError(f"seed: got shape {np.shape(seed)}, expected an integer or ({N},)")
    return [(arguments.count(f"seed[{i}]", each, 0, highest), 0) for i, each in enumerate(seed)]


def _simulate_all(
    env: Environment,
    agents: Population,
    coder: TileCoder | None,
    episodes: int | None,
    most_episodes: int,
    most_steps: int,
    longest: int,
    keys: list[tuple[int, int]],
    threads: int | None,
    progress: bool | Callable[..., object],
) -> Histories:
    N, backend = len(agents), agents.backend
    crew = threads_of(threads, N)

    def walk(each: list[LinearLearner]) -> Histories:
        methods = [agent.method() for agent in each]
        look, n_weights = _look_every(each[0])
        most = most_steps, most_episodes
        if agents.crowd:
            there = module("cuda", "simulate").Loops(env, coder, methods, keys, longest, agents.crowd)
            walks = Walks(N, there, *most, look, there.diverged)
            return walks.run(1, N * _AT_FIRST, report, episodes, whole=True)

        def diverged(numbers: NDArray[np.int64], due: NDArray[np.bool_]) -> list[bool]:
            return [
                (now or _may_have_diverged(methods[i].trace, n_weights, walks.steps(i))) and each[i].diverged
                for i, now in zip(numbers.tolist(), due.tolist(), strict=True)
            ]

        loops = _loops(backend, env, coder, methods, keys, longest)
        walks = Walks(N, loops, *most, look, diverged)
        some = crew if _compiled(backend, methods[0]) else 1
        return walks.run(some, _first(backend, methods[0]), report, episodes)

    total = None if episodes is None else N * episodes, None if episodes is not None else N * most_steps
    report, close = _progress(progress, *total)
    try:
        history: Histories = agents.lend_all(walk)
    finally:
        close()
    if (some := np.flatnonzero(history.diverged)).size:
        names = ", ".join(map(str, some[:5])) + (", ..." if some.size > 5 else "")
        _warn(
            f"{some.size} of {N} agents {agents.learner.__name__} have diverged ({names}): "
            f"a weight or its trace is not finite after {int(history.steps[some].max())}",
            2,
        )
    return history


def _loops(
    backend: str,
    env: Environment,
    coder: TileCoder | None,
    methods: list[Method],
    keys: list[tuple[int, int]],
    longest: int,
) -> Any:
    """Of all agents together where the backend has that; else one by one, by the same kernels as alone."""
    together = getattr(module(backend, "simulate"), "Loops", None)
    if together and methods[0].stem == "linear":
        return together(env, coder, methods, keys, longest)
    each = [np.random.Generator(np.random.Philox(key=np.array(key, np.uint64))) for key in keys]
    return OneByOne(
        [
            _loop(backend, env, coder, method, generator, longest)
            for method, generator in zip(methods, each, strict=True)
        ]
    )


def _loop(
    backend: str,
    env: Environment,
    coder: TileCoder | None,
    method: Method,
    generator: np.random.Generator,
    longest: int,
) -> Any:
    """The backend's own; for kernels that no native loop has the reference's, which calls them one by one."""
    if method.stem == "linear":
        make = module(backend, "simulate").Loop
    else:
        make = partial(module("numpy", "simulate").Loop, run=method.run, values=method.values)
    return make(env, coder, method, generator, longest)


def _walk(
    agent: LinearLearner,
    method: Method,
    loop: Any,
    most_steps: int,
    most_episodes: int,
    size: int,
    report: Report,
) -> History:
    """Let the loop run in pieces, the first of `size` steps, until it is done or the agent has diverged."""
    done, ended, seconds, diverged = 0, 0, 0.0, False
    look, n_weights = _look_every(agent)
    due = look
    returns: list[NDArray[np.float64]] = [np.empty(0)]
    lengths: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    try:
        while done < most_steps and ended < most_episodes:
            begin = time.perf_counter()
            with held():
                made, some_returns, some_lengths = loop.run(
                    min(size, most_steps - done, due - done), most_episodes - ended
                )
                took = time.perf_counter() - begin
                done, ended, seconds = done + made, ended + len(some_returns), seconds + took
                returns.append(some_returns)
                lengths.append(some_lengths)
            size = paced(size, took)
            report(done, ended, some_returns)
            if done == due:
                due += look
                if diverged := agent.diverged:
                    break
        diverged = diverged or (_may_have_diverged(method.trace, n_weights, done) and agent.diverged)
    except KeyboardInterrupt as interrupt:
        history = History(np.concatenate(returns), np.concatenate(lengths), done, seconds, diverged)
        tell(interrupt, steps=done, history=history)
        raise
    return History(np.concatenate(returns), np.concatenate(lengths), done, seconds, diverged)


def check(env: Any, agent: Any, coder: Any) -> None:
    if not isinstance(env, Environment):
        raise TypeError(f"env: got {type(env).__name__}, expected an Environment of fasttrace.envs")
    if isinstance(agent, Population):
        agent = agent.one
    if not isinstance(agent, Learner):
        raise TypeError(f"agent: got {type(agent).__name__}, expected a learner of fasttrace")
    if not isinstance(agent, LinearLearner):
        raise TypeError(f"agent: {type(agent).__name__} has no loop of its own; let it learn from a stream")
    kind = KINDS.get(agent.method().kind)
    if kind is not None and kind.takes_pi:
        raise TypeError(
            f"agent: {type(agent).__name__} asks for pi of the action taken, which environments have not; "
            "let it learn from a stream"
        )
    if coder is not None and not isinstance(coder, TileCoder):
        raise TypeError(f"coder: got {type(coder).__name__}, expected a TileCoder or None")
    n_actions = getattr(agent, "n_actions", 0)
    if n_actions != env.n_actions:
        raise ValueError(f"agent: has {n_actions} actions, {env!r} has {env.n_actions}")
    if getattr(agent, "state_action", False):
        raise ValueError(
            "agent: state_action features have no coder; give the agent one weight row a feature"
        )
    if coder is None:
        n = env.n_features
        if n is None and (env.n_state != 1 or env.low is not None):
            raise ValueError(f"coder: got None, expected a TileCoder for the states of {env!r}")
    else:
        n = coder.n_features
        if len(coder.low) != env.n_state:
            raise ValueError(f"coder: codes {len(coder.low)} numbers, a state of {env!r} has {env.n_state}")
    if n is not None and n != agent.n_features:
        raise ValueError(
            f"agent: has {agent.n_features} features, the {'coder' if coder else 'environment'} {n}"
        )


def _may_have_diverged(trace: Any, n_weights: int, steps: int) -> bool:
    """Whether a look at all weights is worth its time: by what drove them, or as the steps cost far more."""
    if isinstance(trace, LazyTrace):  # what drives w now, and what did until the last epoch
        before = 2 * ((trace.counter("epoch") - 1) & (trace.ring_size - 1))
        return not (math.isfinite(trace.drive) and math.isfinite(trace.ring[before]))
    return n_weights <= 16 * steps


def _takes_returns(progress: Callable[..., object]) -> bool:
    """By a third argument that it cannot do without, or one of that name; *args are the two of always."""
    try:
        parameters = list(inspect.signature(progress).parameters.values())
    except (TypeError, ValueError):  # no function in Python
        return False
    plain = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    return len(plain) > 2 and (plain[2].name == "returns" or plain[2].default is plain[2].empty)


def _progress(
    progress: bool | Callable[..., object], episodes: int | None, steps: int | None
) -> tuple[Report, Callable[[], None]]:
    """What to call with steps, episodes and new returns, and what to call at the end."""
    if callable(progress):
        if _takes_returns(progress):
            return progress, lambda: None
        return lambda done, ended, returns: progress(done, ended), lambda: None
    if not progress:
        return lambda done, ended, returns: None, lambda: None
    try:
        from rich.progress import Progress
    except ImportError as error:
        raise ImportError("progress=True needs rich: pip install 'fasttrace[demo]'") from error
    bar = Progress()
    what = "episodes" if episodes else "steps"
    task = bar.add_task(what, total=episodes or steps)
    bar.start()
    begun, mean = time.perf_counter(), ""

    def report(done: int, ended: int, returns: NDArray[np.float64]) -> None:
        nonlocal mean
        if len(returns):
            mean = f", mean return {returns[-100:].mean():.4g}"
        rate = f", {done / (time.perf_counter() - begun):.3g} steps/s"
        bar.update(task, completed=ended if episodes else done, description=what + mean + rate)

    return report, bar.stop


@overload
def evaluate(
    env: gymnasium.Env[Any, Any],
    agent: Agent,
    coder: Callable[[Any], Any],
    *,
    episodes: int,
    seed: int | None = None,
) -> NDArray[np.float64]: ...
@overload
def evaluate(
    env: gymnasium.vector.VectorEnv[Any, Any, Any],
    agent: Population,
    coder: Callable[[Any], Any],
    *,
    episodes: int,
    seed: int | Sequence[int | None] | None = None,
) -> NDArray[np.float64]: ...
@arguments.explained
def evaluate(
    env: gymnasium.Env[Any, Any] | gymnasium.vector.VectorEnv[Any, Any, Any],
    agent: Agent | Population,
    coder: Callable[[Any], Any],
    *,
    episodes: int,
    seed: Any = None,
) -> NDArray[np.float64]:
    """Returns (episodes,) of the greedy policy in a Gymnasium environment; nothing is learned.

    env    with a Discrete action space; for a Population of N agents a vector of N environments, the i-th for
           agent i, whenever the vector resets those that have ended
    coder  TileCoder, or any function from an observation, or N of them, to features
    seed   of the first reset

    Of a Population (N, episodes): of each agent the first so many that end.

    Errors: ValueError, TypeError.
    """
    if not isinstance(agent, (Agent, Population)) or (isinstance(agent, Population) and not agent.n_actions):
        name = agent.learner.__name__ if isinstance(agent, Population) else type(agent).__name__
        raise TypeError(f"agent: got {name}, expected one that acts")
    episodes = arguments.count("episodes", episodes, 0)
    if isinstance(agent, Population):
        return evaluate_all(env, agent, coder, episodes, seed)
    if (count := getattr(env, "num_envs", None)) is not None:
        raise ValueError(f"env: got a vector of {count}, expected one environment; or give a Population")
    actions = getattr(env.action_space, "n", None)
    if actions != agent.n_actions:
        raise ValueError(f"agent: has {agent.n_actions} actions, the environment {actions}")
    first = int(getattr(env.action_space, "start", 0))
    returns = np.zeros(episodes)
    for episode in range(episodes):
        observation, _ = env.reset(seed=seed if episode == 0 else None)
        over = False
        while not over:
            action = agent.act(coder(observation))
            observation, reward, terminated, truncated, _ = env.step(first + action)
            returns[episode] += float(reward)
            over = bool(terminated or truncated)
    return returns
