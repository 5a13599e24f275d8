"""Tile coding: a state's active features, one a tiling."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import arguments
from .backends import Backend, module, resolve
from .quick import Quick, quick

if TYPE_CHECKING:
    from .checkpoint import Target

_FLOAT64 = np.dtype(np.float64)
_AT_ONCE = 1 << 20  # coordinates, displaced: some milliseconds
_INT32 = np.dtype(np.int32)
_MOST = np.iinfo(np.int32).max


class TileCoder(Quick):
    """Grid tile coding with displaced tilings.

        coder = TileCoder(low=(-1.2, -0.07), high=(0.6, 0.07), tiles=8, tilings=8)
        coder((-0.5, 0.0))      # (8,) int32, the j-th is tiling j's

    low, high   (dims,) bounds of a state.  A state outside is clipped.
    tiles       how many of them are from low to high, for all dimensions or for each.
    tilings     how many grids of tiles.  Tiling j is displaced along dimension i by
                j (2 i + 1) mod tilings, in parts of `tilings` to a tile, so that a dimension has
                tiles + 1 cells.
    wrap        dimensions where high is low again, as of an angle: `tiles` cells, and a state
                outside comes round.
    memory      hash the indices into [0, memory), for grids that are too large.  Tiles that
                share an index share a weight.  The hash: backends.numpy.tiles.tiles_hash.

    n_features is tilings * product of the cells, or memory.  A coder does not change once made,
    and may be used from many threads.

    Errors: ValueError for bounds, sizes and shapes, for n_features beyond int32, and for a state
    that is NaN, or infinite where it wraps; TypeError for what is not a number of the right kind.

    Source: Sutton & Barto 2018, section 9.5.4.
    """

    @arguments.explained
    def __init__(
        self,
        low: Sequence[float] | NDArray[Any],
        high: Sequence[float] | NDArray[Any],
        tiles: int | Sequence[int] | NDArray[Any],
        tilings: int,
        *,
        wrap: Iterable[int] = (),
        memory: int | None = None,
        backend: Backend = "auto",
    ) -> None:
        self.low, self.high = _bounds("low", low), _bounds("high", high)
        dims = len(self.low)
        if len(self.high) != dims:
            raise ValueError(f"high: got {len(self.high)} numbers, expected {dims}, as low has")
        self.tilings = arguments.count("tilings", tilings, 1, _MOST // 2)
        self.tiles = _tiles(tiles, dims, _MOST // self.tilings - 1)
        self.wrap = _wrap(wrap, dims)
        self.memory = None if memory is None else arguments.count("memory", memory, self.tilings, _MOST)
        for i, (a, b, n) in enumerate(zip(self.low.tolist(), self.high.tolist(), self.tiles, strict=True)):
            if not a < b:
                raise ValueError(f"low[{i}]: got {a}, expected a number below high[{i}], which is {b}")
            if not (math.isfinite(b - a) and np.finfo(float).tiny <= n / (b - a) < math.inf):
                raise ValueError(f"high[{i}]: got {b}, not at a distance from {a} that float64 can divide")
        self.n_features = self.memory or self.tilings * math.prod(
            n + (i not in self.wrap) for i, n in enumerate(self.tiles)
        )
        if self.n_features > _MOST:
            raise ValueError(
                f"tiles: got {self.tiles} with {self.tilings} tilings, {self.n_features} features, "
                f"expected at most {_MOST}; memory= hashes them into fewer"
            )
        self._asked = backend
        self.backend = resolve(backend)
        self._kernels: dict[str, Any] = {}
        self._encode = self.kernel(self.backend).encode
        self._shape = (dims,)
        self._call = getattr(self.kernel(self.backend), "call", None)

    @quick
    def __call__(self, state: ArrayLike) -> NDArray[np.int32]:
        """The active features (tilings,) of one state (dims,), or (N, tilings) of states (N, dims)."""
        if not (
            type(state) is np.ndarray
            and state.dtype is _FLOAT64
            and state.shape == self._shape
            and state.flags.c_contiguous
        ):
            return self._code(state)
        idx = np.empty(self.tilings, _INT32)
        if not self._encode(1, state, idx):
            self._refuse(state)
        return idx

    def _code(self, state: ArrayLike) -> NDArray[np.int32]:
        states = arguments.floats("state", state)
        dims = len(self.low)
        if states.ndim not in (1, 2) or states.shape[-1] != dims:
            raise ValueError(f"state: got shape {states.shape}, expected ({dims},) or (N, {dims})")
        idx = np.empty((*states.shape[:-1], self.tilings), _INT32)
        N, size = states.size // dims, max(1, _AT_ONCE // (dims * self.tilings))
        if size < N:  # Ctrl-C is heard between two pieces
            pieces = [slice(begin, begin + size) for begin in range(0, N, size)]
            good = all(self._encode(len(idx[i]), states[i], idx[i]) for i in pieces)
        else:
            good = self._encode(N, states, idx)
        if not good:
            self._refuse(states)
        return idx

    def _refuse(self, states: NDArray[np.float64]) -> None:
        """Say where the first state is that no tile can be found for."""
        with np.errstate(over="ignore"):
            nowhere = np.isnan(states)
            circles = list(self.wrap)
            nowhere[..., circles] |= ~np.isfinite(states - self.low)[..., circles]
        place = tuple(int(each[0]) for each in np.nonzero(nowhere))
        where = ", ".join(map(str, place))
        expected = "a finite number, for that dimension wraps" if place[-1] in self.wrap else "a number"
        raise ValueError(f"state: entry {where} is {states[place]}, expected {expected}")

    def kernel(self, backend: str) -> Any:
        """This coder in a backend's own form, for loops that code as they go."""
        if backend not in self._kernels:
            wraps = np.isin(np.arange(len(self.low)), self.wrap)
            tiles = np.array(self.tiles, np.int64)
            self._kernels[backend] = module(backend, "tiles").Coder(
                self.low, self.high, tiles, wraps, self.tilings, self.memory or 0
            )
        return self._kernels[backend]

    def _key(self) -> tuple[Any, ...]:
        low, high = tuple(self.low.tolist()), tuple(self.high.tolist())
        return low, high, self.tiles, self.tilings, self.wrap, self.memory

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, TileCoder) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        low, high, tiles, tilings, wrap, memory = self._key()
        return (
            f"TileCoder(low={low}, high={high}, tiles={tiles}, tilings={tilings}, "
            f"wrap={wrap}, memory={memory}, backend={self.backend!r})"
        )

    def save(self, path: Target) -> None:
        """Write a checkpoint (.npz) that fasttrace.load reads; path and errors as a learner's."""
        from . import checkpoint

        names = ("low", "high", "tiles", "tilings", "wrap", "memory")
        options = dict(zip(names, self._key(), strict=True))
        state = {"class": type(self).__name__, "backend": self.backend, "options": options, "arrays": {}}
        checkpoint.write(path, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (*self._key(), self._asked)


def _rebuilt(
    low: Any, high: Any, tiles: Any, tilings: int, wrap: Any, memory: int | None, backend: Backend
) -> TileCoder:
    return TileCoder(low, high, tiles, tilings, wrap=wrap, memory=memory, backend=backend)


def _bounds(name: str, value: Any) -> NDArray[np.float64]:
    bounds = arguments.floats(name, value).copy()
    if bounds.ndim != 1 or not bounds.size:
        raise ValueError(f"{name}: got shape {bounds.shape}, expected (dims,), one number a dimension")
    arguments.finite_array(name, bounds, bounds.shape)
    bounds.flags.writeable = False
    return bounds


def _tiles(value: Any, dims: int, most: int) -> tuple[int, ...]:
    if np.ndim(value) == 0:
        return (arguments.count("tiles", value, 1, most),) * dims
    if len(value) != dims:
        raise ValueError(f"tiles: got {len(value)} of them, expected one number or {dims}")
    return tuple(arguments.count(f"tiles[{i}]", each, 1, most) for i, each in enumerate(value))


def _wrap(value: Any, dims: int) -> tuple[int, ...]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise TypeError(f"wrap: got {value!r}, expected the dimensions that wrap, as in (0,)")
    return tuple(sorted({arguments.count("wrap", each, 0, dims - 1) for each in value}))
