"""`python -m fasttrace info`: what is installed here, and what the CPU gets."""

import json
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .. import __version__, quick
from ..backends import backends, resolve


def report() -> dict[str, Any]:
    """All of it, as plain data.

    fasttrace, python, implementation, system, machine    strings
    packages    name -> version, or None where it is not installed
    backends    name -> None, or why it is not there;  auto: the one that "auto" takes
    calls       None where single calls are C's, or why they are Python's
    c           compiler and cpu_level, the CPU level in use;  None without a C library
    numba       cpu, that it compiles for;  None without Numba
    """
    there = backends()
    found: dict[str, Any] = {
        "fasttrace": __version__,
        "packages": {name: _version(name) for name in ("numpy", "numba", "cffi")},
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "machine": platform.machine(),
        "backends": there,
        "auto": resolve("auto"),
        "calls": quick.missing,
        "c": None,
        "numba": None,
    }
    if there["c"] is None:
        from ..backends.c import ffi, lib

        found["c"] = {
            "compiler": ffi.string(lib.ft_compiler()).decode(),
            "cpu_level": ffi.string(lib.ft_cpu_level()).decode(),
        }
    if there["numba"] is None:
        import llvmlite.binding as llvm

        found["numba"] = {"cpu": llvm.get_host_cpu_name()}
    return found


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The report, line by line."""
    yield f"{'fasttrace':11}{found['fasttrace']}"
    for name, number in found["packages"].items():
        yield f"{name:11}{number or 'not installed'}"
    yield f"{'python':11}{found['python']} ({found['implementation']})"
    yield f"{'system':11}{found['system']} {found['machine']}"
    yield ""
    for name, reason in found["backends"].items():
        state = "there" if reason is None else f"not there: {reason}"
        yield f"backend {name:7}{state}{' (auto)' if name == found['auto'] else ''}"
    yield f"calls      {'by C' if found['calls'] is None else 'by Python: ' + found['calls']}"
    yield ""
    if found["c"]:
        yield f"C library  built by {found['c']['compiler']}"
        yield f"           CPU level in use: {found['c']['cpu_level']}"
    if found["numba"]:
        yield f"Numba      compiles for {found['numba']['cpu']}"


def run(as_json: bool = False) -> int:
    """Print it; the exit status."""
    found = report()
    print(json.dumps(found, indent=2) if as_json else "\n".join(lines(found)))
    return 0


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
