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
    D c beta a   the scalars of a step between the verbs (docs/constant-time.md), of the numbers of GIVEN
    """

    name: str
    value: int
    folded: bool
    replaces: bool
    clears: bool
    emphatic: bool
    true_online: bool
    actions: bool
    D: str
    c: str
    beta: str
    a: str


GIVEN = ("decay", "factor", "rho", "M", "alpha", "ex", "v", "v_old", "delta")
"""What a recipe is made of; ft_given of csrc/transition.h says what each is."""

_ROWS = (
    Kind(
        "accumulating", 0, False, False, False, False, False, True,
        "factor * decay", "rho", "0.0", "alpha * delta",
    ),
    Kind(
        "replacing", 1, False, True, False, False, False, True,
        "factor * decay", "rho", "0.0", "alpha * delta",
    ),
    Kind(
        "replacing_clear", 2, False, True, True, False, False, True,
        "factor * decay", "rho", "0.0", "alpha * delta",
    ),
    Kind(
        "dutch", 3, True, False, False, False, False, True,
        "factor * decay", "alpha * rho * (1.0 - ex)", "0.0", "delta",
    ),
    Kind(
        "true_online", 4, True, False, False, False, True, True,
        "factor * decay", "alpha * rho * (1.0 - ex)", "-(alpha * rho) * (v - v_old)", "delta + (v - v_old)",
    ),
    Kind(
        "emphatic", 5, False, False, False, True, False, False,
        "factor * decay", "rho * M", "0.0", "alpha * delta",
    ),
    Kind(
        "true_online_emphatic", 6, True, False, False, True, True, False,
        "factor * decay", "alpha * (rho * M) * (1.0 - ex)", "-(alpha * (rho * M)) * (v - v_old)",
        "delta + (v - v_old)",
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

# The words of ft_trace, each of 8 bytes: counters, scalars, C's pointers, and scalars that came later.
COUNTERS = (
    "n", "columns", "width", "ring_size", "epoch", "oldest", "alive_max", "swept", "flat", "bad_index",
)  # fmt: skip
SCALARS = ("scale", "drive", "decay", "v_old", "alpha", "snap", "followon", "lambda_", "cap")
POINTERS = ("rows", "ring", "epochs")
LATER = ("pi",)
