"""The loop of environment, coder and agent, a step at a time: what the native loops do, in plain Python."""

import math

import numpy as np

from ...errors import FeatureIndexError, no_feature
from ...features import Rows, joined, one_step
from ...policy import choose
from . import linear


class Loop:
    """A run that can be gone on with.

    env, coder  Environment and TileCoder; coder None: the state's number is the feature
    method      policy.Method of the learner; its trace is a DenseTrace (LazyTrace in the other backends)
    max_length  of an episode, which is then truncated; 0: none
    run, values of a learner in any backend: from a stream; of a trace and rows.  None: the kernel's here

    Errors of run: ValueError where the environment gives what it must not, FeatureIndexError where a
    state is no feature; the step in question is then not learned from.
    """

    def __init__(self, env, coder, method, generator, max_length, run=None, values=linear.values):
        self.learn, self.values = run, values
        self.n_actions, self.n_uniforms, self.env = env.n_actions, env.n_uniforms, env.kernel("numpy")
        self.coder = coder and coder.kernel("numpy")
        self.trace = method.trace
        self.alpha, self.gamma, self.lambda_ = method.numbers
        self.method = method
        self.random, self.max_length = generator.random, max_length
        self.running = False

    def run(self, steps, episodes):
        """Go on; returns the steps made, and returns and lengths of the episodes that ended."""
        returns, lengths, done = [], [], 0
        while done < steps and len(returns) < episodes:
            if not self.running:
                self._restart()
            over = self._step()
            done += 1
            self.length += 1
            if over or self.length == self.max_length:
                returns.append(self.total)
                lengths.append(self.length)
                self.running = False
                if not over:
                    self.trace.reset()
        return done, np.array(returns, float), np.array(lengths, np.int64)

    def _restart(self):
        self.trace.reset()
        self.state = self.env.reset(self._uniforms(self.n_uniforms[0]))
        self.x = self._features()
        self.action = self._choose(self.x)
        self.running, self.length, self.total = True, 0, 0.0

    def _step(self):
        self.running = False  # until the step has gone well
        self.state, reward, gamma = self.env.step(self.state, self.action, self._uniforms(self.n_uniforms[1]))
        x_next, action_next = None, 0
        if gamma != 0.0:
            x_next = self._features()
            action_next = self._choose(x_next)
        self._learn(x_next, action_next, reward, self.gamma * gamma)
        self.x, self.action = x_next, action_next
        self.total += reward
        self.running = True
        return gamma == 0.0

    def _uniforms(self, count):
        return [self.random() for _ in range(count)]

    def _features(self):
        n = self.trace.n
        if self.coder is not None:
            idx = np.empty(self.coder.tilings, np.int32)
            self.coder.encode(1, np.array(self.state), idx)
            return Rows(1, n, len(idx), idx)
        state = self.state[0]
        if not (0.0 <= state < n and state == math.floor(state)):
            raise FeatureIndexError(no_feature(state, n))
        return Rows(1, n, 1, np.array([state], np.int32))

    def _choose(self, x):
        if not self.n_actions:
            return 0
        return choose(self.values(self.trace, x)[0], self.method.own, self.random())

    def _learn(self, x_next, action_next, reward, gamma):
        more = {"own": self.method.own, "sigmas": np.array([self.method.sigma])}
        more["options"] = self.method.options
        if self.n_actions:
            more |= {"actions": np.array([self.action, action_next], np.int32), "n_actions": self.n_actions}
        stream = one_step(joined(self.x, x_next), reward, gamma, self.lambda_, self.alpha, **more)
        if self.learn:
            self.learn(stream)
            return
        run = getattr(linear, f"{self.method.kernel}_run")
        run(self.trace, *self.method.told, stream)
