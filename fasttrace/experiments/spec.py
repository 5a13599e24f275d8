"""What a sweep is to run: read from a dict or a TOML file, and checked before anything runs."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import inspect
import itertools
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import arguments, envs, registry
from ..envs import Environment, PredictionTask
from ..learner import CLASSES
from ..linear.agent import Agent
from ..linear.learner import LinearLearner
from ..simulate import check as check_simulation
from ..tiles import TileCoder
from ..version import __version__

SECTIONS = ("environment", "coder", "learner", "grid", "run")
_RUN = ("seeds", "episodes", "steps", "max_episode_steps", "keep")
_GIVEN = ("n_features", "n_actions", "backend", "seed", "self", "low", "high")  # not the user's to set here
_LIMITS = {"steps": "max_steps", "max_episode_steps": "max_episode_steps"}  # as the table has them
PER_TILING = "alpha_per_tiling"


@dataclass(frozen=True)
class Run:
    """One setting with one seed.

    options  of the learner
    told     every option as the table has it, the environment's and the coder's too
    key      a digest of all that the result hangs on
    """

    options: dict[str, Any]
    told: dict[str, Any]
    seed: int
    key: str

    def __repr__(self) -> str:
        return f"{', '.join(f'{name}={value!r}' for name, value in self.told.items())}, seed={self.seed}"


@dataclass(frozen=True)
class Spec:
    """A sweep.  settings: of each combination the learner's options, and all as the table has them."""

    environment: str
    environment_options: dict[str, Any]
    coder_options: dict[str, Any] | None
    learner_name: str
    settings: tuple[tuple[dict[str, Any], dict[str, Any]], ...]
    seeds: int
    episodes: int
    steps: int | None
    max_episode_steps: int | None
    keep_episodes: bool

    @property
    def learner(self) -> type[LinearLearner]:
        return _class_of(self.learner_name)

    @property
    def predicts(self) -> bool:
        """Whether the learner predicts a task whose values are known."""
        return not issubclass(self.learner, Agent) and isinstance(
            task_of(self.environment, self.environment_options), PredictionTask
        )

    @property
    def series(self) -> tuple[str, ...]:
        """What `learn` takes of a prediction task's transitions."""
        learns: list[Any] = [vars(each)["learn"] for each in self.learner.__mro__ if "learn" in vars(each)]
        taken = {name for learn in learns for name in inspect.signature(learn).parameters}
        return tuple(name for name in ("gammas", "rhos", "pi") if name in taken)

    @property
    def columns(self) -> dict[str, Any]:
        """Options as columns of the table, each with a value."""
        return self.settings[0][1]

    def world(self, backend: Any) -> tuple[Environment, TileCoder | None]:
        env = task_of(self.environment, self.environment_options)
        if self.coder_options is None:
            return env, None
        return env, TileCoder(env.low, env.high, **self.coder_options, backend=backend)

    def runs(self) -> list[Run]:
        """All of them, settings by settings."""
        about = [__version__, self.environment, _source(self.environment), self.learner_name]
        runs = []
        for options, told in self.settings:
            for seed in range(self.seeds):
                whole = [*about, _numbers(told), seed]
                digest = hashlib.blake2b(json.dumps(whole, sort_keys=True).encode(), digest_size=16)
                runs.append(Run(options, told, seed, digest.hexdigest()))
        return runs

    def check(self, backend: Any) -> None:
        """Make one learner of each setting.  Errors: as class and simulate have them, with the setting."""
        env: Any
        env, coder = self.world(backend)
        for options, _ in self.settings:
            try:
                if self.predicts:
                    self.learner(env.features.shape[1], **options, backend=backend)
                    continue
                n = coder.n_features if coder else env.n_features
                if n is None:
                    raise ValueError(f"coder: {env!r} has states that need one")
                sizes = (n, env.n_actions) if issubclass(self.learner, Agent) else (n,)
                check_simulation(env, self.learner(*sizes, **options, backend=backend), coder)
            except (TypeError, ValueError) as error:
                told = ", ".join(f"{name}={value!r}" for name, value in options.items())
                raise type(error)(f"{self.learner_name}({told}): {error}") from None


def _numbers(told: Any) -> Any:
    """1 and 1.0 are one setting."""
    if isinstance(told, dict):
        return {name: _numbers(value) for name, value in told.items()}
    if isinstance(told, list):
        return [_numbers(value) for value in told]
    return float(told) if is_number(told) else told


def _source(environment: str) -> str:
    """A digest of the file that an environment of one's own comes from."""
    if ":" not in environment:
        return ""
    path = inspect.getsourcefile(importlib.import_module(environment.partition(":")[0]))
    return hashlib.blake2b(Path(path).read_bytes(), digest_size=16).hexdigest() if path else ""


def is_number(value: Any) -> bool:
    """Whether an option may differ within a population."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def read_spec(spec: Any) -> Spec:
    """Errors: TypeError, ValueError; OSError for a file that cannot be read."""
    if isinstance(spec, Spec):
        return spec
    if isinstance(spec, (str, os.PathLike)):
        try:
            spec = tomllib.loads(Path(spec).read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{spec}: {error}") from None
    if not isinstance(spec, Mapping):
        raise TypeError(f"spec: got {type(spec).__name__}, expected a dict or the path of a TOML file")
    _known("spec", spec, SECTIONS)
    for name in ("environment", "learner", "run"):
        if name not in spec:
            raise ValueError(f"spec: has no section [{name}]")
    for name, section in spec.items():
        if not isinstance(section, Mapping):
            raise TypeError(f"[{name}]: got {type(section).__name__}, expected a table of options")
    environment, learner, grid = dict(spec["environment"]), dict(spec["learner"]), dict(spec.get("grid", {}))
    env_name, learner_name = _name("environment", environment), _name("learner", learner)
    env = task_of(env_name, environment)
    coder = dict(spec["coder"]) if "coder" in spec else None
    if coder is not None:
        _known("coder", coder, _options_of(TileCoder))
    kind = _class_of(learner_name)
    known = (*_options_of(kind), *([PER_TILING] if coder else []))
    _known("learner", learner, known)
    _known("grid", grid, known)
    for name, values in grid.items():
        if isinstance(values, (np.ndarray, range)):
            values = grid[name] = list(values)
        if not isinstance(values, (list, tuple)) or not values:
            raise ValueError(f"grid.{name}: got {values!r}, expected a list of values")
        plain = [json.dumps(_numbers(_plain("grid", name, value))) for value in values]
        if len(set(plain)) < len(plain):
            raise ValueError(f"grid.{name}: has a value twice, {values!r}")
        if name in learner:
            raise ValueError(f"grid.{name}: is among the options of [learner] too")
    run = dict(spec["run"])
    _known("run", run, _RUN)
    predicts = isinstance(env, PredictionTask) and not issubclass(kind, Agent)
    if predicts and coder is not None:
        raise ValueError(f"coder: {env_name} has features of its own")
    if predicts and "gamma" in {*learner, *grid}:
        raise ValueError(f"learner.gamma: {env_name} has a discount of its own, {env.gamma:g}")
    limits = {name: arguments.count(f"run.{name}", run[name]) for name in _RUN[:4] if name in run}
    if "episodes" not in limits:
        raise ValueError("run.episodes: is missing, expected how many episodes each run has")
    if predicts and {"steps", "max_episode_steps"} & limits.keys():
        raise ValueError(f"run: episodes of {env_name} have no limit of steps here")
    keep = run.get("keep", "means")
    if keep not in ("means", "episodes"):
        raise ValueError(f"run.keep: got {keep!r}, expected 'means' or 'episodes'")
    tilings = 1
    if coder is not None:
        try:
            tilings = TileCoder(env.low, env.high, **coder).tilings
        except (TypeError, ValueError) as error:
            raise type(error)(f"coder: {error}") from None
    beside = _beside(environment, coder, kind)
    beside |= {"episodes": limits["episodes"]}
    beside |= {new: limits[name] for name, new in _LIMITS.items() if name in limits}
    settings = tuple(
        _setting(learner | dict(zip(grid, values, strict=True)), beside, tilings)
        for values in itertools.product(*grid.values())
    )
    return Spec(
        env_name, environment, coder, learner_name, settings, limits.get("seeds", 1), limits["episodes"],
        limits.get("steps"), limits.get("max_episode_steps"), keep == "episodes",
    )  # fmt: skip


def task_of(name: str, options: Mapping[str, Any]) -> Any:
    """An environment by name: of ft.envs, or "module:attribute" of one's own."""
    module, _, attribute = name.partition(":")
    if attribute:
        try:
            make = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(f"environment.name: {name!r} cannot be imported: {error}") from None
        if not isinstance(make, Environment) and not callable(make):
            raise ValueError(
                f"environment.name: {name!r} is a {type(make).__name__}, expected an Environment"
            )
    else:
        known = [each for each in envs.__all__ if _is_environment(getattr(envs, each))]
        _known("environment.name", [name], known)
        make = getattr(envs, name)
    if isinstance(make, Environment):
        if options:
            raise ValueError(
                f"environment: {name!r} is an object that has its options, got {', '.join(options)}"
            )
        return make
    if inspect.isclass(make):
        _known("environment", options, _options_of(make))
    try:
        env = make(**options)
    except (TypeError, ValueError) as error:
        raise type(error)(f"environment: {error}") from None
    if not isinstance(env, Environment):
        raise TypeError(f"environment.name: {name!r} gave {type(env).__name__}, expected an Environment")
    return env


def _is_environment(kind: Any) -> bool:
    return (
        isinstance(kind, type) and issubclass(kind, Environment) and kind not in (Environment, PredictionTask)
    )


def _class_of(name: str) -> type[LinearLearner]:
    rows = (*registry.STEP_LEARNERS, *registry.SOLVERS)
    known: dict[str, Any] = {}
    for each in (row.learner for row in rows):
        kind = CLASSES.get(f"linear.{each}") or CLASSES[each]  # some names are networks' too
        if issubclass(kind, LinearLearner):
            known[each] = kind
    _known("learner.name", [name], known)
    found: type[LinearLearner] = known[name]
    return found


def _name(section: str, options: dict[str, Any]) -> str:
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise ValueError(f"{section}.name: got {name!r}, expected a name")
    return name


def _options_of(kind: type) -> tuple[str, ...]:
    names = inspect.signature(kind).parameters
    return tuple(name for name in names if name not in _GIVEN)


def _known(where: str, given: Any, known: Any) -> None:
    for name in given:
        if name not in known:
            nearest = difflib.get_close_matches(str(name), known, 1)
            also = f"did you mean {nearest[0]!r}?" if nearest else f"expected one of {', '.join(known)}"
            raise ValueError(f"{where}: unknown {name!r}; {also}")


def _beside(environment: dict[str, Any], coder: dict[str, Any] | None, kind: type) -> dict[str, Any]:
    """Options beside the learner's; those of a name that it has, too, with a word before."""
    taken = _options_of(kind)
    beside = {}
    for section, options in (("environment", environment), ("coder", coder or {})):
        for name, value in options.items():
            beside[f"{section}_{name}" if name in taken or name in beside else name] = _plain(
                section, name, value
            )
    return beside


def _setting(
    options: dict[str, Any], beside: dict[str, Any], tilings: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    options = {name: _plain("learner", name, value) for name, value in options.items()}
    told = beside | options
    for name in told:
        if not name.isidentifier() or sum(other.lower() == name.lower() for other in told) > 1:
            raise ValueError(
                f"{name!r}: cannot be a column of its own, for its letters or another's of that name"
            )
    if PER_TILING in options:
        if "alpha" in options:
            raise ValueError(f"{PER_TILING}: is given beside alpha")
        value = options.pop(PER_TILING)
        if not is_number(value):
            raise TypeError(f"{PER_TILING}: got {value!r}, expected a number")
        options["alpha"] = told["alpha"] = value / tilings
    return options, told


def _plain(section: str, name: str, value: Any) -> Any:
    """A value that JSON and SQLite have, too."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (list, tuple)):
        return [_plain(section, name, each) for each in value]
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError(f"{section}.{name}: got {value}, expected a number below 2^63")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"{section}.{name}: got {type(value).__name__}, expected a number, a word or true or false"
    )
