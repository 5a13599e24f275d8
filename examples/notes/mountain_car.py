"""Exercise 12.6 as a program: the mountain car by Sarsa(lambda) with dutch traces, eagerly and by fasttrace.

    python examples/notes/mountain_car.py           a second or two

Notes on chapter 12 answer the exercise with such a program, which does not run.  Here it does: comments stand
at what is easily got wrong, and docs/exercises.md says more.  It goes over all of w and z on every step.
fasttrace takes the same walk, changes the active features alone, and ends with the same weights.
"""

import math
import sys
import time

import numpy as np

import fasttrace as ft

ALPHA, GAMMA, LAMBDA, EPSILON = 0.02, 0.99, 0.5, 0.0001
EPISODES, SEED = 60, 0

# ---- the task ----


def init(u):
    """At rest, somewhere in [-0.6, -0.4)."""
    return -0.6 + (-0.4 - -0.6) * u, 0.0


def step(s, a):
    """Reward and next state: the new velocity moves the car, and the left wall stops it."""
    velocity = s[1] + (0.001 * a - 0.0025 * math.cos(3 * s[0]))
    velocity = min(max(velocity, -0.07), 0.07)
    position = min(max(s[0] + velocity, -1.2), 0.6)
    return -1.0, (position, 0.0 if position == -1.2 and velocity < 0 else velocity)


def is_terminal(s):
    """The goal is on the right."""
    return s[0] >= 0.5


# ---- features ----

LOW, HIGH = (-1.2, -0.07), (0.6, 0.07)
TILES, TILINGS = (9, 14), 8  # 0.2 of position, 0.01 of velocity
CELLS = (TILES[0] + 1, TILES[1] + 1)  # a tiling that is displaced needs one more
N = TILINGS * CELLS[0] * CELLS[1]
A = (-1, 0, 1)


def tiles(s):
    """One tile in each tiling.  Position and velocity together: apart, no weights could tell what both do.

    Intervals are half-open, so that a state between two tiles is in one of them.
    """
    active = []
    for j in range(TILINGS):
        position = (s[0] - LOW[0]) * (TILES[0] / (HIGH[0] - LOW[0])) + j % TILINGS / TILINGS
        velocity = (s[1] - LOW[1]) * (TILES[1] / (HIGH[1] - LOW[1])) + j * 3 % TILINGS / TILINGS
        active.append((j * CELLS[0] + int(position)) * CELLS[1] + int(velocity))
    return active


def features(s, a):
    """Of a state and the number of an action: no two actions share one, and none stands twice."""
    return [i * len(A) + a for i in tiles(s)]


# ---- Sarsa(lambda) with dutch traces ----


def epsilon_greedy(q, u):
    """One uniform number decides: whether to explore, and how; or else which of the best actions."""
    if u < EPSILON:
        return int(u / EPSILON * len(q))
    best = [a for a, value in enumerate(q) if value == max(q)]
    return best[int((u - EPSILON) / (1 - EPSILON) * len(best))]


def sarsa(random):
    """The weights after EPISODES episodes, and the steps of each."""
    w, z = np.zeros(N * len(A)), np.zeros(N * len(A))

    def value(x):
        return sum(w[x].tolist())

    def choose(s):
        return epsilon_greedy([value(features(s, a)) for a in range(len(A))], random())

    lengths = []
    for _ in range(EPISODES):
        z[:] = 0.0  # nothing of the last episode is remembered
        s = init(random())
        a = choose(s)
        x = features(s, a)
        length, over = 0, False
        while not over:
            reward, s = step(s, A[a])
            over = is_terminal(s)
            delta = reward - value(x)
            z[x] += 1 - ALPHA * sum(z[x].tolist())  # z is decayed already: no gamma lambda here
            if not over:
                a = choose(s)  # in the new state, as are its features
                x = features(s, a)
                delta += GAMMA * value(x)
            w += ALPHA * delta * z
            z *= GAMMA * LAMBDA
            length += 1
        lengths.append(length)
    return w, lengths


def sarsa_of_fasttrace(seed):
    """The same of a learner, in one native loop that draws the same numbers."""
    env, coder = ft.envs.MountainCar(), ft.TileCoder(LOW, HIGH, TILES, TILINGS)
    agent = ft.Sarsa(
        coder.n_features, len(A), trace="dutch",
        alpha=ALPHA, gamma=GAMMA, lambda_=LAMBDA, epsilon=EPSILON,
    )  # fmt: skip
    history = ft.simulate(env, agent, coder, episodes=EPISODES, seed=seed)
    return agent.weights.ravel(), history


def main():
    begin = time.perf_counter()
    w, lengths = sarsa(np.random.default_rng(SEED).random)
    seconds = time.perf_counter() - begin
    weights, history = sarsa_of_fasttrace(SEED)

    for first in range(0, EPISODES, 20):
        print(
            f"episodes {first + 1:2} to {first + 20}: {np.mean(lengths[first : first + 20]):5.0f} steps each"
        )
    steps = sum(lengths)
    print(f"eager: {seconds / steps * 1e6:.1f} us a step, fasttrace: {history.seconds / steps * 1e6:.2f}")
    difference = np.abs(weights - w).max()
    print(f"weights differ by at most {difference:.0e}, the largest is {np.abs(w).max():.2f}")
    if history.lengths.tolist() != lengths or difference > 1e-9:
        sys.exit("the two did not learn the same")


if __name__ == "__main__":
    main()
