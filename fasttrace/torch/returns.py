"""fasttrace.returns of tensors that require grad; it is called from there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..kinds import TORCH, kind_of
from ..returns.arrays import BY, host_array
from ..returns.gradients import Linear
from .tracing import outside


class _Call:
    """A call, but for the arguments that it is differentiated by."""

    def __init__(self, family: str, given: dict[str, Any], more: dict[str, Any], again: Any) -> None:
        self.family, self.given, self.more, self.again = family, given, more, again
        self.like: list[Any] = [given.get(name) for name in BY]
        self.others = {name: each for name, each in given.items() if each is not None and name not in BY}
        self.kept = [each for each in self.others.values() if isinstance(each, torch.Tensor)]
        if any(each.requires_grad for each in self.kept):
            for name, each in self.others.items():
                host_array(kind_of(each), name, each)  # raises

    def run(self, *by: Any) -> Any:
        given = {**self.given, **dict(zip(BY, by, strict=True))}
        own = {} if self.family == "discounted_sum" else {"values": given["values"]}
        names = ("terminated", "truncated", "mask", "next_values", "bootstrap")
        common = {name: given[name] for name in names if given[name] is not None}
        common |= {name: value for name, value in self.more.items() if value is not None}
        return self.again(self.family, given["rewards"], own, given["gammas"], given["lambdas"], common)

    def transposed(self, wanted: Any, grads: Any) -> Any:
        """By each of BY, None where it is not wanted."""
        first, second = grads if len(grads) == 2 else (*grads, None)
        found: dict[str, Any] = {}
        if first is not None or second is not None:
            given = {name: _host(each) for name, each in self.others.items()}
            linear = Linear(self.family, self.like[0].shape, self.like[3] is not None, given, self.more)
            found = linear.transposed(_host(first), _host(second))
        return [
            None if not want else _like(found[name], like) if name in found else torch.zeros_like(like)
            for name, like, want in zip(BY, self.like, wanted, strict=True)
        ]


def _host(value: Any) -> Any:
    return TORCH.array("grad", value) if isinstance(value, torch.Tensor) else value


def _like(array: Any, like: torch.Tensor) -> torch.Tensor:
    grad = torch.from_numpy(array)
    if grad.shape != like.shape:
        grad = grad.reshape(like.shape) if like.ndim else grad.sum()
    return grad if grad.dtype is like.dtype else grad.to(like.dtype)


class _Returns(torch.autograd.Function):
    """Linear, so that the gradient of its gradient is itself."""

    @staticmethod
    def forward(ctx: Any, call: _Call, *by: Any) -> Any:
        ctx.call = call
        ctx.save_for_backward(*call.kept)  # and so not changed until then
        ctx.set_materialize_grads(False)
        return call.run(*by)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        ctx.saved_tensors  # noqa: B018 - raises if one was changed
        wanted = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():
            return None, *_Transposed.apply(ctx.call, wanted, *grads)
        return None, *ctx.call.transposed(wanted, grads)


class _Transposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, call: _Call, wanted: Any, *grads: Any) -> Any:
        ctx.call = call
        ctx.save_for_backward(*call.kept)
        ctx.set_materialize_grads(False)
        return tuple(call.transposed(wanted, grads))

    @staticmethod
    def backward(ctx: Any, *by: Any) -> Any:
        ctx.saved_tensors  # noqa: B018
        like = ctx.call.like
        given = [
            value if grad is None and not isinstance(value, torch.Tensor) else
            torch.zeros_like(value) if grad is None else grad
            for grad, value in zip(by, like, strict=True)
        ]  # fmt: skip
        found = _Returns.apply(ctx.call, *given)
        return None, None, *(found if isinstance(found, tuple) else (found,))


@outside
def differentiable(
    family: str, given: dict[str, Any], more: dict[str, Any], again: Callable[..., Any]
) -> Any:
    """The results, through which gradients go back to rewards, values, next_values and bootstrap."""
    call = _Call(family, given, more, again)
    return _Returns.apply(call, *call.like)
