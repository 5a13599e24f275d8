"""Usual calls, which one C function does: the general way's results to the bit, and what is left to it."""

import inspect
import pickle
import warnings

import numpy as np
import pytest
from returns_problems import KERNELS, draw

from fasttrace import registry
from fasttrace import returns as api

pytest.importorskip("fasttrace._call", exc_type=ImportError)
pytest.importorskip("fasttrace.backends.c.returns", exc_type=ImportError)

FUNCTIONS = [*KERNELS, "n_step_returns"]
PAIRS = ("gae", "vtrace")
OF_VALUES = ("lambda_returns", "n_step_returns", "off_policy_returns", "upgo")
ARGUMENTS = {row.kernel: row.arguments for row in registry.RETURNS}
ARGUMENTS["n_step_returns"] = ARGUMENTS["lambda_returns"]


def problem(function, shape=(7, 5), dtype=np.float64):
    """The arrays of a usual call in their order, and all keywords that it may have."""
    T, B = shape if len(shape) == 2 else (shape[0], 1)
    given = draw(
        "lambda_returns" if function == "n_step_returns" else function, T, B, dtype=dtype, masked=0.2
    )
    arrays = [given["rewards"], *(given["extra"][name] for name in ARGUMENTS[function])]
    names = ("gammas", "lambdas", "terminated", "truncated", "mask", "next_values")
    more = {name: given[name] for name in names}
    if len(shape) == 1:
        arrays = [each[:, 0].copy() for each in arrays]
        more = {name: each[:, 0].copy() for name, each in more.items()}
    return arrays, {**more, "bootstrap": np.full(B, 0.7, dtype), "n": 3}


def keywords(function, more, *names, **others):
    """Of those in `more` the named ones; numbers for gammas and lambdas, if they are not among them."""
    numbers = {"gammas": 0.9, "lambdas": 0.8} | ({"n": more["n"]} if function == "n_step_returns" else {})
    return numbers | {name: more[name] for name in names} | others


def raw(array):
    """An array's numbers as bytes; a long double has some that are none of its own."""
    return (array.astype(np.float64) if array.dtype == np.longdouble else array).tobytes()


def outcome(function, arrays, **more):
    """What a call comes to: results, as bytes, or an exception, as text; and the warnings."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            found = getattr(api, function)(*arrays, **more)
        except Exception as error:
            return type(error), str(error), str(error.__cause__)
    found = found if isinstance(found, tuple) else (found,)
    told = [str(each.message) for each in warned]
    return [(each.shape, each.dtype.str, raw(each)) for each in found], told


def refuse_the_general_way(monkeypatch):
    def general(*args, **more):
        raise AssertionError("the general way")

    monkeypatch.setattr(api, "_any_returns", general)


def load():
    """Before the first call of all there is no kernel."""
    api.discounted_sum([1.0], gammas=1.0)


def is_quick(monkeypatch, function, arrays, **more):
    """The quick way takes the call, and agrees with the general one; its results."""
    load()
    with monkeypatch.context() as patch:
        patch.setattr(api, "native", None)
        want = outcome(function, arrays, **more)
    with monkeypatch.context() as patch:
        refuse_the_general_way(patch)
        found = getattr(api, function)(*arrays, **more)
        assert outcome(function, arrays, **more) == want
    return found


FORMS = {
    "as it is": (),
    "terminated": ("terminated",),
    "truncated": ("terminated", "truncated", "next_values"),
    "truncated alone": ("truncated", "next_values"),
    "next values alone": ("next_values",),
    "bootstrap": ("terminated", "bootstrap"),
    "rates": ("gammas", "lambdas", "terminated"),
    "all": ("gammas", "lambdas", "terminated", "truncated", "next_values", "bootstrap"),
}
SHAPES = [(128, 8), (7, 5), (1, 3), (7, 1), (1, 1), (9,), (70,), (1,), (1100, 9)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_usual_calls_are_quick(function, form, dtype, monkeypatch):
    """Of every function, with and without out: the same to the bit."""
    for shape in SHAPES:
        arrays, more = problem(function, shape, dtype)
        given = keywords(function, more, *FORMS[form])
        if "bootstrap" in given and function != "discounted_sum":
            arrays = [each[: shape[0]] for each in arrays]
        found = is_quick(monkeypatch, function, arrays, **given)
        if function in PAIRS:
            out = tuple(np.full(shape, 9, dtype) for _ in range(2))
        else:
            out = np.full(shape, 9, dtype)
        assert is_quick(monkeypatch, function, arrays, **given, out=out) is out
        np.testing.assert_array_equal(np.array(out), np.array(found))
        for each in found if function in PAIRS else [found]:
            assert type(each) is np.ndarray
            assert each.flags.carray
            assert each.flags.owndata


@pytest.mark.parametrize("function", FUNCTIONS)
def test_other_usual_calls_are_quick(function, monkeypatch):
    """Masks, horizons, rates by the step and of another type, other numbers, and what goes without saying."""
    arrays, more = problem(function)
    narrow, _ = problem(function, dtype=np.float32)
    by_step, spare = np.linspace(0, 1, 7), len(arrays) > 1
    everything = np.ones((7, 5), bool)

    def quick(*names, arrays=arrays, **others):
        is_quick(monkeypatch, function, arrays, **keywords(function, more, *names, **others))

    quick(mask=everything)
    if function not in OF_VALUES:
        quick("mask")
        quick("mask", "terminated", "truncated", "next_values")
    quick(truncated=~everything)
    quick("terminated", horizon=2)
    quick("truncated", "next_values", horizon=7)
    quick(horizon=2**63 - 1)
    quick(gammas=by_step, lambdas=by_step)
    quick("gammas", arrays=narrow)
    quick(gammas=more["gammas"].astype(np.float32))
    for number in (1, 0, np.float64(0.5), np.float32(0.5), np.float16(0.5), np.int8(1)):
        quick(gammas=number, lambdas=number)
    quick(
        terminated=None, truncated=None, mask=None, next_values=None, bootstrap=None, horizon=None, out=None
    )
    quick(time_axis=0, backend="auto")
    quick(backend="c")
    for array in (*arrays, *(more[name] for name in ("terminated", "truncated", "next_values"))):
        array.flags.writeable = False
    quick("terminated", "truncated", "next_values")
    short = [each[:7] for each in arrays]
    for number in (0.25, np.float64(0.25), np.float32(0.25), np.nan, np.inf):
        quick(bootstrap=number, arrays=short)
    if spare and function not in OF_VALUES + PAIRS:
        quick(arrays=[arrays[0], arrays[1][:7], arrays[2], *(each[:7] for each in arrays[3:])])


def test_bounds_of_ratios_are_quick(monkeypatch):
    arrays, more = problem("vtrace", (128, 8))
    for bars in ({"rho_bar": 1.3, "c_bar": 0.7}, {"rho_bar": np.inf, "c_bar": 2}, {"pg_rho_bar": 0.5}):
        is_quick(monkeypatch, "vtrace", arrays, **keywords("vtrace", more, "terminated", **bars))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nan_goes_the_same_ways(function, monkeypatch):
    """In rewards and values, behind terminations, and in what nothing reads."""
    arrays, more = problem(function, (40, 6))
    rng = np.random.default_rng(0)
    for each in arrays[: 1 if function == "discounted_sum" else 2]:
        each[rng.random(each.shape) < 0.05] = np.nan
    more["next_values"][~more["truncated"]] = np.nan
    is_quick(monkeypatch, function, arrays, **keywords(function, more, *FORMS["truncated"]))


@pytest.mark.parametrize("function", ["gae", "lambda_returns", "discounted_sum"])
def test_bytes_of_bool_that_are_neither_0_nor_1(function, monkeypatch):
    """As the general way takes them."""
    arrays, more = problem(function)
    rng = np.random.default_rng(0)
    odd = {
        name: rng.integers(0, 256, (7, 5)).astype(np.uint8).view(bool) for name in ("terminated", "truncated")
    }
    is_quick(monkeypatch, function, arrays, **keywords(function, more, "next_values", **odd))
    if function not in OF_VALUES:
        odd["mask"] = rng.integers(0, 256, (7, 5)).astype(np.uint8).view(bool)
        is_quick(monkeypatch, function, arrays, **keywords(function, more, "next_values", **odd))


# ---- what is left to the general way ----


class Array(np.ndarray):
    """A subclass."""


def misaligned(x):
    memory = np.empty(x.nbytes + 1, np.uint8)[1:]
    copy = np.ndarray(x.shape, x.dtype, memory)
    copy[...] = x
    return copy


CHANGES = {
    "list": lambda x: x.tolist(),
    "integers": lambda x: np.rint(x).astype(int),
    "half": lambda x: x.astype(np.float16),
    "single": lambda x: x.astype(np.float32),
    "long": lambda x: x.astype(np.longdouble),
    "complex": lambda x: x.astype(complex),
    "objects": lambda x: x.astype(object),
    "text": lambda x: x.astype(str),
    "other byte order": lambda x: x.astype(x.dtype.newbyteorder()),
    "turned": np.asfortranarray,
    "backwards": lambda x: x[::-1],
    "strided": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "misaligned": misaligned,
    "subclass": lambda x: x.view(Array),
    "masked": np.ma.masked_array,
    "a row less": lambda x: x[:-1],
    "a row more": lambda x: np.concatenate([x, x[:1]]),
    "a column less": lambda x: x[:, :-1].copy(),
    "one column": lambda x: x[:, 0].copy(),
    "one row": lambda x: x[0].copy(),
    "a third axis": lambda x: x[..., None],
    "a number": lambda x: 0.5,
    "nothing": lambda x: x[:0],
    "None": lambda x: None,
    "a missing one": lambda x: api._MISSING,
    "negative": lambda x: -np.abs(x) - 0.25,
    "negative zero": lambda x: np.where(np.arange(x.size).reshape(x.shape) == 3, -0.0, x),
    "large": lambda x: 1.5 + x,
    "infinite": lambda x: np.where(np.arange(x.size).reshape(x.shape) == 3, np.inf, x),
    "NaN": lambda x: np.where(np.arange(x.size).reshape(x.shape) == 3, np.nan, x),
    "NaN of the other sign": lambda x: np.where(np.arange(x.size).reshape(x.shape) == 3, -np.nan, x),
}  # fmt: skip


def agree(monkeypatch, function, arrays, **more):
    load()
    found = outcome(function, arrays, **more)
    with monkeypatch.context() as patch:
        patch.setattr(api, "native", None)
        assert found == outcome(function, arrays, **more), more.keys()
    return found


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_unusual_arrays(function, change, monkeypatch):
    """Each array of a call in turn: results, exceptions and warnings as they are without the quick way."""
    arrays, more = problem(function)
    more["mask"][:] = True
    names = ("gammas", "lambdas", "terminated", "truncated", "mask", "next_values")
    given = keywords(function, more, *names)
    for i in range(len(arrays)):
        changed = [CHANGES[change](each) if i == j else each for j, each in enumerate(arrays)]
        agree(monkeypatch, function, changed, **given)
    for name in names:
        x = given[name].astype(float) if given[name].dtype == bool else given[name]
        agree(monkeypatch, function, arrays, **(given | {name: CHANGES[change](x)}))
    short = [each[:7] for each in arrays]
    last = np.linspace(0, 1, 5)
    if change not in ("strided", "a column less", "one column"):
        agree(monkeypatch, function, short, **(given | {"bootstrap": CHANGES[change](last)}))
    agree(monkeypatch, function, arrays, **(given | {"bootstrap": last}))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_unusual_arguments(function, monkeypatch):
    """Numbers out of range and of other kinds, options, keywords that there are not, and none at all."""
    arrays, more = problem(function)
    narrow = [each[:7].astype(np.float32) for each in arrays]
    given = keywords(function, more, "terminated")
    for name in ("gammas", "lambdas"):
        for value in (
            -0.1, 1.1, np.nan, np.inf, True, np.True_, None, "0.9", 10**400, 2, np.float64(1.5), 0.5j,
            np.array(0.5), [0.5], np.timedelta64(1), np.datetime64("2020-01-01"), -0.0, np.longdouble(0.5),
        ):  # fmt: skip
            agree(monkeypatch, function, arrays, **(given | {name: value}))
    for others in (
        {"horizon": 0}, {"horizon": -1}, {"horizon": True}, {"horizon": 2.0}, {"horizon": np.int64(2)},
        {"horizon": 2**63}, {"horizon": -(2**70)}, {"horizon": "2"}, {"time_axis": 1}, {"time_axis": None},
        {"time_axis": False}, {"time_axis": np.int64(0)}, {"time_axis": 2}, {"time_axis": 2**64},
        {"backend": "numpy"}, {"backend": None}, {"backend": "C"}, {"backend": []}, {"gamma": 0.9},
        {"terminate": None}, {"truncated": more["truncated"]}, {"mask": more["mask"]},
        {"mask": more["mask"], "truncated": more["truncated"]}, {"next_values": None},
    ):  # fmt: skip
        agree(monkeypatch, function, arrays, **(given | others))
    for last in (1, True, 1e300, -1e39, np.float64(1e300), np.float16(0.5), 10**30, [0.5], np.array(0.5)):
        agree(monkeypatch, function, narrow, **given, bootstrap=last)
    joined = "".join(["back", "end"])  # not the string that the compiler has kept
    agree(monkeypatch, function, arrays, **given, **{joined: "c"})
    for n in range(len(arrays)):
        agree(monkeypatch, function, arrays[:n], **given)
    agree(monkeypatch, function, [*arrays, arrays[0]], **given)
    for name in given:
        agree(monkeypatch, function, arrays, **{key: x for key, x in given.items() if key != name})


def test_unusual_bounds_of_ratios(monkeypatch):
    arrays, more = problem("vtrace")
    given = keywords("vtrace", more)
    for name in ("rho_bar", "c_bar", "pg_rho_bar"):
        for value in (-1.0, -0.0, np.nan, True, None, "1", [1.0], np.array(1.0), np.float32(1.5), 1j):
            agree(monkeypatch, "vtrace", arrays, **given, **{name: value})
    agree(monkeypatch, "vtrace", arrays, **given, rho_bar=-1.0, c_bar=-1.0, pg_rho_bar=-1.0, horizont=3)


OUTS = {
    "read-only": lambda out, arrays: np.frombuffer(bytes(out.nbytes), out.dtype).reshape(out.shape),
    "misaligned": lambda out, arrays: misaligned(out),
    "turned": lambda out, arrays: np.asfortranarray(out),
    "strided": lambda out, arrays: np.zeros((7, 10))[:, ::2],
    "wider": lambda out, arrays: out.astype(np.longdouble),
    "narrower": lambda out, arrays: out.astype(np.float32),
    "integers": lambda out, arrays: out.astype(int),
    "of another shape": lambda out, arrays: np.zeros((5, 7)),
    "a subclass": lambda out, arrays: out.view(Array),
    "a list": lambda out, arrays: out.tolist(),
    "one row for all": lambda out, arrays: np.lib.stride_tricks.as_strided(out, out.shape, (0, 8)),
    "the rewards": lambda out, arrays: arrays[0],
    "the last array": lambda out, arrays: arrays[-1][-7:],
    "half an entry off": lambda out, arrays: np.ndarray((7, 5), buffer=arrays[0].base, offset=4),
    "behind the rewards": lambda out, arrays: np.ndarray((7, 5), buffer=arrays[0].base, offset=280),
}


@pytest.mark.parametrize("how", OUTS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_unusual_places_for_results(function, how, monkeypatch):
    """What comes back, what is refused, and what the place then holds."""
    held = []
    for native in (api.native, None):
        arrays, more = problem(function)
        memory = np.zeros(2 * arrays[0].nbytes, np.uint8)
        arrays[0] = np.ndarray((7, 5), buffer=memory)
        arrays[0][...] = problem(function)[0][0]
        place = OUTS[how](np.zeros((7, 5)), arrays)
        given, other = keywords(function, more, "terminated"), np.zeros((7, 5))
        load()
        for out in (
            place, (place, other), (other, place), [place, other], (place, place), (place,),
            (other, other[:]), (),
        ):  # fmt: skip
            with monkeypatch.context() as patch:
                patch.setattr(api, "native", native)
                held.append(outcome(function, arrays, **given, out=out))
            held.append([raw(np.array(each)) for each in (place, other, *arrays)])
    half = len(held) // 2
    assert held[:half] == held[half:]


def test_a_place_behind_an_input_is_quick(monkeypatch):
    """Memory that only borders on another's."""
    memory = np.linspace(0, 1, 4 * 35)
    rewards, first, second = (memory[i * 35 : (i + 1) * 35].reshape(7, 5) for i in range(3))
    values = np.linspace(1, 2, 40).reshape(8, 5)
    is_quick(monkeypatch, "gae", [rewards, values], gammas=0.9, out=(first, second))
    is_quick(monkeypatch, "gae", [rewards, values], gammas=0.9, out=(second, first))


def test_long_calls_go_the_general_way(monkeypatch):
    """In pieces, between which Ctrl-C is heard."""
    load()
    refuse_the_general_way(monkeypatch)
    assert not api.discounted_sum(np.zeros(2**22), gammas=1.0).any()
    with pytest.raises(AssertionError, match="the general way"):
        api.discounted_sum(np.zeros(2**22 + 1), gammas=1.0)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_are_what_they_were(function):
    """Of Python: with a signature, annotations, and a place to be pickled by."""
    found = getattr(api, function)
    assert inspect.isfunction(found)
    assert pickle.loads(pickle.dumps(found)) is found
    assert inspect.signature(found).parameters["rewards"].annotation == "ArrayLike"
