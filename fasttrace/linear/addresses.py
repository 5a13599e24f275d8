"""Where a learner's state and its step are, for compiled code that calls C by address.

After numpy.random's generators, whose `cffi` and `ctypes` are read the same way.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

from .. import registry
from ..backends import module
from ..layout import KINDS, TARGETS
from .adaptive_trace import ListedSteps
from .gradient_trace import KINDS as TWO_VECTOR_KINDS
from .gradient_trace import LazyGradient
from .trace import LazyTrace

_STATE, _SARSA, _GRADIENT = "ft_state_step", "ft_sarsa_step", "ft_gradient_step"
_CONTROL, _GQ, _ADAPTIVE, _ACTOR_CRITIC = (
    "ft_control_step", "ft_gq_step", "ft_adaptive_step", "ft_actor_critic_step"
)  # fmt: skip
CONTROL = (
    "expected_sarsa", "true_online_expected_sarsa", "watkins_q", "naive_q", "tree_backup", "retrace",
    "q_sigma",
)  # fmt: skip
"""Kernels whose step is towards more than the action taken next."""
STEPS = {
    **dict.fromkeys(
        ("td", "true_online_td", "vtrace_td", "emphatic_td", "emphatic_beta_td", "true_online_emphatic_td"),
        _STATE,
    ),
    **dict.fromkeys(("tree_backup_td", "ab_td"), _STATE),
    **dict.fromkeys(("sarsa", "true_online_sarsa"), _SARSA),
    **dict.fromkeys(CONTROL, _CONTROL),
    **dict.fromkeys(TWO_VECTOR_KINDS, _GRADIENT),
    "gq": _GQ,
    **dict.fromkeys(("swift_td", "swift_sarsa", "tidbd", "autostep"), _ADAPTIVE),
    **dict.fromkeys(("actor_critic", "average_reward_actor_critic"), _ACTOR_CRITIC),
}
"""The function of csrc/fasttrace.h that is the step of each kernel."""


class Interface(NamedTuple):
    """Addresses, and the same as pointers.  They hold until the learner gets other memory, by `to("numpy")`
    or `load_state_dict`; keep the learner alive as long.

    state_address    of the ft_trace, ft_gradient, ft_adaptive or ft_actor_critic
    options_address  of the ft_options, 0 where the step takes none
    kind             enum ft_kind, ft_gradient_kind or ft_adaptive_kind
    name             of the step: ft_state_step, ft_sarsa_step, ft_control_step, ft_gradient_step, ft_gq_step,
                     ft_adaptive_step or ft_actor_critic_step
    target           enum ft_target, of ft_control_step
    state, options   pointers
    step             the function
    """

    state_address: int
    options_address: int
    kind: int
    name: str
    target: int
    state: Any
    options: Any
    step: Any


def _of(learner: Any) -> tuple[Any, str, int]:
    """The owner of the state, the name of the step, and the kind of trace."""
    method = learner.method()
    name = STEPS.get(method.kernel)
    why = None
    if name is None:
        names = dict.fromkeys(row.learner for row in registry.STEP_LEARNERS if row.kernel in STEPS)
        why = f"expected {', '.join(names)}"
    elif not isinstance(
        getattr(method.trace, "critic", method.trace), (LazyTrace, LazyGradient, ListedSteps)
    ):
        why = f"has the backend {learner.backend!r}, expected 'numba' or 'c'; see Learner.to"
    elif getattr(learner, "bound", False):
        why = "a bound on alpha is no part of a step"
    elif getattr(learner, "state_action", False):
        if method.kind == "replacing_clear" or name in (_CONTROL, _GQ):
            why = "a step with state_action needs the features of all actions"
        if name != _ADAPTIVE:
            name = _STATE
    if why:
        raise AttributeError(f"{learner!r} has no step in C: {why}")
    assert name is not None
    if name == _ADAPTIVE:
        return method, name, module("c", "adaptive").KINDS[method.kind]
    kind = TWO_VECTOR_KINDS[method.kernel] if name == _GRADIENT else KINDS[method.kind].value
    return method, name, kind


def cffi_interface(learner: Any) -> Interface:
    """With pointers of cffi, those of fasttrace.backends.c.ffi."""
    method, name, kind = _of(learner)
    c = module("c", "linear")
    state = module("c", method.stem).handle(method.trace)
    options = getattr(method.trace, "options", None)
    at = 0 if options is None else options.ctypes.data
    step, target = c.ffi.addressof(c.lib, name), TARGETS[method.target].value
    address = int(c.ffi.cast("uintptr_t", state))
    return Interface(address, at, kind, name, target, state, c.ffi.cast("ft_options *", at), step)


def ctypes_interface(learner: Any) -> Interface:
    """With pointers and a function of ctypes."""
    address, at, kind, name, target, _, _, step = cffi_interface(learner)
    ffi = module("c", "linear").ffi
    told = ffi.typeof(step)
    types = [_ctype(each) for each in (told.result, *told.args)]
    function = ctypes.CFUNCTYPE(*types)(int(ffi.cast("uintptr_t", step)))
    state, options = ctypes.c_void_p(address), ctypes.c_void_p(at)
    return Interface(address, at, kind, name, target, state, options, function)


def _ctype(told: Any) -> Any:
    if told.kind == "pointer":
        return ctypes.c_void_p
    return getattr(ctypes, f"c_{told.cname.removesuffix('_t')}")
