"""What type checkers are told of the functions: results are of the kind of array that rewards are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ParamSpec, Protocol, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

P = ParamSpec("P")
Floats = NDArray[np.floating[Any]]
Pair = tuple[Floats, Floats]
Numbers = NDArray[Any] | Sequence[Any] | float


class _Tensor(Protocol):
    """Of PyTorch, JAX, or whoever exchanges arrays."""

    def __dlpack__(self, *args: Any, **keywords: Any) -> Any: ...


T = TypeVar("T", bound=_Tensor)


class One(Protocol[P]):
    @overload
    def __call__(self, rewards: Numbers, *args: P.args, **keywords: P.kwargs) -> Floats: ...
    @overload
    def __call__(self, rewards: T, *args: P.args, **keywords: P.kwargs) -> T: ...
    @overload
    def __call__(self, rewards: ArrayLike, *args: P.args, **keywords: P.kwargs) -> Floats: ...


class Two(Protocol[P]):
    @overload
    def __call__(self, rewards: Numbers, *args: P.args, **keywords: P.kwargs) -> Pair: ...
    @overload
    def __call__(self, rewards: T, *args: P.args, **keywords: P.kwargs) -> tuple[T, T]: ...
    @overload
    def __call__(self, rewards: ArrayLike, *args: P.args, **keywords: P.kwargs) -> Pair: ...
