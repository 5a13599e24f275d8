"""Environments for simulate: plain functions of numbers, written once and run by every backend."""

from .baird import Baird
from .boyan_chain import BoyanChain
from .collision import Collision
from .environment import Environment, custom
from .four_rooms import FourRooms
from .mountain_car import MountainCar
from .prediction import PredictionTask, Transitions
from .random_walk import RandomWalk

__all__ = [
    "Baird",
    "BoyanChain",
    "Collision",
    "Environment",
    "FourRooms",
    "MountainCar",
    "PredictionTask",
    "RandomWalk",
    "Transitions",
    "custom",
]
