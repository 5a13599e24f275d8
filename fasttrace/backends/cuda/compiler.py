"""Kernels of csrc/*.cu, compiled by NVRTC: no GPU is needed for that, nor a compiler on the machine.

What comes out is kept on disk, by everything that it is made from.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from ...sources import get_include

FLAGS = ("-default-device", "--fmad=false", "--std=c++14")  # as -ffp-contract=off

# In place of the C library's headers: what ours need of them and the compiler has not built in.
_STUBS = {
    "stdint.h": """
typedef signed char int8_t; typedef short int16_t; typedef int int32_t; typedef long long int64_t;
typedef unsigned char uint8_t; typedef unsigned short uint16_t; typedef unsigned uint32_t;
typedef unsigned long long uint64_t, uintptr_t;
#define UINT64_C(x) x##ULL
#define INT32_MAX 2147483647
#define UINT32_MAX 4294967295U
""",
    "math.h": """
#define HUGE_VAL __longlong_as_double(0x7ff0000000000000LL)
#define NAN __longlong_as_double(0x7ff8000000000000LL)
""",
    "stddef.h": "",
    "string.h": "",
}


def sources() -> Path:
    """The folder of csrc/: in an installed package fasttrace/include."""
    return Path(get_include())


@cache
def _headers() -> dict[str, str]:
    headers = {path.name: path.read_text("utf-8") for path in sorted(sources().glob("*.[ch]"))}
    return {**headers, **_STUBS}


def nvrtc() -> Any:
    """The compiler's bindings.  Errors: ImportError where a package is missing."""
    try:
        from cuda.bindings import nvrtc

        nvrtc.nvrtcVersion()
    except Exception as error:  # the finder's own for a library that is not there
        raise ImportError(f'{error}; pip install "fasttrace[cuda]"') from error
    return nvrtc


@cache
def _version() -> str:
    _, major, minor = nvrtc().nvrtcVersion()
    return f"{major}.{minor}"


@cache
def cubin(stem: str, arch: str, *macros: str) -> bytes:
    """csrc/{stem}.cu for an architecture such as "sm_90", with macros such as "FT_REAL=float"."""
    source = (sources() / f"{stem}.cu").read_text("utf-8")
    flags = (f"--gpu-architecture={arch}", *FLAGS, *(f"-D{macro}" for macro in macros))
    made_from = repr([source, sorted(_headers().items()), flags, _version()])
    kept = _folder() / f"{stem}-{arch}-{hashlib.sha256(made_from.encode()).hexdigest()}.cubin"
    with suppress(OSError):
        return kept.read_bytes()
    code, _ = compiled(source, flags)
    with suppress(OSError):  # where nothing can be written, this process alone has it
        _write(kept, code)
    return code


def _folder() -> Path:
    with suppress(RuntimeError):  # nobody's home
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fasttrace"
    return Path(tempfile.gettempdir()) / f"fasttrace-{os.getuid()}"


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all: other processes may be reading, or writing the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise


def compiled(source: str, flags: tuple[str, ...]) -> tuple[bytes, str]:
    """The cubin, and what the compiler had to say.  Errors: ImportError; RuntimeError with that."""
    compiler, headers = nvrtc(), _headers()
    _, program = compiler.nvrtcCreateProgram(
        source.encode(),
        b"kernel.cu",
        len(headers),
        [text.encode() for text in headers.values()],
        [name.encode() for name in headers],
    )
    try:
        (status,) = compiler.nvrtcCompileProgram(program, len(flags), [flag.encode() for flag in flags])
        _, size = compiler.nvrtcGetProgramLogSize(program)
        log = bytes(size)
        compiler.nvrtcGetProgramLog(program, log)
        said = log.decode("utf-8", "replace").strip("\0\n")
        if status.value:
            raise RuntimeError(f"NVRTC does not compile with {' '.join(flags)}: {status.name}\n{said}")
        _, size = compiler.nvrtcGetCUBINSize(program)
        code = bytes(size)
        compiler.nvrtcGetCUBIN(program, code)
        return code, said
    finally:
        compiler.nvrtcDestroyProgram(program)
