"""TDRC and QRC: gradient traces, which go down the projected Bellman error and stay stable off-policy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import arguments
from .backends import module, resolve
from .neural_forward import RemedyTD
from .neural_network import MLP
from .neural_remedies import GradientState

Array = NDArray[Any]


def second_network(net: MLP, seed: Any) -> MLP:
    """A network of the shape of `net` for h; its last layer is 0, so that h is 0 at first."""
    h = MLP(**net.options(), seed=seed, backend=net.backend)
    last = (net.sizes[-2] + 1) * net.sizes[-1]
    h.params[h.n_params - last :] = 0
    return h


class TDRC(RemedyTD):
    """TDRC(lambda): the value of a policy by gradient traces and a second network h.

        delta = R + gamma v(S') - v(S)
        z_w <- gamma lambda z_w + grad v(S)     z_h <- gamma lambda z_h + h(S)
        z_theta <- gamma lambda z_theta + grad h(S)
        w     <- w + alpha (delta z_w - h(S) grad v(S) - z_h grad delta)
        theta <- theta + alpha_h (delta z_theta - h(S) grad h(S) - beta theta)

    beta 0 is TDC(lambda); a large beta holds h at 0, which leaves TD(lambda).

    network  an MLP of one output, which it learns in place
    alpha    step size; alpha_h that of h, None: alpha
    beta     how strongly h is held to 0
    seed     of h's first weights; its last layer begins at 0

    Source: Elelimy et al. 2025, "Deep reinforcement learning with gradient eligibility traces".
    """

    _own = ("alpha_h", "beta")
    _trace: GradientState  # type: ignore[assignment]

    def __init__(
        self,
        network: MLP,
        *,
        alpha: float,
        gamma: float = 0.99,
        lambda_: float = 0.9,
        alpha_h: float | None = None,
        beta: float = 1.0,
        seed: Any = 1,
        backend: str | None = None,
    ) -> None:
        net = self._checked(network)
        name = net.backend if backend is None else resolve(backend)
        self.alpha_h, self.beta = alpha_h, beta
        state = GradientState(name, net, second_network(net, seed), cut=False)
        self._begin(state, alpha, gamma, lambda_)

    @property
    def alpha_h(self) -> float | None:
        """Step size of h; None: alpha."""
        return self._alpha_h

    @alpha_h.setter
    def alpha_h(self, value: float | None) -> None:
        self._alpha_h = None if value is None else arguments.positive("alpha_h", value)

    @property
    def beta(self) -> float:
        """How strongly h is held to 0."""
        return self._beta

    @beta.setter
    def beta(self, value: float) -> None:
        self._beta = arguments.not_negative("beta", value)

    @property
    def h(self) -> MLP:
        """The second network; its params are live."""
        return self._trace.h

    def _run_steps(self, states: Array, rewards: Array, gammas: Array, lambdas: Array, deltas: Array) -> int:
        state = self._trace
        state.alpha, state.beta = self.alpha, self.beta
        state.alpha_h = self.alpha if self.alpha_h is None else self.alpha_h
        run = module(self.backend, "neural_gradient").qrc_run
        columns = (np.ascontiguousarray(each[:, 0]) for each in (rewards, gammas, lambdas))
        return run(state, states, None, *columns, deltas[:, 0])
