"""Eligibility traces for reinforcement learning at native speed."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _CHECKED

from . import envs, forward, returns
from .backends import backends
from .errors import BackendUnavailable, CheckpointError, FeatureIndexError
from .features import Ragged
from .learner import load
from .linear.actor_critic import ActorCritic
from .linear.adaptive import TIDBD, Autostep, SwiftSarsa, SwiftTD
from .linear.control import (
    ExpectedSarsa,
    QSigma,
    Retrace,
    Sarsa,
    TreeBackup,
    TrueOnlineExpectedSarsa,
    TrueOnlineSarsa,
    WatkinsQ,
)
from .linear.gradient import GQ, GTD, GTD2, HTD, TDRC, ProximalGTD2, TrueOnlineGTD
from .linear.lstd import LSTD
from .linear.off_policy import ABTD, TreeBackupTD, VtraceTD
from .linear.prediction import TD, EmphaticTD, TrueOnlineEmphaticTD, TrueOnlineTD
from .many.horde import Horde
from .many.population import Population
from .returns import half_life, lambda_from_half_life
from .simulate import History, evaluate, simulate
from .sources import get_include
from .tiles import TileCoder
from .version import __version__ as __version__

__all__ = [
    "ABTD",
    "GQ",
    "GTD",
    "GTD2",
    "HTD",
    "LSTD",
    "TD",
    "TDRC",
    "TIDBD",
    "ActorCritic",
    "Autostep",
    "BackendUnavailable",
    "CheckpointError",
    "EmphaticTD",
    "ExpectedSarsa",
    "FeatureIndexError",
    "History",
    "Horde",
    "Population",
    "ProximalGTD2",
    "QSigma",
    "Ragged",
    "Retrace",
    "Sarsa",
    "SwiftSarsa",
    "SwiftTD",
    "TileCoder",
    "TreeBackup",
    "TreeBackupTD",
    "TrueOnlineEmphaticTD",
    "TrueOnlineExpectedSarsa",
    "TrueOnlineGTD",
    "TrueOnlineSarsa",
    "TrueOnlineTD",
    "VtraceTD",
    "WatkinsQ",
    "backends",
    "envs",
    "evaluate",
    "forward",
    "get_include",
    "half_life",
    "lambda_from_half_life",
    "load",
    "returns",
    "simulate",
]


# Imported when first used: Numba and PyTorch take longer than all the rest, networks are not for everybody.
_LATER = ("checks", "embed", "jax", "neural", "plasticity", "torch")
_SWEEPS = ("results", "sweep")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *_SWEEPS})


if _CHECKED:
    from . import embed as embed
    from . import jax as jax
    from . import neural as neural
    from . import plasticity as plasticity
    from . import torch as torch
    from .experiments.runs import results as results
    from .experiments.sweep import sweep as sweep
else:

    def __getattr__(name: str) -> object:
        if name in _LATER:
            return _import_module(f".{name}", __name__)
        if name in _SWEEPS:
            return getattr(_import_module(".experiments.sweep", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
