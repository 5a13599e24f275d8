"""`python -m fasttrace info`: what is installed here, and what the CPU gets."""

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from .. import __version__
from ..backends import backends, resolve


def lines() -> Iterator[str]:
    """The report, line by line."""
    yield f"{'fasttrace':11}{__version__}"
    for name in ("numpy", "numba", "cffi"):
        yield f"{name:11}{_version(name)}"
    yield f"{'python':11}{platform.python_version()} ({platform.python_implementation()})"
    yield f"{'system':11}{platform.system()} {platform.machine()}"
    yield ""
    auto = resolve("auto")
    there = backends()
    for name, reason in there.items():
        state = "there" if reason is None else f"not there: {reason}"
        yield f"backend {name:7}{state}{' (auto)' if name == auto else ''}"
    yield ""
    if there["c"] is None:
        from ..backends.c import ffi, lib

        yield f"C library  built by {ffi.string(lib.ft_compiler()).decode()}"
        yield f"           CPU level in use: {ffi.string(lib.ft_cpu_level()).decode()}"
    if there["numba"] is None:
        import llvmlite.binding as llvm

        yield f"Numba      compiles for {llvm.get_host_cpu_name()}"


def run() -> int:
    """Print it; the exit status."""
    print("\n".join(lines()))
    return 0


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
