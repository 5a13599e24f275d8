"""The one table of kernels.  Tests, benchmarks and the documentation iterate over it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .layout import KINDS, TARGETS


@dataclass(frozen=True)
class StepLearner:
    """A linear learner: its function is <kernel>_run in module `stem` of every backend.

    kinds      what its trace may be; () where it has one of its own
    control    learns q(s, a) from actions
    options    of the constructor that make it this kernel
    takes      what `learn` takes by the step beside rewards and gammas
    stem       the module of each backend, and the file of csrc, that holds it
    c_names    the functions of csrc/fasttrace.h behind it
    D c beta a the scalars of a step between the verbs (docs/constant-time.md); where stem is "linear", those
               that `kind` and `target` have in fasttrace.layout
    kind       of the trace, where it has one of its own
    target     of action values
    cost       of a step; k active features, A actions, n weights
    tolerance  largest difference of weights between the backends, relative to the largest weight
    """

    kernel: str
    learner: str
    kinds: tuple[str, ...]
    control: bool
    takes: tuple[str, ...]
    c_names: tuple[str, ...]
    equation: str
    source: str
    D: str = ""
    c: str = ""
    beta: str = ""
    a: str = ""
    stem: str = "linear"
    kind: str = "accumulating"
    target: str = "taken"
    options: tuple[tuple[str, object], ...] = ()
    cost: str = "O(k)"
    tolerance: float = 1e-11

    def __str__(self) -> str:
        return self.kernel


_STATE = ("lambdas", "rhos", "alpha")
_ACTION = ("lambdas", "alpha")
_TD = ("ft_td_step", "ft_td_run")
_EMPHATIC = ("ft_emphatic_td_step", "ft_td_run")
_CONTROL = ("ft_control_step", "ft_td_run")
_STATE_STEP = ("ft_state_step", "ft_td_run")
_SARSA = ("ft_sarsa_step", "ft_td_run")
_ADAPTIVE = ("ft_adaptive_step", "ft_adaptive_run")
_GRADIENT = ("ft_gradient_step", "ft_gradient_run")
_ACTOR_CRITIC = ("ft_actor_critic_step", "ft_actor_critic_run")
_SB = "Sutton & Barto 2018"
_COLLISION = "Ghiassian & Sutton 2021"

STEP_LEARNERS = (
    StepLearner(
        "td", "TD", ("accumulating", "replacing", "dutch"), False, _STATE, _TD,
        "12.5, 12.11, 12.12, 12.25", f"{_SB}, sections 12.2, 12.9, exercise 12.13",
    ),
    StepLearner(
        "true_online_td", "TrueOnlineTD", (), False, _STATE, _TD,
        "box of 12.5", "van Seijen et al. 2016; van Hasselt, Mahmood & Sutton 2014",
        kind="true_online",
    ),
    StepLearner(
        "sarsa", "Sarsa", ("accumulating", "replacing", "replacing_clear", "dutch"), True, _ACTION, _SARSA,
        "12.5, 12.11, 12.12, 12.15", f"{_SB}, section 12.7",
    ),
    StepLearner(
        "true_online_sarsa", "TrueOnlineSarsa", (), True, _ACTION, _SARSA,
        "box of 12.7", "van Seijen et al. 2016",
        kind="true_online",
    ),
    StepLearner(
        "emphatic_td", "EmphaticTD", (), False, (*_STATE, "interests"), _EMPHATIC,
        "12.11", f"Sutton, Mahmood & White 2016; {_SB}, section 12.11",
        kind="emphatic",
    ),
    StepLearner(
        "emphatic_beta_td", "EmphaticTD", (), False, (*_STATE, "interests"), _STATE_STEP,
        "ETD(lambda, beta) there",
        "Hallak, Tamar, Munos & Mannor 2016; Ghiassian & Sutton 2021, arXiv:2106.00922",
        kind="emphatic_beta", options=(("beta", 0.6),),
    ),
    StepLearner(
        "true_online_emphatic_td", "TrueOnlineEmphaticTD", (), False, (*_STATE, "interests"), _EMPHATIC,
        "12.11", "Sutton 2015, arXiv:1507.07147",
        kind="true_online_emphatic",
    ),
    StepLearner(
        "vtrace_td", "VtraceTD", (), False, _STATE, _STATE_STEP,
        "Vtrace(lambda) there", "Espeholt et al. 2018; Ghiassian & Sutton 2021, arXiv:2106.00922",
        kind="vtrace_td",
    ),
    StepLearner(
        "tree_backup_td", "TreeBackupTD", (), False, (*_STATE, "pi"), _STATE_STEP,
        "Tree Backup(lambda) there", "Precup, Sutton & Singh 2000; Ghiassian & Sutton 2021, arXiv:2106.00922",
        kind="tree_backup_td",
    ),
    StepLearner(
        "ab_td", "ABTD", (), False, ("rhos", "pi", "alpha"), _STATE_STEP,
        "ABTD(zeta) there", "Mahmood, Yu & Sutton 2017; Ghiassian & Sutton 2021, arXiv:2106.00922",
        kind="ab_td",
    ),
    StepLearner(
        "expected_sarsa", "ExpectedSarsa", ("accumulating", "replacing", "dutch"), True,
        ("lambdas", "rhos", "target_policy", "alpha"), _CONTROL,
        "12.28, 12.29", f"{_SB}, section 12.9, exercise 12.13",
        target="expected", cost="O(k A)",
    ),
    StepLearner(
        "true_online_expected_sarsa", "TrueOnlineExpectedSarsa", (), True,
        ("lambdas", "rhos", "target_policy", "alpha"), _CONTROL,
        "12.26, 12.29", "van Hasselt, Mahmood & Sutton 2014",
        kind="true_online", target="expected", cost="O(k A)",
    ),
    StepLearner(
        "watkins_q", "WatkinsQ", ("accumulating", "replacing", "dutch"), True, _ACTION, _CONTROL,
        "section 12.10", f"Watkins 1989; {_SB}, section 12.10",
        target="watkins", cost="O(k A)",
    ),
    StepLearner(
        "naive_q", "WatkinsQ", ("accumulating", "replacing", "dutch"), True, _ACTION, _CONTROL,
        "section 12.10", f"{_SB}, section 12.10, without the cut",
        target="naive", cost="O(k A)", options=(("cut", False),),
    ),
    StepLearner(
        "tree_backup", "TreeBackup", (), True, ("lambdas", "target_policy", "alpha"), _CONTROL,
        "section 12.10", f"Precup, Sutton & Singh 2000; {_SB}, section 12.10",
        target="tree_backup", cost="O(k A)",
    ),
    StepLearner(
        "retrace", "Retrace", (), True, ("lambdas", "rhos", "target_policy", "alpha"), _CONTROL,
        "eq. 3, 4", "Munos et al. 2016",
        target="retrace", cost="O(k A)",
    ),
    StepLearner(
        "q_sigma", "QSigma", (), True, ("lambdas", "rhos", "target_policy", "sigmas", "alpha"), _CONTROL,
        "section 12.10", f"{_SB}, sections 7.6, 12.10; De Asis et al. 2018",
        target="q_sigma", cost="O(k A)",
    ),
    # Step sizes that learn: alpha, eta / tau and h are of a weight of their own; docs/adaptive.md.
    StepLearner(
        "swift_td", "SwiftTD", (), False, ("lambdas",), _ADAPTIVE,
        "algorithm 1", "Javed, Sharifnassab & Sutton 2024",
        "gamma lambda", "min(1, eta / tau) alpha_i (1 - z.x)", "-min(1, eta / tau) alpha_i (v - v_old)",
        "delta + v - v_old", stem="adaptive", cost="O(features with a trace)",
    ),
    StepLearner(
        "swift_sarsa", "SwiftSarsa", (), True, ("lambdas",), _ADAPTIVE,
        "algorithm 1, x(s, a)", "Javed, Sharifnassab & Sutton 2024; Javed & Sutton 2025",
        "gamma lambda", "min(1, eta / tau) alpha_i (1 - z.x)", "-min(1, eta / tau) alpha_i (q - q_old)",
        "delta + q - q_old", stem="adaptive", cost="O(features with a trace)",
    ),
    StepLearner(
        "tidbd", "TIDBD", (), False, ("lambdas",), _ADAPTIVE,
        "algorithm 1, ordinary", "Kearney et al. 2018",
        "gamma lambda", "1", "0", "alpha_i delta", stem="adaptive",
    ),
    StepLearner(
        "autostep", "Autostep", (), False, ("lambdas",), _ADAPTIVE,
        "table 1, with a trace", "Mahmood et al. 2012; Kearney et al. 2018",
        "gamma lambda", "1", "0", "alpha_i delta", stem="adaptive",
    ),
    StepLearner(
        "gtd", "GTD", (), False, _STATE, _GRADIENT,
        "section 12.11", f"Maei 2011; {_SB}, section 12.11",
        "rho gamma lambda", "rho", "v: -beta v.x; w at x': -alpha gamma' (1 - lambda') z.v",
        "alpha delta; v: beta delta", stem="gradient",
    ),
    StepLearner(
        "htd", "HTD", (), False, _STATE, _GRADIENT,
        "section 12.11", f"White & White 2016; {_SB}, section 12.11",
        "rho gamma lambda; zb: gamma lambda", "rho; zb: 1",
        "w: alpha (z - zb).v, at x' times -gamma'; v: -beta zb.v, at x' times -gamma'",
        "alpha delta; v: beta delta", stem="gradient",
    ),
    StepLearner(
        "gtd2", "GTD2", (), False, ("rhos", "alpha"), _GRADIENT,
        "section 11.7", f"Sutton et al. 2009; {_SB}, section 11.7",
        "0", "0", "w: alpha rho v.x, at x' times -gamma'; v: beta (rho delta - v.x)", "0", stem="gradient",
    ),
    StepLearner(
        "gtd2_lambda", "GTD2", (), False, _STATE, _GRADIENT,
        "arXiv:2106.00922", _COLLISION,
        "rho gamma lambda", "rho", "w: alpha v.x, at x': -alpha gamma' (1 - lambda') z.v; v: -beta v.x",
        "0; v: beta delta", stem="gradient", options=(("lambda_", 0.9),),
    ),
    StepLearner(
        "tdrc", "TDRC", (), False, _STATE, _GRADIENT,
        "arXiv:2106.00922", f"Ghiassian et al. 2020; {_COLLISION}",
        "rho gamma lambda", "rho",
        "v: times 1 - eta alpha beta, -eta alpha v.x; w at x': -alpha gamma' (1 - lambda') z.v",
        "alpha delta; v: eta alpha delta", stem="gradient",
    ),
    StepLearner(
        "proximal_gtd2", "ProximalGTD2", (), False, _STATE, _GRADIENT,
        "arXiv:2106.00922", f"Liu et al. 2015; {_COLLISION}",
        "rho gamma lambda", "rho", "w: alpha v1.x, at x': -alpha gamma' (1 - lambda') z.v1; v: -beta v1.x",
        "0; v: beta delta1", stem="gradient",
    ),
    StepLearner(
        "true_online_gtd", "TrueOnlineGTD", (), False, _STATE, _GRADIENT,
        "algorithm 1", "van Hasselt, Mahmood & Sutton 2014",
        "rho gamma lambda", "e: alpha rho (1 - e.x); k: beta (rho - k.x); g: rho",
        "w: -alpha rho (w.x - v_old), at x': -alpha gamma' (1 - lambda') v.g; v: -beta v.x",
        "w, by e: delta + w.x - v_old; v, by k: delta", stem="gradient", kind="true_online",
    ),
    StepLearner(
        "gq", "GQ", (), True, ("lambdas", "rhos", "target_policy", "alpha"), ("ft_gq_step", "ft_gq_run"),
        "section 12.11", f"Maei & Sutton 2010; {_SB}, section 12.11",
        "rho gamma lambda", "1", "v: -beta v.x; w at y: -alpha gamma' (1 - lambda') z.v",
        "alpha delta; v: beta delta", stem="gradient", target="expected", cost="O(k A)",
    ),
    # Two traces with scalars of their own; the actor's c is that of column a.
    StepLearner(
        "actor_critic", "ActorCritic", (), True, ("lambdas", "alpha"), _ACTOR_CRITIC,
        "box of 13.5", f"{_SB}, section 13.5",
        "gamma lambda; actor: gamma lambda_actor", "1; actor: I (1{a = A} - pi(a)) / temperature", "0",
        "alpha delta; actor: alpha_actor delta", stem="actor_critic", cost="O(k A)",
    ),
    StepLearner(
        "average_reward_actor_critic", "ActorCritic", (), True, ("lambdas", "alpha"), _ACTOR_CRITIC,
        "box of 13.6", f"{_SB}, section 13.6",
        "lambda; actor: lambda_actor", "1; actor: (1{a = A} - pi(a)) / temperature", "0",
        "alpha delta; actor: alpha_actor delta", stem="actor_critic", cost="O(k A)", options=(("eta", 0.05),),
    ),
)  # fmt: skip

# Least squares: no step size, no TD errors, and weights that are solved for, so not among the step learners.
# beta and a are none: nothing is written to weights.
SOLVERS = (
    StepLearner(
        "lstd", "LSTD", (), False, ("lambdas", "rhos"), ("ft_lstd_run",),
        "9.20, 9.21, 12.25", "Bradtke & Barto 1996; Boyan 2002",
        "rho gamma lambda", "rho", "none", "none; A w = b is solved",
        stem="lstd", cost="O(n k)", tolerance=1e-10,
    ),
)  # fmt: skip


def recipe(row: StepLearner) -> tuple[str, str, str, str]:
    """D, c, beta and a of a kernel, as one writes them."""
    if row.stem != "linear":
        return row.D, row.c, row.beta, row.a
    target, written = TARGETS[row.target], []
    factor = f"({target.factor})" if " + " in target.factor else target.factor
    for column in ("D", "c", "beta", "a"):
        texts: dict[str, str] = {}
        for kind in row.kinds or (row.kind,):
            text = getattr(KINDS[kind], column)
            if row.control:  # the ratio is in the factor alone
                text = re.sub(r"\brho\b", "1.0", re.sub(r" \* rho\b", "", text))
            handed = re.sub(r"\b(rho|pi)\b", r"\1_{t-1}", KINDS[kind].decay).replace("_next", "")
            text = _prose(text.replace("factor", factor if row.control else "rho").replace("decay", handed))
            texts.setdefault(text, "" if not texts else f"{kind}: ")
        written.append("; ".join(label + text for text, label in texts.items()))
    if target.cuts:
        written[0] += ", 0 after an action that was not greedy"
    D, c, beta, a = written
    return D, c, beta, a


_PROSE = (
    (r"\b1\.0 \* ", ""), (r" \* ", " "), (r"(\d)\.0", r"\1"), (r"\bdecay\b", "gamma lambda"),
    (r"\bex\b", "e.x"), (r"(?<!\w)\((\w+(?: \w+)*)\)", r"\1"), (r"(?<!\w)\((\w+(?: \w+)*)\)", r"\1"),
)  # fmt: skip


def _prose(expression: str) -> str:
    """An expression of fasttrace.layout without what only a compiler needs."""
    for pattern, text in _PROSE:
        expression = re.sub(pattern, text, expression)
    return expression


def tables() -> tuple[str, str]:
    """The algorithms as two Markdown tables, of docs/algorithms.md: recipes, and where they come from."""
    recipes = [("learner", "D", "c", "beta", "a", "cost of a step")]
    sources = [("kernel", "traces", "equation", "source", "backends")]
    for row in (*STEP_LEARNERS, *SOLVERS):
        options = ", ".join(f"{name}={value}" for name, value in row.options)
        name = f"`{row.learner}({options})`" if options else f"`{row.learner}`"
        recipes.append((name, *recipe(row), row.cost))
        kinds = ", ".join(row.kinds) or "its own"
        sources.append((f"`{row.kernel}`", kinds, row.equation, row.source, "NumPy, Numba, C"))
    return _markdown(recipes), _markdown(sources)


def _markdown(rows: Sequence[tuple[str, ...]]) -> str:
    head, *body = (f"| {' | '.join(cells)} |\n" for cells in rows)
    return head + "|---" * len(rows[0]) + "|\n" + "".join(body)


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
        "retrace", "FT_RETRACE_RETURN", (*_ACTIONS, "rhos"), "12.26 with min(1, rho)", "Munos et al. 2016",
        "min(1, rho) (R + gamma V' - q)", "min(1, rho) gamma lambda",
    ),
    ReturnKernel(
        "tree_backup", "FT_ACTION", (*_ACTIONS, "pi"), "12.26 with pi", f"{_SB}, section 12.10",
        "pi (R + gamma V' - q)", "pi gamma lambda",
    ),
    ReturnKernel(
        "q_sigma", "FT_Q_SIGMA_RETURN", (*_ACTIONS, "rhos", "pi", "sigmas"),
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


@dataclass(frozen=True)
class Many:
    """Many learners at once: <kernel> of <stem>.py is the reference, and the others' `run` agree with it.

    learners   those that it learns as
    tolerance  largest difference to the reference, relative to the largest entry
    """

    name: str
    stem: str
    kernel: str
    c_names: tuple[str, ...]
    learners: tuple[str, ...]
    source: str
    tolerance: float = 1e-11

    def __str__(self) -> str:
        return self.name


MANY = (
    Many(
        "Horde", "horde", "horde_run", ("ft_horde_step", "ft_horde_run", "ft_horde_values"),
        ("TD", "TrueOnlineTD", "GTD"), "Sutton et al. 2011",
    ),
)  # fmt: skip


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


@dataclass(frozen=True)
class Perceptron:
    """A learner with a network: network_run of <stem>.py in every backend runs it.

    method     what the kernels call it
    c_names    the functions of csrc/fasttrace.h behind it, each for _f32 and _f64
    target     what the error is taken against
    trace      what decayed trace the gradient is added to
    tolerance  largest difference to the reference in float64
    """

    name: str
    method: str
    target: str
    trace: str
    source: str
    c_names: tuple[str, ...] = ("ft_network_run", "ft_mlp_forward", "ft_mlp_gradients")
    stem: str = "neural"
    tolerance: float = 1e-10

    def __str__(self) -> str:
        return self.name


_ELSAYED = "Elsayed, Vasan & Mahmood 2024"

PERCEPTRONS = (
    Perceptron("NetworkTD", "td", "R_r + gamma_r y_r(S')", "of each output", f"{_SB}, section 12.2"),
    Perceptron("NetworkSarsa", "sarsa", "R + gamma q(S', A')", "of the action taken", f"{_SB}, section 12.7"),
    Perceptron("StreamTD", "td", "R + gamma v(S')", "of the value", _ELSAYED),
    Perceptron("StreamSarsa", "sarsa", "R + gamma q(S', A')", "of the action taken", _ELSAYED),
    Perceptron(
        "StreamQ", "q", "R + gamma max q(S', a)", "of the action taken, emptied where the next is not greedy",
        _ELSAYED,
    ),
    Perceptron(
        "StreamAC", "actor_critic", "R + gamma v(S')",
        "of the value; of ln pi(A) + entropy sign(delta) H(pi)", _ELSAYED,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Remedy:
    """A learner that does something about stale traces: <run> of <stem>.py in every backend runs it.

    c_names    the functions of csrc/fasttrace.h behind it, each for _f32 and _f64
    stale      what in it is still of old parameters
    cost       of a step, in passes ahead (a) and back (b) through the network
    tolerance  largest difference to the reference in float64
    """

    name: str
    stem: str
    run: str
    c_names: tuple[str, ...]
    stale: str
    cost: str
    source: str
    tolerance: float = 1e-11

    def __str__(self) -> str:
        return self.name


_ELELIMY = "Elelimy et al. 2025"

REMEDIES = (
    Remedy(
        "ForwardTD", "neural_forward", "forward_td_run", ("ft_forward_td_run", "ft_forward_td_flush"),
        "nothing", "window + 3 a, 1 b", "van Seijen 2016",
    ),
    Remedy(
        "TDRC", "neural_gradient", "qrc_run", ("ft_qrc_run",), "the three traces", "4 a, 3 b", _ELELIMY,
    ),
    Remedy("QRC", "neural_gradient", "qrc_run", ("ft_qrc_run",), "the three traces", "4 a, 3 b", _ELELIMY),
    Remedy(
        "ExpectedTraceTD", "neural_expected", "expected_run", ("ft_expected_run",),
        "the trace of the hidden layers", "2 a, 1 b, and k^2", "van Hasselt et al. 2021",
    ),
)  # fmt: skip
