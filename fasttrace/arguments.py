"""Checks of numbers and arrays: what was given, what is allowed, and where.  Nothing is changed here."""

from __future__ import annotations

import functools
import inspect
import math
import operator
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast, overload

import numpy as np
from numpy.typing import NDArray

FLOAT64, INT64, INT32 = np.dtype(np.float64), np.dtype(np.int64), np.dtype(np.int32)
_NUMERIC = "iuf"
_PRODUCT = 8192  # numbers up to which OpenBLAS keeps a product on the caller's thread
_Choice = TypeVar("_Choice", bound=str)
_Function = TypeVar("_Function", bound=Callable[..., Any])


def real(name: str, value: Any) -> float:
    """`value` as a float; TypeError for what is not a real number."""
    kind = value.dtype.kind if isinstance(value, (np.ndarray, np.generic)) else "f"
    if kind not in _NUMERIC or isinstance(value, (bool, str, bytes)):
        raise TypeError(f"{name}: expected a real number, got {_short(value)}")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected a real number, got {_short(value)}") from None
    except OverflowError:
        raise ValueError(f"{name}: got {_short(value)}, expected a number that float64 holds") from None


def finite(name: str, value: Any) -> float:
    number = real(name, value)
    if not math.isfinite(number):
        raise ValueError(f"{name}: got {number}, expected a finite number")
    return number


def unit(name: str, value: Any) -> float:
    number = real(name, value)
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"{name}: got {number}, expected a number from 0 to 1")
    return number


def positive(name: str, value: Any) -> float:
    number = real(name, value)
    if not 0.0 < number < math.inf:
        raise ValueError(f"{name}: got {number}, expected a finite number above 0")
    return number


def not_negative(name: str, value: Any) -> float:
    number = real(name, value)
    if not 0.0 <= number < math.inf:
        raise ValueError(f"{name}: got {number}, expected a finite number of at least 0")
    return number


def bar(name: str, value: Any) -> float:
    """A bound on ratios; infinity leaves them as they are."""
    number = real(name, value)
    if not number >= 0.0:
        raise ValueError(f"{name}: got {number}, expected a number of at least 0")
    return number


def count(name: str, value: Any, lowest: int = 1, highest: int = 2**31 - 2) -> int:
    """`value` as an int in [lowest, highest]; TypeError for what is not an integer."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an integer, got {_short(value)}") from None
    if not lowest <= number <= highest:
        raise ValueError(f"{name}: got {number}, expected an integer from {lowest} to {highest}")
    return number


def choice(name: str, value: Any, allowed: tuple[_Choice, ...]) -> _Choice:
    if value not in allowed:
        raise ValueError(f"{name}: got {value!r}, expected one of {', '.join(map(repr, allowed))}")
    return value


def array_of(name: str, value: Any, lengths: str = "") -> NDArray[Any]:
    """`value` as an array of any kind, without a copy where it is one.

    lengths  advice for nested sequences whose lengths differ

    Errors: ValueError for those, TypeError for what NumPy cannot read (a tensor of bfloat16, or on a GPU).
    """
    if type(value) is np.ndarray:
        return value
    try:
        return np.asarray(value)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise ValueError(f"{name}: no array can be made of it ({error})") from error
        raise ValueError(f"{name}: got sequences whose lengths differ, expected an array{lengths}") from error
    except Exception as error:  # each library has its own
        raise TypeError(f"{name}: no array can be made of a {type(value).__name__} ({error})") from error


def laid_out(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The array as the kernels take it: of this dtype, C-contiguous and aligned.  Most are, at no cost."""
    if array.dtype is dtype and (flags := array.flags).c_contiguous and flags.aligned:
        return array
    return np.require(array, dtype, ["C", "A"])


def floats(name: str, value: Any) -> NDArray[np.float64]:
    """`value` as a contiguous float64 array; integers are taken, bool, complex and objects are not."""
    array = array_of(name, value)
    if array.dtype.kind not in _NUMERIC and array.size:
        raise TypeError(f"{name}: expected real numbers, got dtype {array.dtype}")
    return laid_out(array, FLOAT64)  # a number stays of no dimension


def is_finite(array: NDArray[Any]) -> bool:
    """Whether all numbers are.  Where there are few, x.x tells, at half of what NumPy's isfinite costs."""
    if array.size > _PRODUCT:
        return bool(np.isfinite(array.min()) and np.isfinite(array.max()))
    return math.isfinite(np.vdot(array, array)) or bool(np.isfinite(array).all())  # x.x also overflows


def place_of(array: NDArray[Any]) -> tuple[int, ...]:
    """Where the first entry stands that is not finite."""
    return tuple(int(i) for i in np.unravel_index(int(np.argmin(np.isfinite(array))), array.shape))


def finite_array(name: str, value: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = floats(name, value)
    if array.shape != shape:
        raise ValueError(f"{name}: got shape {array.shape}, expected {shape}")
    if not is_finite(array):
        where = place_of(array)
        place = ", ".join(map(str, where))
        raise ValueError(f"{name}: entry {place} is {array[where]}, expected finite numbers")
    return array


_RANGES = {  # what an entry may be: closed below?, lowest, highest, in words
    "unit": (True, 0.0, 1.0, "numbers from 0 to 1"),
    "positive": (False, 0.0, np.finfo(np.float64).max, "finite numbers above 0"),
    "not_negative": (True, 0.0, np.finfo(np.float64).max, "finite numbers of at least 0"),
}


@overload
def series(
    name: str, value: Any, steps: int, default: float, allowed: str, *, spare: bool = False
) -> NDArray[np.float64]: ...
@overload
def series(
    name: str, value: Any, steps: int, default: float | None, allowed: str, *, spare: bool = False
) -> NDArray[np.float64] | None: ...
def series(
    name: str, value: Any, steps: int, default: float | None, allowed: str, *, spare: bool = False
) -> NDArray[np.float64] | None:
    """Numbers by the step: float64 of length `steps`, or of length 1 where one number stands for all.

    value    None for the default, a number, or (steps,); with `spare` also (steps + 1,), its last unused.
    allowed  "unit", "positive" or "not_negative".
    """
    if value is None:
        return None if default is None else np.array([default])
    array = floats(name, value)
    if array.ndim == 0:
        array = array.reshape(1)
    elif spare and array.shape == (steps + 1,):
        array = array[:-1]
    elif array.shape != (steps,):
        raise ValueError(f"{name}: got shape {array.shape}, expected a number or ({steps},)")
    closed, low, high, words = _RANGES[allowed]
    if array.size:
        smallest, largest = array.min(), array.max()  # NaN comes out of both
        if not ((smallest >= low if closed else smallest > low) and largest <= high):
            good = (array >= low if closed else array > low) & (array <= high)
            where = int(np.argmin(good))
            place = f"entry {where} is" if array.size > 1 else "got"
            raise ValueError(f"{name}: {place} {array[where]}, expected {words}")
    return array


def actions_array(name: str, value: Any, length: int, n_actions: int) -> NDArray[np.int32]:
    """Actions (length,) as int32; IndexError for one outside [0, n_actions)."""
    array = array_of(name, value)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name}: expected integers, got dtype {array.dtype}")
    if array.shape != (length,):
        raise ValueError(f"{name}: got shape {array.shape}, expected ({length},)")
    if array.size and not (array.min() >= 0 and array.max() < n_actions):
        where = int(np.argmax((array < 0) | (array >= n_actions)))
        raise IndexError(
            f"{name}: action {array[where]} at {where} is out of range, expected 0 to {n_actions - 1}"
        )
    return laid_out(array, INT32)


def policy_array(
    name: str, value: Any, states: int, n_actions: int, are_policies: Callable[[Any], bool] | None = None
) -> NDArray[np.float64]:
    """Probabilities (states, n_actions), each row of which sums to 1 within 1e-6.

    are_policies  tells whether all rows do; backends have faster ones than NumPy's
    """
    array = floats(name, value)
    if array.shape == (states, n_actions) and (are_policies or _are_policies)(array):
        return array
    finite_array(name, array, (states, n_actions))
    wrong = (array < 0.0).any(axis=1) | (np.abs(_row_sums(array) - 1.0) > 1e-6)
    if not wrong.any():  # a sum on the very edge: another order of adding
        return array
    row = int(np.argmax(wrong))
    raise ValueError(
        f"{name}: row {row} is {array[row].tolist()}, expected probabilities: not negative, of sum 1"
    )


def _are_policies(array: NDArray[np.float64]) -> bool:
    """Whether each row is one; what is not finite is not."""
    if not array.size:
        return True
    sums = _row_sums(array)
    return bool(array.min() >= 0.0 and sums.min() >= 1.0 - 1e-6 and sums.max() <= 1.0 + 1e-6)


def _row_sums(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of the rows; column by column where there are few, which is faster."""
    if array.shape[1] > 8:
        return array @ np.ones(array.shape[1])
    sums = array[:, 0].copy()
    for a in range(1, array.shape[1]):
        sums += array[:, a]
    return sums


def _short(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text[:60]}{'...' if len(text) > 60 else ''}"


# ---- keywords ----------------------------------------------------------------------------------------------


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """The one of `allowed` that `name` was most likely meant to be; None where none is like it."""
    import difflib  # for errors alone: it takes a millisecond to import

    bare = {each.strip("_"): each for each in allowed}
    close = difflib.get_close_matches(name.strip("_").lower(), bare, n=1, cutoff=0.6)
    return bare[close[0]] if close else None


def unknown_keyword(function: str, name: str, allowed: Iterable[str]) -> TypeError:
    """What to raise for a keyword that `function` does not take.

    allowed  the keywords that it does, in the order to list them in
    """
    allowed = list(allowed)
    near = nearest(name, allowed)
    advice = f"did you mean {near!r}?" if near else f"it takes {', '.join(allowed) or 'none'}"
    error = TypeError(f"{function}: unknown keyword {name!r}; {advice}")
    error.keyword = name  # type: ignore[attr-defined]
    return error


def explained(function: _Function) -> _Function:
    """`function`, but that an unknown keyword is told by name, with the nearest that it takes.

    A method is told with the class of its object, and __init__ as the class.  A call costs a tenth of a
    microsecond more: not for what is called once a step.
    """

    @functools.wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        try:
            return function(*args, **keywords)
        except TypeError as error:
            # What `function` raises itself comes by way of a frame of its own.
            told = error.__traceback__ and error.__traceback__.tb_next is None
            told = told or getattr(error, "keyword", None) in keywords  # or one that it handed on
            better = _unknown_keyword(function, args, keywords) if told else None
            if better is None:
                raise
        raise better

    return cast(_Function, call)


def _unknown_keyword(
    function: Callable[..., Any], args: tuple[Any, ...], keywords: dict[str, Any]
) -> TypeError | None:
    """What to raise where one of `keywords` is the reason why `function` could not be called."""
    parameters = list(inspect.signature(function).parameters.values())
    names = [] if function.__name__ == "__init__" else [function.__name__]
    if parameters and parameters[0].name == "self":
        parameters = parameters[1:]
        names = [*(type(each).__name__ for each in args[:1]), *names]
    allowed = [
        each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    ]
    for each in parameters:
        if each.kind is each.VAR_KEYWORD:
            kind = eval(each.annotation, function.__globals__)  # Unpack of a TypedDict, or Any
            if not hasattr(kind, "__args__"):
                return None
            allowed += kind.__args__[0].__annotations__
    unknown = [name for name in keywords if name not in allowed]
    return unknown_keyword(".".join(names), unknown[0], allowed) if unknown else None
