"""A learner inside a hand-written Gymnasium agent: MountainCar-v0 by true online Sarsa(lambda) on tiles.

    python examples/embed_in_your_agent.py          needs fasttrace[gym]; a few seconds

The learner decides and learns; the loop, the environment and the tile coder stay yours.  A terminated
episode has no value beyond its end.  A truncated one, stopped by the 200-step limit, has: the learner
bootstraps from the state it was stopped in.
"""

import sys

import gymnasium
import numpy as np

import fasttrace as ft

EPISODES = 200


class Agent:
    """What to do next, from what the environment said last."""

    def __init__(self, env, seed):
        space = env.observation_space
        self.coder = ft.TileCoder(space.low, space.high, tiles=8, tilings=8)
        self.learner = ft.TrueOnlineSarsa(
            self.coder.n_features,
            int(env.action_space.n),
            alpha=1.0 / self.coder.tilings,
            gamma=1.0,
            lambda_=0.9,
            epsilon=0.0,  # weights of 0 are optimistic here: exploration enough
            seed=seed,
        )

    def begin(self, observation):
        return self.learner.start(self.coder(observation))

    def observe(self, observation, reward, terminated, truncated):
        """Learn from one transition; the next action, or None at the end of the episode."""
        if terminated:
            self.learner.end(reward)
        elif truncated:
            self.learner.truncate(reward, self.coder(observation))
        else:
            return self.learner.step(reward, self.coder(observation))
        return None


def episode(env, agent, seed=None):
    """The return of one episode, and whether the car reached the goal."""
    observation, _ = env.reset(seed=seed)
    action = agent.begin(observation)
    total = 0.0
    while action is not None:
        observation, reward, terminated, truncated, _ = env.step(action)
        action = agent.observe(observation, reward, terminated, truncated)
        total += reward
    return total, terminated


def main():
    env = gymnasium.make("MountainCar-v0")
    agent = Agent(env, seed=0)
    results = [episode(env, agent, seed=0 if number == 0 else None) for number in range(EPISODES)]
    returns, reached = np.array(results).T
    for first in range(0, EPISODES, 40):
        block = slice(first, first + 40)
        print(
            f"episodes {first + 1:3} to {first + 40:3}: "
            f"mean return {returns[block].mean():7.1f}, goal reached in {reached[block].mean():4.0%}"
        )
    learned = returns[-40:].mean() > -150.0 and reached[-40:].mean() > 0.9
    print(f"backend {agent.learner.backend}: {'learned' if learned else 'did not learn'}")
    return 0 if learned else 1


if __name__ == "__main__":
    sys.exit(main())
