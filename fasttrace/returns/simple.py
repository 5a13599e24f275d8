"""The usual call where no C function is for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .outs import overlap
from .problem import BOOL, FLOAT32, FLOAT64

_SMALL = 8192  # entries


def simple(
    kernels: Any, family: str, rewards: Any, values: Any, terminated: Any, gamma: Any, lambda_: Any, out: Any
) -> Any:
    """Of arrays of one type that lie as a kernel takes them, without the detours; or None."""
    if not (type(rewards) is type(values) is np.ndarray and type(gamma) is type(lambda_) is float):
        return None
    dtype, shape = rewards.dtype, rewards.shape
    if not (
        len(shape) == 2
        and (dtype is FLOAT32 or dtype is FLOAT64)
        and values.dtype is dtype
        and values.shape == (shape[0] + 1, shape[1])
        and rewards.flags.carray
        and values.flags.carray
        and shape[0] > 0
        and shape[1] > 1
        and 0.0 <= gamma <= 1.0
        and 0.0 <= lambda_ <= 1.0
    ):
        return None
    if terminated is not None and not (
        type(terminated) is np.ndarray
        and terminated.dtype is BOOL
        and terminated.shape == shape
        and terminated.flags.carray
    ):
        return None
    if out is not None:
        if type(out) is not tuple or len(out) != 2 or family != "gae":
            return None
        first, second = out
        for each in out:
            if not (
                type(each) is np.ndarray and each.dtype is dtype and each.shape == shape and each.flags.carray
            ):
                return None
            if any(overlap(each, other) for other in (rewards, values, terminated) if other is not None):
                return None
        if overlap(first, second):
            return None
    elif family != "gae":
        first, second = np.empty(shape, dtype), None
    elif shape[0] * shape[1] < _SMALL:  # one allocation is quicker than two
        first, second = np.empty((2, *shape), dtype)
    else:
        first, second = np.empty(shape, dtype), np.empty(shape, dtype)
    if not kernels.run_simple(family, *shape, gamma, lambda_, rewards, values, terminated, first, second):
        return None
    return first if second is None else (first, second) if out is None else out
