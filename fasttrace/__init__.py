"""Eligibility traces for reinforcement learning at native speed."""

from importlib import import_module as _import_module
from typing import Any as _Any

from . import envs
from .backends import backends
from .control import Sarsa, TrueOnlineSarsa
from .errors import BackendUnavailable, CheckpointError, FeatureIndexError
from .features import Ragged
from .learner import load
from .prediction import TD, TrueOnlineTD
from .simulate import History, evaluate, simulate
from .tiles import TileCoder

__version__ = "0.1.0"

__all__ = [
    "TD",
    "BackendUnavailable",
    "CheckpointError",
    "FeatureIndexError",
    "History",
    "Ragged",
    "Sarsa",
    "TileCoder",
    "TrueOnlineSarsa",
    "TrueOnlineTD",
    "backends",
    "envs",
    "evaluate",
    "load",
    "simulate",
]


def __getattr__(name: str) -> _Any:
    if name in ("embed", "torch"):  # import Numba and PyTorch, which take longer than all the rest
        return _import_module(f".{name}", __name__)
    if name == "plasticity":  # not for everybody
        return _import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
