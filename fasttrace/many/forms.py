"""What is given to many agents: for all of them, or for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import arguments
from ..features import Ragged, is_sparse


def for_each(name: str, value: Any, N: int) -> Sequence[Any]:
    """N values of an option: that for all, or those of an array (N,)."""
    if name == "seed" and not isinstance(value, (list, tuple, np.ndarray)) and value is not None:
        seed = arguments.count("seed", value, 0, 2**64 - 1)
        return [np.random.default_rng([seed, i]) for i in range(N)]
    if not isinstance(value, (list, tuple, np.ndarray)) or np.ndim(value) == 0:
        return [value] * N
    array = arguments.array_of(name, value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name}: got dtype {array.dtype}, expected a number or ({N},) numbers")
    if array.shape != (N,):
        raise ValueError(f"{name}: got shape {array.shape}, expected a number or ({N},)")
    return array.tolist()


def rows_of(name: str, value: Any, N: int, ndim: int = 2) -> NDArray[Any]:
    """An array whose first axis is that of the agents."""
    array = arguments.array_of(name, value)
    if array.ndim < ndim or len(array) != N:
        raise ValueError(f"{name}: got shape {array.shape}, expected {ndim} axes, the first of {N} agents")
    return array


def series_of(name: str, value: Any, N: int) -> Sequence[Any]:
    """What each agent's `learn` is given of a number, or of an array for all or for each."""
    alone = 2 if name == "target_policy" else 1
    if value is None or np.ndim(value) <= alone:
        return [value] * N
    array = rows_of(name, value, N, alone + 1)
    return [row[0] for row in array] if alone == 1 and array.shape[1:] == (1,) else list(array)


def features_of_each(name: str, x: Any, N: int, ndim: int = 2) -> Sequence[Any]:
    """What each of N agents is given of features, as one takes them.

    x     array, or a pair of such, whose first axis is that of the agents; Ragged or CSR, whose rows are
          those of the first agent, then those of the second; or a list of N Ragged or CSR
    ndim  axes that an array has at least
    """
    if isinstance(x, (list, tuple)) and x and all(isinstance(each, Ragged) or is_sparse(each) for each in x):
        if len(x) != N:
            raise ValueError(f"{name}: got {len(x)} sparse streams, expected {N}, one of each agent")
        return x
    if isinstance(x, Ragged) or is_sparse(x):
        count = len(x) if isinstance(x, Ragged) else x.shape[0]
        each, rest = divmod(count, N)
        if rest or (ndim == 2 and each != 1):
            rows = "as many rows" if ndim == 2 else "as many for each: those of the first, then the second's"
            raise ValueError(f"{name}: got {count} sparse rows for {N} agents, expected {rows}")
        return [_part(x, i * each, (i + 1) * each) for i in range(N)]
    if isinstance(x, tuple) and len(x) == 2 and np.ndim(x[0]) > 1:
        return list(zip(*(rows_of(name, part, N, ndim) for part in x), strict=True))
    return list(rows_of(name, x, N, ndim))


def _part(x: Any, begin: int, end: int) -> Any:
    """Some rows of a Ragged or CSR."""
    if not isinstance(x, Ragged):
        return x[begin:end]
    x.check()
    ends = x.indptr[begin : end + 1]
    some = slice(ends[0], ends[-1])
    return Ragged(ends - ends[0], x.indices[some], None if x.values is None else x.values[some])
