"""The acrobot."""

import math
from typing import Any

import numpy as np

from .environment import Environment, State

MAX_SPEED_1, MAX_SPEED_2 = 4 * math.pi, 9 * math.pi
# Runge-Kutta over .2 s: how far ahead along the slope before, and the weight of the slope found there.
STAGES = ((0.0, 1.0), (0.1, 2.0), (0.1, 2.0), (0.2, 1.0))


def reset(u: Any) -> State:
    span = 0.1 - -0.1  # as Gymnasium draws uniform(-0.1, 0.1), and rounds it
    return (
        float(np.float32(-0.1 + span * u[0])),
        float(np.float32(-0.1 + span * u[1])),
        float(np.float32(-0.1 + span * u[2])),
        float(np.float32(-0.1 + span * u[3])),
    )


def step(state: Any, action: int, u: Any) -> tuple[State, float, float]:
    torque = action - 1.0
    slope = total = (0.0, 0.0, 0.0, 0.0)
    for ahead, weight in STAGES:
        theta1, theta2 = state[0] + ahead * slope[0], state[1] + ahead * slope[1]
        speed1, speed2 = state[2] + ahead * slope[2], state[3] + ahead * slope[3]
        cos2, sin2 = math.cos(theta2), math.sin(theta2)
        d1 = 0.25 + (1.25 + cos2) + 1.0 + 1.0
        d2 = 0.25 + 0.5 * cos2 + 1.0
        phi2 = 4.9 * math.cos(theta1 + theta2 - math.pi / 2)
        phi1 = -0.5 * (speed2 * speed2) * sin2 - speed2 * speed1 * sin2
        phi1 = phi1 + 1.5 * 9.8 * math.cos(theta1 - math.pi / 2) + phi2
        acc2 = torque + d2 / d1 * phi1 - 0.5 * (speed1 * speed1) * sin2 - phi2
        acc2 = acc2 / (1.25 - d2 * d2 / d1)
        acc1 = -(d2 * acc2 + phi1) / d1
        slope = (speed1, speed2, acc1, acc2)
        total = (
            total[0] + weight * speed1,
            total[1] + weight * speed2,
            total[2] + weight * acc1,
            total[3] + weight * acc2,
        )
    part = 0.2 / 6.0
    theta1, theta2 = state[0] + part * total[0], state[1] + part * total[1]
    while theta1 > math.pi:
        theta1 -= 2 * math.pi
    while theta1 < -math.pi:
        theta1 += 2 * math.pi
    while theta2 > math.pi:
        theta2 -= 2 * math.pi
    while theta2 < -math.pi:
        theta2 += 2 * math.pi
    speed1 = min(max(state[2] + part * total[2], -MAX_SPEED_1), MAX_SPEED_1)
    speed2 = min(max(state[3] + part * total[3], -MAX_SPEED_2), MAX_SPEED_2)
    up = -math.cos(theta1) - math.cos(theta2 + theta1) > 1.0
    return (theta1, theta2, speed1, speed2), 0.0 if up else -1.0, 0.0 if up else 1.0


class Acrobot(Environment):
    """Two links that hang from a bar, driven at the joint between them: -1 a step until the tip is up.

    The state is (angle of the first link from hanging down, angle of the second from the first, in rad in
    [-pi, pi], and their velocities in rad/s, within 4 pi and 9 pi); actions are a torque of -1, 0 or 1 N m
    for .2 s.  Starts with each of the four uniform in [-0.1, 0.1), rounded to float32 as Gymnasium's are.
    The goal, a tip more than one link's length above the bar, gives 0 and ends the episode.  No time limit
    (Gymnasium's v1: 500 steps).

        coder = ft.TileCoder(env.low, env.high, tiles=6, tilings=8, wrap=(0, 1))      # the angles are circles

    Source: Sutton 1996; Sutton & Barto 1998, section 11.3; as Gymnasium's Acrobot-v1 in float64, "book"
    dynamics by fourth-order Runge-Kutta, to the last bits: Gymnasium's squares are pow(x, 2), which the
    C library does not always round as x x.
    """

    low: State
    high: State
    twin = ("ft_acrobot",)

    def __init__(self) -> None:
        high = (math.pi, math.pi, MAX_SPEED_1, MAX_SPEED_2)
        low = (-math.pi, -math.pi, -MAX_SPEED_1, -MAX_SPEED_2)
        super().__init__(reset, step, n_actions=3, n_state=4, n_uniforms=(4, 0), low=low, high=high)
