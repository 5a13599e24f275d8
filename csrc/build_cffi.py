"""Declares fasttrace.h to cffi and names the sources; setup.py runs it."""

import os
import re
import shlex
import sys
import sysconfig
from pathlib import Path

from cffi import FFI

CSRC = Path(__file__).resolve().parent
ROOT = CSRC.parent

header = (CSRC / "fasttrace.h").read_text(encoding="utf-8")
declarations = header.split("/* BEGIN cdef */")[1].split("/* END cdef */")[0]

if sys.platform == "win32":
    flags, libraries = ["/O2"], []
else:
    # -g0: Python's own flags ask for -g, twice the time and the size.  The user's flags have the last word.
    flags = ["-O3", "-std=c99", "-ffp-contract=off", "-g0", *shlex.split(os.environ.get("CFLAGS", ""))]
    libraries = ["m"]

ffi = FFI()
ffi.cdef(re.sub(r"\bFT_API\b", "", declarations))
ffi.set_source(
    "fasttrace.backends.c._fasttrace",
    '#include "fasttrace.h"',
    sources=sorted(os.path.relpath(path, ROOT) for path in CSRC.glob("*.c")),
    depends=sorted(os.path.relpath(path, ROOT) for path in CSRC.glob("*.h")),
    include_dirs=["csrc"],
    libraries=libraries,
    extra_compile_args=flags,
    py_limited_api=not sysconfig.get_config_var("Py_GIL_DISABLED"),
    # A machine without a compiler still gets NumPy and Numba; fasttrace.backends() says what is missing.
    optional=not os.environ.get("FASTTRACE_REQUIRE_C"),
)
