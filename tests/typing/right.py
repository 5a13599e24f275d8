"""What users may write: mypy --strict and pyright find nothing in it.  Not run; see .ci/checkers.py."""

from typing import assert_type

import numpy as np
from numpy.typing import NDArray

import fasttrace as ft

x = np.array([[0, 3], [1, 2], [0, 1]], np.int32)
rewards = np.zeros(2)
ragged = ft.Ragged([0, 1, 3], [0, 1, 2])

td = ft.TD(10, "dutch", alpha=0.1, lambda_=0.8, backend="c")
deltas: NDArray[np.float64] = td.learn(x, rewards, gammas=0.9)
delta: float = td.update([0, 3], 1.0, None, gamma=0.0)
values: NDArray[np.float64] = td.predict(ragged)
one: float | NDArray[np.float64] = td.predict([0, 3])
same: ft.TD = td.to("numba")
other = ft.TrueOnlineTD(10, alpha=0.1, backend=td.backend)
lstd = ft.LSTD(10, solver="inverse")
lstd.learn(x, rewards)
horde = ft.Horde(10, 3, "GTD", alpha=0.1, gamma=[0.5, 0.9, 0.99], beta=0.01)
errors: NDArray[np.float64] = horde.update([0, 3], [1.0, 2.0, 3.0], None, gammas=0.0)
gammas: NDArray[np.float64] = horde.gamma
horde.gamma = 0.9
number: int = horde.add(alpha=0.1, beta=0.01)
single = horde[number].learn(x, rewards)

agent = ft.Sarsa(10, 3, alpha=0.1, trace="replacing", policy="softmax", seed=np.random.default_rng(0))
action: int = agent.start([0])
agent.policy = "epsilon"
env = ft.envs.MountainCar()
history = ft.simulate(env, agent, ft.TileCoder(env.low, env.high, 8, 8), episodes=10)
lengths: NDArray[np.int64] = history.lengths
for name, reason in ft.backends().items():
    if reason is None and name != "cuda":  # which serves arrays on a GPU
        ft.Retrace(10, 3, alpha=0.1, backend=name)

flags = np.zeros(2, bool)
advantages, targets = ft.returns.gae(rewards, np.zeros(3), gammas=0.99, terminated=flags, backend="auto")
assert_type(advantages, NDArray[np.floating])
three_steps: NDArray[np.floating] = ft.returns.n_step_returns(
    rewards, np.zeros(3), n=3, gammas=0.9, horizon=9
)


class Tensor:
    """Another library's, as far as type checkers need it."""

    def __array__(self) -> NDArray[np.float32]:
        return np.zeros(2, np.float32)

    def __dlpack__(self, *, stream: int | None = None) -> object:
        return self


assert_type(ft.returns.lambda_returns(rewards=Tensor(), values=Tensor(), gammas=Tensor()), Tensor)
assert_type(ft.returns.gae(Tensor(), Tensor(), gammas=0.9, backend="cuda"), tuple[Tensor, Tensor])
assert_type(ft.returns.discounted_sum([1.0, 2.0], gammas=0.9), NDArray[np.floating])
starts = ft.returns.from_episode_starts([1, 0, 0], time_axis=0)

network = ft.neural.MLP((4, 16, 2), activation="leaky_relu")
ft.neural.NetworkTD(network, alpha=0.01, gamma=[0.9, 0.99])
ft.neural.ForwardTD(network, alpha=0.01, values="arrival")
q = ft.neural.StreamQ(4, 2, cut="after", hidden=(32,), optimiser=ft.neural.AdaptiveObGD(), epsilon=0.1)
ft.neural.QRC(4, 2, alpha=1e-3, hidden=(32,), normalise=False)
ft.plasticity.PlasticRNN(3, 8, mode="retroactive", bound="soft")
