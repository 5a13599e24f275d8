"""The cart-pole."""

import math
from typing import Any

from .environment import Environment, State

X_LIMIT = 2.4
THETA_LIMIT = 12 * 2 * math.pi / 360


def reset(u: Any) -> State:
    span = 0.05 - -0.05  # as Gymnasium draws uniform(-0.05, 0.05)
    return (-0.05 + span * u[0], -0.05 + span * u[1], -0.05 + span * u[2], -0.05 + span * u[3])


def step(state: Any, action: int, u: Any) -> tuple[State, float, float]:
    x, x_dot, theta, theta_dot = state
    force = 10.0 if action == 1 else -10.0
    cos, sin = math.cos(theta), math.sin(theta)
    push = (force + 0.05 * (theta_dot * theta_dot) * sin) / 1.1
    theta_acc = (9.8 * sin - cos * push) / (0.5 * (4.0 / 3.0 - 0.1 * (cos * cos) / 1.1))
    x_acc = push - 0.05 * theta_acc * cos / 1.1
    x, x_dot = x + 0.02 * x_dot, x_dot + 0.02 * x_acc
    theta, theta_dot = theta + 0.02 * theta_dot, theta_dot + 0.02 * theta_acc
    stands = -X_LIMIT <= x <= X_LIMIT and -THETA_LIMIT <= theta <= THETA_LIMIT
    return (x, x_dot, theta, theta_dot), 1.0, 1.0 if stands else 0.0


class CartPole(Environment):
    """A pole on a cart, to be kept upright by pushing the cart: 1 a step until it falls.

    The state is (position in m, velocity in m/s, angle from upright in rad, angular velocity in rad/s);
    actions are 0 a push of 10 N to the left, 1 one to the right, for .02 s.  Starts with each of the four
    uniform in [-0.05, 0.05).  Ends beyond 2.4 m or 12 degrees on either side, with a reward of 1 for that
    step too.  No time limit: who balances goes on for ever but for simulate's max_episode_steps, 500 in
    Gymnasium's.

    Velocities have no bounds; low and high are what a pole that stands seldom exceeds, and a TileCoder clips.
    Weights of 0 are no optimism here, where all rewards are 1: an agent has to explore, by epsilon .05, say.

    Source: Barto, Sutton & Anderson 1983; to the bit as Gymnasium's CartPole-v1 in float64, its Euler steps,
    where NumPy's cos and sin are those of the C library.
    """

    low: State
    high: State
    twin = ("ft_cart_pole",)

    def __init__(self) -> None:
        high = (X_LIMIT, 3.0, THETA_LIMIT, 3.5)
        low = (-X_LIMIT, -3.0, -THETA_LIMIT, -3.5)
        super().__init__(reset, step, n_actions=2, n_state=4, n_uniforms=(4, 0), low=low, high=high)
