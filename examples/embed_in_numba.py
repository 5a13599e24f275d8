"""The kernels inside your own @njit loop: a random walk learned by true online TD(lambda), in Numba and in C.

    python examples/embed_in_numba.py          a few seconds, most of them Numba's

The loop, the walk and the features are yours; only the step is fasttrace's.  The two steps are called alike,
on the memory of an ordinary learner, and give the same weights to the bit.
"""

import sys

import numpy as np
from numba import njit

import fasttrace as ft
from fasttrace import embed

STATES = 19  # -1 beyond the left end, +1 beyond the right: Sutton & Barto, example 7.1
EPISODES = 2000
ALPHA, GAMMA, LAMBDA = 0.02, 1.0, 0.8

TRUE_VALUES = np.arange(1, STATES + 1) / 10 - 1
FEATURES = np.arange(STATES, dtype=np.int32).reshape(-1, 1)  # of every state: one active index


def walk_with(step):
    """Your loop, with either step in it."""

    @njit(nogil=True)
    def walk(state, features, generator, episodes):
        steps = 0
        for _ in range(episodes):
            s = len(features) // 2
            over = False
            while not over:
                s_next = s + (1 if generator.random() < 0.5 else -1)
                over = s_next < 0 or s_next == len(features)
                reward = 0.0 if not over else (-1.0 if s_next < 0 else 1.0)
                gamma = 0.0 if over else GAMMA
                x_next = features[s if over else s_next]  # not used where the episode ends
                step(state, features[s], reward, x_next, gamma, LAMBDA, 1.0, ALPHA)
                s = s_next
                steps += 1
        return steps

    return walk


def learned_by(backend):
    """Weights after a walk that is the same for every backend, and the number of its steps."""
    learner = ft.TrueOnlineTD(STATES, alpha=ALPHA, backend=backend)
    walk = walk_with(embed.step(learner))
    steps = walk(embed.state(learner), FEATURES, np.random.default_rng(0), EPISODES)
    return learner.weights, steps


def main():
    weights = {}
    for name in ["numba", "c"] if ft.backends()["c"] is None else ["numba"]:
        weights[name], steps = learned_by(name)
    print(f"{steps} steps of true online TD({LAMBDA}), values of every third state:\n")
    print("true  ", *(f"{value:7.3f}" for value in TRUE_VALUES[::3]))
    for name, w in weights.items():
        print(f"{name:6}", *(f"{value:7.3f}" for value in w[::3]))
    error = np.sqrt(np.mean((weights["numba"] - TRUE_VALUES) ** 2))
    print(f"\nRMS error over all states: {error:.3f}")
    assert error < 0.1, "the walk was not learned"
    if "c" in weights:
        assert np.array_equal(weights["numba"], weights["c"]), "Numba and C differ"
        print("Numba and C agree to the bit.")
    else:
        print(f"C is not there: {ft.backends()['c']}")


if __name__ == "__main__":
    sys.exit(main())
