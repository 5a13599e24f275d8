"""The tile coder: Sutton & Barto's section 9.5.4, and the same integers in every backend."""

import copy
import itertools
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from streams import BACKENDS, COMPILED

import fasttrace as ft

each_backend = pytest.mark.parametrize("backend", BACKENDS)
CAR = {"low": (-1.2, -0.07), "high": (0.6, 0.07), "tiles": 8, "tilings": 8}


def cells_by_the_book(state, tiles, tilings, wraps):
    """The cell of each tiling and dimension for a state in tile units, in exact fractions."""
    for j in range(tilings):
        cell = []
        for i, (s, n, circle) in enumerate(zip(state, tiles, wraps, strict=True)):
            s = s % n if circle else min(max(s, 0), n)
            displacement = Fraction(j * (2 * i + 1) % tilings, tilings)
            cell.append(math.floor(s + displacement) % (n if circle else n + 1))
        yield tuple(cell)


@st.composite
def coders_in_tile_units(draw):
    """Arguments of coders whose tiles are 1 wide, with which float64 is exact, and states of theirs."""
    dims = draw(st.integers(1, 3))
    tiles = draw(st.lists(st.sampled_from([1, 2, 4, 8]), min_size=dims, max_size=dims))
    tilings = draw(st.sampled_from([1, 2, 4, 8, 16]))
    wraps = draw(st.lists(st.booleans(), min_size=dims, max_size=dims))
    number = st.integers(-3 * 64, 11 * 64).map(lambda n: n / 64)
    states = draw(st.lists(st.lists(number, min_size=dims, max_size=dims), min_size=1, max_size=6))
    return tiles, tilings, wraps, states


@each_backend
@given(drawn=coders_in_tile_units())
def test_is_the_books(backend, drawn):
    """Each tiling's index is that of the cell which the definition gives in exact arithmetic."""
    tiles, tilings, wraps, states = drawn
    wrap = [i for i, circle in enumerate(wraps) if circle]
    coder = ft.TileCoder([0.0] * len(tiles), tiles, tiles, tilings, wrap=wrap, backend=backend)
    cells = [n + (not circle) for n, circle in zip(tiles, wraps, strict=True)]
    number = {cell: k for k, cell in enumerate(itertools.product(*map(range, cells)))}
    assert coder.n_features == tilings * len(number)
    for state, features in zip(states, coder(states), strict=True):
        fractions = [Fraction(s) for s in state]
        want = [
            j * len(number) + number[cell]
            for j, cell in enumerate(cells_by_the_book(fractions, tiles, tilings, wraps))
        ]
        assert features.tolist() == want


@each_backend
@given(drawn=coders_in_tile_units(), memory=st.integers(16, 1000))
def test_hash_is_as_documented(backend, drawn, memory):
    """With memory, the index is the documented hash of tiling and cell, in integers of any size."""
    tiles, tilings, wraps, states = drawn
    wrap = [i for i, circle in enumerate(wraps) if circle]
    low = [0.0] * len(tiles)
    coder = ft.TileCoder(low, tiles, tiles, tilings, wrap=wrap, memory=memory, backend=backend)
    assert coder.n_features == memory
    for state, features in zip(states, coder(states), strict=True):
        fractions = [Fraction(s) for s in state]
        for j, cell in enumerate(cells_by_the_book(fractions, tiles, tilings, wraps)):
            h = 0
            for v in (j, *cell):
                h = (h ^ v) * 0x9E3779B97F4A7C15 % 2**64
                h ^= h >> 32
            assert features[j] == (h >> 32) * memory >> 32


def test_hash_spreads_as_dice_would():
    """As many places stay empty as when tiles are thrown at random, to 6 standard deviations."""
    coder = ft.TileCoder([0.0] * 3, [8.0] * 3, 8, 16, memory=5000, backend="numpy")
    corners = list(itertools.product(range(9), repeat=3))  # one for each cell, whatever the tiling
    p = math.exp(-16 * len(corners) / coder.memory)
    empty = coder.memory - len(np.unique(coder(corners)))
    assert abs(empty - coder.memory * p) < 6 * math.sqrt(coder.memory * p * (1 - p))


@st.composite
def coders(draw):
    """Arguments of any coder."""
    dims = draw(st.integers(1, 4))
    bound = st.floats(-1e6, 1e6)
    low = draw(st.lists(bound, min_size=dims, max_size=dims))
    width = draw(st.lists(st.floats(1e-9, 1e6), min_size=dims, max_size=dims))
    high = [max(a + b, math.nextafter(a, math.inf)) for a, b in zip(low, width, strict=True)]
    tiles = draw(st.lists(st.integers(1, 12), min_size=dims, max_size=dims))
    tilings = draw(st.integers(1, 20))
    wrap = draw(st.sets(st.integers(0, dims - 1)))
    memory = draw(st.none() | st.integers(tilings, 2**31 - 1))
    return {"low": low, "high": high, "tiles": tiles, "tilings": tilings, "wrap": wrap, "memory": memory}


@st.composite
def states_of(draw, arguments):
    """States inside, on the bounds, outside, and, where nothing wraps, at infinity."""
    N, low, high = draw(st.integers(0, 8)), np.array(arguments["low"]), np.array(arguments["high"])
    u = draw(arrays(np.float64, (N, len(low)), elements=st.floats(-2, 3) | st.sampled_from([0.0, 1.0])))
    states = np.where(u == 1.0, high, low + u * (high - low))
    far = draw(arrays(np.float64, (N, len(low)), elements=st.floats(allow_nan=False)))
    take = draw(arrays(np.bool_, (N, len(low)), elements=st.integers(0, 9).map(lambda n: n == 0)))
    circles = np.isin(np.arange(len(low)), list(arguments["wrap"]))
    with np.errstate(over="ignore"):
        take &= ~circles | np.isfinite(far - low)
    return np.where(take, far, states)


@pytest.mark.parametrize("backend", COMPILED)
@given(data=st.data())
def test_backends_give_the_same_integers(backend, data):
    """For every coder and every state; and the integers are in range."""
    arguments = data.draw(coders())
    states = data.draw(states_of(arguments))
    want = ft.TileCoder(**arguments, backend="numpy")(states)
    coder = ft.TileCoder(**arguments, backend=backend)
    got = coder(states)
    assert got.dtype == want.dtype == np.int32
    assert_array_equal(got, want)
    assert got.size == 0 or (got.min() >= 0 and got.max() < coder.n_features)


@each_backend
@given(data=st.data())
def test_one_state_is_a_row_of_many(backend, data):
    """coder(states)[n] is coder(states[n])."""
    arguments = data.draw(coders())
    states = data.draw(states_of(arguments))
    coder = ft.TileCoder(**arguments, backend=backend)
    features = coder(states)
    assert features.shape == (len(states), coder.tilings)
    for state, row in zip(states, features, strict=True):
        assert_array_equal(coder(state), row)


@each_backend
def test_neighbours_share_tiles(backend):
    """States m / tilings of a tile apart, along one dimension, share all but m of the tilings."""
    coder = ft.TileCoder([0.0], [4.0], 4, 8, backend=backend)
    features = coder(np.arange(33)[:, None] / 8)
    for a, b in itertools.combinations(range(33), 2):
        assert np.sum(features[a] == features[b]) == max(8 - (b - a), 0)


@each_backend
def test_outside_is_the_border(backend):
    """A state outside has the features of the nearest state inside, infinities too."""
    coder = ft.TileCoder(**CAR, backend=backend)
    outside = [(-9.0, 0.0), (9.0, 0.0), (-np.inf, np.inf), (0.0, 1e300), (-1e300, -1e300)]
    inside = [(-1.2, 0.0), (0.6, 0.0), (-1.2, 0.07), (0.0, 0.07), (-1.2, -0.07)]
    assert_array_equal(coder(outside), coder(inside))


@each_backend
@pytest.mark.parametrize("memory", [None, 100])
def test_wrapped_comes_round(backend, memory):
    """Whole turns change nothing, nor does the turn from high to low."""
    coder = ft.TileCoder([-2.0, 0.0], [2.0, 1.0], 4, 8, wrap=[0], memory=memory, backend=backend)
    angle = np.arange(-16, 16) / 8
    still = np.full(32, 0.3)
    here = coder(np.stack([angle, still], axis=1))
    for turns in (-1000, -1, 1, 2**40):
        assert_array_equal(coder(np.stack([angle + 4 * turns, still], axis=1)), here)
    if memory is None:
        assert len(np.unique(here[:, 0])) == 4
        assert coder.n_features == 8 * 4 * 5


@each_backend
def test_tiny_step_below_low_wraps_safely(backend):
    """Rounding takes low - 1e-300 to high, which is low: not to a cell beyond the last."""
    coder = ft.TileCoder([0.0], [1.0], 3, 5, wrap=[0], backend=backend)
    assert_array_equal(coder([-1e-300]), coder([0.0]))


@each_backend
@pytest.mark.parametrize(
    ("state", "message"),
    [
        ([0.0, np.nan], "state: entry 1 is nan, expected a number"),
        ([[0.0, 0.0], [0.0, np.nan], [np.nan, 0.0]], "state: entry 1, 1 is nan, expected a number"),
        ([np.inf, 0.0], "state: entry 0 is inf, expected a finite number, for that dimension wraps"),
        ([[1.0, np.inf], [-np.inf, 0.0]], "state: entry 1, 0 is -inf, expected a finite"),
    ],
)
def test_says_which_state_is_nowhere(backend, state, message):
    coder = ft.TileCoder([0.0, 0.0], [1.0, 1.0], 4, 4, wrap=[0], backend=backend)
    with pytest.raises(ValueError, match=f"^{message}"):
        coder(np.array(state))


@each_backend
@pytest.mark.parametrize("memory", [0, 100])
def test_nothing_is_written_for_a_bad_state(backend, memory):
    """The features of a batch with one NaN, at its end, stay as they were."""
    coder = ft.TileCoder(**CAR, memory=memory or None, backend=backend)
    states = np.zeros((5, 2))
    states[4, 1] = np.nan
    idx = np.full((5, 8), -7, np.int32)
    assert not coder.kernel(backend).encode(5, states, idx)
    assert (idx == -7).all()


@each_backend
def test_takes_any_real_numbers(backend):
    """Lists, integers, float32, strided, reversed, read-only; and no states at all."""
    coder = ft.TileCoder([0, 0], [8, 8], 8, 8, backend=backend)
    want = coder(np.array([[1.0, 6.0], [3.0, 4.0]]))
    assert_array_equal(coder([[1, 6], [3, 4]]), want)
    for dtype in (np.int8, np.uint64, np.float16, np.float32, np.longdouble, ">f8"):
        assert_array_equal(coder(np.array([[1, 6], [3, 4]], dtype)), want)
    spread = np.zeros((4, 4))
    spread[::2, ::2] = [[3.0, 4.0], [1.0, 6.0]]
    assert_array_equal(coder(spread[::2, ::2][::-1]), want)
    column = np.asfortranarray([[1.0, 6.0], [3.0, 4.0]])
    assert_array_equal(coder(column), want)
    assert_array_equal(coder(column[0]), want[0])
    frozen = np.array([1.0, 6.0])
    frozen.flags.writeable = False
    assert_array_equal(coder(frozen), want[0])
    assert coder(np.zeros((0, 2))).shape == (0, 8)


@each_backend
@pytest.mark.parametrize(
    ("state", "error"),
    [
        ([0.0], ValueError),
        ([0.0, 0.0, 0.0], ValueError),
        (np.zeros((2, 3)), ValueError),
        (np.zeros((1, 2, 2)), ValueError),
        (0.0, ValueError),
        ([True, False], TypeError),
        (["a", "b"], TypeError),
        ([None, 0.0], TypeError),
        ([1j, 0.0], TypeError),
    ],
)
def test_refuses_other_states(backend, state, error):
    with pytest.raises(error, match="state"):
        ft.TileCoder(**CAR, backend=backend)(state)


@pytest.mark.parametrize(
    ("changed", "error", "names"),
    [
        ({"low": (0.6, -0.07)}, ValueError, r"low\[0\]"),
        ({"low": (0.6, -0.07), "high": (0.6, 0.07)}, ValueError, r"low\[0\]"),
        ({"high": (0.6, -0.08)}, ValueError, r"low\[1\]"),
        ({"high": (0.6,)}, ValueError, "high"),
        ({"low": ()}, ValueError, "low"),
        ({"low": np.zeros((1, 2))}, ValueError, "low"),
        ({"low": (np.nan, 0.0)}, ValueError, "low"),
        ({"high": (np.inf, 0.0)}, ValueError, "high"),
        ({"low": (-1e308, 0.0), "high": (1e308, 1.0)}, ValueError, r"high\[0\]"),
        ({"low": (0.0, 0.0), "high": (5e-324, 1.0)}, ValueError, r"high\[0\]"),
        ({"low": ("a", "b")}, TypeError, "low"),
        ({"low": (True, False)}, TypeError, "low"),
        ({"tiles": 0}, ValueError, "tiles"),
        ({"tiles": (8, 0)}, ValueError, r"tiles\[1\]"),
        ({"tiles": (8, 8, 8)}, ValueError, "tiles"),
        ({"tiles": 8.0}, TypeError, "tiles"),
        ({"tiles": True}, TypeError, "tiles"),
        ({"tiles": 2**31}, ValueError, "tiles"),
        ({"tiles": 2**14}, ValueError, "tiles.*features.*memory"),
        ({"tiles": 2**29, "memory": 4096}, ValueError, "tiles"),
        ({"tilings": 0}, ValueError, "tilings"),
        ({"tilings": 2.5}, TypeError, "tilings"),
        ({"wrap": (2,)}, ValueError, "wrap"),
        ({"wrap": (-1,)}, ValueError, "wrap"),
        ({"wrap": (0.0,)}, TypeError, "wrap"),
        ({"wrap": 1}, TypeError, "wrap"),
        ({"wrap": "01"}, TypeError, "wrap"),
        ({"memory": 0}, ValueError, "memory"),
        ({"memory": 7}, ValueError, "memory"),
        ({"memory": 2**31}, ValueError, "memory"),
        ({"memory": 4096.0}, TypeError, "memory"),
        ({"backend": "fortran"}, ValueError, "backend"),
    ],
)
def test_refuses_bad_arguments(changed, error, names):
    with pytest.raises(error, match=names):
        ft.TileCoder(**{**CAR, **changed})


@each_backend
def test_largest_coders(backend):
    """The last feature is the last int32 but one can ask for, on a grid and in memory."""
    top = 2**31 - 1
    grid = ft.TileCoder([0.0], [1.0], top - 2, 1, backend=backend)
    assert (grid.n_features, grid([1.0])[0]) == (top - 1, top - 2)
    hashed = ft.TileCoder([0.0] * 9, [1.0] * 9, 1000, 8, memory=top, backend=backend)
    features = hashed(np.linspace(0, 1, 90_000).reshape(-1, 9))
    assert hashed.n_features == top
    assert 0 <= features.min() < features.max() < top


@each_backend
@pytest.mark.parametrize("wrap", [(), (0,)])
@pytest.mark.parametrize("memory", [None, 512])
def test_copies_are_equal(backend, wrap, memory):
    """Pickle, copy and repr give equal coders, with the backend that was asked for."""
    coder = ft.TileCoder(**CAR, wrap=wrap, memory=memory, backend=backend)
    shown = eval(repr(coder), {"TileCoder": ft.TileCoder})
    for twin in (pickle.loads(pickle.dumps(coder)), copy.copy(coder), copy.deepcopy(coder), shown):
        assert (twin, hash(twin), twin.backend) == (coder, hash(coder), backend)
        assert_array_equal(twin([-0.5, 0.01]), coder([-0.5, 0.01]))


def test_unequal_coders():
    """One changed argument makes another coder; another backend does not."""
    coder = ft.TileCoder(**CAR)
    for changed in (
        {"low": (-1.3, -0.07)}, {"high": (0.6, 0.08)}, {"tiles": (8, 9)}, {"tilings": 4}, {"wrap": (1,)},
        {"memory": 512},
    ):  # fmt: skip
        assert coder != ft.TileCoder(**{**CAR, **changed})
    assert coder != "coder"
    assert coder == ft.TileCoder(**CAR, backend="numpy")


def test_attributes():
    """What was asked for, in one form; bounds that nobody can change."""
    coder = ft.TileCoder(**CAR, wrap=[1, 1])
    assert (coder.tiles, coder.tilings, coder.wrap, coder.memory) == ((8, 8), 8, (1,), None)
    assert coder.n_features == 8 * 9 * 8
    assert ft.backends()[coder.backend] is None
    assert_array_equal(coder.low, CAR["low"])
    with pytest.raises(ValueError, match="read-only"):
        coder.low[0] = 0.0


@pytest.mark.skipif(ft.backends()["c"] is not None, reason="the C library is not there")
@pytest.mark.parametrize(
    "changed",
    [
        {"dims": 0}, {"tilings": 0}, {"tilings": 2**31}, {"memory": -1}, {"memory": 2**31},
        {"low": (2.0, 0.0)}, {"low": (1.0, 0.0)}, {"low": (math.nan, 0.0)}, {"high": (math.inf, 1.0)},
        {"low": (-1e308, 0.0), "high": (1e308, 1.0)}, {"tiles": (0, 8)}, {"tiles": (8, 2**60)},
        {"tiles": (2**14, 2**14)}, {"tiles": (2**29, 1), "memory": 9},
    ],
    ids=str,
)  # fmt: skip
def test_c_refuses_bad_arguments(changed):
    """ft_tiles_init, as C programs call it, says FT_EVALUE and leaves the coder alone."""
    from fasttrace.backends.c import ffi, lib

    given = {"dims": 2, "tilings": 8, "low": (0.0, 0.0), "high": (1.0, 1.0), "tiles": (8, 8), "memory": 0}
    table = ffi.new("double[]", lib.ft_tiles_table_size(2, 8))

    def init(dims, tilings, low, high, tiles, memory):
        coder = ffi.new("ft_tiles *")
        status = lib.ft_tiles_init(coder, dims, tilings, low, high, tiles, (0, 1), memory, table)
        return status, coder.n_features

    assert init(**given) == (lib.FT_OK, 8 * 9 * 8)
    assert init(**{**given, **changed}) == (lib.FT_EVALUE, 0)
