"""What is built and installed.  That the wheel and the sdist work elsewhere is tried by .ci/run."""

import importlib.util
import json
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import sysconfig
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import fasttrace as ft

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(ft.__file__).parent


def python(code):
    """What a fresh Python prints that imports from where this one does."""
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r})\n{code}"]
    return subprocess.run(command, check=True, text=True, capture_output=True).stdout.split()


def test_import_is_light():
    """`import fasttrace` loads NumPy and itself: no Numba, nothing that only one command needs."""
    loaded = {name.partition(".")[0] for name in python("import fasttrace\nprint(*sys.modules)")}
    heavy = {"numba", "llvmlite", "scipy", "matplotlib", "rich", "gymnasium", "torch", "pytest", "joblib"}
    assert "numpy" in loaded
    assert not loaded & heavy


def test_learning_in_c_loads_no_numba():
    """The C backend stands on its own: a learner, a coder and a built-in environment need no Numba."""
    if ft.backends()["c"]:
        pytest.skip(ft.backends()["c"])
    code = """
import fasttrace as ft
env = ft.envs.MountainCar()
coder = ft.TileCoder(env.low, env.high, tiles=8, tilings=8, backend="c")
agent = ft.Sarsa(coder.n_features, 3, alpha=0.1, gamma=1.0, backend="c")
ft.simulate(env, agent, coder, steps=100, seed=0)
print(*sys.modules)
"""
    assert "numba" not in python(code)


def test_version_stands_in_one_place():
    """fasttrace/version.py names the version, and no other file that is built or run does."""
    sources = [*PACKAGE.rglob("*.py"), *(ROOT / "csrc").iterdir(), ROOT / "setup.py", ROOT / "pyproject.toml"]
    version = re.compile(rf"""["']{re.escape(ft.__version__)}["']""")
    texts = {path: path.read_text("utf-8") for path in sources if path.is_file()}
    assert [path for path, text in texts.items() if version.search(text)] == [PACKAGE / "version.py"]


def test_version_is_the_installed_one():
    """What pip says is what the package says."""
    try:
        installed = metadata.version("fasttrace")
    except metadata.PackageNotFoundError:
        pytest.skip("run from a tree that is not installed")
    assert installed == ft.__version__


def test_every_declared_function_is_in_the_library():
    """What the header declares to C users, cffi declares to Python; nothing stands outside the two marks."""
    if ft.backends()["c"]:
        pytest.skip(ft.backends()["c"])
    from fasttrace.backends.c import lib

    header = (ROOT / "csrc" / "fasttrace.h").read_text("utf-8")
    declared = set(re.findall(r"^FT_API [^(;]*?\b(ft_\w+)\(", header, re.MULTILINE))
    assert declared
    assert declared == {name for name in dir(lib) if name.startswith("ft_")}


def test_library_is_for_every_python():
    """The extension uses the stable ABI, so that one wheel serves all versions of Python."""
    if ft.backends()["c"]:
        pytest.skip(ft.backends()["c"])
    from fasttrace.backends.c import _fasttrace

    assert ".abi3." in _fasttrace.__file__ or _fasttrace.__file__.endswith(".pyd")


def test_type_information_is_shipped():
    """py.typed is in the package: type checkers read its annotations."""
    assert (PACKAGE / "py.typed").exists()


# ---- how the C library is built ----

GCC = shutil.which("gcc")

BUILDS = """
import ctypes, json, os, sys
from pathlib import Path
import setuptools
from distutils.core import run_setup

log, folder = Path("log"), Path("fasttrace/backends/c")

def build(flags=""):
    log.write_text("")
    os.environ["CFLAGS"] = flags
    run_setup("setup.py", ["-q", "build_ext", "--inplace"])
    return sorted(log.read_text().split())

def change(name, old, new):
    text = Path(name).read_text()
    assert old in text
    Path(name).write_text(text.replace(old, new))

def value():
    (path,) = folder.glob("_fasttrace*.so")
    copy = Path(f"copy{len(done)}.so").resolve()
    copy.write_bytes(path.read_bytes())
    return ctypes.CDLL(str(copy)).ft_one()

done = {}
"""


def builds(folder, code):
    """What BUILDS and the code leave in `done`, run in that folder."""
    script = f"{BUILDS}{code}\nPath('done').write_text(json.dumps(done))"
    ran = subprocess.run([sys.executable, "-c", script], cwd=folder, text=True, capture_output=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads((folder / "done").read_text()), ran.stderr


@pytest.fixture
def project(tmp_path, monkeypatch):
    """setup.py and csrc/build_cffi.py over two C files, with a compiler that lists what it compiles."""
    if not GCC or os.name == "nt":
        pytest.skip("needs gcc")
    pytest.importorskip("setuptools", "77")
    one = "int ft_one(void) {\n#ifdef __OPTIMIZE__\nreturn 10;\n#else\nreturn 20;\n#endif\n}\n"
    files = {
        "pyproject.toml": '[project]\nname = "small"\nversion = "1"\n[tool.setuptools]\npackages = []\n',
        "csrc/fasttrace.h": "/* BEGIN cdef */\nint ft_one(void);\nint ft_two(void);\n/* END cdef */\n",
        "csrc/one.c": one,
        "csrc/two.c": "int ft_two(void) { return 2; }\n",
        "cc": f'#!/bin/sh\nfor a; do case $a in *.c) basename $a .c >>log;; esac; done\nexec {GCC} "$@"\n',
        "setup.py": (ROOT / "setup.py").read_text("utf-8"),
        "csrc/build_cffi.py": (ROOT / "csrc/build_cffi.py").read_text("utf-8"),
        "fasttrace/backends/c/__init__.py": (PACKAGE / "backends/c/__init__.py").read_text("utf-8"),
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "cc").chmod(0o755)
    for name in ("LDFLAGS", "CPPFLAGS", "FASTTRACE_REQUIRE_C"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CC", str(tmp_path / "cc"))
    return tmp_path


def test_only_what_has_changed_is_compiled(project):
    """A second build compiles nothing; a changed source itself, a changed header or flag everything; and the
    library is of the sources and flags of now, the user's before ours."""
    code = """
done["first"] = build()
done["again"] = build()
done["value"] = value()
change("csrc/one.c", "10", "11")
done["a source"] = build()
done["a source, value"] = value()
change("csrc/fasttrace.h", "(void);", "( void );")
done["a header"] = build()
done["a flag"] = build("-O0 -DFT_NO_CLONES")
done["a flag, value"] = value()
done["and back"] = build()
done["and back, value"] = value()
"""
    everything = ["fasttrace.backends.c._fasttrace", "one", "two"]
    assert builds(project, code)[0] == {
        "first": everything,
        "again": [],
        "value": 10,
        "a source": ["one"],
        "a source, value": 11,
        "a header": everything,
        "a flag": everything,
        "a flag, value": 20,
        "and back": [],
        "and back, value": 11,
    }


def test_a_build_that_fails_says_why(project):
    """The compiler's words are in the output and in the package, which repeats them; no old library stays."""
    code = """
build()
done["there"] = len(list(folder.glob("*.so")))
change("csrc/one.c", "#ifdef", "#error this cannot be\\n#ifdef")
build()
done["broken"] = len(list(folder.glob("*.so")))
"""
    done, output = builds(project, code)
    assert done == {"there": 1, "broken": 0}
    assert "THE C LIBRARY WAS NOT BUILT" in output
    init = project / "fasttrace/backends/c/__init__.py"
    spec = importlib.util.spec_from_file_location(
        "fasttrace.backends.small", init, submodule_search_locations=[str(init.parent)]
    )
    assert spec is not None
    with (
        pytest.warns(UserWarning, match="this cannot be"),
        pytest.raises(ImportError, match="this cannot be"),
    ):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    builds(project, 'change("csrc/one.c", "#error", "//"); build()')
    assert not (init.parent / "build_failed.txt").exists()


def compiles(*flags, sources):
    """Skips where gcc cannot do that for a program of nothing; the errors it has with these sources."""
    if not GCC:
        pytest.skip("needs gcc")
    command = [GCC, "-std=c99", "-ffp-contract=off", *flags, "-x", "c", "-S", "-o", os.devnull]
    nothing = subprocess.run([*command, "-"], input="#include <math.h>\n", text=True, capture_output=True)
    if nothing.returncode:
        pytest.skip(f"gcc cannot: {nothing.stderr.strip().splitlines()[-1]}")
    for source in sources:
        ran = subprocess.run([*command, str(ROOT / "csrc" / source)], text=True, capture_output=True)
        assert ran.returncode == 0, ran.stderr


def test_compiles_for_32_bits():
    """Where a long and a pointer have 32 bits, without a warning."""
    strict = ("-Wall", "-Wextra", "-Wconversion", "-Werror", "-fsyntax-only", "-m32")
    compiles(*strict, sources=[path.name for path in sorted((ROOT / "csrc").glob("*.c"))])


def test_the_module_for_calls_compiles_without_a_warning():
    """With Python's and NumPy's headers as the system's, whose own warnings are not ours."""
    paths = sysconfig.get_path("include"), np.get_include()
    if not GCC or not Path(paths[0], "Python.h").exists() or np.__version__ < "2":
        pytest.skip("needs gcc, Python's headers and NumPy 2's")
    strict = [
        "-std=c99",
        "-Wall",
        "-Wextra",
        "-Wconversion",
        "-Werror",
        "-fsyntax-only",
        f"-I{ROOT / 'csrc'}",
    ]
    command = [GCC, *strict, f"-I{ROOT / 'csrc'}", *(part for path in paths for part in ("-isystem", path))]
    for source in PACKAGE.glob("_*.c"):
        ran = subprocess.run([*command, str(source)], text=True, capture_output=True)
        assert ran.returncode == 0, ran.stderr


# ---- what stands in it ----


def functions_of(library):
    """Name, and instructions with their addresses, of each function in machine code."""
    listing = subprocess.run(
        ["objdump", "-d", "-w", "--no-show-raw-insn", library], check=True, text=True, capture_output=True
    ).stdout
    found = {}
    for line in listing.splitlines():
        if line.endswith(">:"):
            code = found[line[line.index("<") + 1 : -2]] = {}
        elif line.startswith(" "):
            address, _, instruction = line.partition(":\t")
            code[int(address, 16)] = instruction
    return found


def constants_of(library):
    """(where it is loaded, the bytes) of what is read only."""
    listing = subprocess.run(
        ["objdump", "-s", "-j", ".rodata", library], check=True, text=True, capture_output=True
    ).stdout
    lines = re.findall(r"^ ([0-9a-f]+) ((?:[0-9a-f]+ ){1,4})", listing, re.MULTILINE)
    return int(lines[0][0], 16), b"".join(bytes.fromhex(each.replace(" ", "")) for _, each in lines)


def switch(table, code, data):
    """Where a table of jumps leads to, as long as it stays within the function."""
    begin, constants = data
    found = []
    entries = constants[table - begin :][:256] if table >= begin else b""
    for (offset,) in struct.iter_unpack("<i", entries[: len(entries) // 4 * 4]):
        if table + offset not in code:
            break
        found.append(table + offset)
    return found


def leaves_with_wide_registers(code, is_sse, data):
    """Calls of SSE code, or of what is not known, and returns, that are reached with upper halves in use."""
    addresses = sorted(code)
    after = dict(pairwise(addresses))
    constants = [re.search(r"^lea +[^#]*\(%rip\).*# ([0-9a-f]+)", line) for line in code.values()]
    tables = {int(each[1], 16) for each in constants if each}
    cases = {case for table in tables for case in switch(table, code, data)}  # a jump may have any of them
    seen, todo, found = {}, [(addresses[0], False)], []
    while todo:
        at, wide = todo.pop()
        while at is not None and wide not in seen.setdefault(at, set()):
            seen[at].add(wide)
            operation, _, operands = code[at].partition(" ")
            if operation.startswith("vzero"):
                wide = False
            elif re.search(r"%[yz]mm(\d|1[0-5])\b", operands):
                wide = True
            target = re.search(r"([0-9a-f]+) <(\w[^+>]*)", operands)
            if operation == "jmp" and operands.lstrip().startswith("*%r") and cases:
                todo += [(case, wide) for case in cases]
                break
            goes = operation.startswith(("j", "call", "notrack")) and not (
                target and (int(target[1], 16) in code or target[2].endswith(".cold"))
            )
            if wide and (operation == "ret" or (goes and (not target or is_sse(target[2])))):
                found.append(f"{at:x}: {code[at]}")
            if operation.startswith("j") and target and int(target[1], 16) in code:
                todo.append((int(target[1], 16), wide))
            at = None if operation in ("jmp", "ret", "notrack") else after.get(at)
    return found


def test_sse_code_is_not_entered_with_wide_registers():
    """Before a copy for AVX calls what is compiled for any CPU, or returns, it clears the upper halves of its
    registers: on some CPUs every SSE instruction would wait for them (-fipa-ra, see FT_COLD)."""
    if ft.backends()["c"]:
        pytest.skip(ft.backends()["c"])
    if platform.machine() != "x86_64" or not shutil.which("objdump"):
        pytest.skip("needs x86-64 and objdump")
    from fasttrace.backends.c import _fasttrace

    functions, data = functions_of(_fasttrace.__file__), constants_of(_fasttrace.__file__)
    if not any("vzeroupper" in line for code in functions.values() for line in code.values()):
        pytest.skip("the library is compiled without optimisation")
    sse = {
        name
        for name, code in functions.items()
        if "@plt" in name or any("%xmm" in line and line[0] != "v" for line in code.values())
    }
    found = {
        name: leaves
        for name, code in functions.items()
        if any("%ymm" in line or "%zmm" in line for line in code.values())
        and (leaves := leaves_with_wide_registers(code, sse.__contains__, data))
    }
    assert not found
