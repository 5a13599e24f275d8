"""Choosing actions, and what a state is worth under a target policy; the twin of csrc/policy.h."""

import math

import numpy as np

from ...layout import POLICIES, TARGETS
from . import stretch, verb
from .tables import bits, chosen

SOFTMAX = POLICIES["softmax"]
NEEDS_PI, GREEDY, CUTS = (bits(TARGETS.values(), column) for column in ("needs_pi", "greedy", "cuts"))


@verb
def epsilon_greedy(q, n_actions, epsilon, u):
    """ft_epsilon_greedy; q is an array's first n_actions entries."""
    if u < epsilon:
        return min(np.int64(u / epsilon * n_actions), n_actions - 1)
    best = q[0]
    for a in range(1, n_actions):
        if q[a] > best or q[a] != q[a]:
            best = q[a]
    ties = 0
    for a in range(n_actions):
        ties += q[a] == best
    if ties == 0:
        return min(np.int64(u * n_actions), n_actions - 1)
    pick = min(np.int64((u - epsilon) / (1.0 - epsilon) * ties), ties - 1)
    for a in range(n_actions):
        if q[a] == best:
            if pick == 0:
                return a
            pick -= 1
    return n_actions - 1


@verb
def best_of(q, n_actions):
    best = q[0]
    for a in range(1, n_actions):
        if q[a] > best:
            best = q[a]
    return best


@verb
def partition(q, n_actions, best, temperature):
    total = 0.0
    for a in range(n_actions):
        total += math.exp((q[a] - best) / temperature)
    return total


@verb
def boltzmann(q, n_actions, temperature, u):
    best = best_of(q, n_actions)
    total = partition(q, n_actions, best, temperature)
    if not total < np.inf:
        return min(np.int64(u * n_actions), n_actions - 1)
    before = 0.0
    for a in range(n_actions):
        before += math.exp((q[a] - best) / temperature)
        if u * total < before:
            return a
    return n_actions - 1


@verb
def act(q, n_actions, policy, parameter, u):
    if policy == SOFTMAX:
        return boltzmann(q, n_actions, parameter, u)
    return epsilon_greedy(q, n_actions, parameter, u)


@verb
def ties_of(q, n_actions, best):
    ties = 0
    for a in range(n_actions):
        ties += q[a] == best
    return ties


@verb
def own_ok(policy, parameter):
    """Whether a policy of a learner's own is one: `parameter` is its epsilon, or its temperature."""
    return 0.0 < parameter < np.inf if policy == SOFTMAX else 0.0 <= parameter <= 1.0


@verb
def is_policy(pi):
    """Whether these are probabilities; their sum is 1 but for rounding."""
    total, are = 0.0, True
    for a in range(np.uint64(pi.size)):
        are = are and pi[a] >= 0.0
        total += pi[a]
    return are and abs(total - 1.0) <= 1e-6


@verb
def probability(q, n_actions, policy, parameter, action):
    """pi(action) of a learner's own policy."""
    best = best_of(q, n_actions)
    if policy == SOFTMAX:
        return math.exp((q[action] - best) / parameter) / partition(q, n_actions, best, parameter)
    ties = ties_of(q, n_actions, best)
    greedy = (1.0 - parameter) / ties
    share = greedy if q[action] == best else (0.0 if ties else np.nan)
    return parameter / n_actions + share


@verb
def expectation(q, n_actions, pi, at, given, policy, parameter):
    """sum_a pi(a) q(a), of pi[at:] where it is given, or else of the learner's own."""
    if given:
        total = pi[at] * q[0]
        for a in range(1, n_actions):
            total += pi[at + np.uint64(a)] * q[a]
        return total
    total = 0.0
    best = best_of(q, n_actions)
    if policy == SOFTMAX:
        whole = partition(q, n_actions, best, parameter)
        for a in range(n_actions):
            total += math.exp((q[a] - best) / parameter) / whole * q[a]
        return total
    ties = ties_of(q, n_actions, best)
    any_action, greedy = parameter / n_actions, (1.0 - parameter) / ties
    for a in range(n_actions):
        total += (any_action + (greedy if q[a] == best else 0.0)) * q[a]
    return total if ties else np.nan


_factor = chosen("rho, sigma, pi", {target.value: target.factor for target in TARGETS.values()})


@verb
def factor_of(target, rho, sigma, pi):
    """What decays the trace of (S_t, A_t) beside gamma_t lambda_t; pi is that of A_t as ft_trace keeps it."""
    return _factor(target, rho, sigma, 0.0 if pi < 0.0 else pi)


@stretch
def needs_pi(target):
    return NEEDS_PI >> target & 1 == 1


@stretch
def is_greedy(target):
    return GREEDY >> target & 1 == 1


@stretch
def cuts(target):
    return CUTS >> target & 1 == 1


@verb
def kept(pi):
    """A probability as ft_trace keeps it, where 0 says that there is none."""
    return -1.0 if pi == 0.0 else pi


@verb
def own_pi(target, q, n_actions, policy, parameter, action):
    """pi(action) of a learner's own policy, to be kept; none where the target has no need of it."""
    return kept(probability(q, n_actions, policy, parameter, action)) if needs_pi(target) else 0.0


@verb
def value_of(target, q, n_actions, pi, at, given, policy, parameter):
    """The value of S_{t+1}, from q of its actions."""
    if is_greedy(target):
        return best_of(q, n_actions)
    return expectation(q, n_actions, pi, at, given, policy, parameter)
