"""Mistakes: mypy --strict and pyright each name every line marked so.  Not run; see .ci/checkers.py."""

import numpy as np

import fasttrace as ft

rewards, v = np.zeros(2), np.zeros(3)
td = ft.TD(10, alpha=0.1)
agent = ft.Sarsa(10, 3, alpha=0.1)
network = ft.neural.MLP((4, 16, 2))

ft.TrueOnlineSarsaLambda(10, 3, alpha=0.1)  # wrong
ft.TD(10)  # wrong
ft.Horde(10, 3, "Sarsa", alpha=0.1)  # wrong
ft.TD(10, trace="dutsch", alpha=0.1)  # wrong
ft.TD(10, alpha="0.1")  # wrong
ft.TD(10, alpha=0.1, lambdas=0.9)  # wrong
ft.TrueOnlineTD(10, alpha=0.1, backend="C")  # wrong
ft.TrueOnlineTD(10, "dutch", alpha=0.1)  # wrong
ft.Sarsa(10, alpha=0.1)  # wrong
ft.Sarsa(10, 3, alpha=0.1, policy="greedy")  # wrong
ft.ExpectedSarsa(10, 3, alpha=0.1, epsilom=0.1)  # wrong
ft.LSTD(10, alpha=0.1)  # wrong
ft.LSTD(10, solver="lu")  # wrong
td.to("cuda")  # wrong
td.update([0], 1.0)  # wrong
td.learn([[0], [1]], [1.0], gamma=0.9)  # wrong
agent.policy = "greedy"  # wrong
td.gamma = "0.9"  # wrong
agent.start()  # wrong
ft.load("learner.npz", backend="gpu")  # wrong
ft.TileCoder([0.0], [1.0], 8, 8, wraps=(0,))  # wrong
one: float = td.predict(ft.Ragged([0, 1], [0]))  # wrong
ft.simulate(ft.envs.MountainCar(), ft.neural.StreamQ(2, 3), episodes=1)  # wrong

ft.returns.gae(rewards, v, 0.9)  # wrong
ft.returns.gae(rewards, v)  # wrong
ft.returns.gae(rewards, v, gammas=0.9, truncatd=rewards)  # wrong
ft.returns.gae(rewards, v, gammas=0.9, backend="torch")  # wrong
ft.returns.vtrace(rewards, v, rewards, gammas=0.9, rho_bars=1.0)  # wrong
ft.returns.from_episode_starts(rewards, axis=0)  # wrong
text: str = ft.returns.lambda_returns(rewards, v, gammas=0.9)  # wrong
a, b, c = ft.returns.gae(rewards, v, gammas=0.9)  # wrong

ft.neural.MLP((4, 2), activation="relu")  # wrong
ft.neural.ForwardTD(network, alpha=0.1, values="stale")  # wrong
ft.neural.StreamQ(4, 2, cut="before")  # wrong
ft.neural.StreamQ(4, 2, hiden=(32,))  # wrong
ft.neural.QRC(4, 2, keep=0)  # wrong
ft.plasticity.PlasticRNN(3, 8, mode="hebbian")  # wrong
