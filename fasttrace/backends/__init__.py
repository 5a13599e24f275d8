"""Which backends are there, and the way to a backend's kernels.

    numpy   the reference: dense, eager, as the book prints it
    numba   compiled on first use
    c       compiled at installation, called through cffi
    cuda    for arrays that are on a GPU, and not for others: see docs/cuda.md

Each of the first three holds the same modules with the same functions.  All have `probe()`, which tries
something small and raises where that does not work.
"""

from importlib import import_module
from types import ModuleType
from typing import Literal

from ..errors import BackendUnavailable

Name = Literal["c", "numba", "numpy"]
Backend = Literal["auto", Name]
Device = Literal["cuda"]
NAMES: tuple[Name, ...] = ("numpy", "numba", "c")
_PREFERRED: tuple[Name, ...] = ("c", "numba", "numpy")
_ALL: tuple[Name | Device, ...] = (*NAMES, "cuda")
_missing: dict[Name | Device, str | None] = {}


def why_missing(name: Name | Device) -> str | None:
    """As backends() has it; only this one is tried."""
    if name not in _missing:
        try:
            import_module(f"{__name__}.{name}").probe()
        except Exception as error:  # whatever stops a backend from loading or running is its reason
            _missing[name] = f"{type(error).__name__}: {error}"
        else:
            _missing[name] = None
    return _missing[name]


def backends() -> dict[Name | Device, str | None]:
    """Every backend's name, with None where it is there, or else the reason why it is not.

    A backend is there if it runs: one small kernel of each is tried, once.  "cuda" is there where its
    packages, a driver and a device are.
    """
    return {name: why_missing(name) for name in _ALL}


def resolve(name: str) -> Name:
    """The backend that `name` stands for: "auto" is the first that is there of c, numba, numpy.

    Errors: ValueError for an unknown name, and for "cuda", which serves arrays on a GPU alone;
    BackendUnavailable for one that is not there, for "auto" where none is.
    """
    if name == "auto":
        for each in _PREFERRED:
            if why_missing(each) is None:
                return each
        reasons = "; ".join(f"{each}: {why_missing(each)}" for each in _PREFERRED)
        raise BackendUnavailable(f"no backend is available: {reasons}")
    if name == "cuda":
        raise ValueError(
            "backend='cuda': serves fasttrace.returns of arrays on a GPU, Population and Horde, not this; "
            f"expected 'auto', {', '.join(map(repr, NAMES))}"
        )
    found = next((each for each in NAMES if each == name), None)
    if found is None:
        raise ValueError(f"backend={name!r}: expected 'auto', {', '.join(map(repr, NAMES))}")
    if reason := why_missing(found):
        raise BackendUnavailable(f"backend {name!r} is not available: {reason}")
    return found


def host_of(name: str) -> tuple[Name, bool]:
    """As resolve, of what a GPU may serve, and whether it does: for "cuda" it is the backend whose memory it
    works on copies of.

    Errors: as resolve.
    """
    if name != "cuda":
        return resolve(name), False
    if reason := why_missing("cuda"):
        raise BackendUnavailable(f"backend 'cuda' is not available: {reason}")
    host = resolve("auto")
    if host == "numpy":
        raise BackendUnavailable(
            "backend 'cuda' works on the memory of Numba's or C's learners: neither is there"
        )
    return host, True


def module(name: str, stem: str) -> ModuleType:
    """The module `stem` ("linear", "tiles", ...) of a backend that resolve() has returned."""
    return import_module(f"{__name__}.{name}.{stem}")
