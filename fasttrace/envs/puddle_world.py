"""The puddle world."""

import math
from typing import Any

from .environment import Environment, State


def reset(u: Any) -> State:
    # Uniform where x + y < 1.9: x by the inverse of its distribution, then y up to what x allows.
    x = 0.995 * u[0]
    if x > 0.9:
        x = 1.9 - math.sqrt(1.0 - 2.0 * (x - 0.9))
    return (x, u[1] * min(1.0, 1.9 - x))


def step(state: Any, action: int, u: Any) -> tuple[State, float, float]:
    right = 0.05 if action == 2 else -0.05 if action == 3 else 0.0
    up = 0.05 if action == 0 else -0.05 if action == 1 else 0.0
    noise, angle = 0.01 * math.sqrt(-2.0 * math.log(1.0 - u[0])), 2.0 * math.pi * u[1]
    x = min(max(state[0] + right + noise * math.cos(angle), 0.0), 1.0)
    y = min(max(state[1] + up + noise * math.sin(angle), 0.0), 1.0)
    beside, above = x - min(max(x, 0.1), 0.45), y - 0.75  # from the nearest point of the middle line
    depth = max(0.1 - math.sqrt(beside * beside + above * above), 0.0)
    beside, above = x - 0.45, y - min(max(y, 0.4), 0.8)
    depth += max(0.1 - math.sqrt(beside * beside + above * above), 0.0)
    return (x, y), -1.0 - 400.0 * depth, 0.0 if x + y >= 1.9 else 1.0


class PuddleWorld(Environment):
    """A walk over the unit square to its upper right corner, around two puddles: -1 a step, more in them.

    The state is (x, y); actions are .05 up, down, right and left.  Gaussian noise of deviation .01 is added
    to both coordinates, from two uniform numbers a step by the transform of Box & Muller, and the square's
    edges hold.  The puddles are what is within .1 of the lines from (.1, .75) to (.45, .75) and from
    (.45, .4) to (.45, .8).  Where a step ends in one, -400 times the distance to its nearest edge comes on
    top; where they overlap both count.  The goal, x + y >= 1.9, ends the episode, with -1 for that step too.
    Starts uniform in what is not the goal, puddles included.  No time limit.

    Source: Sutton 1996, NIPS 8.  The paper leaves the goal's shape and overlapping puddles open: the goal is
    that of RLPy, and penalties add up as in the RL-Library, which names Sutton among its authors.
    """

    low: State
    high: State
    twin = ("ft_puddle_world",)

    def __init__(self) -> None:
        super().__init__(
            reset, step, n_actions=4, n_state=2, n_uniforms=(2, 2), low=(0.0, 0.0), high=(1.0, 1.0)
        )
