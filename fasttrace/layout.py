"""What csrc/fasttrace.h numbers, once: statuses, kinds of trace, targets, policies, the words of ft_trace.

A kind of trace is a row, and so is a target: csrc/transition.h has the same rows, and a test holds them
against each other.  The Numba kernels compile the recipes as they stand here, docs/algorithms.md prints them.
"""

from __future__ import annotations

from typing import NamedTuple

# ft_status.
OK, BAD_INDEX, BAD_ACTION, BAD_VALUE = 0, -1, -2, -3


class Kind(NamedTuple):
    """A kind of trace, ft_kind.

    folded       the step size is in the trace, e = alpha z
    replaces     the trace is set where others add to it; features without values
    clears       and that of the other actions ends
    emphatic     there is a followon trace, and an emphasis M
    true_online  v_old is remembered
    actions      for action values, too
    takes_pi     asks for pi of the action taken
    D c beta a   the scalars of a step between the verbs (docs/constant-time.md), of the numbers of GIVEN
    decay, kept  what is handed to the next step, of the numbers of HANDED: gamma lambda of the state arrived
                 in, with a factor of this step where that belongs to it; and how much of the followon trace
                 goes on
    """

    name: str
    value: int
    folded: bool
    replaces: bool
    clears: bool
    emphatic: bool
    true_online: bool
    actions: bool
    takes_pi: bool
    D: str
    c: str
    beta: str
    a: str
    decay: str
    kept: str


GIVEN = ("decay", "factor", "rho", "M", "alpha", "ex", "v", "v_old", "delta", "rho_bar")
"""What a recipe is made of; ft_given of csrc/transition.h says what each is."""

HANDED = ("gamma_next", "lambda_next", "rho", "pi", "c_bar", "psi", "beta")
"""What is handed on is made of; pi is that of the action taken."""


class Options(NamedTuple):
    """Numbers of the kinds that have some; ft_options."""

    c_bar: float = 0.0
    rho_bar: float = 0.0
    psi: float = 0.0
    beta: float = 0.0


NO_OPTIONS = Options()

_ROWS = (
    Kind(
        "accumulating", 0, False, False, False, False, False, True, False,
        "factor * decay", "rho", "0.0", "alpha * delta",
        "gamma_next * lambda_next", "0.0",
    ),
    Kind(
        "replacing", 1, False, True, False, False, False, True, False,
        "factor * decay", "rho", "0.0", "alpha * delta",
        "gamma_next * lambda_next", "0.0",
    ),
    Kind(
        "replacing_clear", 2, False, True, True, False, False, True, False,
        "factor * decay", "rho", "0.0", "alpha * delta",
        "gamma_next * lambda_next", "0.0",
    ),
    Kind(
        "dutch", 3, True, False, False, False, False, True, False,
        "factor * decay", "alpha * rho * (1.0 - ex)", "0.0", "delta",
        "gamma_next * lambda_next", "0.0",
    ),
    Kind(
        "true_online", 4, True, False, False, False, True, True, False,
        "factor * decay", "alpha * rho * (1.0 - ex)", "-(alpha * rho) * (v - v_old)", "delta + (v - v_old)",
        "gamma_next * lambda_next", "0.0",
    ),
    Kind(
        "emphatic", 5, False, False, False, True, False, False, False,
        "factor * decay", "rho * M", "0.0", "alpha * delta",
        "gamma_next * lambda_next", "rho * gamma_next",
    ),
    Kind(
        "true_online_emphatic", 6, True, False, False, True, True, False, False,
        "factor * decay", "alpha * (rho * M) * (1.0 - ex)", "-(alpha * (rho * M)) * (v - v_old)",
        "delta + (v - v_old)",
        "gamma_next * lambda_next", "rho * gamma_next",
    ),
    Kind(
        "vtrace_td", 7, False, False, False, False, False, False, False,
        "decay", "1.0", "0.0", "alpha * min(rho_bar, rho) * delta",
        "gamma_next * lambda_next * min(c_bar, rho)", "0.0",
    ),
    Kind(
        "tree_backup_td", 8, False, False, False, False, False, False, True,
        "decay", "1.0", "0.0", "alpha * rho * delta",
        "gamma_next * lambda_next * pi", "0.0",
    ),
    Kind(
        "ab_td", 9, False, False, False, False, False, False, True,
        "decay", "1.0", "0.0", "alpha * rho * delta",
        "gamma_next * min(psi * pi, min(1.0, rho))", "0.0",
    ),
    Kind(
        "emphatic_beta", 10, False, False, False, True, False, False, False,
        "factor * decay", "rho * M", "0.0", "alpha * delta",
        "gamma_next * lambda_next", "rho * beta",
    ),
)  # fmt: skip
KINDS = {kind.name: kind for kind in _ROWS}


class Target(NamedTuple):
    """What action values are learned towards, ft_target; the columns are those of csrc/transition.h."""

    name: str
    value: int
    needs_pi: bool
    greedy: bool
    cuts: bool
    factor: str


TARGETS = {
    target.name: target
    for target in (
        Target("taken", 0, False, False, False, "1.0"),
        Target("expected", 1, False, False, False, "rho"),
        Target("watkins", 2, False, True, True, "1.0"),
        Target("naive", 3, False, True, False, "1.0"),
        Target("tree_backup", 4, True, False, False, "pi"),
        Target("retrace", 5, False, False, False, "min(1.0, rho)"),
        Target("q_sigma", 6, True, False, False, "sigma * rho + (1.0 - sigma) * pi"),
    )
}

POLICIES = {"epsilon": 0, "softmax": 1}
"""ft_policy."""

# The words of ft_trace, each of 8 bytes: counters, scalars, pointers, and what came later, each of a type.
COUNTERS = (
    "n", "columns", "width", "ring_size", "epoch", "oldest", "alive_max", "swept", "flat", "bad_index",
)  # fmt: skip
SCALARS = ("scale", "drive", "decay", "v_old", "alpha", "snap", "followon", "lambda_", "cap")
POINTERS = ("rows", "ring", "epochs")
LATER = ("pi", "wide", "single")
