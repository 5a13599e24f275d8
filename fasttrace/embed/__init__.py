"""The step kernels inside your own `@njit` loops: Numba's and C's, on the memory of a learner.

    learner = ft.TrueOnlineTD(n, alpha=0.1)
    state, step = embed.state(learner), embed.step(learner)

    @njit
    def walk(state, ...):
        ...
        delta = step(state, x, reward, x_next, gamma, lambda_, 1.0, alpha)

A step here is the learner's own to the bit, and after the loop learner.weights and .trace are right.  It may
be a global of your function, a variable of the function around it, or an argument.  Nothing keeps two threads
off one state: give each thread a learner of its own.  `step` says which learners there are.

Hordes have steps as well; see `step`.

Features x are a contiguous int32 array (k,) of the active indices, -1 is padding; or a pair (indices, values)
of such an array and one of float64, which is not checked for NaN.  Another type of x does not compile.
See examples/embed_in_numba.py.

`sources` are the C files, for a C library of your own; see docs/embedding.md.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.extending import overload

from .. import registry
from ..backends import Backend, Name, module, resolve, why_missing
from ..backends.numba import adaptive, gradient, kernel, linear, steps, stream, trace, verb
from ..backends.numba.policy import own_ok
from ..layout import BAD_VALUE, KINDS, POLICIES, TARGETS, Options
from ..linear.actor_critic_trace import ActorCriticTrace
from ..linear.adaptive_trace import DenseSteps, ListedSteps
from ..linear.addresses import CONTROL
from ..linear.gradient_trace import KINDS as TWO_VECTOR_KINDS
from ..linear.gradient_trace import DenseGradient, LazyGradient
from ..linear.learner import LinearLearner
from ..linear.trace import DenseTrace, LazyTrace
from ..many.horde import Horde
from ..sources import sources
from .actor_critic import actor_critic_step
from .gq import gq_step
from .horde import HordeState, horde_state, horde_step
from .inputs import check_state, external, is_state, pointer, refuse, row, rows_of
from .states import ActorCriticState, AdaptiveState, State, TwoVectorState, gradient_of
from .step_sizes import KINDS as ADAPTIVE_KINDS
from .step_sizes import adaptive_control_step, adaptive_step

__all__ = [
    "ActorCriticState", "AdaptiveState", "HordeState", "State", "TwoVectorState", "sources", "state", "step",
    "value", "values",
]  # fmt: skip

AnyState = State | TwoVectorState | AdaptiveState | ActorCriticState | HordeState


def state(learner: LinearLearner | Horde, features: int | None = None) -> AnyState:
    """The learner's memory, to be passed to compiled functions.

    It is that until the learner gets other memory: by `to("numpy")` or `load_state_dict`, a horde by `add` or
    `remove` too.  Keep a horde as long as its state.

    features  of a horde: how many will have been active, which get memory here; None: all that there are.
              What is never active costs address space alone.

    Errors: ValueError for a learner of the backend "numpy", which has no such trace, and for one that has
    neither a step to embed nor action values under such a trace.
    """
    if isinstance(learner, Horde):
        return horde_state(learner, features)
    if features is not None:
        raise ValueError(f"features: is for a horde, got {learner!r}")
    owner = learner.method().trace if isinstance(learner, LinearLearner) else None
    made = getattr(owner, "critic", owner)
    if isinstance(made, (DenseTrace, DenseGradient, DenseSteps)):
        raise ValueError(
            f"learner: has the backend {learner.backend!r}, expected 'numba' or 'c'; see Learner.to"
        )
    if not isinstance(made, (LazyTrace, LazyGradient, ListedSteps)):
        raise ValueError(f"learner: {learner!r} has no state to embed, expected {_names()}")
    stem = learner.method().stem
    if why_missing("c") is None:
        module("c", stem).handle(owner)  # C's pointers stand in the struct
    if isinstance(owner, LazyGradient):
        q = np.zeros(2 * owner.columns)
        return TwoVectorState(*gradient.arrays_of(owner)[:5], owner.later, np.zeros(1), q)
    if isinstance(owner, ListedSteps):
        return AdaptiveState(*adaptive.arrays_of(owner), ADAPTIVE_KINDS[owner.kind], np.zeros(1))
    if isinstance(owner, ActorCriticTrace):
        critic, actor = _one_vector(owner.critic), _one_vector(owner.actor)
        return ActorCriticState(
            critic, actor, owner.words, owner.numbers, np.zeros(3 * len(actor.q)), np.zeros(1)
        )
    return _one_vector(owner)


def _one_vector(owner: Any) -> State:
    return State(*linear.arrays_of(owner), owner.options, np.zeros(1), np.zeros(owner.width))


def step(learner: LinearLearner | Horde, backend: Backend | None = None) -> Callable[..., float]:
    """The learner's update of one transition, for compiled functions.

    backend  "numba" or "c"; None is the learner's own.  Both work on the same state, and agree to the bit.

    TD, TrueOnlineTD, VtraceTD, and action values of state_action=True features:

        delta = step(state, x, reward, x_next, gamma_next, lambda_next, rho, alpha)

    The same with one number more, by its place:

        step(..., alpha, interest)    EmphaticTD, TrueOnlineEmphaticTD: of S_t
        step(..., alpha, pi)          TreeBackupTD, ABTD: pi(A_t|S_t), 0 where rho is
        step(..., alpha, beta)        GTD, HTD, TrueOnlineGTD, GTD2, TDRC, ProximalGTD2: as the learner's

    Sarsa, TrueOnlineSarsa:

        delta = step(state, x, action, reward, x_next, action_next, gamma_next, lambda_next, alpha)

    The same with a number more or two:

        step(..., alpha, chance)         ExpectedSarsa, TrueOnlineExpectedSarsa, WatkinsQ, TreeBackup, Retrace
        step(..., alpha, chance, sigma)  QSigma

    As online, rho is 1 and the target policy that of the learner, of which `chance` is the epsilon or the
    temperature.  GQ learns off-policy, too: `chance` may be pi(a|S_{t+1}) itself, float64 of (n_actions,).

        step(..., alpha, chance, rho, beta)   GQ

    SwiftTD, TIDBD, Autostep, SwiftSarsa of state_action=True features; and any other SwiftSarsa:

        delta = step(state, x, reward, x_next, gamma_next, lambda_next)
        delta = step(state, x, action, reward, x_next, action_next, gamma_next, lambda_next)

    ActorCritic, with eta or without:

        delta = step(state, x, action, reward, x_next, gamma_next, lambda_next, lambda_actor_next,
                     alpha, alpha_actor, temperature)

    Horde, all arrays float64 of (m,); deltas are written:

        step(state, x, cumulants, x_next, gammas, lambdas, rhos, deltas)

    What a step is given counts, not the learner's own alpha and so on.  Its other options stand in the state:
    c_bar, rho_bar, zeta, psi_0, psi_max, EmphaticTD's beta, TDRC's eta, ActorCritic's eta and discount_actor,
    and those of step sizes that learn.  One that is set afterwards is in use from then on; but for an
    EmphaticTD that gets its first beta, or loses it, take step anew.  ABTD and a GTD2 without a trace have no
    use for lambda_next, GQ has none for action_next.

    Where gamma_next is 0 the episode ends and x_next is not used; it must be there, x will do.  Rows of
    state-action pairs take a rho of 1.  The result is the TD error under the weights before the update.

    The compiled step raises, with nothing changed, FeatureIndexError for a feature index out of range,
    IndexError for an action, and ValueError for a number that is not finite or not in its range, for a pi
    that cannot be of rho's action, for values with a replacing trace, for indices and values that differ in
    length, for the state of a learner with other columns of weights or, of two vectors, other traces, and for
    arrays of a horde that are not of its length; MemoryError where a horde has no memory for another feature.
    Errors: ValueError for another backend or another learner, for one of the backend "numpy" or with a bound
    on alpha, and for state_action where a step needs the features of all actions, as with clear_others;
    BackendUnavailable.
    """
    name = learner.backend if backend is None else resolve(backend)
    if name == "numpy":
        raise ValueError("backend='numpy': expected 'numba' or 'c'")
    if isinstance(learner, Horde):
        return horde_step(name, learner.learner == "GTD", learner._kind == "replacing")
    method = learner.method() if isinstance(learner, LinearLearner) else None
    if method is None or method.kernel not in _FORMS or getattr(learner, "bound", False):
        raise ValueError(f"learner: {learner!r} has no step to embed, expected {_names()} without a bound")
    form = _FORMS[method.kernel]
    if getattr(learner, "state_action", False):
        if method.kind == "replacing_clear":
            raise ValueError("learner: clear_others with state_action needs the features of all actions")
        if form in (_control_step, gq_step):
            raise ValueError(f"learner: {learner!r} needs the features of all actions")
        form = adaptive_step if form is adaptive_control_step else _td_step
    if form is _control_step:
        aim, policy = TARGETS[method.target].value, POLICIES[method.own[0]]
        return _control_step(name, KINDS[method.kind].value, aim, policy, method.kernel == "q_sigma")
    if form is gq_step:
        return gq_step(name, POLICIES[method.own[0]])
    if form is actor_critic_step:
        return actor_critic_step(name)
    if method.stem == "adaptive":
        return form(name, ADAPTIVE_KINDS[method.kind])
    two = method.stem == "gradient"
    return form(name, TWO_VECTOR_KINDS[method.kernel] if two else KINDS[method.kind].value)


def _names() -> str:
    """The learners that have a step."""
    names = [*dict.fromkeys(row.learner for row in registry.STEP_LEARNERS if row.kernel in _FORMS), "Horde"]
    return " or ".join(", ".join(names).rsplit(", ", 1))


# ---- values ----


def _read_values(state, rows, out):
    raise NotImplementedError("for compiled functions")


@overload(_read_values, jit_options={"_nrt": False})  # type: ignore[typeddict-unknown-key]
def _overload_read_values(state, rows, out):
    if is_state(state, TwoVectorState):
        return lambda state, rows, out: gradient.values_kernel(state, rows, 1, out)
    if is_state(state, AdaptiveState):
        return lambda state, rows, out: adaptive.values_kernel(state, rows, 1, out)
    return lambda state, rows, out: linear.values_kernel(state, rows, 1, out)


_NO_INDPTR = np.empty(0, np.int64)


@kernel
def values(state, x, out):
    """out[a] = w.x under the weights of action a, for compiled functions.  out (n_actions,) float64.

    Of an actor-critic these are the preferences, of state.actor.

    Errors: FeatureIndexError; ValueError for another length of out.
    """
    indices, sizes = row(x)
    if out.size != state.counters[trace.COLUMNS]:
        raise ValueError("out: expected one entry for each action")
    rows = stream.Rows(indices.size, False, indices, sizes, _NO_INDPTR)
    refuse(_read_values(state, rows, out))


@kernel
def value(state, x):
    """w.x, for compiled functions; for a learner with one column of weights, or of state.critic.

    Errors: FeatureIndexError; ValueError for weights with a column for each action.
    """
    if state.counters[trace.COLUMNS] != 1:
        raise ValueError("value: the weights have a column for each action, use values")
    values(state, x, state.result)
    return state.result[0]


# ---- steps of Numba's: (status, delta) ----


@verb
def _numba_state(
    state, indices, values, indices_next, values_next, reward, gamma_next, lambda_next, rho, alpha,
    kind, interest, pi,
):  # fmt: skip
    o = state.options
    return steps.td_step(
        state, indices, values, indices_next, values_next, reward, gamma_next, lambda_next, rho, alpha,
        kind, interest, pi, Options(o[0], o[1], o[2], o[3]),
    )  # fmt: skip


@functools.cache
def _numba_control(kind, target, policy):
    """By the kernel that single calls from Python have compiled."""
    run = steps.control_step_kernel(kind, False)

    @verb
    def control(
        state, indices, values, action, indices_next, values_next, action_next,
        reward, gamma_next, lambda_next, alpha, chance, sigma,
    ):  # fmt: skip
        t = trace.Trace(state.counters, state.scalars, state.rows, state.ring, state.epochs)
        if not (own_ok(policy, chance) and 0.0 <= sigma <= 1.0):
            return BAD_VALUE, 0.0
        return run(
            t, indices, values, action, indices_next, values_next, action_next,
            reward, gamma_next, lambda_next, alpha, target, policy, chance, sigma, state.q,
        )  # fmt: skip

    return control


@functools.cache
def _numba_two_vector(kind):
    transition = gradient.TRANSITIONS[kind]

    @verb
    def two_vector(
        state, indices, values, indices_next, values_next, reward, gamma_next, lambda_next, rho, alpha, beta
    ):
        return gradient.step_of(
            gradient_of(state, beta), kind, transition, indices, values, indices_next, values_next,
            reward, gamma_next, lambda_next, rho, alpha,
        )  # fmt: skip

    return two_vector


# ---- and of C's ----


if why_missing("c") is None:
    _ft_state_step, _ft_sarsa_step = external("ft_state_step"), external("ft_sarsa_step")
    _ft_control_step, _ft_gradient_step = external("ft_control_step"), external("ft_gradient_step")


@verb
def _c_state(
    state, indices, values, indices_next, values_next, reward, gamma_next, lambda_next, rho, alpha,
    kind, interest, pi,
):  # fmt: skip
    status = _ft_state_step(
        state.counters.ctypes.data, kind, state.options.ctypes.data,
        indices.size, indices.ctypes.data, pointer(values),
        indices_next.size, indices_next.ctypes.data, pointer(values_next),
        reward, gamma_next, lambda_next, rho, pi, interest, alpha, state.result.ctypes.data,
    )  # fmt: skip
    return status, state.result[0]


@verb
def _c_sarsa(
    state, indices, values, action, indices_next, values_next, action_next,
    reward, gamma_next, lambda_next, alpha, kind,
):  # fmt: skip
    status = _ft_sarsa_step(
        state.counters.ctypes.data, kind,
        indices.size, indices.ctypes.data, pointer(values), action,
        indices_next.size, indices_next.ctypes.data, pointer(values_next), action_next,
        reward, gamma_next, lambda_next, alpha, state.result.ctypes.data,
    )  # fmt: skip
    return status, state.result[0]


@functools.cache
def _c_control(kind, target, policy):
    @verb
    def control(
        state, indices, values, action, indices_next, values_next, action_next,
        reward, gamma_next, lambda_next, alpha, chance, sigma,
    ):  # fmt: skip
        status = _ft_control_step(
            state.counters.ctypes.data, kind, target, policy, chance, sigma,
            indices.size, indices.ctypes.data, pointer(values), action,
            indices_next.size, indices_next.ctypes.data, pointer(values_next), action_next,
            reward, gamma_next, lambda_next, alpha, state.q.ctypes.data, state.result.ctypes.data,
        )  # fmt: skip
        return status, state.result[0]

    return control


@verb
def _c_two_vector(
    state, indices, values, indices_next, values_next, reward, gamma_next, lambda_next, rho, alpha, beta
):
    status = _ft_gradient_step(
        state.counters.ctypes.data, beta,
        indices.size, indices.ctypes.data, pointer(values),
        indices_next.size, indices_next.ctypes.data, pointer(values_next),
        reward, gamma_next, lambda_next, rho, alpha, state.result.ctypes.data,
    )  # fmt: skip
    return status, state.result[0]


# ---- steps as users call them: one for each backend and kind of trace ----


@functools.cache
def _state_step(backend: Name, kind: int):
    """A step of state values of any kind; the three below give of its arguments what their learners have."""
    run = _c_state if backend == "c" else _numba_state

    @verb
    def state_step(state, x, reward, x_next, gamma_next, lambda_next, rho, alpha, interest, pi):
        check_state(state, State)
        if state.counters[trace.COLUMNS] != 1:
            raise ValueError("state: the weights have a column for each action")
        i, u, i_next, u_next = rows_of(x, x_next, kind)
        status, delta = run(
            state, i, u, i_next, u_next, reward, gamma_next, lambda_next, rho, alpha, kind, interest, pi
        )
        refuse(status)
        return delta

    return state_step


@functools.cache
def _td_step(backend: Name, kind: int):
    run = _state_step(backend, kind)

    @verb
    def td_step(state, x, reward, x_next, gamma_next, lambda_next, rho, alpha):
        return run(state, x, reward, x_next, gamma_next, lambda_next, rho, alpha, 1.0, 1.0)

    return td_step


@functools.cache
def _emphatic_step(backend: Name, kind: int):
    run = _state_step(backend, kind)

    @verb
    def emphatic_step(state, x, reward, x_next, gamma_next, lambda_next, rho, alpha, interest):
        return run(state, x, reward, x_next, gamma_next, lambda_next, rho, alpha, interest, 1.0)

    return emphatic_step


@functools.cache
def _step_with_pi(backend: Name, kind: int):
    run = _state_step(backend, kind)

    @verb
    def step_with_pi(state, x, reward, x_next, gamma_next, lambda_next, rho, alpha, pi):
        return run(state, x, reward, x_next, gamma_next, lambda_next, rho, alpha, 1.0, pi)

    return step_with_pi


@functools.cache
def _sarsa_step(backend: Name, kind: int):
    run = _c_sarsa if backend == "c" else steps.sarsa_step

    @verb
    def sarsa_step(state, x, action, reward, x_next, action_next, gamma_next, lambda_next, alpha):
        check_state(state, State)
        i, u, i_next, u_next = rows_of(x, x_next, kind)
        status, delta = run(
            state, i, u, action, i_next, u_next, action_next, reward, gamma_next, lambda_next, alpha, kind
        )
        refuse(status)
        return delta

    return sarsa_step


@functools.cache
def _control_step(backend: Name, kind: int, target: int, policy: int, has_sigma: bool):
    run = (_c_control if backend == "c" else _numba_control)(kind, target, policy)

    @verb
    def q_sigma_step(
        state, x, action, reward, x_next, action_next, gamma_next, lambda_next, alpha, chance, sigma
    ):
        check_state(state, State)
        i, u, i_next, u_next = rows_of(x, x_next, kind)
        status, delta = run(
            state, i, u, action, i_next, u_next, action_next,
            reward, gamma_next, lambda_next, alpha, chance, sigma,
        )  # fmt: skip
        refuse(status)
        return delta

    @verb
    def control_step(state, x, action, reward, x_next, action_next, gamma_next, lambda_next, alpha, chance):
        return q_sigma_step(
            state, x, action, reward, x_next, action_next, gamma_next, lambda_next, alpha, chance, 1.0
        )

    return q_sigma_step if has_sigma else control_step


@functools.cache
def _two_vector_step(backend: Name, kind: int):
    run = _c_two_vector if backend == "c" else _numba_two_vector(kind)

    @verb
    def two_vector_step(state, x, reward, x_next, gamma_next, lambda_next, rho, alpha, beta):
        check_state(state, TwoVectorState)
        if state.counters[gradient.KIND] != kind or state.counters[trace.COLUMNS] != 1:
            raise ValueError("state: of a learner with other traces than that of the step")
        i, u, i_next, u_next = rows_of(x, x_next, _ADDING)
        status, delta = run(state, i, u, i_next, u_next, reward, gamma_next, lambda_next, rho, alpha, beta)
        refuse(status)
        return delta

    return two_vector_step


_ADDING = KINDS["accumulating"].value  # none of the two-vector kinds has a trace that replaces

_FORMS: dict[str, Callable[..., Callable[..., float]]] = {
    "td": _td_step,
    "true_online_td": _td_step,
    "vtrace_td": _td_step,
    "emphatic_td": _emphatic_step,
    "emphatic_beta_td": _emphatic_step,
    "true_online_emphatic_td": _emphatic_step,
    "tree_backup_td": _step_with_pi,
    "ab_td": _step_with_pi,
    "sarsa": _sarsa_step,
    "true_online_sarsa": _sarsa_step,
    **dict.fromkeys(CONTROL, _control_step),
    **dict.fromkeys(TWO_VECTOR_KINDS, _two_vector_step),
    "gq": gq_step,
    **dict.fromkeys(("swift_td", "tidbd", "autostep"), adaptive_step),
    "swift_sarsa": adaptive_control_step,
    **dict.fromkeys(("actor_critic", "average_reward_actor_critic"), actor_critic_step),
}
"""The step of each kernel that has one."""
