"""The one table of kernels.  Tests, benchmarks and the documentation iterate over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class StepLearner:
    """A learner made of the four verbs: its functions are <kernel>_step and <kernel>_run in every backend.

    kinds      what its trace may be; () where it has one of its own
    control    learns q(s, a) from actions
    c_names    the functions of csrc/fasttrace.h behind it
    D c beta a the scalars of a step between the verbs (docs/constant-time.md)
    tolerance  largest difference of weights between the backends, relative to the largest weight
    """

    kernel: str
    learner: str
    kinds: tuple[str, ...]
    control: bool
    c_names: tuple[str, ...]
    equation: str
    source: str
    D: str
    c: str
    beta: str
    a: str
    tolerance: float = 1e-11

    def __str__(self) -> str:
        return self.kernel


_TD = ("ft_td_step", "ft_td_run")
_SARSA = ("ft_sarsa_step", "ft_td_run")
_SB = "Sutton & Barto 2018"

STEP_LEARNERS = (
    StepLearner(
        "td", "TD", ("accumulating", "replacing", "dutch"), False, _TD,
        "12.5, 12.11, 12.12, 12.25", f"{_SB}, sections 12.2, 12.9, exercise 12.13",
        "rho gamma lambda", "rho; dutch: rho (1 - alpha z.x)", "0", "alpha delta",
    ),
    StepLearner(
        "true_online_td", "TrueOnlineTD", (), False, _TD,
        "box of 12.5", "van Seijen et al. 2016; van Hasselt, Mahmood & Sutton 2014",
        "rho gamma lambda", "alpha rho (1 - e.x)", "-alpha rho (v - v_old)", "delta + v - v_old",
    ),
    StepLearner(
        "sarsa", "Sarsa", ("accumulating", "replacing", "replacing_clear", "dutch"), True, _SARSA,
        "12.5, 12.11, 12.12, 12.15", f"{_SB}, section 12.7",
        "gamma lambda", "1; dutch: 1 - alpha z.x", "0", "alpha delta",
    ),
    StepLearner(
        "true_online_sarsa", "TrueOnlineSarsa", (), True, _SARSA,
        "box of 12.7", "van Seijen et al. 2016",
        "gamma lambda", "alpha (1 - e.x)", "-alpha (q - q_old)", "delta + q - q_old",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class ReturnKernel:
    """A function of fasttrace.returns, in every backend's module of that name.

    c_name     its family in csrc/fasttrace.h
    arguments  arrays besides the rewards
    a, c       of X_t = a + c X_{t+1}, where no episode ends (docs/algorithms.md)
    tolerance  largest difference between the backends, relative to the largest result, in float64
    """

    kernel: str
    c_name: str
    arguments: tuple[str, ...]
    equation: str
    source: str
    a: str
    c: str
    tolerance: float = 1e-12

    def __str__(self) -> str:
        return self.kernel


_ACTIONS = ("q", "expected_q")

RETURNS = (
    ReturnKernel(
        "lambda_returns", "FT_LAMBDA", ("values",), "12.18 to 12.20", f"{_SB}, section 12.8",
        "R + gamma (1 - lambda) v'", "gamma lambda",
    ),
    ReturnKernel(
        "off_policy_returns", "FT_OFF_POLICY", ("values", "rhos"), "12.22", f"{_SB}, section 12.9",
        "rho (R + gamma (1 - lambda) v') + (1 - rho) v", "rho gamma lambda",
    ),
    ReturnKernel(
        "off_policy_action_returns", "FT_ACTION", (*_ACTIONS, "rhos"), "12.26", f"{_SB}, section 12.9",
        "rho (R + gamma V' - q)", "rho gamma lambda",
    ),
    ReturnKernel(
        "retrace", "FT_RETRACE", (*_ACTIONS, "rhos"), "12.26 with min(1, rho)", "Munos et al. 2016",
        "min(1, rho) (R + gamma V' - q)", "min(1, rho) gamma lambda",
    ),
    ReturnKernel(
        "tree_backup", "FT_ACTION", (*_ACTIONS, "pi"), "12.26 with pi", f"{_SB}, section 12.10",
        "pi (R + gamma V' - q)", "pi gamma lambda",
    ),
    ReturnKernel(
        "q_sigma", "FT_Q_SIGMA", (*_ACTIONS, "rhos", "pi", "sigmas"),
        "12.26 with sigma rho + (1 - sigma) pi", f"{_SB}, sections 7.6, 12.10",
        "(sigma rho + (1 - sigma) pi) (R + gamma V' - q)", "(sigma rho + (1 - sigma) pi) gamma lambda",
    ),
    ReturnKernel(
        "gae", "FT_GAE", ("values",), "16 there", "Schulman et al. 2016",
        "R + gamma v' - v", "gamma lambda",
    ),
    ReturnKernel(
        "vtrace", "FT_VTRACE", ("values", "rhos"), "1 there", "Espeholt et al. 2018",
        "min(rho_bar, rho) (R + gamma v' - v)", "min(c_bar, rho) gamma lambda",
    ),
    ReturnKernel(
        "discounted_sum", "FT_SUM", (), "3.9", f"{_SB}, section 3.3",
        "R", "gamma lambda",
    ),
    ReturnKernel(
        "upgo", "FT_UPGO", ("values", "q"), "methods there", "Vinyals et al. 2019",
        "R + gamma (1 - lambda) v'", "gamma lambda, lambda 0 where q' < v'",
    ),
)  # fmt: skip


class Case(NamedTuple):
    """One kernel with one trace in one backend."""

    learner: StepLearner
    kind: str | None
    backend: str

    @property
    def tolerance(self) -> float:
        return self.learner.tolerance

    def __str__(self) -> str:
        return "-".join(filter(None, (self.learner.kernel, self.kind, self.backend)))


def cases(
    backends: tuple[str, ...] = ("numpy", "numba", "c"), *, control: bool | None = None
) -> Iterator[Case]:
    """Every kernel, with each of its traces, in each backend."""
    for learner in STEP_LEARNERS:
        if control is None or learner.control == control:
            for kind in learner.kinds or (None,):
                for backend in backends:
                    yield Case(learner, kind, backend)
