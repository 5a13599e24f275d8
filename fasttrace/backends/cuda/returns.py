"""Returns of trajectories on a GPU: csrc/returns.cu has the kernels.

Shapes and types are checked, and numbers of Python; entries of arrays are not looked at, for that would make
the host wait for the device.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Iterator
from typing import Any, NamedTuple

from ... import arguments
from . import device
from .arrays import View, kind_of, library_of

_FAMILIES = {
    "lambda_returns": "FT_LAMBDA",
    "off_policy_returns": "FT_OFF_POLICY",
    "off_policy_action_returns": "FT_ACTION",
    "retrace": "FT_RETRACE_RETURN",
    "tree_backup": "FT_ACTION",
    "q_sigma": "FT_Q_SIGMA_RETURN",
    "gae": "FT_GAE",
    "vtrace": "FT_VTRACE",
    "discounted_sum": "FT_SUM",
    "upgo": "FT_UPGO",
}
_PAIRS = ("gae", "vtrace")
_SIZES = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2}
_FLAGS = ("bool", "uint8", "int8")
_THREADS, _FEW, _DEEP = 256, 128, 8  # as csrc/returns.cu has them
_FILLED = 128  # blocks that keep most of a GPU busy
_MANY = 2**16  # trajectories that keep a GPU busy, a thread each

# Of ft_problem.
_NUMBERS = ("T", "B", "horizon", "across", "tiles", "gammas_f64", "lambdas_f64")
_BARS = ("rho_bar", "c_bar", "pg_rho_bar")
_ARRAYS = (
    "rewards", "values", "nexts", "last", "next_values", "rhos", "pi", "sigmas", "q", "gammas", "lambdas",
    "terminated", "truncated", "mask", "out", "second",
)  # fmt: skip
_FORM = struct.Struct("=7q3dq" + 16 * "3qd")


class Strided(NamedTuple):
    """See ft_strided."""

    at: int = 0
    t: int = 0
    b: int = 0
    number: float = 0.0


class Launch(NamedTuple):
    """A kernel of csrc/returns.cu, with the numbers of ft_problem that it goes by."""

    kernel: str
    grid: tuple[int, int]
    threads: int
    across: int = 1
    tiles: int = 1


class _Call:
    """The arguments of one call, checked and laid out as ft_problem has them."""

    def __init__(self, kind: Any, rewards: Any, time_axis: Any) -> None:
        self.kind, self.library = kind, library_of(rewards)
        self.kept: list[Any] = []  # copies, which live until the kernels are launched
        self.spans: list[tuple[int, int]] = []  # where kernels read
        shape = self.view("rewards", rewards).shape
        if not shape:
            raise ValueError(
                "rewards: got shape (), expected (T,), (T, B, ...), or with time_axis=1 (B, T, ...)"
            )
        self.axis = arguments.count("time_axis", time_axis, 0, 1) if len(shape) > 1 else 0
        self.batch = shape[: self.axis] + shape[self.axis + 1 :]
        self.T, self.B = shape[self.axis], math.prod(self.batch)

    def is_array(self, value: Any) -> bool:
        return library_of(value) == self.library

    def view(self, name: str, array: Any) -> View:
        if not self.is_array(array):
            raise TypeError(f"{name}: got {type(array).__name__}, expected an array of {self.library}")
        view: View = self.kind.view(name, array)
        if view.device != self.kind.device:
            raise TypeError(f"{name}: got an array on GPU {view.device}, expected GPU {self.kind.device}")
        return view

    def shape(self, rows: int) -> tuple[int, ...]:
        return (*self.batch[: self.axis], rows, *self.batch[self.axis :])

    def copied(self, name: str, array: Any) -> tuple[Any, View]:
        self.kept.append(array)
        return array, self.view(name, array)

    def real(self, name: str, array: Any, *dtypes: str) -> tuple[Any, View]:
        """The array, or if it is of none of these types a copy that is of the first."""
        view = self.view(name, array)
        if view.dtype in dtypes:
            return array, view
        if view.dtype == "bool" or view.dtype.startswith("complex"):
            raise TypeError(f"{name}: expected real numbers, got dtype {view.dtype}")
        array, view = self.copied(name, self.kind.cast(array, dtypes[0]))
        self.is_of(name, view, dtypes[0])
        return array, view

    def is_of(self, name: str, view: View, dtype: str) -> None:
        if view.dtype != dtype:
            raise TypeError(f"{name}: {self.library} makes {view.dtype} for {dtype}, which is to be enabled")

    def merged(self, view: View) -> Strided | None:
        """With one axis of trajectories; None where one stride does not lead from each to the next."""
        at, step, expected = self.axis, 0, None
        for i in reversed([i for i, n in enumerate(view.shape) if i != at and n != 1]):
            if expected is None:
                step = view.strides[i]
            elif view.strides[i] != expected:
                return None
            expected = view.strides[i] * view.shape[i]
        return Strided(view.at, view.strides[at], step)

    def laid(self, name: str, array: Any, view: View) -> Strided:
        """An array with rows of time."""
        laid = self.merged(view)
        if laid is None:
            array = self.kind.moved(array, self.axis, 0)
            _, view = self.copied(name, array.reshape(view.shape[self.axis], self.B))
            laid = Strided(view.at, *view.strides)
        self.spans.append(view.span())
        return laid

    def rows(self, name: str, array: Any, dtype: str, *rows: int) -> Strided:
        """rows: how many it may have."""
        array, view = self.real(name, array, dtype)
        if view.shape not in map(self.shape, rows):
            expected = " or ".join(str(self.shape(each)) for each in rows)
            raise ValueError(f"{name}: got shape {view.shape}, expected {expected}")
        return self.laid(name, array, view)

    def each(self, name: str, value: Any, dtype: str) -> Strided:
        """A number for all trajectories, or an array of one for each."""
        if not self.is_array(value):
            return Strided(number=arguments.real(name, value))
        array, view = self.real(name, value, dtype)
        if view.shape not in ((), self.batch):
            raise ValueError(f"{name}: got shape {view.shape}, expected {self.batch}")
        if len(view.shape) > 1:
            _, view = self.copied(name, array.reshape(self.B))
        self.spans.append(view.span())
        return Strided(view.at, 0, *view.strides)

    def rate(self, name: str, value: Any) -> tuple[Strided, bool]:
        """gammas or lambdas, and whether they are float64."""
        if not self.is_array(value):
            return Strided(number=arguments.unit(name, value)), True
        array, view = self.real(name, value, "float64", "float32")
        f64 = view.dtype == "float64"
        if view.shape == self.shape(self.T):
            return self.laid(name, array, view), f64
        if view.shape not in ((), (self.T,)):
            each = f" or {self.shape(self.T)}" if self.batch else ""
            raise ValueError(f"{name}: got shape {view.shape}, expected a number, ({self.T},){each}")
        self.spans.append(view.span())
        return Strided(view.at, *view.strides), f64

    def ratio(self, name: str, value: Any, dtype: str) -> Strided:
        if not self.is_array(value):
            return Strided(number=(arguments.bar if name == "rhos" else arguments.unit)(name, value))
        if not value.shape:
            return self.each(name, value, dtype)
        return self.rows(name, value, dtype, self.T, self.T + 1)

    def flags(self, name: str, array: Any) -> Strided:
        if array is None:
            return Strided()
        view = self.view(name, array)
        if view.dtype not in _FLAGS:
            array, view = self.copied(name, array != 0)
        if view.shape != self.shape(self.T):
            raise ValueError(f"{name}: got shape {view.shape}, expected {self.shape(self.T)}")
        return self.laid(name, array, view)

    def results(self, dtype: str) -> Any:
        """A new array for them, whose trajectories make one axis."""
        if len(self.batch) > 1:
            return self.kind.moved(self.kind.empty((self.T, *self.batch), dtype), 0, self.axis)
        return self.kind.empty(self.shape(self.T), dtype)


def on_device(family: str, given: dict[str, Any]) -> Any:
    """What fasttrace.returns.{family} returns, of arrays of one library on one GPU.

    given   its arguments, by name

    The results are that library's, on the stream that is current there; it has not to be waited for.
    Errors: as there, but for what would have to be read: flags, rates and ratios are taken as they are, and
    `truncated` without next_values is refused.
    """
    kind, key = kind_of("rewards", given["rewards"]), None
    if given.get("out") is None:
        key = _key(family, kind, given)
        if (known := _known.get(key)) is not None:
            return _again(known, kind, given)
    call = _Call(kind, given["rewards"], given.get("time_axis", 0))
    narrow = _type_of(call, given)
    dtype = "float64" if narrow == "float64" else "float32"
    numbers, arrays = _problem_of(family, call, given, dtype)
    outs, written = _outs_of(family, call, given.get("out"), dtype, arrays)
    if call.T and call.B:
        problem = _problem(call, dtype, numbers, arrays)
        _run(kind, problem, [words for _, words in problem.launches])
        if key and not call.kept and narrow == dtype and len(call.batch) <= 1:
            if len(_known) >= _KNOWN:
                _known.clear()
            _known[key] = problem._replace(places=_places(family, call, given, arrays, len(written)))
    return _results_of(call, outs, written, dtype, narrow)


# ---- calls that are like one before, but for where arrays are ----


class Problem(NamedTuple):
    """What is launched, for arrays of these shapes.

    launches  each with ft_problem, as 64-bit words
    places    (word, name of an argument, bytes behind its beginning) of the addresses in it
    entries   doubles of `work`
    """

    macros: tuple[str, str]
    launches: list[tuple[Launch, array[int]]]
    entries: int
    shape: tuple[int, ...]
    dtype: str
    places: tuple[tuple[int, str, int], ...] = ()


_KNOWN = 256
_known: dict[Any, Problem] = {}


def _key(family: str, kind: Any, given: dict[str, Any]) -> Any:
    """All that a problem hangs on, but for addresses; None where it cannot be said."""
    library = library_of(given["rewards"])
    parts: list[Any] = [family, library]
    for name, value in given.items():
        own = value is not None and library_of(value) == library
        parts += (name, kind.form(value) if own else value, type(value))
    try:
        hash(key := tuple(parts))
    except TypeError:
        return None
    return key


def _again(problem: Problem, kind: Any, given: dict[str, Any]) -> Any:
    results = {"out": kind.empty(problem.shape, problem.dtype)}
    if problem.places[-1][1] == "second":
        results["second"] = kind.empty(problem.shape, problem.dtype)
    there = given | results
    addresses = [(word, kind.address(there[name]) + offset) for word, name, offset in problem.places]
    all_words = [words[:] for _, words in problem.launches]
    for words in all_words:
        for word, address in addresses:
            words[word] = address
    _run(kind, problem, all_words)
    return tuple(results.values()) if len(results) == 2 else results["out"]


def _places(
    family: str, call: _Call, given: dict[str, Any], arrays: dict[str, Strided], results: int
) -> tuple[tuple[int, str, int], ...]:
    following = "expected_q" if "expected_q" in given else "values"
    source = {
        "nexts": following,
        "values": "q" if "q" in given and family != "upgo" else following,
        "last": following if given.get("bootstrap") is None else "bootstrap",
    }
    if family == "tree_backup":
        source["rhos"] = "pi"
    places = []
    for name in _ARRAYS[:-2]:
        if (at := arrays.get(name, Strided()).at) != 0:
            argument = source.get(name, name)
            places.append((_word(name), argument, at - call.kind.address(given[argument])))
    return (*places, *((_word(name), name, 0) for name in _ARRAYS[-2:][:results]))


def _word(name: str) -> int:
    """Where the address of an array stands in ft_problem."""
    return len(_NUMBERS) + len(_BARS) + 1 + 4 * _ARRAYS.index(name)


# ---- arguments ----


def _type_of(call: _Call, given: dict[str, Any]) -> str:
    """The results' type: see fasttrace.returns."""
    names = ("rewards", "values", "q", "expected_q", "rhos", "pi", "sigmas")
    views = [call.view(name, given[name]) for name in names if call.is_array(given.get(name))]
    found = {view.dtype for i, view in enumerate(views) if i == 0 or view.shape}
    if not found <= _SIZES.keys() or "float64" in found:
        return "float64"
    return found.pop() if len(found) == 1 else "float32"


def _problem_of(
    family: str, call: _Call, given: dict[str, Any], dtype: str
) -> tuple[dict[str, Any], dict[str, Strided]]:
    T, bootstrap = call.T, given.get("bootstrap")
    arrays: dict[str, Strided] = {"rewards": call.rows("rewards", given["rewards"], dtype, T)}
    numbers: dict[str, Any] = {"T": T, "B": call.B, "horizon": 0}
    for name in ("gammas", "lambdas"):
        arrays[name], numbers[f"{name}_f64"] = call.rate(name, given.get(name, 1.0))
    for name in ("terminated", "truncated", "mask"):
        arrays[name] = call.flags(name, given.get(name))
    if given.get("next_values") is not None:
        arrays["next_values"] = call.rows("next_values", given["next_values"], dtype, T)
    elif given.get("truncated") is not None:
        raise ValueError(
            "truncated: got flags, which are not looked at on a GPU, expected next_values as well: what "
            "follows a truncation is the value of the state that it arrived in"
        )
    if given.get("horizon") is not None:
        numbers["horizon"] = arguments.count("horizon", given["horizon"], 1, 2**63 - 1)
    if bootstrap is not None:
        arrays["last"] = call.each("bootstrap", bootstrap, dtype)
    if family != "discounted_sum":
        name = "expected_q" if "expected_q" in given else "values"
        rows = (T + 1,) if bootstrap is None else (T + 1, T)
        arrays["values"] = arrays["nexts"] = nexts = call.rows(name, given[name], dtype, *rows)
        if bootstrap is None:
            arrays["last"] = Strided(nexts.at + T * nexts.t * _SIZES[dtype], 0, nexts.b)
    if "q" in given:
        arrays["q" if family == "upgo" else "values"] = call.rows("q", given["q"], dtype, T, T + 1)
    for name in ("rhos", "pi", "sigmas"):
        if name in given:
            arrays[name] = call.ratio(name, given[name], dtype)
    if family == "tree_backup":
        arrays["rhos"] = arrays["pi"]
    for name in _BARS:
        bar = given.get(name)
        numbers[name] = 1.0 if bar is None else arguments.bar(name, bar)
    own_bar = "_PG" if given.get("pg_rho_bar") is not None else ""
    return numbers | {"family": _FAMILIES[family] + own_bar}, arrays


# ---- results ----


def _outs_of(
    family: str, call: _Call, out: Any, dtype: str, arrays: dict[str, Strided]
) -> tuple[list[Any], list[Any]]:
    """What the caller wants the results in, and what the kernel writes to: that, or new arrays."""
    pair = family in _PAIRS
    outs = [] if out is None else list(out) if pair and isinstance(out, (tuple, list)) else [out]
    if outs and len(outs) != 1 + pair:
        raise TypeError(f"out: got {type(out).__name__}, expected a pair of arrays")
    views = [_is_out(f"out[{i}]" if pair else "out", call, each) for i, each in enumerate(outs)]
    if len(views) == 2 and _overlap(views[0].span(), views[1].span()):
        raise ValueError(
            "out: got a pair of arrays that share memory, expected two that do not overlap each other"
        )
    written = []
    for i, name in enumerate(("out", "second")[: 1 + pair]):
        fits = outs and views[i].dtype == dtype and call.merged(views[i])
        if not fits or any(_overlap(views[i].span(), span) for span in call.spans):
            written.append(call.results(dtype))
            view = call.view(name, written[-1])
            call.is_of("results", view, dtype)
            arrays[name] = call.merged(view) or Strided()
        else:
            written.append(outs[i])
            arrays[name] = fits
    return outs, written


def _is_out(name: str, call: _Call, out: Any) -> View:
    view = call.view(name, out)
    if view.shape != call.shape(call.T):
        raise ValueError(f"{name}: got shape {view.shape}, expected {call.shape(call.T)}")
    if view.dtype not in _SIZES:
        raise TypeError(f"{name}: got dtype {view.dtype}, expected {', '.join(_SIZES)}")
    if any(n > 1 and not stride for n, stride in zip(view.shape, view.strides, strict=True)):
        raise ValueError(f"{name}: got strides {view.strides}, where entries share memory")
    return view


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _results_of(call: _Call, outs: list[Any], written: list[Any], dtype: str, narrow: str) -> Any:
    results = []
    for i, found in enumerate(written):
        if outs and outs[i] is not found:
            call.kind.assign(outs[i], found)
        results.append(outs[i] if outs else found if dtype == narrow else call.kind.cast(found, narrow))
    return results[0] if len(results) == 1 else (results[0], results[1])


# ---- launches ----


def _problem(call: _Call, dtype: str, numbers: dict[str, Any], arrays: dict[str, Strided]) -> Problem:
    T, B, h = call.T, call.B, numbers["horizon"]
    horizon = h if h < T else 0
    time_major = abs(arrays["rewards"].t) >= abs(arrays["rewards"].b) or B == 1
    launches = []
    for each in plan(T, B, horizon, time_major):
        own = numbers | {"horizon": horizon, "across": each.across, "tiles": each.tiles}
        parts = [part for name in _ARRAYS for part in arrays.get(name, Strided())]
        packed = _FORM.pack(*(own[name] for name in (*_NUMBERS, *_BARS)), 0, *parts)
        launches.append((each, array("q", packed)))
    entries = -(-T // h) * h * B if horizon else 2 * B * each.grid[1] if len(launches) > 1 else 0
    macros = f"FT_REAL={'double' if dtype == 'float64' else 'float'}", f"FT_FAMILY={numbers['family']}"
    return Problem(macros, launches, entries, call.shape(T), dtype)


def _run(kind: Any, problem: Problem, all_words: list[array[int]]) -> None:
    if problem.entries:  # float64 is not to be had of JAX, unless it is enabled
        work = kind.empty((2 * problem.entries,), "float32")
    for (each, _), words in zip(problem.launches, all_words, strict=True):
        if problem.entries:
            words[len(_NUMBERS) + len(_BARS)] = kind.address(work)
        device.launch(
            "returns", problem.macros, each.kernel, kind.device, kind.stream(), each.grid, each.threads,
            words.tobytes(),
        )  # fmt: skip
    kind.finish()


def plan(T: int, B: int, horizon: int, time_major: bool) -> Iterator[Launch]:
    """Which kernels, and how large.  T, B at least 1."""
    if horizon:
        yield Launch("windows", (-(-B * -(-T // horizon) // _FEW), 1), _FEW)
        return
    if time_major and (B >= _MANY or T <= 2 * _DEEP):
        yield Launch("columns", (-(-B // _FEW), 1), _FEW)
        return
    # Neighbours in memory for neighbours among the threads; but fewer of them where the GPU would stand idle.
    across = min(32, _power(B)) if time_major else 1
    while not time_major and across < _THREADS and _THREADS // (2 * across) * _DEEP >= T:
        across *= 2
    while across > 1 and -(-B // across) < _FILLED and _THREADS // across * _DEEP < T:
        across //= 2
    blocks, all_tiles = -(-B // across), -(-T // (_THREADS // across * _DEEP))
    segments = min(all_tiles, -(-2 * _FILLED // blocks), _THREADS // across) if blocks < _FILLED else 1
    tiles = -(-all_tiles // segments)
    grid = blocks, -(-all_tiles // tiles)
    if grid[1] > 1:
        yield Launch("segments", grid, _THREADS, across, tiles)
    yield Launch("tiles", grid, _THREADS, across, tiles)


def _power(n: int) -> int:
    """The first power of 2 that is not less."""
    return 1 << (n - 1).bit_length()
