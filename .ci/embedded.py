"""Build programs of others against an installed fasttrace, in a folder of their own: embedded.py DIR.

A C program, a CMake project in C++17, a Python package with cffi, and one file as C and as C++: each learns
the same few steps and has the weights that the installed package has, to the bit.  The examples in Rust and
WebAssembly, where what they need is.
"""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import fasttrace as ft
from fasttrace.experiments.amalgamate import FAMILIES

CC, CXX = os.environ.get("CC", "cc"), os.environ.get("CXX", "c++")
ROOT = Path(sys.argv[1]).resolve()
TREE = Path(__file__).resolve().parents[1]
EXAMPLES = TREE / "examples"
CRATES = Path("/usr/share/cargo/registry")  # Debian's, for machines that reach no other
assert TREE not in Path(ft.__file__).resolve().parents, f"{ft.__file__} is not an installed copy"

STEPS = 50
STRICT = "-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror"
NEEDED = "trace", "steps", "info"
C = """#include "fasttrace.h"
#include <stdio.h>
static double rows[20], ring[2048];
static int32_t epochs[10];
int main(void) {
    ft_trace trace;
    ft_trace_init(&trace, 10, 1, rows, ring, epochs);
    for (int t = 0; t < 50; t++) {
        const int32_t x[2] = {t % 10, t * 7 % 10}, y[2] = {(t + 1) % 10, (t + 1) * 7 % 10};
        double delta;
        if (ft_td_step(&trace, FT_TRUE_ONLINE, 2, x, NULL, 2, y, NULL, t % 3, 0.9, 0.8, 1.0, 0.1, &delta))
            return 1;
    }
    double w[10];
    ft_trace_dense(&trace, FT_TRUE_ONLINE, w, NULL);
    for (int i = 0; i < 10; i++) printf("%a\\n", w[i]);
    return ft_abi_version() != FT_ABI_VERSION;
}
"""
CPP = """#include "fasttrace.hpp"
#include <cstdio>
int main() {
    fasttrace::TrueOnlineTD learner(10, 0.1);
    for (int t = 0; t < 50; t++)
        learner.step({t % 10, t * 7 % 10}, t % 3, {(t + 1) % 10, (t + 1) * 7 % 10}, 0.9, 0.8);
    for (double w : learner.weights()) std::printf("%a\\n", w);
    try {
        learner.step({10}, 0.0, {0}, 0.9, 0.8);
    } catch (const fasttrace::IndexError &error) {
        return error.index != 10;
    }
    return 1;
}
"""
CMAKE = """cmake_minimum_required(VERSION 3.15)
project(robot LANGUAGES C CXX)
find_package(fasttrace 0.1 REQUIRED COMPONENTS trace steps)
add_executable(robot robot.cpp)
target_compile_features(robot PRIVATE cxx_std_17)
target_link_libraries(robot PRIVATE fasttrace::fasttrace)
"""
SETUP = """from setuptools import setup
setup(name="own", version="1", py_modules=[], cffi_modules=["build_own.py:ffi"])
"""
BUILD = """import fasttrace as ft
from cffi import FFI
from pathlib import Path
ffi = FFI()
ffi.cdef("void own_learn(double *w);")
names = "trace", "steps"
ffi.set_source("_own", OWN, include_dirs=[ft.get_include()], libraries=["m"],
               sources=[path for path in ft.embed.sources() if Path(path).stem in names],
               extra_compile_args=["-O3", "-std=c99", "-ffp-contract=off", "-DFT_NO_CLONES"])
"""


def run(*command, cwd=ROOT, **environment):
    done = subprocess.run(
        [str(each) for each in command], cwd=cwd, text=True, capture_output=True,
        env={**os.environ, **{name: str(value) for name, value in environment.items()}},
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{command}\n{done.stdout}{done.stderr}")
    return done.stdout


def fasttrace(*arguments):
    return run(sys.executable, "-m", "fasttrace", *arguments)


def expected():
    learner = ft.TrueOnlineTD(10, alpha=0.1, backend="c")
    for t in range(STEPS):
        x, y = ([s % 10, s * 7 % 10] for s in (t, t + 1))
        learner.update(np.array(x), t % 3, np.array(y), gamma=0.9, lambda_=0.8)
    return [float(w) for w in learner.weights]


def agrees(printed):
    return [float.fromhex(line) for line in printed.split()] == WEIGHTS


def c_program():
    """From the sources of traces alone, by what config says."""
    (ROOT / "main.c").write_text(C)
    flags = fasttrace("config", "--cflags").split()
    sources = [path for path in fasttrace("config", "--sources").split() if Path(path).stem in NEEDED]
    run(CC, *flags, "main.c", *sources, "-lm", "-o", "main")
    return agrees(run("./main"))


def pkg_config():
    if not shutil.which("pkg-config"):
        return "pkg-config is not here"
    at = {"PKG_CONFIG_PATH": fasttrace("config", "--pkgconfigdir").strip()}
    assert run("pkg-config", "--modversion", "fasttrace", **at).strip() == ft.__version__
    flags = run("pkg-config", "--cflags", "--libs", "fasttrace", **at).split()
    every = run("sh", "-c", "ls $(pkg-config --variable=sources fasttrace)", **at).split()
    assert {Path(path).resolve() for path in every} == {Path(path).resolve() for path in ft.embed.sources()}
    run(CC, "-O3", "main.c", *(path for path in every if Path(path).stem in NEEDED), *flags, "-o", "packaged")
    return agrees(run("./packaged"))


def cmake():
    if not shutil.which("cmake"):
        return "cmake is not here"
    project = ROOT / "robot"
    project.mkdir()
    (project / "CMakeLists.txt").write_text(CMAKE)
    (project / "robot.cpp").write_text(CPP)
    run(
        "cmake", "-S", project, "-B", project / "build", "-DFASTTRACE_NO_CLONES=ON",
        f"-Dfasttrace_DIR={fasttrace('config', '--cmakedir').strip()}",
    )  # fmt: skip
    run("cmake", "--build", project / "build", "--parallel", "2")
    return agrees(run(project / "build" / "robot"))


def own_package():
    """A C extension of somebody else's, made by cffi, with the kernels in it."""
    project = ROOT / "own"
    project.mkdir()
    body = C.partition("int main(void) {")[2].partition("double w[10];")[0].replace("return 1", "return")
    own = '#include "fasttrace.h"\nstatic double rows[20], ring[2048];\nstatic int32_t epochs[10];\n'
    own += f"static void own_learn(double *w) {{{body} ft_trace_dense(&trace, FT_TRUE_ONLINE, w, NULL); }}"
    (project / "setup.py").write_text(SETUP)
    (project / "build_own.py").write_text(f"OWN = {own!r}\n{BUILD}")
    run(sys.executable, "setup.py", "-q", "build_ext", "--inplace", cwd=project)
    code = "from _own import ffi, lib; w = ffi.new('double[10]'); lib.own_learn(w); print(*map(float.hex, w))"
    return agrees(run(sys.executable, "-c", code, cwd=project))


def one_file():
    """Without a warning; as C++ the same bits."""
    fasttrace("amalgamate", ROOT / "one", "--only", "traces,info")
    one = ROOT / "one"
    flags = ["-O3", "-ffp-contract=off", "-DFT_NO_CLONES"]
    both = "../main.c", "fasttrace.c", "-I.", "-lm", "-o"
    run(CC, *STRICT, *flags, "-DFT_ONLY_KINDS=FT_TRUE_ONLINE", *both, "as_c", cwd=one)
    run(CXX, "-std=c++17", *flags, "-x", "c++", *both, "as_cpp", cwd=one)
    return agrees(run(one / "as_c")) and agrees(run(one / "as_cpp"))


def quickly(folder):
    """Let the compiler inline nothing."""
    path = folder / "fasttrace.c"
    path.write_text(path.read_text().replace("__attribute__((always_inline))", ""))


def whole_file():
    """All families in one, in both languages; and each with what it says that it calls, and nothing else."""
    fasttrace("amalgamate", ROOT / "whole")
    whole = ROOT / "whole"
    run(CC, *STRICT, "-fsyntax-only", "fasttrace.c", cwd=whole)
    linked = "-O0", "-shared", "-fPIC", "-Wl,--no-undefined", "-o", "all.so"
    quickly(whole)
    run(CXX, "-std=c++17", "-x", "c++", "fasttrace.c", *linked, cwd=whole)
    for family in FAMILIES:
        fasttrace("amalgamate", ROOT / family, "--only", family)
        quickly(ROOT / family)
        run(CC, "-std=c99", "fasttrace.c", *linked, "-lm", cwd=ROOT / family)
    return True


def rust():
    """As its README says."""
    if not shutil.which("cargo"):
        return "cargo is not here"
    project = ROOT / "rust"
    built = shutil.ignore_patterns("target", "fasttrace", "Cargo.lock")
    shutil.copytree(EXAMPLES / "agent_in_rust", project, ignore=built)
    fasttrace("amalgamate", project / "fasttrace", "--only", "traces,info")
    offline = "--offline", "--config", 'source.crates-io.replace-with="debian"', "--config"
    crates = (*offline, f'source.debian.directory="{CRATES}"') if [*CRATES.glob("cc-*")] else ()
    fetched = subprocess.run(["cargo", "fetch", "-q", *crates], cwd=project, text=True, capture_output=True)
    if fetched.returncode:
        return f"no crate cc, in {CRATES} or by a network"
    return "largest error" in run("cargo", "run", "-q", "--release", *crates, cwd=project)


def wasm():
    """The bits of the same program that is not in WebAssembly."""
    zig = [sys.executable, "-m", "ziglang"] if find_spec("ziglang") else ["zig"]
    for tool in (zig[0], "node"):
        if not shutil.which(tool):
            return f"{tool} is not here"
    fasttrace("amalgamate", ROOT / "wasm", "--only", "traces")
    files = EXAMPLES / "embed_in_c" / "main.c", "fasttrace.c", "-I.", "-lm", "-o"
    flags, wasm = ("-O3", "-std=c99", "-ffp-contract=off"), ROOT / "wasm"
    run(*zig, "cc", "-target", "wasm32-wasi", *flags, *files, "walk.wasm", cwd=wasm)
    run(CC, *flags, *files, "walk", cwd=wasm)
    node = "node", "--no-warnings", EXAMPLES / "agent_in_wasm" / "run.mjs"
    return run(*node, "walk.wasm", cwd=wasm) == run("./walk", cwd=wasm)


WEIGHTS = expected()
failed = []
for build in (c_program, pkg_config, cmake, own_package, one_file, whole_file, rust, wasm):
    spent = os.times().children_user
    result = build()
    spent = os.times().children_user - spent
    said = {True: "as installed", False: "OTHER BITS"}.get(result, f"skipped: {result}")
    print(f"{build.__name__:12} {spent:3.0f} s of CPU, {said}", flush=True)
    failed += [build.__name__] if result is False else []
sys.exit(bool(failed))
