"""The linear actor-critic as the book prints it: dense vectors, a pass over both traces a step.

The steps are pure functions of dense vectors, in place.  The runs take the traces of an actor-critic
(fasttrace.actor_critic_trace) through a stream (fasttrace.features.Stream).

The actor's theta and trace are (n, A): its preferences are h(s, a) = theta_a.x(s).
"""

import math

import numpy as np

from ...policy import probabilities
from . import linear
from .linear import _quietly, at, decay_trace, td_error


def score(theta, x, action, temperature):
    """grad ln pi(action|s) with respect to theta, (n, A): x(s) (1{a = action} - pi(a|s)) / temperature.

    Source: Sutton & Barto 2018, exercise 13.3.
    """
    pi = np.array(probabilities(x @ theta, ("softmax", temperature)))
    return np.outer(x, (np.arange(len(pi)) == action) - pi) / temperature


def actor_critic_step(
    w, theta, z, z_actor, discount, x, action, reward, gamma_next, v_next,
    alpha, alpha_actor, decay, decay_actor, temperature=1.0,
):  # fmt: skip
    """Learn from one transition with the actor-critic with eligibility traces, in place.

        delta = reward + gamma_next v_next - v
        z <- gamma lambda z + grad v
        z_actor <- gamma lambda_actor z_actor + I grad ln pi(action|s)
        w <- w + alpha delta z
        theta <- theta + alpha_actor delta z_actor

    w, z            (n,), theta, z_actor  (n, A); they change.
    discount        I of the book: the product of the discounts since the episode began.
    x               (n,) features of S_t; v = w.x.
    v_next          w.x' before this update; ignored where gamma_next is 0.
    decay           gamma_t lambda_t, of the state that x describes; decay_actor likewise.
    Returns delta.

    Source: Sutton & Barto 2018, box of section 13.5.
    """
    delta = td_error(w @ x, reward, gamma_next, v_next)
    decay_trace(z, decay)
    z += x
    decay_trace(z_actor, decay_actor)
    z_actor += discount * score(theta, x, action, temperature)
    w += alpha * delta * z
    theta += alpha_actor * delta * z_actor
    return delta


def average_reward_actor_critic_step(
    w, theta, z, z_actor, average_reward, x, action, reward, v_next,
    alpha, alpha_actor, eta, lambda_, lambda_actor, temperature=1.0,
):  # fmt: skip
    """Learn from one transition of a continuing task, in place.

        delta = reward - average_reward + v_next - v
        average_reward <- average_reward + eta delta
        z <- lambda z + grad v
        z_actor <- lambda_actor z_actor + grad ln pi(action|s)
        w <- w + alpha delta z
        theta <- theta + alpha_actor delta z_actor

    The arguments are actor_critic_step's.  Returns delta and the new average_reward.

    Source: Sutton & Barto 2018, box of section 13.6.
    """
    delta = actor_critic_step(
        w, theta, z, z_actor, 1.0, x, action, reward - average_reward, 1.0, v_next,
        alpha, alpha_actor, lambda_, lambda_actor, temperature,
    )  # fmt: skip
    return delta, average_reward + eta * delta


# ---- a whole stream ----


def _transitions(owner, stream):
    """t, w, theta, z, z_actor, x, v_next (NaN at the end of an episode), lambdas and alphas of each step."""
    critic, actor = owner.critic, owner.actor
    theta, z_actor = (each.reshape(owner.n, owner.columns) for each in (actor.w, actor.z))
    lambda_actor = stream.lambdas if math.isnan(owner.lambda_actor) else np.array([owner.lambda_actor])
    lambdas_actor = lambda_actor if stream.actor_lambdas is None else stream.actor_lambdas
    alphas_actor = np.array([owner.alpha_actor]) if stream.actor_alphas is None else stream.actor_alphas
    for t in range(stream.steps):
        v_next = math.nan if at(stream.gammas, t) == 0 else critic.w @ stream.dense(t + 1)
        lambdas = at(stream.lambdas, t), at(lambdas_actor, t)
        alphas = at(stream.alphas, t), at(alphas_actor, t)
        yield t, (critic.w, theta, critic.z, z_actor), stream.dense(t), v_next, lambdas, alphas


@_quietly
def actor_critic_run(owner, stream):
    """The actor-critic over a stream; see actor_critic_step.  Returns the TD errors (T,)."""
    deltas = np.empty(stream.steps)
    for t, vectors, x, v_next, lambdas, alphas in _transitions(owner, stream):
        gamma_next = at(stream.gammas, t)
        deltas[t] = actor_critic_step(
            *vectors, owner.discount if owner.discount_actor else 1.0, x, stream.actions[t],
            stream.rewards[t], gamma_next, v_next, *alphas, owner.critic.decay, owner.actor.decay,
            stream.own[1],
        )  # fmt: skip
        owner.critic.decay, owner.actor.decay = gamma_next * lambdas[0], gamma_next * lambdas[1]
        owner.discount = 1.0 if gamma_next == 0 else owner.discount * gamma_next
    return deltas


@_quietly
def average_reward_actor_critic_run(owner, stream):
    """The continuing actor-critic over a stream.  Returns the TD errors (T,).

    A discount of 0 ends an episode here, too: nothing follows, v_next is 0 and the traces end.
    """
    deltas = np.empty(stream.steps)
    for t, vectors, x, v_next, lambdas, alphas in _transitions(owner, stream):
        goes_on = at(stream.gammas, t) != 0
        deltas[t], owner.average_reward = average_reward_actor_critic_step(
            *vectors, owner.average_reward, x, stream.actions[t], stream.rewards[t],
            v_next if goes_on else 0.0, *alphas, owner.eta, owner.critic.decay, owner.actor.decay,
            stream.own[1],
        )  # fmt: skip
        owner.critic.decay, owner.actor.decay = goes_on * lambdas[0], goes_on * lambdas[1]
        owner.discount = 1.0
    return deltas


def reset(owner):
    """Both traces become empty and I 1; weights and average_reward stay."""
    owner.critic.reset()
    owner.actor.reset()
    owner.discount = 1.0


# ---- reading ----


def values(owner, rows):
    """Preferences h(s, a) of every row, (rows, A): what actions are chosen by."""
    return linear.values(owner.actor, rows)


def state_values(owner, rows):
    """w.x of every row, (rows,)."""
    return linear.values(owner.critic, rows)[:, 0]
