"""Compiles the C files here in a temporary folder, with the flags of csrc/build_cffi.py."""

from __future__ import annotations

import atexit
import importlib.util
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

DECLARATIONS = """
void bench_td0(int64_t T, int64_t k, const int32_t *idx, const double *rewards, double gamma,
               double alpha, double *w, double *deltas);
void bench_empty(void);
int64_t bench_car(int64_t steps, double alpha, double *w, int64_t *lengths);
void bench_td0_ahead(int64_t T, int64_t k, const int32_t *idx, const double *rewards, double gamma,
                     double alpha, double *w, double *deltas);
int64_t bench_eager_td(int64_t T, int64_t k, const int32_t *idx, const double *rewards, double gamma,
                       double lambda, double alpha, double cutoff, double *w, int32_t *place,
                       int32_t *list, double *z, int64_t length, double *deltas);
void bench_dense_double(int32_t kind, int64_t n, int64_t T, int64_t k, const int32_t *idx,
                        const double *rewards, const double *gammas, const double *lambdas,
                        const double *rhos, double alpha, double *w_out);
void bench_dense_long_double(int32_t kind, int64_t n, int64_t T, int64_t k, const int32_t *idx,
                             const double *rewards, const double *gammas, const double *lambdas,
                             const double *rhos, double alpha, double *w_out);
int32_t bench_long_double_bits(void);
void bench_td0_horde(int64_t T, int64_t k, int64_t n, int64_t m, int64_t block, const int32_t *idx,
                     const double *rewards, const double *gammas, int64_t gamma_stride, const double *alphas,
                     double *w, double *deltas, int64_t ahead);
int64_t bench_agent_size(void);
int64_t bench_agent_0_1(int64_t steps, double alpha, double gamma, double lambda, double epsilon,
                        void *memory, const double *table, void *next_double, void *random,
                        double *returns, int64_t *lengths);
void bench_agent_weights(void *memory, double *w);
"""


@cache
def library() -> tuple[Any, Any]:
    """(ffi, lib) of the files, or None twice where nothing compiles C."""
    from cffi import FFI, VerificationError

    flags = ["/O2", "/std:c11"] if sys.platform == "win32" else ["-O3", "-std=c99", "-ffp-contract=off"]
    ffi = FFI()
    ffi.cdef(DECLARATIONS)
    ffi.set_source(
        "_fasttrace_bench",
        DECLARATIONS,
        sources=[str(HERE / name) for name in ("floor.c", "rivals.c", "exact.c", "horde.c", "agent_0_1.c")],
        extra_compile_args=flags,
    )
    folder = tempfile.mkdtemp(prefix="fasttrace-bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        path = ffi.compile(tmpdir=folder)
    except (VerificationError, ImportError):  # no compiler, or no setuptools to drive it
        return None, None
    spec = importlib.util.spec_from_file_location("_fasttrace_bench", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ffi, module.lib


def pointer(array: Any) -> Any:
    """A pointer to a NumPy array's data, of the type that its dtype has in C."""
    ffi, _ = library()
    kinds = {"float64": "double[]", "int32": "int32_t[]", "int64": "int64_t[]"}
    return ffi.from_buffer(kinds[array.dtype.name], array)
