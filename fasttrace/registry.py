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


# ---- networks ----


@dataclass(frozen=True)
class Network:
    """A plastic network: `forward` and `backward` of <stem>.py in every backend run it.

    cell       what the kernels call it
    c_names    the functions of csrc/fasttrace.h behind it, each for _f32 and _f64
    post, pre  the two sides of its trace
    tolerance  largest difference to the reference in float64, relative to the largest entry
    """

    cell: str
    name: str
    c_names: tuple[str, ...]
    post: str
    pre: str
    source: str
    stem: str = "plasticity"
    tolerance: float = 1e-11

    def __str__(self) -> str:
        return self.cell


_PASSES = ("ft_plastic_forward", "ft_plastic_backward", "ft_plastic_work")
_MICONI = "Miconi et al. 2019, section 3"

NETWORKS = (
    Network("layer", "PlasticLayer", _PASSES, "y_t", "x_t", _MICONI),
    Network("rnn", "PlasticRNN", _PASSES, "h_t", "h_{t-1}", _MICONI),
    Network("lstm", "PlasticLSTM", _PASSES, "i_t", "h_{t-1}", _MICONI),
)
