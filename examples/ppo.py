"""PPO on Gymnasium's vector environments with PyTorch: advantages by ft.returns.gae, right at time limits.

    python examples/ppo.py                           CartPole: a mean return above 450, in half a minute
    python examples/ppo.py --autoreset same_step     the other way of Gymnasium's to begin the next episode

An episode that a time limit cuts off goes on in value: `truncated` says where, `next_values` with what.  With
next_step, Gymnasium's own way, the step after an end only resets: `mask` leaves it out.

Needs gymnasium and torch: pip install "fasttrace[gym,torch]".
"""

import argparse

import gymnasium
import numpy as np
import torch
from torch import nn

import fasttrace as ft

GAMMA, LAMBDA, CLIP, ENTROPY, RATE = 0.99, 0.95, 0.2, 0.01, 1e-3
EPOCHS, MINIBATCHES = 4, 4


def network(n_inputs, n_outputs, gain):
    """Two hidden layers; the last one begins with small weights."""
    layers = [nn.Linear(n_inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, n_outputs)]
    for layer, scale in zip(layers[::2], (2**0.5, 2**0.5, gain), strict=True):
        nn.init.orthogonal_(layer.weight, scale)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


class Agent(nn.Module):
    def __init__(self, n_inputs, n_actions):
        super().__init__()
        self.actor, self.critic = network(n_inputs, n_actions, 0.01), network(n_inputs, 1, 1.0)

    def policy(self, obs):
        return torch.distributions.Categorical(logits=self.actor(obs), validate_args=False)

    def value(self, obs):
        return self.critic(torch.as_tensor(obs)).squeeze(-1)


class Rollout:
    """T steps of B environments, one after the other from where the last ones ended."""

    def __init__(self, envs, T, seed):
        self.envs, self.T, self.B = envs, T, envs.num_envs
        self.obs, _ = envs.reset(seed=seed)
        self.next_step = envs.metadata["autoreset_mode"] == gymnasium.vector.AutoresetMode.NEXT_STEP
        self.ended = np.zeros(self.B, bool)
        self.length = np.zeros(self.B, int)  # of the episodes under way
        self.lengths = []  # of those that ended

    @torch.no_grad()
    def __call__(self, agent):
        """obs, actions, log_probs, advantages, targets: a row each transition that was one."""
        T, B = self.T, self.B
        obs = torch.empty(T, B, *self.envs.single_observation_space.shape)
        actions = torch.empty(T, B, dtype=torch.long)
        log_probs, rewards, values, next_values = torch.zeros(4, T, B)
        terminated, truncated, mask = torch.zeros(3, T, B, dtype=torch.bool)
        for t in range(T):
            obs[t] = torch.as_tensor(self.obs)
            policy, values[t] = agent.policy(obs[t]), agent.value(obs[t])
            actions[t] = policy.sample()
            log_probs[t] = policy.log_prob(actions[t])
            self.obs, reward, ends, cuts, info = self.envs.step(actions[t].numpy())
            mask[t] = torch.as_tensor(~self.ended)  # if not, this step was a reset
            rewards[t], terminated[t], truncated[t] = map(torch.as_tensor, (reward, ends, cuts))
            if cuts.any():
                arrived = self.obs.copy()
                if not self.next_step:
                    arrived[cuts] = np.stack(info["final_obs"][cuts])
                next_values[t] = agent.value(arrived)
            self._count(ends | cuts)
            self.ended = (ends | cuts) & self.next_step
        advantages, targets = ft.returns.gae(
            rewards,
            values,
            bootstrap=agent.value(self.obs),
            gammas=GAMMA,
            lambdas=LAMBDA,
            terminated=terminated,
            truncated=truncated,
            next_values=next_values,
            mask=mask,
        )
        return [each[mask] for each in (obs, actions, log_probs, advantages, targets)]

    def _count(self, over):
        self.length += ~self.ended
        self.lengths += self.length[over].tolist()
        self.length[over] = 0


def learn(agent, optimiser, batch):
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(batch[0])).chunk(MINIBATCHES):
            obs, actions, log_probs, advantages, targets = (each[rows] for each in batch)
            policy = agent.policy(obs)
            ratio = (policy.log_prob(actions) - log_probs).exp()
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
            gain = torch.min(ratio * advantages, ratio.clamp(1 - CLIP, 1 + CLIP) * advantages).mean()
            error = (agent.value(obs) - targets).square().mean()
            loss = 0.5 * error - gain - ENTROPY * policy.entropy().mean()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
            optimiser.step()


def train(updates=150, T=128, B=8, autoreset="next_step", seed=0, show=print):
    """Returns the lengths of the episodes, which are their returns too, in the order in which they ended."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    mode = gymnasium.vector.AutoresetMode[autoreset.upper()]
    makers = [lambda: gymnasium.make("CartPole-v1")] * B
    envs = gymnasium.vector.SyncVectorEnv(makers, autoreset_mode=mode)
    agent = Agent(envs.single_observation_space.shape[0], int(envs.single_action_space.n))
    optimiser = torch.optim.Adam(agent.parameters(), RATE, eps=1e-5)
    rollout = Rollout(envs, T, seed)
    for update in range(1, updates + 1):
        optimiser.param_groups[0]["lr"] = RATE * (1 - (update - 1) / updates)
        learn(agent, optimiser, rollout(agent))
        if update % 10 == 0 or update == updates:
            steps, episodes, recent = update * T * B, len(rollout.lengths), np.mean(rollout.lengths[-20:])
            show(f"{steps:7d} steps, {episodes:4d} episodes, mean return {recent:5.1f}")
    return rollout.lengths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="PPO on CartPole.")
    parser.add_argument("--updates", type=int, default=150, help="of 1024 steps each")
    parser.add_argument("--autoreset", choices=["next_step", "same_step"], default="next_step")
    parser.add_argument("--seed", type=int, default=0)
    train(**vars(parser.parse_args()))
