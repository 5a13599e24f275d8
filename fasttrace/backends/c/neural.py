"""Networks and their traces in C; csrc/fasttrace.h says what each call does.  See backends.numpy.neural."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from ...memory import aligned_zeros
from . import ffi, lib
from .calls import address, new_call

ACTIVATIONS = {"tanh": lib.FT_TANH, "leaky_relu": lib.FT_LEAKY_RELU}
OPTIMISERS = {"sgd": lib.FT_SGD, "obgd": lib.FT_OBGD, "adaptive_obgd": lib.FT_ADAPTIVE_OBGD}
METHODS = {
    "td": lib.FT_NETWORK_TD,
    "sarsa": lib.FT_NETWORK_SARSA,
    "q": lib.FT_NETWORK_Q,
    "actor_critic": lib.FT_NETWORK_ACTOR_CRITIC,
}
CUTS = {"never": lib.FT_CUT_NEVER, "next": lib.FT_CUT_NEXT, "taken": lib.FT_CUT_TAKEN}
POLICIES = {"epsilon": lib.FT_EPSILON_GREEDY, "softmax": lib.FT_SOFTMAX}
FAULTS = {
    lib.FT_FAULT_PARAMS: "parameters",
    lib.FT_FAULT_STATISTICS: "statistics",
    lib.FT_FAULT_DELTA: "TD error",
    lib.FT_FAULT_GRADIENT: "gradient",
}
SUFFIX = {"float32": "f32", "float64": "f64"}
_REALS = {"float32": ffi.typeof("float[]"), "float64": ffi.typeof("double[]")}
_DOUBLES, _INT32S = ffi.typeof("double[]"), ffi.typeof("int32_t[]")
_NULL = ffi.NULL
_BRIEF = 10_000  # parameters of a network whose steps take some microseconds


def reals(array: Any, written: bool = False) -> Any:
    """A pointer; BufferError for memory that is to be written and is read-only."""
    return _NULL if array is None else ffi.from_buffer(_REALS[array.dtype.name], array, written)


def doubles(array: Any, written: bool = False) -> Any:
    return _NULL if array is None else ffi.from_buffer(_DOUBLES, array, written)


def unexpected(function: str, status: int) -> None:
    """RuntimeError for an answer that this module does not expect: a status, or a count of steps."""
    raise RuntimeError(f"{function} returned status {status}; its results are not to be used")


class Laid:
    """Memory of one transition, which the quick way lays for a learner's `one_step`.

    states  two, one behind the other; of one that acts as they came, float64
    arrays  rewards, gammas, lambdas, errors (m,) each
    rho     its ratio; of one that acts `numbers[-1]`, by which it draws
    """

    def __init__(self, net: Any, m: int, acts: bool = False) -> None:
        self._states = aligned_zeros(2 * net.n_inputs, np.float64 if acts else net.dtype)
        self.numbers = aligned_zeros(4 * m + 1, np.float64)
        self.states = reals(self._states, True)
        parts = np.split(self.numbers, [m, 2 * m, 3 * m, 4 * m])
        *self.arrays, self.rho = (doubles(each, True) for each in parts)

    def call(self, state: Any, pointer: Any, **fields: Any) -> Any:
        """What the quick way works with; see calls.new_call."""
        params = tuple(net.params for net in state.nets)
        memory = {"raw": self._states.ctypes.data, "network": self.numbers.ctypes.data}
        kind = 8 * self._states.itemsize
        return new_call("remedy", state, pointer, kind=kind, params=params, **memory, **fields)


# ---- the network ----


def fill(c: Any, net: Any, n_traces: int, keep: list[Any], learns: bool = True) -> None:
    """An ft_mlp; `keep` holds what it points to.  learns: its parameters are written."""
    sizes = ffi.new("int64_t[]", net.sizes)
    c.n_layers, c.n_params = len(net.sizes) - 1, net.n_params
    c.activation, c.layer_norm, c.sizes = ACTIVATIONS[net.activation], net.layer_norm, sizes
    room = aligned_zeros(lib.ft_mlp_room(c.n_layers, sizes, n_traces), net.dtype)
    keep += [sizes, reals(net.params, learns), reals(room, True)]
    c.params, c.room = keep[-2:]


def _network(net: Any) -> Any:
    if net.handle is None:
        suffix = SUFFIX[net.dtype.name]
        c = ffi.new(f"ft_mlp_{suffix} *")
        keep: list[Any] = []
        fill(c, net, 1, keep, learns=False)
        forward, gradients = (getattr(lib, f"ft_mlp_{name}_{suffix}") for name in ("forward", "gradients"))
        net.handle = SimpleNamespace(net=c, keep=keep, forward=forward, gradients=gradients)
    return net.handle


def forward(net: Any, x: Any) -> Any:
    y, h = np.empty((len(x), net.sizes[-1]), net.dtype), _network(net)
    if (status := h.forward(h.net, len(x), reals(x), reals(y, True))) != lib.FT_OK:
        unexpected("ft_mlp_forward", status)
    return y


def gradients(net: Any, x: Any, dy: Any) -> tuple[Any, Any]:
    y, J = np.empty(net.sizes[-1], net.dtype), np.empty((len(dy), net.n_params), net.dtype)
    h = _network(net)
    status = h.gradients(h.net, reals(x), len(dy), reals(dy), reals(y, True), reals(J, True))
    if status != lib.FT_OK:
        unexpected("ft_mlp_gradients", status)
    return y, J


# ---- the trace of a Jacobian ----


def jacobian_step(trace: Any, jacobian: Any, params: Any, decay: Any, step: Any) -> bool:
    suffix = SUFFIX[trace.Z.dtype.name]
    c = ffi.new(f"ft_jacobian_{suffix} *")
    keep = [reals(trace.memory, True), reals(decay), reals(step), doubles(trace.largest, True)]
    c.m, c.n = trace.Z.shape
    c.Z, c.decay, c.step, c.largest = keep
    run = getattr(lib, f"ft_jacobian_step_{suffix}")
    status = run(c, reals(jacobian), reals(params, True))
    if status not in (lib.FT_OK, lib.FT_EVALUE):
        unexpected("ft_jacobian_step", status)
    return status == lib.FT_OK


# ---- learners ----


def _head(head: Any, before: Any, keep: list[Any]) -> Any:
    c = ffi.new(f"ft_head_{SUFFIX[head.net.dtype.name]} *")
    fill(c.net, head.net, head.n_traces, keep)
    written = [reals(each, True) for each in (head.memory, head.moments, before)]
    keep += [c, *written, doubles(head.numbers, True)]
    c.n_traces, c.optimiser = head.n_traces, OPTIMISERS[head.optimiser]
    c.Z, c.v, c.before, c.numbers = keep[-4:]
    return c


def _handle(trace: Any) -> Any:
    """The structs of a learner, made once, and never saved."""
    if trace.handle is None:
        keep: list[Any] = []
        heads = [_head(trace.critic, trace.before, keep)]
        if trace.actor is not None:
            heads.append(_head(trace.actor, None, keep))
        stream = ffi.new("ft_network_stream *")
        q = np.zeros(2 * max(head.net.n_outputs for head in trace.heads))
        keep += [doubles(q, True), doubles(trace.kept.whole, True)]
        stream.q, stream.kept = keep[-2:]
        run = getattr(lib, f"ft_network_run_{SUFFIX[trace.critic.net.dtype.name]}")
        trace.handle = SimpleNamespace(heads=heads, stream=stream, q=q, keep=keep, run=run)
    return trace.handle


def _strides(array: Any) -> tuple[int, int]:
    """By the step and by the output; 0 where one number stands for all."""
    steps, outputs = array.shape
    return outputs * (steps > 1), int(outputs > 1)


def call(trace: Any, **fields: Any) -> Any:
    """What the quick way of a learner's methods works with; see calls.new_call."""
    handle = _handle(trace)
    raw = trace.kept.raw
    addresses = {
        "actor": address(handle.heads[1]) if len(handle.heads) > 1 else 0,
        "network": address(handle.stream),
        "raw": raw.ctypes.data,
    }
    kind = 8 * trace.critic.net.dtype.itemsize
    params = tuple(net.params for net in trace.nets)
    slow = sum(map(len, params)) > _BRIEF
    more = {**addresses, **fields}
    return new_call("network", trace, handle.heads[0], kind=kind, params=params, slow=slow, **more)


def tune(trace: Any, fields: dict[str, Any]) -> None:
    """What a learner's steps have in common, for calls that do not come by network_run."""
    handle = _handle(trace)
    _tell_heads(handle.heads, trace.heads)
    c = handle.stream
    c.method, c.cut = METHODS[fields["method"]], CUTS[fields.get("cut", "never")]
    for name in ("n_actions", "normal", "normalise", "scale", "entropy", "lambda_actor"):
        setattr(c, name, fields.get(name, 0))


def _tell_heads(structs: Any, heads: Any) -> None:
    for each, head in zip(structs, heads, strict=True):
        each.alpha, each.kappa = head.alpha, head.kappa
        each.beta2, each.epsilon = head.beta2, head.epsilon


def network_run(trace: Any, stream: Any, out: Any) -> str | None:
    handle = _handle(trace)
    c, heads = handle.stream, handle.heads
    _tell_heads(heads, trace.heads)
    c.steps, c.method, c.cut = stream.steps, METHODS[stream.method], CUTS[stream.cut]
    c.n_actions, c.ends, c.normal = stream.n_actions, stream.ends, stream.normal
    c.normalise, c.scale = stream.normalise, stream.scale
    c.entropy, c.lambda_actor, c.action = stream.entropy, stream.lambda_actor, stream.action
    c.was_greedy, c.done, c.choose = trace.was_greedy, 0, stream.own is not None
    if stream.own is not None:
        c.policy, c.parameter, c.u = POLICIES[stream.own[0]], stream.own[1], stream.u
    keep = [doubles(each) for each in (stream.states, stream.rewards, stream.moves)]
    keep += [doubles(each, True) for each in (out.deltas, out.inputs)]
    c.states, c.rewards, c.moves, c.deltas, c.inputs = keep
    keep += [doubles(stream.gammas), doubles(stream.lambdas)]
    c.gammas, c.lambdas = keep[-2:]
    c.gamma_step, c.gamma_output = _strides(stream.gammas)
    c.lambda_step, c.lambda_output = _strides(stream.lambdas)
    actions = _NULL if stream.actions is None else ffi.from_buffer(_INT32S, stream.actions)
    c.actions = actions
    status = handle.run(heads[0], heads[1] if len(heads) > 1 else _NULL, c)
    trace.was_greedy, out.done, out.action_next, out.q = bool(c.was_greedy), c.done, c.action_next, handle.q
    if status not in (lib.FT_OK, lib.FT_EVALUE):
        unexpected("ft_network_run", status)
    return None if status == lib.FT_OK else FAULTS[c.fault]
