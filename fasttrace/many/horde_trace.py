"""Weights and traces of many predictions: who owns the arrays, and dense copies of what they mean.

DenseHorde   (n, m) arrays as the book has them, for the NumPy reference
LazyHorde    the constant-time trace, eight predictions wide; one layout for C and Numba (csrc/horde.c)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import module
from ..features import Row, Rows, joined
from ..memory import Float64, aligned_copy, aligned_zeros, check_arrays, owned, sparse_zeros
from ..record import Record
from .lanes import EIGHT, Lanes

KINDS = {"accumulating": 0, "replacing": 1, "dutch": 2, "true_online": 3, "gtd": 4}
_FOLDED = ("dutch", "true_online")
_CARRIED = ("decay", "v_old", "taken")  # what a step hands to the next, (m,): gamma lambda, v_old, alpha

# Words of a chunk, and its counters: see csrc/horde.c.
HEADER = ("n", "chunks", "kind", "ring_size", "used", "slabs_count", "bad_index")
USED = HEADER.index("used")
_POINTERS = 5
WORDS = ("scale", "drive", "decay", "v_old", "alpha", "taken", "beta", "drive_v", "zv", "zz")
COUNTERS = ("epoch", "oldest", "swept", "end", "begun", "alive_max", "_6", "_7")
SLAB = 16
MOST_CHUNKS = 1 << 20
_AT_ONCE = 1 << 22  # bytes of slabs that are asked for together: of these NumPy asks for large pages
_BLOCK, _ENTRIES, _SCRATCH = 4096, 1 << 16, 1 << 22  # of a block: steps, entries, numbers that are permuted

Vectors = dict[str, Float64]


class HordeStream(Record):
    """T transitions of all predictions.

    cumulants                (T, m)
    gammas, lambdas, rhos    (T, m), (T, 1), (1, m) or (1, 1)
    deltas                   (T, m) where the TD errors go
    """

    steps: int
    rows: Rows
    cumulants: Float64
    gammas: Float64
    lambdas: Float64
    rhos: Float64
    deltas: Float64

    def part(self, begin: int, end: int) -> HordeStream:
        """Transitions begin to end - 1, in the same memory."""

        def cut(series: Float64) -> Float64:
            return series if len(series) == 1 else series[begin:end]

        names = ("gammas", "lambdas", "rhos")
        return self.but(
            steps=end - begin,
            rows=self.rows.part(begin, end + 1),
            cumulants=self.cumulants[begin:end],
            deltas=self.deltas[begin:end],
            **{name: cut(getattr(self, name)) for name in names},
        )


class DenseHorde:
    """w, z and, of GTD, v: (n, m) each; and what one step hands to the next, (m,) each."""

    w: Float64
    z: Float64
    v: Float64
    alphas: Float64
    betas: Float64
    on_gpu = False

    def __init__(self, kind: str, n: int, lanes: Lanes, backend: str = "numpy") -> None:
        self.kind, self.n, self.backend, self.lanes = kind, n, backend, lanes
        self.m = len(lanes.position)
        self.names = ("w", "z", "v") if kind == "gtd" else ("w", "z")
        for name in self.names:
            setattr(self, name, aligned_zeros(n * self.m, np.float64).reshape(n, self.m))
        self.decay, self.v_old, self.taken = (aligned_zeros(self.m, np.float64) for _ in range(3))
        self.v_old[:] = math.nan

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(owned(state))

    def tell(self, alphas: Float64, betas: Float64) -> None:
        self.alphas, self.betas = alphas, betas

    def vectors(self) -> Vectors:
        return {name: getattr(self, name).copy() for name in self.names}

    def set_vectors(self, vectors: Vectors) -> None:
        for name in self.names:
            getattr(self, name)[:] = vectors[name]

    def carried(self) -> Vectors:
        return {name: getattr(self, name).copy() for name in _CARRIED}

    def carry(self, carried: Vectors) -> None:
        for name in _CARRIED:
            getattr(self, name)[:] = carried[name]

    def column(self, j: int) -> tuple[Vectors, dict[str, float]]:
        """Prediction j: its vectors (n,), and what it carries."""
        vectors = {name: getattr(self, name)[:, j].copy() for name in self.names}
        return vectors, {name: float(getattr(self, name)[j]) for name in _CARRIED}

    def finite(self) -> NDArray[np.bool_]:
        return np.logical_and.reduce([np.isfinite(getattr(self, name)).all(axis=0) for name in self.names])

    def values(self, rows: Rows) -> Float64:
        with np.errstate(all="ignore"):
            return np.array([rows.dense(r) @ self.w for r in range(rows.count)]).reshape(rows.count, self.m)

    def run(self, stream: HordeStream) -> None:
        module(self.backend, "horde").horde_run(self, stream)

    def step(self, x: Row, x_next: Row, numbers: tuple[Any, ...], own: tuple[Float64, ...]) -> Float64:
        """One transition.

        numbers  cumulants (m,), gammas, lambdas, rhos, each (m,), (1,), or None for those of `own`
        """
        return run_one(self, x, x_next, numbers, own)

    def reset(self) -> None:
        self.z[:] = 0.0
        self.decay[:], self.v_old[:] = 0.0, math.nan

    def add(self, lanes: Lanes, lane: int) -> None:
        self.lanes, self.m = lanes, self.m + 1
        for name in (*self.names, *_CARRIED):
            old, new = getattr(self, name), math.nan if name == "v_old" else 0.0
            more = np.concatenate([old, np.full((*old.shape[:-1], 1), new)], axis=-1)
            setattr(self, name, aligned_copy(more))

    def remove(self, j: int) -> None:
        self.lanes, self.m = self.lanes.without(j)[0], self.m - 1
        for name in (*self.names, *_CARRIED):
            setattr(self, name, aligned_copy(np.delete(getattr(self, name), j, axis=-1)))

    def to(self, backend: str) -> HordeTrace:
        return self if backend == self.backend else copied_to(self, backend)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything, for a checkpoint."""
        return {name: getattr(self, name) for name in (*self.names, *_CARRIED)} | _laid_down(self.lanes)

    def set_arrays(self, arrays: dict[str, Any]) -> None:
        check_arrays(arrays, self.arrays())
        self.set_vectors(arrays)
        self.carry(arrays)
        self.lanes = _lanes_from(arrays, self.m)


class LazyHorde:
    """The memory of ft_horde, over which C and Numba work alike.

    place     (n,) the slot of each feature; 0 where it has none
    words     (room, words, 8), counters (room, 8), rings (room, ring_size, width)
    slabs     arrays (room, 16 width + 8): rows of 16 slots, then their epochs; table: their addresses
    room      chunks that there is memory for, of which lanes.chunks are in use
    header    the words of ft_horde: sizes, then C's pointers
    given     (4, lanes) room for cumulants, gammas, lambdas, rhos of one step; out (lanes,)
    """

    words: Float64
    counters: NDArray[np.int64]
    rings: Float64
    on_gpu = False

    def __init__(self, kind: str, n: int, lanes: Lanes, backend: str) -> None:
        self.kind, self.n, self.backend, self.lanes = kind, n, backend, lanes
        self._kernels: Any = None
        self.names = ("w", "z", "v") if kind == "gtd" else ("w", "z")
        self.width = EIGHT * len(self.names)
        self.ring_size = 1024
        while self.ring_size < min(n // 2, 4096):
            self.ring_size *= 2
        self.place = aligned_zeros(n, np.int32)
        self.table = aligned_zeros(n // SLAB + 2, np.uintp)
        self._slabs: list[Float64] = []
        self.header = aligned_zeros(len(HEADER) + _POINTERS, np.int64)
        self.header[: len(HEADER)] = [n, lanes.chunks, KINDS[kind], self.ring_size, 1, 0, 0]
        self._chunks(0, lanes.chunks)
        self.grow()

    slabs = property(lambda self: self._slabs)
    m = property(lambda self: len(self.lanes.position))
    used = property(lambda self: int(self.header[USED]))  # slots, the first by no feature

    @property
    def kernels(self) -> Any:
        """The backend's module, looked up once: a step is short."""
        if self._kernels is None:
            self._kernels = module(self.backend, "horde")
        return self._kernels

    def _chunks(self, kept: int, chunks: int) -> None:
        """Memory for so many chunks; the first `kept` are as they were."""
        old: tuple[NDArray[Any], ...] = (self.words, self.counters, self.rings) if kept else ()
        size = chunks * self.ring_size * self.width
        try:
            rings = sparse_zeros(size, np.float64)  # the largest, first
        except MemoryError:
            raise MemoryError(
                f"m: {EIGHT * chunks} lanes take {8e-9 * size:.3g} GB for epochs alone"
            ) from None
        self.room, self.rings = chunks, rings.reshape(chunks, self.ring_size, self.width)
        self.words = aligned_zeros(chunks * len(WORDS) * EIGHT, np.float64).reshape(chunks, len(WORDS), EIGHT)
        self.counters = aligned_zeros(chunks * len(COUNTERS), np.int64).reshape(chunks, len(COUNTERS))
        for new, before in zip((self.words, self.counters, self.rings), old, strict=False):
            new[:kept] = before[:kept]
        self._begin(kept, chunks)
        self._of_a_step()

    def _begin(self, begin: int, end: int) -> None:
        """Chunks whose words are all 0 become those of a new horde."""
        some = slice(begin, end)
        scales, values = (self.words[some, WORDS.index(name)] for name in ("scale", "v_old"))
        scales[:], values[:] = 1.0, math.nan
        for name, count in (("epoch", 1), ("oldest", 1), ("begun", 1), ("alive_max", 64)):
            self.counters[some, COUNTERS.index(name)] = count
        self.rings[some, 1, -EIGHT:] = 1.0

    def _of_a_step(self) -> None:
        self.header[HEADER.index("chunks")] = self.lanes.chunks
        self.scratch = np.empty(0)
        lanes = EIGHT * self.lanes.chunks
        self.given = aligned_zeros(4 * lanes, np.float64).reshape(4, lanes)
        self.out = aligned_zeros(lanes, np.float64)
        self.usual = [False] * 4  # whether given[i] holds the horde's own numbers
        self.handle: Any = None  # the C backend's pointer to this memory, made when first needed

    def word(self, name: str) -> Float64:
        """A view (chunks, 8) of a word of the lanes."""
        return self.words[: self.lanes.chunks, WORDS.index(name)]

    def counter(self, name: str) -> NDArray[np.int64]:
        return self.counters[: self.lanes.chunks, COUNTERS.index(name)]

    def grow(self, slots: int = 0) -> None:
        """Slabs for the slots that are taken, and for so many.  A slab is not touched until its rows are."""
        chunks, doubles = self.room, SLAB * self.width + SLAB // 2
        while SLAB * len(self._slabs) < max(self.used, slots):
            there, most = len(self._slabs), self.n // SLAB + 1
            count = max(1, min(_AT_ONCE // (8 * chunks * doubles), most - there))
            try:
                memory = aligned_zeros(count * chunks * doubles, np.float64).reshape(count, chunks, doubles)
            except MemoryError:
                self._forget_slabs(there)
                raise
            self.table[there : there + count] = memory.ctypes.data + memory.strides[0] * np.arange(count)
            self._slabs += list(memory)
            self.header[HEADER.index("slabs_count")] = len(self._slabs)

    def _forget_slabs(self, kept: int) -> None:
        """Features that were given a slot in others have none."""
        del self._slabs[kept:]
        self.header[HEADER.index("slabs_count")] = kept
        self.place[self.place >= SLAB * kept] = 0
        self.header[USED] = min(self.used, max(1, SLAB * kept))

    def tell(self, alphas: Float64, betas: Float64) -> None:
        self.word("alpha")[:] = alphas[self.lanes.source].reshape(-1, EIGHT)
        self.word("beta")[:] = betas[self.lanes.source].reshape(-1, EIGHT)
        self.usual = [False] * 4

    # ---- what is in it ----

    def features(self) -> NDArray[np.int64]:
        """Of each slot but the first, the feature."""
        found = np.flatnonzero(self.place)
        features = np.empty(self.used - 1, np.int64)
        features[self.place[found] - 1] = found
        return features

    def _now(self, chunks: slice | None = None) -> Iterator[tuple[slice, Vectors]]:
        """Slab by slab: which slots, and their vectors as of now, (slots, lanes of these chunks) each."""
        chunks = slice(0, self.lanes.chunks) if chunks is None else chunks
        drive, scale, drive_v = (self.word(name)[chunks] for name in ("drive", "scale", "drive_v"))
        which = np.arange(chunks.start, chunks.stop)[:, np.newaxis]
        for number, slab in enumerate(self.slabs):
            slots = slice(SLAB * number, min(SLAB * (number + 1), self.used))
            count = slots.stop - slots.start
            if count <= 0:
                return
            slab = slab[chunks]
            rows = slab[:, : SLAB * self.width].reshape(-1, SLAB, self.width)[:, :count]
            epochs = slab[:, SLAB * self.width :].view(np.int32)[:, :count]
            since = self.rings[which, epochs & (self.ring_size - 1)]
            z, P = rows[..., -EIGHT:], since[..., -EIGHT:]
            with np.errstate(all="ignore"):  # what has diverged shows what it has
                now = {
                    "w": rows[..., :EIGHT] + z * (since[..., :EIGHT] + P * drive[:, np.newaxis]),
                    "z": z * P * scale[:, np.newaxis],
                }
                if "v" in self.names:
                    G = since[..., EIGHT:-EIGHT]
                    now["v"] = rows[..., EIGHT:-EIGHT] + z * (G + P * drive_v[:, np.newaxis])
            yield slots, {name: each.transpose(1, 0, 2).reshape(count, -1) for name, each in now.items()}

    def vectors(self) -> Vectors:
        """Dense copies (n, m)."""
        features, position = self.features(), self.lanes.position
        vectors = {name: np.zeros((self.n, self.m)) for name in self.names}
        for slots, now in self._now():
            skip = int(slots.start == 0)
            at = features[slots.start + skip - 1 : slots.stop - 1]
            for name in self.names:
                vectors[name][at] = now[name][skip:, position]
        return vectors

    def column(self, j: int) -> tuple[Vectors, dict[str, float]]:
        features, lane = self.features(), int(self.lanes.position[j])
        vectors, q = {name: np.zeros(self.n) for name in self.names}, lane // EIGHT
        for slots, now in self._now(slice(q, q + 1)):
            skip = int(slots.start == 0)
            at = features[slots.start + skip - 1 : slots.stop - 1]
            for name in self.names:
                vectors[name][at] = now[name][skip:, lane % EIGHT]
        return vectors, {name: float(self.word(name).reshape(-1)[lane]) for name in _CARRIED}

    def set_vectors(self, vectors: Vectors) -> None:
        """These, and no others: every row is of the present epoch afterwards, or at rest."""
        there = np.logical_or.reduce([vectors[name].any(axis=1) for name in self.names])
        new = np.flatnonzero(there & (self.place == 0))
        self.place[new] = np.arange(self.used, self.used + len(new))
        self.header[USED] += len(new)
        self.grow()
        features, chunks = self.features(), self.lanes.chunks
        self.word("scale")[:], self.word("drive")[:], self.word("drive_v")[:] = 1.0, 0.0, 0.0
        self.rings[:] = 0.0
        epochs = self.counter("epoch")
        self.rings[np.arange(chunks), epochs & (self.ring_size - 1), -EIGHT:] = 1.0
        self.counter("oldest")[:] = epochs
        for number, slab in enumerate(self.slabs):
            slots = np.arange(max(SLAB * number, 1), min(SLAB * (number + 1), self.used))
            if not len(slots):
                break
            slab = slab[:chunks]
            rows = slab[:, : SLAB * self.width].reshape(chunks, SLAB, self.width)
            place = slots - SLAB * number
            for i, name in enumerate(("w", "v", "z") if "v" in self.names else ("w", "z")):
                some = vectors[name][features[slots - 1]][:, self.lanes.source].reshape(-1, chunks, EIGHT)
                rows[:, place, EIGHT * i : EIGHT * (i + 1)] = some.transpose(1, 0, 2)
            slab[:, SLAB * self.width :].view(np.int32)[:, place] = epochs[:, np.newaxis]
        if "v" in self.names:
            with np.errstate(all="ignore"):
                self.word("zv")[:] = self._spread((vectors["z"] * vectors["v"]).sum(axis=0))
                self.word("zz")[:] = self._spread((vectors["z"] * vectors["z"]).sum(axis=0))

    def _spread(self, numbers: Float64) -> Float64:
        """(m,) to the lanes, (chunks, 8)."""
        return numbers[self.lanes.source].reshape(-1, EIGHT)

    def carried(self) -> Vectors:
        return {name: self.word(name).reshape(-1)[self.lanes.position] for name in _CARRIED}

    def carry(self, carried: Vectors) -> None:
        for name in _CARRIED:
            self.word(name)[:] = self._spread(carried[name])

    def finite(self) -> NDArray[np.bool_]:
        lanes = np.ones(EIGHT * self.lanes.chunks, bool)
        for _, now in self._now():
            for each in now.values():
                lanes &= np.isfinite(each).all(axis=0)
        kept = [self.word(name).reshape(-1) for name in (("zv", "zz") if "v" in self.names else ())]
        return np.logical_and.reduce([lanes, *map(np.isfinite, kept)])[self.lanes.position]

    # ---- learning ----

    def run(self, stream: HordeStream) -> None:
        kernels, lanes = self.kernels, self.lanes
        width = EIGHT * lanes.chunks
        most = max(1.0, len(stream.rows.indices) / max(stream.rows.count, 1))
        if stream.rows.shared:
            most = stream.rows.k
        block = max(1, min(_BLOCK, int(_ENTRIES / most), _BLOCK if lanes.in_order else _SCRATCH // width))
        rows = min(block, stream.steps)
        scratch = None if lanes.in_order else self._room_for(rows * width).reshape(rows, width)
        for begin in range(0, stream.steps, block):
            part = stream.part(begin, min(begin + block, stream.steps))
            used = kernels.place(self, part.rows, "v" in self.names)
            self.grow()
            entered = kernels.enter(self, part.rows)
            series = [self._laid_out(each) for each in (part.gammas, part.lambdas, part.rhos)]
            if scratch is None:
                kernels.run(self, part.steps, entered, used, (part.cumulants, *series), part.deltas)
                continue
            some = scratch[: part.steps]
            kernels.permute(part.cumulants, lanes.source, some)
            kernels.run(self, part.steps, entered, used, (some, *series), some)
            kernels.permute(some, lanes.position, part.deltas)

    def _room_for(self, size: int) -> Float64:
        """Room for numbers by the lane; kept where it is small, for new pages cost more than its numbers."""
        if len(self.scratch) >= size:
            return self.scratch[:size]
        room = np.empty(size)
        if room.nbytes <= _AT_ONCE:  # else the pages are large, and few
            self.scratch = room
        return room

    def _laid_out(self, series: Float64) -> Float64:
        """Numbers by the step and lane."""
        if series.shape[1] == 1 or self.lanes.in_order:
            return series
        return np.take(series, self.lanes.source, axis=1, mode="clip")

    def step(self, x: Row, x_next: Row, numbers: tuple[Any, ...], own: tuple[Float64, ...]) -> Float64:
        """One transition; see DenseHorde."""
        source = self.lanes.source
        for i, (some, room) in enumerate(zip(numbers, self.given, strict=True)):
            if some is None:
                if self.usual[i]:
                    continue
                self.usual[i], some = True, own[i]
            else:
                self.usual[i] = False
            if some.size == 1:
                room.fill(some.item())
            elif self.lanes.in_order:
                room[:] = some
            else:
                some.take(source, out=room, mode="clip")
        while self.kernels.step(self, x, x_next):
            self.grow()
        return self.out.copy() if self.lanes.in_order else self.out.take(self.lanes.position)

    def values(self, rows: Rows) -> Float64:
        kernels = self.kernels
        kernels.check(self, rows)
        self.grow()
        out = np.empty((rows.count, EIGHT * self.lanes.chunks))
        kernels.values(self, rows.count, kernels.enter(self, rows), out)
        return out if self.lanes.in_order else out.take(self.lanes.position, axis=1)

    def reset(self) -> None:
        self.kernels.reset(self)

    # ---- more and fewer predictions ----

    def add(self, lanes: Lanes, lane: int) -> None:
        """A lane that has nothing; the chunks that there were stay as they are."""
        before, self.lanes = self.lanes.chunks, lanes
        if lanes.chunks > self.room:
            self._chunks(before, before + max(1, before // 4))
            old, self._slabs = self.slabs, []
            self.grow()
            for slab, kept in zip(self.slabs, old, strict=False):
                slab[:before] = kept[:before]
        self._of_a_step()
        q, i = divmod(lane, EIGHT)
        for slab in self.slabs[: -(-self.used // SLAB)]:
            slab[q, i : SLAB * self.width : EIGHT] = 0.0
        self.rings[q, :, i::EIGHT] = 0.0
        self.rings[q, self.counter("epoch")[q] & (self.ring_size - 1), i - EIGHT] = 1.0
        self.words[q, :, i] = 0.0
        self.words[q, WORDS.index("scale"), i] = 1.0
        self.words[q, WORDS.index("v_old"), i] = math.nan

    def remove(self, j: int) -> None:
        """Its lane goes; where it was the last of its chunk, those behind it move down."""
        last = self.lanes.chunks - 1
        self.lanes, gone = self.lanes.without(j)
        if gone is None:
            self.usual = [False] * 4
            return
        for each in (self.words, self.counters, self.rings, *self.slabs):
            each[gone:last] = each[gone + 1 : last + 1]
            each[last] = 0
        self._begin(last, last + 1)
        self._of_a_step()

    # ---- copies ----

    def to(self, backend: str) -> HordeTrace:
        """C and Numba work on the same memory."""
        if backend == "numpy":
            return copied_to(self, backend)
        self.backend, self._kernels = backend, None
        return self

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything, for a checkpoint that goes on bit for bit; of features that were written."""
        count = -(-self.used // SLAB)
        chunks = self.lanes.chunks
        return {
            "features": self.features(),
            "slabs": np.stack([slab[:chunks] for slab in self.slabs[:count]]),
            "words": self.words[:chunks],
            "counters": self.counters[:chunks],
            "rings": self.rings[:chunks],
        } | _laid_down(self.lanes)

    def set_arrays(self, arrays: dict[str, Any]) -> None:
        """Become what arrays() gave.  Errors: ValueError, also for counters that kernels could not trust."""
        self.lanes = _lanes_from(arrays, self.m)
        self._chunks(0, self.lanes.chunks)
        features = np.asarray(arrays["features"])
        own = self.arrays() | {"features": features}
        count = -(-(len(features) + 1) // SLAB)
        own["slabs"] = np.broadcast_to(0.0, (count, self.lanes.chunks, SLAB * self.width + SLAB // 2))
        check_arrays(arrays, own)
        named = {name: arrays["counters"][:, i] for i, name in enumerate(COUNTERS)}
        scale = arrays["words"][:, WORDS.index("scale")]
        good = (
            features.dtype.kind == "i"
            and len(np.unique(features)) == len(features)
            and bool(((features >= 0) & (features < self.n)).all())
            and bool((named["oldest"] >= 0).all())
            and bool((named["oldest"] <= named["epoch"]).all())
            and bool((named["epoch"] - named["oldest"] < self.ring_size).all())
            and bool(((named["epoch"] < 2**62) & (named["begun"] <= named["epoch"])).all())
            and bool(((named["swept"] >= 0) & (named["end"] >= 0)).all())
            and bool((named["end"] <= len(features) + 1).all())
            and bool(((named["alive_max"] > 0) & (named["alive_max"] <= self.ring_size // 2)).all())
            and bool((~(scale < 0.01) & ~(scale > 100.0)).all())
            and not np.any(arrays["rings"][:, 0])  # or rows at rest would come back to life
        )
        if not good:
            raise ValueError("state: no horde of this size has such features, counters or scales")
        self.place[:] = 0
        self.place[features] = np.arange(1, len(features) + 1)
        self.header[USED] = len(features) + 1
        self._slabs = []
        self.grow()
        for slab, kept in zip(self.slabs, arrays["slabs"], strict=False):
            slab[:] = kept
        for name in ("words", "counters", "rings"):
            getattr(self, name)[:] = arrays[name]

    def __getstate__(self) -> dict[str, Any]:
        return {"size": (self.kind, self.n, self.lanes, self.backend), "arrays": self.arrays()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(*state["size"])  # type: ignore[misc]
        self.set_arrays(state["arrays"])

    def __deepcopy__(self, memo: dict[int, Any]) -> LazyHorde:
        (other := type(self)(self.kind, self.n, self.lanes, self.backend)).set_arrays(self.arrays())
        return other


HordeTrace = DenseHorde | LazyHorde


def new_horde(kind: str, n: int, lanes: Lanes, backend: str) -> HordeTrace:
    return (DenseHorde if backend == "numpy" else LazyHorde)(kind, n, lanes, backend)


def run_one(
    horde: HordeTrace, x: Row, x_next: Row, numbers: tuple[Any, ...], own: tuple[Float64, ...]
) -> Float64:
    rows = joined(*(Rows(1, horde.n, len(row.indices), *row) for row in (x, x_next)))
    given = [(own[i] if each is None else each)[np.newaxis] for i, each in enumerate(numbers)]
    names = ("cumulants", "gammas", "lambdas", "rhos")
    deltas = np.empty((1, horde.m))
    horde.run(HordeStream(steps=1, rows=rows, deltas=deltas, **dict(zip(names, given, strict=True))))
    return deltas[0]


def folded(kind: str) -> bool:
    """Whether the step size is in the trace, e = alpha z."""
    return kind in _FOLDED


def _laid_down(lanes: Lanes) -> dict[str, NDArray[Any]]:
    return {"position": lanes.position, "chunks": np.array([lanes.chunks])}


def _lanes_from(arrays: dict[str, Any], m: int) -> Lanes:
    position, chunks = np.asarray(arrays["position"]), np.asarray(arrays["chunks"])
    check_arrays(
        {"position": position, "chunks": chunks}, {"position": np.zeros(m, int), "chunks": np.zeros(1, int)}
    )
    count = int(chunks[0])
    if not (0 < count <= MOST_CHUNKS and (position >= 0).all() and (position < EIGHT * count).all()):
        raise ValueError(f"state: its {count} chunks have no such lanes")
    if "words" in arrays and len(arrays["words"]) != count:
        raise ValueError(f"state: has words of {len(arrays['words'])} chunks, it says {count}")
    if len(np.unique(position)) != m:
        raise ValueError("state: two predictions have one lane")
    return Lanes(position.copy(), count)


def copied_to(trace: HordeTrace, backend: str) -> HordeTrace:
    other = new_horde(trace.kind, trace.n, trace.lanes, backend)
    other.set_vectors(trace.vectors())
    other.carry(trace.carried())
    return other
