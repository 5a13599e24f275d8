"""Where results go: arrays of the caller's, written to at once where a kernel can, or else new ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..memory import Array
from .problem import Laying

PAIRS = ("gae", "vtrace")
overlap: Any = np.may_share_memory  # whether the bounds meet
_WORK = 1000  # of NumPy's exact search for memory in common, whose time can grow exponentially


def _is_out(name: str, out: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name}: got {type(out).__name__}, expected a NumPy array")
    if out.shape != shape:
        raise ValueError(f"{name}: got shape {out.shape}, expected {shape}")
    if not np.can_cast(dtype, out.dtype, "same_kind"):
        raise TypeError(f"{name}: got dtype {out.dtype}, expected {dtype}")
    if not out.flags.writeable:
        raise ValueError(f"{name}: got an array that is read-only")
    if _overlaps_itself(out):
        raise ValueError(
            f"{name}: got shape {out.shape} with strides {out.strides}, where entries share memory, "
            "expected an array whose entries do not overlap"
        )
    return out


def _overlaps_itself(array: Array) -> bool:
    if array.flags.forc:
        return False
    size = array.itemsize
    for stride, n in sorted((abs(stride), n) for stride, n in zip(array.strides, array.shape, strict=True)):
        if n > 1 and stride < size:  # an axis is not clear of those within it
            return _meet(array)
        size += stride * (n - 1)
    return False


def _meet(*arrays: Array) -> bool:
    """Whether two entries of these arrays lie on the same byte: exact, by sorting all of them."""
    starts, sizes = [], []
    for each in arrays:
        at = np.array([each.__array_interface__["data"][0]], np.int64)
        for stride, n in zip(each.strides, each.shape, strict=True):
            at = (at[:, None] + stride * np.arange(n)).reshape(-1)
        starts.append(at)
        sizes.append(np.full(at.size, each.itemsize))
    start, size = np.concatenate(starts), np.concatenate(sizes)
    order = start.argsort()
    return bool((np.diff(start[order]) < size[order][:-1]).any())


def outs_of(
    family: str, lay: Laying, narrow: np.dtype[Any], out: Any, inputs: Iterable[Any]
) -> tuple[list[Array] | None, list[Array]]:
    """Checks what the caller wants the results in; (that, what a kernel is to write to).

    The kernel's arrays are laid over the caller's where that can be.
    inputs  of the problem, arrays among them
    """
    shape = lay.shape(lay.T)
    outs: list[Array] | None = None
    if out is not None:
        if family not in PAIRS:
            outs = [_is_out("out", out, shape, narrow)]
        elif isinstance(out, (tuple, list)) and len(out) == 2:
            outs = [_is_out(f"out[{i}]", each, shape, narrow) for i, each in enumerate(out)]
            if overlap(*outs) and overlap(*outs, max_work=_WORK) and _meet(*outs):
                raise ValueError(
                    "out: got a pair of arrays that share memory, expected two that do not overlap each other"
                )
        else:
            raise TypeError(f"out: got {type(out).__name__}, expected a pair of NumPy arrays")
    if outs is not None and _can_write(lay, outs, inputs):
        laid = [_laid(lay, each) for each in outs]
    else:
        memory: tuple[int, ...] = (lay.T,)
        if lay.two:
            memory = (lay.B, lay.T) if lay.batch_major else (lay.T, lay.B)
        laid = [np.empty(memory, lay.dtype) for _ in range(1 + (family in PAIRS))]
    return outs, laid


def _can_write(lay: Laying, outs: list[Array], inputs: Iterable[Any]) -> bool:
    """Whether a kernel can write there: of its type, dense, and no memory of the inputs or of each other."""
    for each in outs:
        laid = _laid(lay, each)
        if (
            not overlap(each, laid)
            or laid.dtype is not lay.dtype
            or not (laid.flags.c_contiguous and laid.flags.aligned)
        ):
            return False
    inputs = [*(each for each in inputs if isinstance(each, np.ndarray)), *outs[1:]]
    return not any(overlap(out, each) for out in outs[:1] for each in inputs) and not any(
        overlap(out, each) for out in outs[1:] for each in inputs if each is not out
    )


def _laid(lay: Laying, out: Array) -> Array:
    folded = lay.folded(out) if lay.folds else out
    return folded.T if lay.turned else folded


def results_of(lay: Laying, narrow: np.dtype[Any], outs: list[Array] | None, found: list[Array]) -> Any:
    """What the caller gets for the arrays that a kernel has written to."""
    results = []
    for i, each in enumerate(found):
        result = lay.unfolded(each)
        if outs is not None:
            if not overlap(outs[i], each):
                outs[i][...] = result
            result = outs[i]
        elif result.dtype != narrow:
            result = result.astype(narrow)
        results.append(result)
    return results[0] if len(results) == 1 else (results[0], results[1])
