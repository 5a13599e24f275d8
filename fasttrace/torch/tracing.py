"""Eligibility traces beside the parameters of any PyTorch module, on any device.

    traces = ft.torch.trace(net.named_parameters(), gamma=0.99, lambda_=0.8)
    v = net(s)
    v.backward()
    traces.accumulate()                     # z <- gamma lambda z + gradient
    traces.step(delta, alpha=1e-3)          # w <- w + alpha delta z
    if terminated:
        traces.reset()

Source: Sutton & Barto 2018, (12.5) to (12.7) with the gradient of a network.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import torch

from .. import arguments
from ..neural.optimisers import AdaptiveObGD, ObGD

__all__ = ["Trace", "trace"]

_KINDS = (torch.float32, torch.float64)


def outside(method: Any) -> Any:
    """What torch.compile leaves alone; torch.compiler.disable itself takes seconds to import."""

    @functools.wraps(method)
    def border(*given: Any, **named: Any) -> Any:
        if torch.compiler.is_compiling():
            return torch.compiler.disable(method)(*given, **named)
        return method(*given, **named)

    return border


def trace(parameters: Any, *, gamma: float = 0.99, lambda_: float = 0.9) -> Trace:
    """A trace for each of `parameters`: what `module.parameters()` or `module.named_parameters()` gives.

    gamma, lambda_  of the decay, where `accumulate` is given none

    Errors: TypeError for what is not a floating parameter, ValueError for none, for one that stands twice,
    and for several dtypes or devices.
    """
    return Trace(parameters, gamma=gamma, lambda_=lambda_)


class Trace:
    """Traces of a module's parameters; made by `trace`.  They follow where all of these go to another dtype.

    One scalar is traced: its gradient is what `backward` leaves in `.grad`.  A network of m predictions with
    a trace each takes m of these, and a backward pass for each (or fasttrace.neural.JacobianTrace).
    """

    def __init__(self, parameters: Any, *, gamma: float, lambda_: float) -> None:
        self._names, self._parameters = _named(parameters)
        self.gamma = arguments.unit("gamma", gamma)
        self.lambda_ = arguments.unit("lambda_", lambda_)
        first = self._parameters[0]
        size = sum(each.numel() for each in self._parameters)
        self._flat = torch.zeros(size, dtype=first.dtype, device=first.device)
        self._v: torch.Tensor | None = None  # moments of AdaptiveObGD, and beta2 to the power of the steps
        self._power = 1.0

    @property
    def z(self) -> tuple[torch.Tensor, ...]:
        """The traces, each in the shape of its parameter; views, which `accumulate` makes anew."""
        return self._views(self._flat)

    def _views(self, flat: torch.Tensor) -> tuple[torch.Tensor, ...]:
        parts = flat.split([each.numel() for each in self._parameters])
        return tuple(part.view(each.shape) for part, each in zip(parts, self._parameters, strict=True))

    @outside
    @torch.no_grad()
    def accumulate(
        self, *, gamma: float | None = None, lambda_: float | None = None, keep_grad: bool = False
    ) -> None:
        """z <- gamma lambda z + .grad, for every parameter; .grad is then None, unless it is to be kept.

        gamma, lambda_  those of the state that the gradient is taken in; None: the trace's own

        Errors: RuntimeError for a parameter without a gradient, FloatingPointError for one that is not
        finite, TypeError for a sparse one; then nothing has changed.
        """
        decay = arguments.unit("gamma", self.gamma if gamma is None else gamma)
        decay *= arguments.unit("lambda_", self.lambda_ if lambda_ is None else lambda_)
        missing = [name for name, each in self._each() if each.grad is None]
        if missing:
            raise RuntimeError(
                f"{', '.join(missing)}: without a gradient; call backward() before accumulate()"
            )
        self._follow()
        for name, each in self._each():
            self._check(name, each)
            if each.grad is not None and each.grad.layout != torch.strided:
                raise TypeError(f"{name}: its gradient is {each.grad.layout}, expected a dense one")
        flat = self._flat * decay if decay else torch.zeros_like(self._flat)
        for z, each in zip(self._views(flat), self._parameters, strict=True):
            z.add_(each.grad)
        if not torch.isfinite(flat).all():
            self._refuse("gradient", [each.grad for each in self._parameters])
        self._flat = flat
        if not keep_grad:
            for each in self._parameters:
                each.grad = None

    @outside
    @torch.no_grad()
    def step(self, delta: Any, alpha: float | ObGD) -> float:
        """w <- w + alpha delta z, in place; returns the step size.

        delta  the TD error: a number, or a tensor of one
        alpha  step size; or an ObGD or AdaptiveObGD, which bound it by |z|_1

        Errors: FloatingPointError for a delta or a new parameter that is not finite, ValueError for
        alpha <= 0; then nothing has changed.
        """
        error = self._error(delta)
        self._follow()
        if not isinstance(alpha, ObGD):
            size = arguments.positive("alpha", alpha)
            self._move(self._flat, error * size)
            return size
        v, power, direction = self._v, self._power, self._flat
        if isinstance(alpha, AdaptiveObGD):
            power *= alpha.beta2
            gradient = direction * error
            v = torch.zeros_like(direction) if v is None else v
            v = v * alpha.beta2 + gradient * gradient * (1.0 - alpha.beta2)
            direction = direction / torch.sqrt(v / (1.0 - power) + alpha.epsilon)
        M = alpha.alpha * alpha.kappa * max(abs(error), 1.0) * float(direction.abs().sum(dtype=torch.float64))
        size = alpha.alpha / max(M, 1.0)
        self._move(direction, error * size)
        self._v, self._power = v, power
        return size

    @outside
    def reset(self) -> None:
        """Empty the traces: a new episode.  The moments of AdaptiveObGD stay."""
        self._flat = torch.zeros_like(self._flat)

    def state_dict(self) -> dict[str, Any]:
        """The traces by the names of their parameters (numbers where these have none), copied."""
        return {
            "gamma": self.gamma,
            "lambda_": self.lambda_,
            "z": {name: z.clone() for name, z in zip(self._names, self.z, strict=True)},
            "v": None if self._v is None else self._v.clone(),
            "power": self._power,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state_dict of the same parameters.

        Errors: ValueError for other names or shapes, or what is not finite; then nothing has changed.
        """
        missing = {"z", "v", "power", "gamma", "lambda_"} - set(state)
        if missing:
            raise ValueError(f"state: has no {', '.join(sorted(missing))}")
        z, v = state["z"], state["v"]
        if tuple(z) != self._names:
            raise ValueError(f"state: of {', '.join(z)}, expected {', '.join(self._names)}")
        for name, each in self._each():
            if z[name].shape != each.shape:
                raise ValueError(
                    f"state: {name} has shape {tuple(z[name].shape)}, expected {tuple(each.shape)}"
                )
        if v is not None and v.shape != self._flat.shape:
            raise ValueError(f"state: v has shape {tuple(v.shape)}, expected {tuple(self._flat.shape)}")
        gamma, lambda_ = (arguments.unit(name, state[name]) for name in ("gamma", "lambda_"))
        power = arguments.unit("power", state["power"])
        flat = torch.cat([z[name].reshape(-1).to(self._flat) for name in self._names])
        for name, each in (("z", flat), ("v", v)):
            if each is not None and not torch.isfinite(each).all():
                raise ValueError(f"state: {name} has a number that is not finite")
        self._flat, self._power = flat, power
        self._v = None if v is None else v.to(flat).clone()
        self.gamma, self.lambda_ = gamma, lambda_

    def __repr__(self) -> str:
        flat = self._flat
        return (
            f"Trace({len(self._parameters)} parameters, {flat.numel()} numbers, gamma={self.gamma}, "
            f"lambda_={self.lambda_}, {flat.dtype}, {flat.device})"
        )

    # ---- parts -------------------------------------------------------------------------------------------

    def _each(self) -> Iterable[tuple[str, torch.Tensor]]:
        return zip(self._names, self._parameters, strict=True)

    def _follow(self) -> None:
        dtypes = {each.dtype for each in self._parameters}
        if len(dtypes) == 1 and (dtype := dtypes.pop()) in _KINDS:
            self._flat = self._flat.to(dtype)
            self._v = None if self._v is None else self._v.to(dtype)

    def _check(self, name: str, each: torch.Tensor) -> None:
        """A module that was moved or converted since has parameters that this trace is not for."""
        flat = self._flat
        if each.dtype != flat.dtype:
            raise TypeError(f"{name}: has dtype {each.dtype}, its trace {flat.dtype}; make the trace anew")
        if each.device != flat.device:
            raise ValueError(f"{name}: is on device {each.device}, its trace on {flat.device}; make it anew")

    def _error(self, delta: Any) -> float:
        if isinstance(delta, torch.Tensor):
            if delta.numel() != 1:
                raise ValueError(f"delta: got shape {tuple(delta.shape)}, expected one number")
            delta = delta.item()
        number = arguments.real("delta", delta)
        if number - number != 0.0:
            raise FloatingPointError(f"delta: got {number}, expected a finite number")
        return number

    def _move(self, direction: torch.Tensor, factor: float) -> None:
        """w <- w + factor direction, whole or not at all."""
        for name, each in self._each():
            self._check(name, each)
        moved = torch.cat([each.reshape(-1) for each in self._parameters])
        moved.add_(direction, alpha=factor)
        if not torch.isfinite(moved).all():
            self._refuse("parameter after this step", self._views(moved))
        for each, new in zip(self._parameters, self._views(moved), strict=True):
            each.copy_(new)

    def _refuse(self, what: str, tensors: Iterable[Any]) -> None:
        bad = [
            name
            for name, tensor in zip(self._names, tensors, strict=True)
            if not torch.isfinite(tensor).all()
        ]
        raise FloatingPointError(f"{', '.join(bad) or 'trace'}: a {what} is not finite; nothing was changed")


def _named(parameters: Any) -> tuple[tuple[str, ...], list[torch.Tensor]]:
    """Names and parameters, checked."""
    if isinstance(parameters, torch.Tensor):
        raise TypeError("parameters: got one tensor, expected what module.parameters() gives")
    given = [each if isinstance(each, tuple) else (str(i), each) for i, each in enumerate(list(parameters))]
    if not given:
        raise ValueError("parameters: got none, expected at least one")
    names, tensors = zip(*given, strict=True)
    for name, each in given:
        if not isinstance(each, torch.Tensor):
            raise TypeError(f"parameters: {name} is a {type(each).__name__}, expected a torch.Tensor")
        if each.dtype not in _KINDS:
            raise TypeError(f"{name}: got dtype {each.dtype}, expected float32 or float64")
        if not each.is_leaf or not each.requires_grad:
            raise ValueError(f"{name}: is no leaf that requires a gradient; nothing would ever be traced")
        if each.dtype != tensors[0].dtype:
            raise TypeError(
                f"{name}: got dtype {each.dtype}, expected {tensors[0].dtype}, that of {names[0]}"
            )
        if each.device != tensors[0].device:
            raise ValueError(
                f"{name}: is on device {each.device}, expected {tensors[0].device}, that of {names[0]}"
            )
    if len({id(each) for each in tensors}) < len(tensors):
        raise ValueError("parameters: one stands twice; its trace would grow twice")
    return tuple(names), list(tensors)
