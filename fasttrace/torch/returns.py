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
        for name, value in given.items():
            if name not in BY and kind_of(value) is TORCH and TORCH.requires_grad(value):
                TORCH.array(name, value)  # raises
        self.like = [given.get(name) for name in BY]
        self.kept = [value for name, value in given.items() if name not in BY and kind_of(value) is TORCH]

    def run(self, *by: Any) -> Any:
        given = {**self.given, **dict(zip(BY, by, strict=True))}
        own = {} if self.family == "discounted_sum" else {"values": given["values"]}
        names = ("terminated", "truncated", "mask", "next_values", "bootstrap")
        common = {name: given[name] for name in names if given[name] is not None}
        common |= {name: value for name, value in self.more.items() if value is not None}
        return self.again(self.family, given["rewards"], own, given["gammas"], given["lambdas"], common)

    def transposed(self, wanted: Any, grads: Any) -> Any:
        """By each of BY, None where it is not wanted."""
        arrays = {name: host_array(kind_of(each), name, each) for name, each in self.given.items()
                  if name not in ("values", "next_values")}  # fmt: skip
        first, second = [None if each is None else TORCH.array("grad", each) for each in (*grads, None)][:2]
        if first is None and second is None:
            return [None] * len(BY)
        found = Linear(self.family, arrays, self.more).transposed(first, second)
        results = []
        for name, like, want in zip(BY, self.like, wanted, strict=True):
            if not want or name not in found:
                results.append(torch.zeros_like(like) if want else None)
                continue
            grad = torch.from_numpy(found[name])
            results.append((grad.sum() if like.ndim == 0 else grad.reshape(like.shape)).to(like.dtype))
        return results


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
