"""Eligibility traces for reinforcement learning at native speed."""

from .backends import backends
from .control import Sarsa, TrueOnlineSarsa
from .errors import BackendUnavailable, CheckpointError, FeatureIndexError
from .features import Ragged
from .learner import load
from .prediction import TD, TrueOnlineTD

__version__ = "0.1.0"

__all__ = [
    "TD",
    "BackendUnavailable",
    "CheckpointError",
    "FeatureIndexError",
    "Ragged",
    "Sarsa",
    "TrueOnlineSarsa",
    "TrueOnlineTD",
    "backends",
    "load",
]
