"""An actor that learns in imagination, as Dreamer's: through lambda-returns, back into what it did.

    python examples/dreamer.py

A cart on a rail is to be brought to the middle and kept there.  The model that is imagined with is given,
and differentiable, as the learned one of Dreamer is.  So are ft.returns.lambda_returns: the actor goes up
their gradient, by way of rewards and of values, that behind the horizon too; the critic learns them.

Source: Hafner et al. 2020, "Dream to control", equations 6 to 8.
Needs torch: pip install "fasttrace[torch]".
"""

import torch
from torch import nn

import fasttrace as ft

HORIZON, BATCH, GAMMA, LAMBDA = 15, 64, 0.97, 0.95


def network(last):
    return nn.Sequential(nn.Linear(2, 32), nn.ELU(), nn.Linear(32, 1), last)


def step(state, action):
    """(B, 2) place and speed; the next state, and what it costs to be where one is."""
    place, speed = state.unbind(-1)
    reward = -(place.square() + 0.1 * speed.square() + 0.01 * action.square())
    speed = 0.95 * speed + 0.2 * action
    return torch.stack([place + 0.2 * speed, speed], -1), reward


def imagine(actor, state, horizon):
    """States (T + 1, B, 2) and rewards (T, B)."""
    states, rewards = [state], []
    for _ in range(horizon):
        state, reward = step(state, actor(state).squeeze(-1))
        states.append(state)
        rewards.append(reward)
    return torch.stack(states), torch.stack(rewards)


@torch.no_grad()
def score(actor):
    """The mean reward in a hundred steps from places all over the rail."""
    start = torch.stack([torch.linspace(-2, 2, 41), torch.zeros(41)], -1)
    return float(imagine(actor, start, 100)[1].mean())


def train(updates=200, seed=0):
    """Returns the scores before and after."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    actor, critic = network(nn.Tanh()), network(nn.Identity())
    optimisers = [torch.optim.Adam(each.parameters(), 3e-3) for each in (actor, critic)]
    before = score(actor)
    for _ in range(updates):
        states, rewards = imagine(actor, 2 * torch.randn(BATCH, 2), HORIZON)
        values = critic(states).squeeze(-1)
        returns = ft.returns.lambda_returns(rewards, values, gammas=GAMMA, lambdas=LAMBDA)
        actor_loss = -returns.mean()
        critic_loss = (critic(states[:-1].detach()).squeeze(-1) - returns.detach()).square().mean()
        for optimiser, model, loss in zip(
            optimisers, (actor, critic), (actor_loss, critic_loss), strict=True
        ):
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter.grad = gradient
            optimiser.step()
    return before, score(actor)


if __name__ == "__main__":
    before, after = train()
    print(f"mean reward before {before:.3f}, after {after:.3f}")
