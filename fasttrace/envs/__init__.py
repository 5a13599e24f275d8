"""Environments for simulate: plain functions of numbers, written once and run by every backend."""

from .acrobot import Acrobot
from .baird import Baird
from .boyan_chain import BoyanChain
from .cart_pole import CartPole
from .collision import Collision
from .environment import Environment, custom
from .four_rooms import FourRooms
from .mountain_car import MountainCar
from .prediction import PredictionTask, Transitions
from .puddle_world import PuddleWorld
from .random_walk import RandomWalk

__all__ = [
    "Acrobot",
    "Baird",
    "BoyanChain",
    "CartPole",
    "Collision",
    "Environment",
    "FourRooms",
    "MountainCar",
    "PredictionTask",
    "PuddleWorld",
    "RandomWalk",
    "Transitions",
    "custom",
]
