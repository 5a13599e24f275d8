"""Environments for simulate: plain functions of numbers, written once and run by every backend."""

from .environment import Environment, custom
from .mountain_car import MountainCar
from .random_walk import RandomWalk

__all__ = ["Environment", "MountainCar", "RandomWalk", "custom"]
