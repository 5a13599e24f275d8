"""Returns of PyTorch's tensors beside NumPy's arrays, and gradients; skipped where PyTorch is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fasttrace as ft

from .cases import Case, Spec
from .returns import GAMMA, LAMBDA, TOLERANCE, arrays, exact

SHAPES = ((128, 8), (128, 4096), (1000, 64))
ARRAYS, TENSORS, FORWARD, BACKWARD = "arrays", "tensors", "tensors, to be differentiated", "the gradient"


class _Gae:
    """GAE of one shape in float32, terminations in 1 %; the gradient of a sum of advantages by all values."""

    def __init__(self, shape: tuple[int, int]) -> None:
        import torch

        torch.set_num_threads(1)
        self.torch, self.a = torch, arrays(shape)
        self.more = {"gammas": GAMMA, "lambdas": LAMBDA}
        self.ends = torch.from_numpy(self.a.terminated)
        self.rewards, values = torch.from_numpy(self.a.rewards), torch.from_numpy(self.a.values)
        self.values, self.by = values, values.clone().requires_grad_()
        self.ones = torch.ones(shape)
        self.recorded = self.forward()

    def arrays(self) -> Any:
        return ft.returns.gae(self.a.rewards, self.a.values, terminated=self.a.terminated, **self.more)[0]

    def tensors(self) -> Any:
        return ft.returns.gae(self.rewards, self.values, terminated=self.ends, **self.more)[0]

    def forward(self) -> Any:
        return ft.returns.gae(self.rewards, self.by, terminated=self.ends, **self.more)[0]

    def backward(self) -> Any:
        return self.torch.autograd.grad(self.recorded, self.by, self.ones, retain_graph=True)[0]

    def is_right(self) -> bool:
        want = exact(self.a)
        found = [np.asarray(each.detach()) for each in (self.tensors(), self.forward())]
        right = all(np.abs(each - want).max() <= TOLERANCE * np.abs(want).max() for each in found)
        # The function is linear: along the values the gradient is the sum, but for what rewards add.
        alone = ft.returns.gae(0 * self.rewards, self.values, terminated=self.ends, **self.more)[0]
        along = float((self.backward().double() * self.values.double()).sum())
        return right and abs(along - float(alone.double().sum())) <= 1e-5 * float(alone.double().abs().sum())


@pytest.mark.parametrize("column", [ARRAYS, TENSORS, FORWARD, BACKWARD])
@pytest.mark.parametrize("shape", SHAPES, ids="{0[0]}x{0[1]}".format)
def test_gae(time_case, shape, column):
    """A public call; the gradient by torch.autograd.grad, all that it needs included."""
    pytest.importorskip("torch")
    gae = _Gae(shape)
    call = {
        ARRAYS: gae.arrays, TENSORS: gae.tensors, FORWARD: gae.forward, BACKWARD: gae.backward
    }[column]  # fmt: skip
    times = max(1, 200_000 // gae.rewards.numel())

    def run() -> None:
        for _ in range(times):
            call()

    size = gae.rewards.numel() * times
    case = Case(Spec(column), shape, size, lambda: None, run, gae.is_right)
    time_case(case, "GAE in float32, an entry, by the kind of array", f"{shape[0]} x {shape[1]}", column)
