"""ExpectedTraceTD: the trace of the last layer as its expectation given the state."""

from __future__ import annotations

from .. import arguments
from ..backends import Backend, resolve
from ..memory import Array
from .forward import RemedyTD
from .learner import OneTrace
from .network import MLP
from .remedies import ExpectedState
from .trace import NetworkStream


class ExpectedTraceTD(OneTrace, RemedyTD):
    """TD(lambda) whose trace of the last layer is an expected one, Theta phi, a function of the state.

        target = gamma lambda y + phi(S)
        Theta <- Theta + alpha_z (target - Theta phi) phi' / phi.phi
        y <- (1 - eta) Theta phi + eta target
        z <- gamma lambda z + grad v(S)                    of the other layers, as it is
        w <- w + alpha delta (z, y)

    phi is what the last layer is given, and 1.  A state's expected trace holds all the states that lead to
    it, not only those that did this time.  O(k^2) more a step, k units in the last hidden layer.

    network  an MLP of one output, which it learns in place
    alpha    step size; alpha_z that of Theta, from 0 to 1: 1 makes Theta phi the target at once
    eta      0: the expectation alone; 1: TD(lambda)

    Source: van Hasselt et al. 2021, "Expected eligibility traces", ET(lambda, eta).
    """

    _stem = "neural_expected"
    _own = ("alpha_z", "eta")
    _trace: ExpectedState

    def __init__(
        self,
        network: MLP,
        *,
        alpha: float,
        gamma: float = 0.99,
        lambda_: float = 0.9,
        alpha_z: float = 0.1,
        eta: float = 0.0,
        backend: Backend | None = None,
    ) -> None:
        net = self._checked(network)
        name = net.backend if backend is None else resolve(backend)
        self.alpha_z, self.eta = alpha_z, eta
        self._begin(ExpectedState(name, net), alpha, gamma, lambda_)

    @property
    def alpha_z(self) -> float:
        """Step size of Theta, from 0 to 1."""
        return self._alpha_z

    @alpha_z.setter
    def alpha_z(self, value: float) -> None:
        self._alpha_z = arguments.unit("alpha_z", value)

    @property
    def eta(self) -> float:
        """What of the trace in use is the trace itself, from 0 to 1."""
        return self._eta

    @eta.setter
    def eta(self, value: float) -> None:
        self._eta = arguments.unit("eta", value)

    @property
    def Theta(self) -> Array:  # noqa: N802 - the paper's name
        """(k + 1, k + 1) a copy; Theta phi is the expected trace."""
        with self._read():
            return self._trace.Theta.copy()

    def _work(self) -> float:
        return 1.0 + self._trace.k**2 / self.network.n_params

    def _run_steps(
        self, part: NetworkStream, states: Array, gammas: Array, lambdas: Array, deltas: Array
    ) -> int:
        columns = (part.rewards[:, 0], gammas[:, 0], lambdas[:, 0], deltas[:, 0])
        return self._module.expected_run(self._set(), states, *columns)

    def _set(self) -> ExpectedState:
        state = self._trace
        state.alpha, state.alpha_z, state.eta = self.alpha, self.alpha_z, self.eta
        return state
