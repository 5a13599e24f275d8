"""`python tests/long.py [millions of steps]`: test_long_runs.py for as long as one likes; 1e9 by default.

Prints how far the weights in C are from the eager loop's, relative to the largest, ten times on the way.
"""

import sys

import numpy as np
from test_long_runs import ALPHA, NUMBER, N, T, decays, eager_run, learn, walk

import fasttrace as ft

LEARNERS = {"td_accumulating": ft.TD, "true_online_td": ft.TrueOnlineTD}


def main(rounds):
    for name, cls in LEARNERS.items():
        rng = np.random.default_rng(1)
        stream = *walk(rng, T), *decays("random", rng, T)
        w, z, carried = np.zeros(N), np.zeros(N), np.array([0.0, np.nan])
        learner = cls(N, alpha=ALPHA, backend="c")
        for done in range(1, rounds + 1):
            eager_run(NUMBER[name], w, z, carried, *stream, ALPHA)
            learn(learner, *stream)
            if done % max(1, rounds // 10) == 0:
                error = np.max(np.abs(learner.weights - w)) / np.max(np.abs(w))
                print(f"{name}: {error:.1e} after {done} million steps", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
