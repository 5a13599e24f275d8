"""Environments as the loops of a backend run them, step by step."""

import numpy as np


class Runner:
    """An environment as the loops of a backend run it: reset(u), step(action, u)."""

    def __init__(self, env, backend):
        self.backend, self.env, self.kernel = backend, env, env.kernel(backend)
        self.state, self.out = np.full(env.n_state, np.nan), np.full(2, np.nan)

    def reset(self, u):
        if self.backend == "numpy":
            self.state[:] = self.kernel.reset(tuple(u.tolist()))
        elif self.backend == "numba":
            self.kernel.reset_into(self.state, u)
        else:
            struct = self.kernel.struct
            struct.reset(struct.self, pointer(self.state), pointer(u))
        return self.state.tolist()

    def step(self, action, u):
        if self.backend == "numpy":
            state = tuple(self.state.tolist())
            self.state[:], *self.out[:] = self.kernel.step(state, action, tuple(u.tolist()))
        elif self.backend == "numba":
            self.kernel.step_into(self.state, action, u, self.out)
        else:
            struct = self.kernel.struct
            struct.step(struct.self, pointer(self.state), action, pointer(u), pointer(self.out))
        return [*self.state.tolist(), *self.out.tolist()]


def pointer(array):
    from fasttrace.backends.c import ffi

    return ffi.from_buffer("double[]", array)


def walk(env, backend, steps=600, seed=0):
    """Everything that happens in `steps` decisions, actions at random."""
    rng = np.random.default_rng(seed)
    runner, happened = Runner(env, backend), []
    ended = True
    for _ in range(steps):
        if ended:
            happened.append(runner.reset(rng.random(env.n_uniforms[0])))
        action = int(rng.random() * env.n_actions)
        happened.append(runner.step(action, rng.random(env.n_uniforms[1])))
        ended = happened[-1][-1] == 0.0
    return happened
