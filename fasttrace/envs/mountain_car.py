"""The mountain car."""

import math
from typing import Any

from .environment import Environment, State


def reset(u: Any) -> State:
    return (-0.6 + (-0.4 - -0.6) * u[0], 0.0)  # as Gymnasium draws uniform(-0.6, -0.4)


def step(state: Any, action: int, u: Any) -> tuple[State, float, float]:
    position, velocity = state
    velocity += (action - 1) * 0.001 + math.cos(3 * position) * -0.0025
    velocity = min(max(velocity, -0.07), 0.07)
    position = min(max(position + velocity, -1.2), 0.6)
    if position == -1.2 and velocity < 0.0:
        velocity = 0.0
    at_the_top = position >= 0.5 and velocity >= 0.0
    return (position, velocity), -1.0, 0.0 if at_the_top else 1.0


class MountainCar(Environment):
    """An underpowered car in a valley: -1 a step until it is on top of the right slope.

    The state is (position, velocity); actions are 0 full throttle back, 1 none, 2 full throttle
    ahead.  Starts at rest, position uniform in [-0.6, -0.4).  No time limit.

    Source: Sutton & Barto 2018, example 10.1; to the bit as Gymnasium's MountainCar-v0 in float64.
    """

    low: State
    high: State
    twin = ("ft_mountain_car",)

    def __init__(self) -> None:
        super().__init__(
            reset,
            step,
            n_actions=3,
            n_state=2,
            n_uniforms=(1, 0),
            low=(-1.2, -0.07),
            high=(0.6, 0.07),
        )
