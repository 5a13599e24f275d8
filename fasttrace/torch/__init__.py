"""Traces for any PyTorch module; plastic networks as modules, the kernels over zero-copy arrays.

    net = ft.torch.PlasticRNN(n_inputs, n_hidden, mode="retroactive")
    h, M, state = net(xs)                     # xs (T, B, I), a CPU tensor of the module's dtype
    loss(h, M).backward()

`trace` keeps eligibility traces beside the parameters of a module (tracing.py).
Needs PyTorch: pip install "fasttrace[torch]".
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

try:
    import torch
except ImportError as error:
    raise ImportError(f'fasttrace.torch: {error}; pip install "fasttrace[torch]"') from error

from .. import plasticity
from ..backends import Backend
from ..plasticity.checks import Alpha, Bound, Mode, Modulated, Modulation
from .tracing import Trace, outside, trace

__all__ = ["PlasticLSTM", "PlasticLayer", "PlasticOutput", "PlasticRNN", "PlasticState", "Trace", "trace"]


class PlasticState(NamedTuple):
    """What a sequence ended in: h, c (B, H), hebb, E (B, H, H); c is None but for the LSTM, h for a layer.

    Gradients flow through it into the sequence that made it; `detach()` ends that.
    """

    h: torch.Tensor | None
    c: torch.Tensor | None
    hebb: torch.Tensor
    E: torch.Tensor

    def detach(self) -> PlasticState:
        return self._each(lambda each: each.detach())

    def reset(self, mask: torch.Tensor) -> PlasticState:
        """The state with zeros where mask (B,) is True; a new one, so that gradients stay right."""
        if mask.dtype != torch.bool:
            raise TypeError(f"mask: got dtype {mask.dtype}, expected torch.bool")

        return self._each(lambda each: each.masked_fill(mask.view(-1, *[1] * (each.ndim - 1)), 0.0))

    def _each(self, function: Callable[[torch.Tensor], torch.Tensor]) -> PlasticState:
        return PlasticState(*(None if each is None else function(each) for each in self))


class PlasticOutput(NamedTuple):
    """h (T, B, H), M (T, B) and the state after the last step."""

    h: torch.Tensor
    M: torch.Tensor
    state: PlasticState


_STATE = ("h", "c", "hebb", "E")
_KINDS = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}


def _array(name: str, value: Any, dtype: torch.dtype) -> Any:
    """A tensor's own memory as an array; refuses what would be copied or promoted in silence."""
    if value is None:
        return None
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name}: got {type(value).__name__}, expected a torch.Tensor")
    if value.device.type != "cpu":
        raise ValueError(f"{name}: is on device {value.device}, expected cpu; the kernels run there")
    if value.dtype != dtype:
        raise TypeError(f"{name}: got dtype {value.dtype}, expected {dtype}, that of the module")
    return value.detach().numpy()


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, module: Any, xs: Any, modulation: Any, *rest: Any) -> Any:
        network, dtype = module._of_its_dtype(), module.dtype
        state, params = rest[: len(_STATE)], rest[len(_STATE) :]
        arrays = {
            name: _array(f"state.{name}", each, dtype) for name, each in zip(_STATE, state, strict=True)
        }
        start = None if state[-1] is None else SimpleNamespace(**arrays)
        network.params = {
            name: _array(name, each, dtype) for name, each in zip(module._names, params, strict=True)
        }
        sequence = network.forward(
            _array("xs", xs, dtype), start, _array("modulation", modulation, dtype), threads=module.threads
        )
        ctx.module, ctx.sequence, ctx.given = module, sequence, (modulation is not None, start is not None)
        ctx.set_materialize_grads(False)
        M, after = sequence._pass.M if network._modulates else None, sequence.state
        out = sequence._pass.h, M, after.h, after.c, after.hebb, after.E
        return tuple(None if each is None else torch.from_numpy(each) for each in out)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dh: Any, dM: Any, dh_last: Any, dc: Any, dhebb: Any, dE: Any) -> Any:
        def array(each: Any) -> Any:
            return None if each is None else each.contiguous().numpy()

        up = SimpleNamespace(h=array(dh_last), hebb=array(dhebb), E=array(dE), c=array(dc))
        module, sequence = ctx.module, ctx.sequence
        grads = sequence._owner.backward(sequence, array(dh), array(dM), up, threads=module.threads)
        tensors = {name: torch.from_numpy(np.asarray(each)) for name, each in grads.items()}
        modulated, started = ctx.given
        state = [tensors.get(f"{name}0") if started else None for name in _STATE]
        params = [tensors[name] for name in module._names]
        return (None, tensors["xs"], tensors["modulation"] if modulated else None, *state, *params)


class _PlasticModule(torch.nn.Module):
    """What the modules share.  Not for use by itself."""

    _kind: Any

    def __init__(
        self,
        n_inputs: int,
        n_hidden: int,
        *,
        mode: Mode = "simple",
        clip: float = 1.0,
        bound: Bound = "hard",
        fan_out: bool | None = False,
        modulation: Modulation | None = "tanh",
        modulated: Modulated = "all",
        alpha: Alpha = "synapse",
        eta: float = 0.1,
        seed: Any = 0,
        dtype: Any = torch.float32,
        backend: Backend = "auto",
        threads: int = 1,
    ) -> None:
        super().__init__()
        # None: the network has no modulation of its own
        more = {} if fan_out is None else {"fan_out": fan_out, "modulation": modulation}
        self._network = self._kind(
            n_inputs,
            n_hidden,
            mode=mode,
            clip=clip,
            bound=bound,
            modulated=modulated,
            alpha=alpha,
            eta=eta,
            seed=seed,
            dtype=_KINDS.get(dtype, dtype),
            backend=backend,
            **more,
        )
        self.threads = threads
        self._names = tuple(self._network.params)
        for name, array in self._network.params.items():
            self.register_parameter(name, torch.nn.Parameter(torch.from_numpy(array)))

    @property
    def dtype(self) -> torch.dtype:
        """That of the parameters, which .double() and .to() may change."""
        return getattr(self, self._names[0]).dtype

    def _of_its_dtype(self) -> Any:
        """The network; a new one where the module was converted, since sequences keep the one they are of."""
        dtype = self.dtype
        if dtype not in _KINDS:
            raise TypeError(f"{self._names[0]}: got dtype {dtype}, expected torch.float32 or torch.float64")
        if self._network.dtype != _KINDS[dtype]:
            self._network = copy.copy(self._network)
            self._network.dtype = _KINDS[dtype]
        return self._network

    def _run(self, xs: Any, state: Any, modulation: Any) -> Any:
        start = (None,) * len(_STATE) if state is None else tuple(getattr(state, name) for name in _STATE)
        params = (getattr(self, name) for name in self._names)
        h, M, *after = _Run.apply(self, xs, modulation, *start, *params)
        return PlasticOutput(h, M, PlasticState(*after))

    @outside
    def forward(self, xs: Any, state: Any = None, modulation: Any = None) -> Any:
        """Run xs (T, B, I) from `state`, None for zeros; modulation (T, B) in place of the network's own.

        Returns PlasticOutput.
        Errors: TypeError for a dtype other than the parameters', and for parameters of neither float32 nor
        float64; ValueError for another device or shape, for NaN, and for an empty sequence.
        """
        return self._run(xs, state, modulation)

    @outside
    def initial_state(self, batch: int) -> PlasticState:
        """The state of `batch` elements before their first step: zeros."""
        zeros = self._of_its_dtype().initial_state(batch)
        arrays = (getattr(zeros, name) for name in _STATE)
        return PlasticState(*(None if each is None else torch.from_numpy(each) for each in arrays))

    @outside
    def step(self, x: Any, state: PlasticState, modulation: Any = None) -> Any:
        """One step of x (B, I) without gradients: (h (B, H), M (B,)).  The state changes in place."""
        h, M = self._step(x, state, modulation)
        return torch.from_numpy(h), torch.from_numpy(M)

    @torch.no_grad()
    def _step(self, x: Any, state: PlasticState, modulation: Any) -> Any:
        network, dtype = self._of_its_dtype(), self.dtype
        arrays = {name: _array(f"state.{name}", getattr(state, name), dtype) for name in _STATE}
        network.params = {name: _array(name, getattr(self, name), dtype) for name in self._names}
        return network.step(
            _array("x", x, dtype), plasticity.PlasticState(**arrays), _array("modulation", modulation, dtype)
        )

    def extra_repr(self) -> str:
        options = repr(self._network).partition("(")[2].removesuffix(")")
        return options.replace(f"dtype={self._network.dtype}", f"dtype={str(self.dtype)[6:]}")


class PlasticRNN(_PlasticModule):
    """fasttrace.plasticity.PlasticRNN with its parameters as torch.nn.Parameter's; options as there."""

    _kind = plasticity.PlasticRNN


class PlasticLSTM(_PlasticModule):
    """fasttrace.plasticity.PlasticLSTM with its parameters as torch.nn.Parameter's; options as there."""

    _kind = plasticity.PlasticLSTM


class PlasticLayer(_PlasticModule):
    """fasttrace.plasticity.PlasticLayer with its parameters as torch.nn.Parameter's; options as there."""

    _kind = plasticity.PlasticLayer

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        mode: Mode = "simple",
        clip: float = 1.0,
        eta: float = 0.1,
        bound: Bound = "hard",
        modulated: Modulated = "all",
        alpha: Alpha = "synapse",
        seed: Any = 0,
        dtype: Any = torch.float32,
        backend: Backend = "auto",
        threads: int = 1,
    ) -> None:
        super().__init__(
            n_in, n_out, mode=mode, clip=clip, bound=bound, fan_out=None, modulated=modulated, alpha=alpha,
            eta=eta, seed=seed, dtype=dtype, backend=backend, threads=threads,
        )  # fmt: skip

    @outside
    def forward(self, xs: Any, state: Any = None, modulation: Any = None) -> Any:
        """Run xs (T, B, n_in) from `state`, None for zeros; modulation (T, B) or (T, B, n_out).

        Returns y (T, B, n_out) and the state after the last step.
        Errors: those of PlasticRNN; ValueError where a modulated mode is given no modulation.
        """
        y, _, state = self._run(xs, state, modulation)
        return y, state

    @outside
    def step(self, x: Any, state: PlasticState, modulation: Any = None) -> torch.Tensor:
        """One step of x (B, n_in) without gradients: y (B, n_out).  The state changes in place."""
        return torch.from_numpy(self._step(x, state, modulation))
