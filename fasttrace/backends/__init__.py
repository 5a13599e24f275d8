"""Which backends are there, and the way to a backend's kernels.

    numpy   the reference: dense, eager, as the book prints it
    numba   compiled on first use
    c       compiled at installation, called through cffi

Each holds the same modules with the same functions, and `probe()`, which runs something small and raises
where that does not work.
"""

from importlib import import_module
from types import ModuleType
from typing import Literal

from ..errors import BackendUnavailable

Name = Literal["c", "numba", "numpy"]
Backend = Literal["auto", Name]
NAMES: tuple[Name, ...] = ("numpy", "numba", "c")
_PREFERRED: tuple[Name, ...] = ("c", "numba", "numpy")
_missing: dict[Name, str | None] = {}


def _why_missing(name: Name) -> str | None:
    if name not in _missing:
        try:
            import_module(f"{__name__}.{name}").probe()
        except Exception as error:  # whatever stops a backend from loading or running is its reason
            _missing[name] = f"{type(error).__name__}: {error}"
        else:
            _missing[name] = None
    return _missing[name]


def backends() -> dict[Name, str | None]:
    """Every backend's name, with None where it is there, or else the reason why it is not.

    A backend is there if it runs: one small kernel of each is tried, once.
    """
    return {name: _why_missing(name) for name in NAMES}


def resolve(name: str) -> Name:
    """The backend that `name` stands for: "auto" is the first that is there of c, numba, numpy.

    Errors: ValueError for an unknown name, BackendUnavailable for one that is not there, for "auto" where
    none is.
    """
    if name == "auto":
        for each in _PREFERRED:
            if _why_missing(each) is None:
                return each
        reasons = "; ".join(f"{each}: {_why_missing(each)}" for each in _PREFERRED)
        raise BackendUnavailable(f"no backend is available: {reasons}")
    found = next((each for each in NAMES if each == name), None)
    if found is None:
        raise ValueError(f"backend={name!r}: expected 'auto', {', '.join(map(repr, NAMES))}")
    if reason := _why_missing(found):
        raise BackendUnavailable(f"backend {name!r} is not available: {reason}")
    return found


def module(name: str, stem: str) -> ModuleType:
    """The module `stem` ("linear", "tiles", ...) of a backend that resolve() has returned."""
    return import_module(f"{__name__}.{name}.{stem}")
