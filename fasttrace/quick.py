"""Methods that one C function does where what they are given is usual, as most calls are.

_call.c, the module beside this one, holds those functions; see there what is usual.  Whatever is not, and
whatever is wrong, comes to the method as it stands in Python, under the name _any_<method>.  Where the module
was not built, or cannot be loaded, every call does; `missing` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .arguments import explained


def _there(name: str) -> tuple[Any, str | None]:
    """A module in C, and why there is none."""
    try:
        return import_module(f"{__package__}.{name}"), None
    except Exception as error:  # an old NumPy raises a RuntimeError
        return None, f"{type(error).__name__}: {error}"


native, missing = _there("_call")
locks = native or _there("_lock")[0]  # built for Pythons without a GIL, in place of _call
if locks is not native:
    missing = "not built for Pythons without a GIL"

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Quick:
    """Base of what has quick methods; _call is what they work with, or None.

    A public attribute that the class does not have is set by _set_new(name, value), where the class has one.
    """

    _call: Any = None

    if not TYPE_CHECKING:

        def __setattr__(self, name: str, value: Any) -> None:
            if name.startswith("_") or hasattr(type(self), name) or not hasattr(type(self), "_set_new"):
                super().__setattr__(name, value)
            else:
                self._set_new(name, value)


if native and not TYPE_CHECKING:
    Quick = native.Quick


def quick(function: _Function) -> _Function:
    """A method that has a quick way, in a class that Quick is a base of."""
    return cast(_Function, _Method(function))


class _Method:
    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __set_name__(self, owner: type, name: str) -> None:
        function = explained(self.function) if name == "learn" else self.function
        setattr(owner, f"_any_{name}", function)
        if native is None:
            setattr(owner, name, function)
            return
        text, names = _signature(self.function)
        setattr(owner, name, native.method(owner, name, f"{name}{text}\n--\n\n{self.function.__doc__ or ''}"))
        setattr(owner, f"_names_{name}", names)


def _signature(function: Any) -> tuple[str, dict[str, bool]]:
    """As `inspect` reads it in C's docstrings; and the names, with whether they must be given.

    Not by `inspect`, which would be an eighth of the time of `import fasttrace`.
    """
    code, by_name = function.__code__, function.__kwdefaults__ or {}
    count, defaults = code.co_argcount, function.__defaults__ or ()
    first, named = code.co_varnames[1:count], code.co_varnames[count : count + code.co_kwonlyargcount]
    given = dict(zip(first[len(first) - len(defaults) :], defaults, strict=True)) | by_name
    words = [f"{name}={given[name]!r}" if name in given else name for name in (*first, *named)]
    words[len(first) : len(first)] = ["*"] if named else []
    return f"({', '.join(['$self', *words])})", {name: name not in given for name in (*first, *named)}


def bits(of_learn: bool, names: Iterable[str]) -> int:
    """What _call.c has for keywords of `update`, or of `learn`."""
    places = native.LEARN_KEYWORDS if of_learn else native.KEYWORDS
    return sum(1 << places.index(name) for name in names)
