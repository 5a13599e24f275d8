"""Every combination of settings, for many seeds, here or on a cluster; what is done is kept in a database.

A sweep is a `Spec`, its runs are cut into blocks, each a Population in one process, and one writer puts what
comes back into the table (experiments.runs).  A run that is in the table is not run again.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Future, as_completed
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any, Literal

import numpy as np

from .. import arguments
from ..backends import Backend, Device, host_of, module
from ..many.crew import cores
from ..many.population import Population
from ..simulate import simulate
from . import best
from .runs import Runs, Table, results
from .spec import Run, Spec, is_number, read_spec, task_of

__all__ = ["Engine", "results", "sweep"]

Engine = Literal["local", "dask"]
_BLOCK = 64  # runs at most: enough for a population, few enough that nobody waits long for the last
_ON_GPU = 1 << 31  # bytes of learners that are there at once, and here
_BREAKS = 2  # that a sweep takes before it runs block by block, to find the one that kills workers


@arguments.explained
def sweep(
    spec: Any,
    db: Any = "results.sqlite",
    *,
    engine: Engine = "local",
    address: str | None = None,
    workers: int | None = None,
    backend: Backend | Device = "auto",
    progress: bool = True,
) -> Table:
    """Run every combination of a grid of settings for every seed; returns the table of their results.

        table = ft.sweep("mountain_car.toml")
        table = ft.sweep({"environment": {"name": "MountainCar"}, ...}, "results.sqlite")

    spec      dict, or path of a TOML file: sections environment, coder, learner, grid, run (docs/sweeps.md)
    db        SQLite file that keeps results; runs that it has, of this version, are not run again
    engine    "local": processes here; "dask": on a cluster, of `address`, or one made here for the time
    workers   processes, None is one a core, 1 is this one; of a cluster that is there it has no meaning
    backend   of the learners; "cuda" runs as many at once as 2 GiB hold, in this process
    progress  a bar of runs done, with steps a second and the time left

    Killed at any point and started again, it runs what is missing; the table is that of a sweep that was
    not, in all but `seconds`.  A setting that diverges is a row that says so.  A run that fails or kills its
    worker, or a database that cannot be written for the time being, is a RuntimeWarning; the rest goes on.

    The table is a dict of arrays, one entry a run of this spec, in the order of grid and seeds: the options,
    `seed`, `mean_return`, `mean_length` over the episodes that ended, `rms` of prediction tasks (root mean
    square value error over states, mean over episodes; of others NaN), `steps`, `diverged`, `seconds`.

    Errors: ValueError, TypeError for what the spec has that there is not, before anything runs; ValueError
    for a database of something else or a newer version; ImportError where joblib, rich or Dask is missing;
    RuntimeError for results that could not be stored, or a cluster that went away.
    """
    engine = arguments.choice("engine", engine, ("local", "dask"))
    if engine == "local" and address is not None:
        raise ValueError(f"address: got {address!r} with engine='local'; a cluster is engine='dask'")
    workers = None if workers is None else arguments.count("workers", workers)
    made = read_spec(spec)
    name, on_gpu = host_of(backend)
    made.check(name)
    most = _BLOCK
    if on_gpu:
        if engine != "local" or workers not in (None, 1):
            raise ValueError(
                f"backend: got 'cuda' with engine={engine!r}, workers={workers}; a GPU is one worker, 'local'"
            )
        workers, most = 1, _most_on_gpu(made)
    all_runs = made.runs()
    with ExitStack() as open_until:
        executor = open_until.enter_context(_executor(engine, address, workers))
        runs = open_until.enter_context(Runs(db))
        runs.make_columns(made)
        there = runs.keys()
        missing = [run for run in all_runs if run.key not in there]
        blocks = list(_blocks(made, missing, most, 0 if on_gpu else workers or cores()))
        done = open_until.enter_context(_bar(progress, len(all_runs), len(all_runs) - len(missing)))
        _run_blocks(made, blocks, "cuda" if on_gpu else name, runs, executor, done)
        runs.finish(made)
        return runs.table([run.key for run in all_runs])


def run(
    spec: str,
    db: str,
    engine: Engine,
    address: str | None,
    workers: int | None,
    backend: Backend | Device,
    figure: str | None,
) -> int:
    """The command; the exit status."""
    try:
        if figure:
            from .sweep_figures import draw, expect_figure

            expect_figure(figure)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = lambda message, *_: print(message, file=sys.stderr)
            table = sweep(
                spec, db, engine=engine, address=address, workers=workers, backend=backend, progress=True
            )
        print("\n".join(best.lines(table, 10)).rstrip())
        if figure:
            draw(table, figure, f"{table['learner'][0]}, {table['environment'][0]}")
            print(f"Figure: {figure}")
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        print(f"fasttrace sweep: {error}", file=sys.stderr)
        return 1
    return 0


# ---- blocks: runs that one population makes ----------------------------------------------------------------


def _most_on_gpu(spec: Spec) -> int:
    """Runs that _ON_GPU bytes hold.  Errors: ValueError for what a GPU does not serve."""
    if not spec.predicts:
        module("cuda", "simulate").check(spec.world("auto")[0])
    one = _population(spec, spec.runs()[:1], *_sizes(spec), "cuda").one.method().trace
    return max(1, _ON_GPU // (one.rows.nbytes + one.ring.nbytes))


def _sizes(spec: Spec) -> tuple[int, int]:
    """Features and actions of the learners."""
    env, coder = spec.world("auto")
    task: Any = env
    if spec.predicts:
        return task.features.shape[1], 0
    return coder.n_features if coder else task.n_features, env.n_actions


def _blocks(spec: Spec, runs: list[Run], most: int, workers: int) -> Iterator[list[Run]]:
    """Runs that differ in numbers alone; of a prediction task, of one seed.  Several for each worker."""
    most = min(most, max(8, len(runs) // (4 * workers))) if workers else most
    alike: dict[Any, list[Run]] = {}
    for run in runs:
        words = json.dumps([each for each in run.options.items() if not is_number(each[1])])
        alike.setdefault((words, run.seed if spec.predicts else None), []).append(run)
    for some in alike.values():
        for first in range(0, len(some), most):
            yield some[first : first + most]


def run_block(spec: Spec, runs: list[Run], backend: str) -> list[dict[str, Any]]:
    """Results of runs that belong together, as rows of the table.  What a worker does."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.filterwarnings("ignore", ".*diverged.*", RuntimeWarning)  # a row says so
        return (_predict if spec.predicts else _act)(spec, runs, backend)


def _population(spec: Spec, runs: list[Run], n_features: int, n_actions: int, backend: str) -> Population:
    options = {
        name: [run.options[name] for run in runs] if is_number(value) else value
        for name, value in runs[0].options.items()
    }
    sizes = (n_actions, len(runs)) if n_actions else (len(runs),)
    return Population(spec.learner, n_features, *sizes, backend=backend, **options)  # type: ignore[arg-type]


def _act(spec: Spec, runs: list[Run], backend: str) -> list[dict[str, Any]]:
    env, coder = spec.world("auto" if backend == "cuda" else backend)
    agents = _population(spec, runs, *_sizes(spec), backend)
    history = simulate(
        env, agents, coder, episodes=spec.episodes, steps=spec.steps,
        max_episode_steps=spec.max_episode_steps, seed=[run.seed for run in runs], threads=1,
    )  # fmt: skip
    share = history.seconds / max(1, int(history.steps.sum()))
    rows = []
    for i, run in enumerate(runs):
        ended = history.lengths[i] > 0
        returns, lengths = history.returns[i][ended], history.lengths[i][ended]
        steps, diverged = int(history.steps[i]), bool(history.diverged[i])
        rows.append(_row(run, returns, lengths, np.nan, steps, diverged, steps * share))
    return rows


def _predict(spec: Spec, runs: list[Run], backend: str) -> list[dict[str, Any]]:
    task = task_of(spec.environment, spec.environment_options)
    options = json.dumps(spec.environment_options)
    streams = _episodes(spec.environment, options, runs[0].seed, spec.episodes)
    agents = _population(spec, runs, *_sizes(spec), backend)
    squares = np.zeros((len(runs), len(streams)))
    begun = time.perf_counter()
    for episode, stream in enumerate(streams):
        named = {name: getattr(stream, name) for name in spec.series if name != "gammas"}
        agents.learn(
            _repeated(stream.x, len(runs)), _repeated(stream.rewards, len(runs)),
            gammas=stream.gammas, **named, threads=1,
        )  # fmt: skip
        values = agents.weights @ task.features.T
        squares[:, episode] = ((values - task.true_values) ** 2).mean(axis=1)
    share = (time.perf_counter() - begun) / len(runs)
    returns = np.array([stream.rewards.sum() for stream in streams])
    lengths = np.array([len(stream.rewards) for stream in streams])
    errors, steps, diverged = np.sqrt(squares).mean(axis=1), int(lengths.sum()), agents.diverged
    return [
        _row(run, returns, lengths, float(errors[i]), steps, bool(diverged[i]), share)
        for i, run in enumerate(runs)
    ]


@cache
def _episodes(environment: str, options: str, seed: int, count: int) -> list[Any]:
    """Streams of the task, one an episode; the same for every setting.  options are JSON."""
    task = task_of(environment, json.loads(options))
    generator = generator_of(seed)
    return [task.stream(episodes=1, seed=generator, sparse=True) for _ in range(count)]


def generator_of(seed: int) -> np.random.Generator:
    """What a run of that seed draws from, as an agent of a Population does."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, 0], np.uint64)))


def _repeated(array: Any, count: int) -> Any:
    """The same for each agent; of a pair both."""
    if isinstance(array, tuple):
        return tuple(_repeated(part, count) for part in array)
    return np.broadcast_to(array, (count, *array.shape))


def _row(
    run: Run, returns: Any, lengths: Any, rms: float, steps: int, diverged: bool, seconds: float
) -> dict[str, Any]:
    mean = [float(np.mean(each)) if len(each) else np.nan for each in (returns, lengths)]
    numbers = {"mean_return": mean[0], "mean_length": mean[1], "rms": rms, "steps": steps}
    episodes = list(zip(returns.tolist(), lengths.tolist(), strict=True))
    return {"key": run.key, **numbers, "diverged": diverged, "seconds": seconds, "episodes": episodes}


# ---- engines -----------------------------------------------------------------------------------------------


def _run_blocks(
    spec: Spec,
    blocks: list[list[Run]],
    backend: str,
    runs: Runs,
    executor: Any,
    done: Callable[[int, int], None],
) -> None:
    """Store what comes back.

    A block that fails is run again run by run, one whose worker dies by itself in the end: what is left out,
    and told, is what fails.
    """
    left, broken = blocks, 0
    while left:
        alone = broken > _BREAKS
        some, left = (left[:1], left[1:]) if alone else (left, [])
        died = False
        for block, rows, error in _results(executor, spec, some, backend):
            if error is None:
                by_key = {run.key: run for run in block}
                runs.add([(by_key[row["key"]], row) for row in rows], spec)
                done(len(rows), sum(row["steps"] for row in rows))
            elif isinstance(error, BrokenExecutor) and not alone:
                died = True
                left.append(block)
            elif len(block) > 1:
                left += [[run] for run in block]
            else:
                what = (
                    "its worker died"
                    if isinstance(error, BrokenExecutor)
                    else f"{type(error).__name__}: {error}"
                )
                _tell(f"a run is left out, {what} ({block[0]!r})")
        if died:
            broken += 1
            _tell("a worker died; what it had is run again")


def _tell(what: str) -> None:
    warnings.warn(f"sweep: {what}", RuntimeWarning, stacklevel=2)


class _Here:
    """An executor that is this process."""

    def submit(self, call: Any, *given: Any) -> Any:
        future: Future[Any] = Future()
        try:
            future.set_result(call(*given))
        except Exception as error:
            future.set_exception(error)
        return future


class _Pool:
    """An executor, and another where that broke."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make, self.executor = make, make()

    def submit(self, *given: Any) -> Any:
        try:
            return self.executor.submit(*given)
        except BrokenExecutor:
            self.executor.shutdown(wait=False, kill_workers=True)
            self.executor = self._make()
            return self.executor.submit(*given)


def _results(executor: Any, spec: Spec, blocks: list[list[Run]], backend: str) -> Iterator[Any]:
    """(block, rows, error) as they come."""
    if isinstance(executor, _Here):
        for block in blocks:
            future = executor.submit(run_block, spec, block, backend)
            yield block, *_outcome(future)
        return
    futures = {}
    for block in blocks:
        try:
            futures[executor.submit(run_block, spec, block, backend)] = block
        except BrokenExecutor as error:
            yield block, [], error
    for future in as_completed(futures):
        yield futures[future], *_outcome(future)


def _outcome(future: Any) -> tuple[Any, Any]:
    error = future.exception()
    return (future.result(), None) if error is None else ([], error)


@contextmanager
def _executor(engine: str, address: str | None, workers: int | None) -> Iterator[Any]:
    """What runs blocks: this process, or an executor."""
    count = cores() if workers is None else workers
    if engine == "dask":
        with _cluster(address, count) as client:
            yield client.get_executor(pure=False)
        return
    try:
        from joblib.externals import loky
    except ImportError as error:
        raise ImportError("sweep needs joblib: pip install 'fasttrace[sweep]'") from error
    if count == 1:
        yield _Here()
        return
    # A pool of its own: on loky's reusable one a joblib.Parallel of the caller would stumble afterwards.
    pool = _Pool(lambda: loky.ProcessPoolExecutor(count))
    try:
        yield pool
    except BaseException:
        pool.executor.shutdown(kill_workers=True)
        raise
    pool.executor.shutdown()


@contextmanager
def _cluster(address: str | None, workers: int) -> Iterator[Any]:
    try:
        from dask import distributed
    except ImportError as error:
        raise ImportError("engine='dask' needs Dask: pip install 'fasttrace[cluster]'") from error
    try:
        if address is not None:
            client = distributed.Client(address, timeout="30s")
        else:
            client = distributed.Client(n_workers=workers, threads_per_worker=1)
    except OSError as error:
        raise RuntimeError(f"sweep: there is no cluster at {address}: {error}") from None
    gone = True
    try:
        yield client
        gone = client.status != "running"
    except (OSError, CancelledError, distributed.client.FuturesCancelledError) as error:
        raise RuntimeError(
            f"sweep: the cluster went away ({type(error).__name__}); what was done is stored, start again"
        ) from None
    finally:
        client.close(timeout=1 if gone else 30)


@contextmanager
def _bar(progress: bool, total: int, there: int) -> Iterator[Callable[[int, int], None]]:
    """What to tell of runs and their steps as they end."""
    if not progress:
        yield lambda runs, steps: None
        return
    try:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError as error:
        raise ImportError("progress=True needs rich: pip install 'fasttrace[sweep]'") from error
    begun, made = time.perf_counter(), 0
    columns = BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"), TimeRemainingColumn()
    with Progress(TextColumn("runs"), *columns) as bar:
        task = bar.add_task("runs", total=total, completed=there, speed="")

        def done(runs: int, steps: int) -> None:
            nonlocal made
            made += steps
            speed = made / (time.perf_counter() - begun)
            bar.update(task, advance=runs, speed=f"{speed / 1e6:.1f} million steps/s")

        yield done
