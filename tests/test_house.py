"""The house rules: imports point down, backends do not know each other, each kernel has all it needs."""

import ast
import graphlib
import importlib
import inspect
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from streams import EVERY

import fasttrace as ft
from fasttrace import layout, registry
from fasttrace.backends import NAMES

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(ft.__file__).parent
CSRC = ROOT / "csrc"

STRICT = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]


def modules():
    """(dotted name without "fasttrace", path) of each module of the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = dict(modules())


def imports(name):
    """What a module imports, also inside functions: (modules of fasttrace, foreign packages)."""
    own, foreign = set(), set()
    path = MODULES[name]
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    package = [part for part in package if part]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            wanted = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = package[: len(package) - node.level + 1]
                base = ".".join(["fasttrace", *base, *([node.module] if node.module else [])])
            else:
                base = node.module
            wanted = [(base, alias.name) for alias in node.names]
        else:
            continue
        for base, member in wanted:
            top, _, rest = base.partition(".")
            if top != "fasttrace":
                foreign.add(top)
                continue
            inner = f"{rest}.{member}".strip(".")
            own.add(inner if inner in MODULES else rest)
    return own - {name}, foreign


def room(name):
    """The part of the package that a module belongs to: "backends", "linear", ..."""
    return name.partition(".")[0]


def graph():
    """What each module imports of this package."""
    return {name: imports(name)[0] & MODULES.keys() for name in MODULES}


def heights():
    """How many floors stand below each module: those that it imports stand on lower ones."""
    found, below = {}, graph()
    for name in graphlib.TopologicalSorter(below).static_order():
        found[name] = 1 + max((found[other] for other in below[name]), default=-1)
    return found


def floors():
    """The rooms of each line of CONTRIBUTING.md's map, from the ground up."""
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    lines = page.partition("    fasttrace/  ")[2].partition("\n    tests/")[0].splitlines()[1:]
    rooms = [re.split(r"  +", line.strip())[0] for line in lines]
    return [{each.strip("/") for each in line.split()} for line in rooms]


GROUND, *ABOVE = floors()
HEIGHT = {name: height for height, names in enumerate([GROUND, *ABOVE]) for name in names}
HEIGHT[""] = HEIGHT["experiments"]  # the public names, which commands use
WINGS = {"linear", "neural", "returns", "plasticity"}


def test_the_map_names_each_room():
    """All of the package and nothing else."""
    assert {room(name) for name in MODULES} == set(HEIGHT)


@pytest.mark.parametrize("name", MODULES, ids=lambda name: name or "fasttrace")
def test_imports_point_down(name):
    """A module imports from its own floor or from those below; what stands side by side does not meet."""
    own, _ = imports(name)
    assert [other for other in own if HEIGHT[room(other)] > HEIGHT[room(name)]] == []
    if room(name) in WINGS:
        assert [other for other in own if room(other) in WINGS - {room(name)}] == []


def test_no_file_is_long():
    """What takes more than 600 lines tells two stories."""
    lengths = {name: len(path.read_text("utf-8").splitlines()) for name, path in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > 600} == {}


def test_a_frozen_program_has_every_module(monkeypatch):
    """What no import statement leads to, PyInstaller's hook names; commands and PyTorch's part aside."""
    tools = ModuleType("PyInstaller.utils.hooks")
    every = [f"fasttrace.{name}" for name in MODULES]
    tools.collect_submodules = lambda package: [
        name for name in every if f"{name}.".startswith(f"{package}.")
    ]
    tools.collect_data_files = lambda package, includes: []
    for name in ("PyInstaller", "PyInstaller.utils"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, tools.__name__, tools)
    hook = runpy.run_path(str(PACKAGE / "__pyinstaller" / "hook-fasttrace.py"))
    assert "_cffi_backend" in hook["hiddenimports"]
    assert hook["excludedimports"] == ["fasttrace.torch", "fasttrace.jax"]
    found, new = set(), {"", *(name.removeprefix("fasttrace.") for name in hook["hiddenimports"])}
    while new:
        found |= new | {name.rpartition(".")[0] for name in new}  # a module comes with its package
        new = {other for name in new & MODULES.keys() for other in imports(name)[0]} - found
    aside = {"experiments", "__main__", "__pyinstaller", "torch", "jax", "registry", "pieces"}
    assert {name for name in MODULES.keys() - found if room(name) not in aside} == set()


def test_pyinstaller_finds_the_hook():
    """The entry point that pyproject.toml names leads to the folder of the hook."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    module, _, function = project["entry-points"]["pyinstaller40"]["hook-dirs"].partition(":")
    (folder,) = getattr(importlib.import_module(module), function)()
    assert (Path(folder) / "hook-fasttrace.py").is_file()


def test_imports_make_no_circle():
    """Not within a package either, nor where a function imports when it is called."""
    list(graphlib.TopologicalSorter(graph()).static_order())


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("backends.")])
def test_backends_do_not_know_each_other(name):
    """A backend imports itself and the ground floor, and of other packages its own alone."""
    backend = name.split(".")[1]
    own, foreign = imports(name)
    others = {other for other in own if not f"{other}.".startswith(f"backends.{backend}.")}
    assert others <= GROUND
    foreign -= set(sys.stdlib_module_names)
    allowed = {
        "numpy": {"numpy"},
        "numba": {"numpy", "numba", "llvmlite"},
        "c": {"numpy", "cffi"},
        "cuda": {"numpy", "cuda"},
    }
    assert foreign <= allowed[backend]


@pytest.mark.parametrize("row", [*registry.STEP_LEARNERS, *registry.SOLVERS], ids=str)
def test_a_kernel_has_all_that_it_needs(row):
    """Reference, Numba, C, header, public name and test: says which is missing."""
    missing = []
    for backend in NAMES:
        source = (PACKAGE / "backends" / backend / f"{row.stem}.py").read_text("utf-8")
        if not re.search(rf"^(?:def )?\b(?:\w+ = )*{row.kernel}_run\b", source, re.MULTILINE):
            missing.append(f"{row.kernel}_run in backends/{backend}/{row.stem}.py")
    header = (CSRC / "fasttrace.h").read_text("utf-8")
    missing += [f"{name} in fasttrace.h" for name in row.c_names if f" {name}(" not in header]
    if row.learner not in ft.__all__:
        missing.append(f"ft.{row.learner}")
    for kind in row.kinds or (None,):
        name = "_".join(filter(None, (row.kernel, kind)))
        if name not in EVERY and not (ROOT / "tests" / f"test_{name}.py").exists():
            missing.append(f"{name} in tests/streams.py, or tests/test_{name}.py")
    assert missing == []


def has(source, name):
    """Whether a module has a function, its own or another's that it lists as its own."""
    listed = re.search(r"^__all__ = \[(.*?)\]", source, re.MULTILINE | re.DOTALL)
    return bool(re.search(rf"^def {name}\b", source, re.MULTILINE) or (listed and f'"{name}"' in listed[1]))


def test_the_page_of_algorithms_is_the_registry():
    """docs/algorithms.md holds the tables that `python -m fasttrace algorithms` prints."""
    page = (ROOT / "docs" / "algorithms.md").read_text("utf-8")
    for table in registry.tables():
        assert f"\n\n{table}\n" in page


@pytest.mark.parametrize("row", registry.RETURNS, ids=str)
def test_a_return_has_all_that_it_needs(row):
    """Reference, Numba, C, public name and documentation: says which is missing.

    tests/test_returns.py and bench/bench_returns.py go through the registry themselves.
    """
    missing = []
    for backend in NAMES:
        source = (PACKAGE / "backends" / backend / "returns.py").read_text("utf-8")
        if not re.search(rf"\b{row.kernel}\b", source):
            missing.append(f"{row.kernel} in backends/{backend}/returns.py")
    header = (CSRC / "fasttrace.h").read_text("utf-8")
    if not re.search(rf"\b{row.c_name}\b", header):
        missing.append(f"{row.c_name} in fasttrace.h")
    if row.kernel not in ft.returns.__all__:
        missing.append(f"ft.returns.{row.kernel}")
    for name in ("tests/test_returns.py", "bench/bench_returns.py"):
        if "registry.RETURNS" not in (ROOT / name).read_text("utf-8"):
            missing.append(f"registry.RETURNS in {name}")
    line = f"| `{row.kernel}` | {row.a} | {row.c} | {row.equation} | {row.source} |"
    if line not in (ROOT / "docs" / "algorithms.md").read_text("utf-8").splitlines():
        missing.append(f"{line} in docs/algorithms.md")
    assert missing == []


@pytest.mark.parametrize("row", registry.MANY, ids=str)
def test_what_is_many_has_all_that_it_needs(row):
    """Reference, Numba, C, header, public name, test, benchmark and page: says which is missing."""
    missing = []
    for backend in NAMES:
        source = (PACKAGE / "backends" / backend / f"{row.stem}.py").read_text("utf-8")
        wanted = (row.kernel,) if backend == "numpy" else ("place", "enter", "run", "step", "values", "reset")
        missing += [f"{name} in backends/{backend}/{row.stem}.py" for name in wanted if not has(source, name)]
    header = (CSRC / "fasttrace.h").read_text("utf-8")
    missing += [f"{name} in fasttrace.h" for name in row.c_names if f" {name}(" not in header]
    if row.name not in ft.__all__:
        missing.append(f"ft.{row.name}")
    page = (ROOT / "docs" / f"{row.stem}.md").read_text("utf-8")
    missing += [f"{name} in docs/{row.stem}.md" for name in (*row.learners, row.source) if name not in page]
    for path in (f"tests/test_{row.stem}.py", f"bench/bench_{row.stem}.py"):
        if not (ROOT / path).exists():
            missing.append(path)
    assert missing == []


def test_words_of_a_horde():
    """What Python and Numba lay over ft_horde, its lanes and its counters is what C has there."""
    from fasttrace.many import horde_trace

    build = runpy.run_path(str(CSRC / "build_cffi.py"))
    fields = [name for name, _ in build["ffi"].typeof("ft_horde").fields]
    assert fields[: len(horde_trace.HEADER)] == list(horde_trace.HEADER)
    assert len(fields) == len(horde_trace.HEADER) + horde_trace._POINTERS
    sizes = build["ffi"].typeof("enum ft_horde_size").relements
    assert sizes == {
        "FT_HORDE_WORDS": len(horde_trace.WORDS),
        "FT_HORDE_COUNTERS": len(horde_trace.COUNTERS),
        "FT_HORDE_SLAB_ROWS": horde_trace.SLAB,
    }
    kinds = build["ffi"].typeof("enum ft_horde_kind").relements
    assert {
        name.removeprefix("FT_HORDE_").lower(): value for name, value in kinds.items()
    } == horde_trace.KINDS


def test_each_kernel_is_timed(monkeypatch):
    """The benchmarks run every kernel of the registry, with each of its traces."""
    monkeypatch.syspath_prepend(ROOT)
    algorithms = importlib.import_module("bench.algorithms")
    timed = {f"{spec.kernel}-c" for spec in algorithms.specs()}
    assert {str(case) for case in registry.cases(("c",))} <= timed


@pytest.mark.parametrize("row", registry.NETWORKS, ids=str)
def test_a_network_has_all_that_it_needs(row):
    """Reference, Numba, C, header, public name, test, benchmark and documentation: says which is missing."""
    missing = []
    for backend in NAMES:
        files = sorted((PACKAGE / "backends" / backend).glob(f"{row.stem}*.py"))
        source = "".join(path.read_text("utf-8") for path in files)
        missing += [
            f"{name} in backends/{backend}/{row.stem}.py"
            for name in ("forward", "backward", "work_size")
            if not has(source, name)
        ]
        if f'"{row.cell}"' not in source and row.cell != "rnn":  # the reference's other case
            missing.append(f"the cell {row.cell} in backends/{backend}/{row.stem}.py")
    header = (CSRC / "fasttrace.h").read_text("utf-8")
    functions = [f"{name}_{suffix}" for name in row.c_names for suffix in ("f32", "f64")]
    missing += [f"{name} in fasttrace.h" for name in functions if f" {name}(" not in header]
    if not hasattr(ft.plasticity, row.name):
        missing.append(f"ft.plasticity.{row.name}")
    for path in (f"tests/test_{row.stem}.py", f"bench/bench_{row.stem}.py"):
        if "registry.NETWORKS" not in (ROOT / path).read_text("utf-8"):
            missing.append(f"{row.name} in {path}")
    line = f"| `{row.name}` | {row.post} | {row.pre} | {row.source} |"
    if line not in (ROOT / "docs" / f"{row.stem}.md").read_text("utf-8").splitlines():
        missing.append(f"{line} in docs/{row.stem}.md")
    assert missing == []


@pytest.mark.parametrize("row", registry.PERCEPTRONS, ids=str)
def test_a_perceptron_has_all_that_it_needs(row):
    """Reference, Numba, C, header, public name, test, benchmark and documentation: says which is missing."""
    missing = []
    for backend in NAMES:
        source = (PACKAGE / "backends" / backend / f"{row.stem}.py").read_text("utf-8")
        missing += [
            f"{name} in backends/{backend}/{row.stem}.py"
            for name in ("network_run", "forward", "gradients", "jacobian_step")
            if not has(source, name)
        ]
        if f'"{row.method}"' not in source and row.method != "sarsa":  # the reference's other case
            missing.append(f"the method {row.method} in backends/{backend}/{row.stem}.py")
    header = (CSRC / "fasttrace.h").read_text("utf-8")
    functions = [f"{name}_{suffix}" for name in row.c_names for suffix in ("f32", "f64")]
    missing += [f"{name} in fasttrace.h" for name in functions if f" {name}(" not in header]
    if row.name not in ft.neural.__all__:
        missing.append(f"ft.neural.{row.name}")
    test = "test_neural_stream.py" if row.name.startswith("Stream") else "test_neural.py"
    for path in (f"tests/{test}", "bench/bench_neural.py"):
        text = (ROOT / path).read_text("utf-8")
        if "registry.PERCEPTRONS" not in text or (path.startswith("tests") and row.name not in text):
            missing.append(f"{row.name} in {path}")
    line = f"| `{row.name}` | {row.target} | {row.trace} | {row.source} |"
    if line not in (ROOT / "docs" / "networks.md").read_text("utf-8").splitlines():
        missing.append(f"{line} in docs/networks.md")
    assert missing == []


@pytest.mark.parametrize("row", registry.REMEDIES, ids=str)
def test_a_remedy_has_all_that_it_needs(row):
    """Reference, Numba, C, header, public name, test, benchmark and documentation: says which is missing."""
    missing = []
    for backend in NAMES:
        source = (PACKAGE / "backends" / backend / f"{row.stem}.py").read_text("utf-8")
        if not has(source, row.run):
            missing.append(f"{row.run} in backends/{backend}/{row.stem}.py")
    header = (CSRC / "fasttrace.h").read_text("utf-8")
    functions = [f"{name}_{suffix}" for name in row.c_names for suffix in ("f32", "f64")]
    missing += [f"{name} in fasttrace.h" for name in functions if f" {name}(" not in header]
    if row.name not in ft.neural.__all__:
        missing.append(f"ft.neural.{row.name}")
    test = "test_neural_qrc.py" if row.name == "QRC" else "test_neural_remedies.py"
    for path, words in ((f"tests/{test}", row.name), ("bench/bench_neural_remedies.py", "registry.REMEDIES")):
        if words not in (ROOT / path).read_text("utf-8"):
            missing.append(f"{words} in {path}")
    line = f"| `{row.name}` | {row.stale} | {row.cost} | {row.source} |"
    if line not in (ROOT / "docs" / "staleness.md").read_text("utf-8").splitlines():
        missing.append(f"{line} in docs/staleness.md")
    assert missing == []


def test_words_of_the_trace():
    """The arrays that Python and Numba lay over the C struct have its fields, in its order."""
    build = runpy.run_path(str(CSRC / "build_cffi.py"))
    fields = build["ffi"].typeof("ft_trace").fields
    kinds = {"int64_t": layout.COUNTERS, "double": layout.SCALARS}
    in_header = [(name, field.type.cname) for name, field in fields]
    words = [(name, kind) for kind, names in kinds.items() for name in names]
    pointers = in_header[len(words) :][: len(layout.POINTERS)]
    assert all(kind.endswith("*") for _, kind in pointers)
    assert in_header == [
        *words,
        *pointers,
        ("pi", "double"),
        ("wide", "int64_t"),
        ("single", "struct ft_single *"),
    ]
    assert layout.LATER == ("pi", "wide", "single")
    assert [field.offset for _, field in fields] == [8 * word for word in range(len(fields))]


def test_contents_of_the_header():
    """fasttrace.h begins with its sections in their order, and with how each function in them begins."""
    header = (CSRC / "fasttrace.h").read_text("utf-8")
    contents = header.partition("Contents,")[2].partition("*/")[0]
    contents = re.sub(r",\n \* +", ", ", contents)  # a line that goes on
    lines = re.findall(r"^ \*   (.+?)  +(ft_.+)$", contents, re.MULTILINE)
    sections = re.split(r"^/\* ---- ", header, flags=re.MULTILINE)
    assert len(lines) == len(sections)
    for (title, names), section in zip(lines[1:], sections[1:], strict=True):
        assert section.startswith(title)
        functions = re.findall(r"^FT_API [\w ]+?\*?(ft_\w+)\(", section, re.MULTILINE)
        assert [name for name in functions if not name.startswith(tuple(names.split(", ")))] == []
        assert [name for name in names.split(", ") if not any(f.startswith(name) for f in functions)] == []


def compiler(*names):
    found = next((name for name in names if name and shutil.which(name)), None)
    return found or pytest.skip(f"no compiler: {', '.join(filter(None, names))}")


def compile_only(command, source, tmp_path):
    file = tmp_path / ("source.cc" if "++" in command[0] else "source.c")
    file.write_text(source)
    done = subprocess.run(
        [*command, *STRICT, f"-I{CSRC}", "-fsyntax-only", str(file)], text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_header_is_c99(tmp_path):
    """A C program that is compiled with all warnings can include the header, twice."""
    source = '#include "fasttrace.h"\n#include "fasttrace.h"\nint main(void) { return FT_OK; }\n'
    compile_only([compiler(os.environ.get("CC"), "gcc", "cc"), "-std=c99", "-pedantic"], source, tmp_path)


def test_header_is_cpp(tmp_path):
    """So can a C++ program, which then links with what the C compiler made."""
    c = compiler(os.environ.get("CC"), "gcc", "cc")
    cpp = compiler(os.environ.get("CXX"), "g++", "c++")
    source = '#include "fasttrace.h"\nint main() { return ft_trace_ring_size(1) > 0 ? FT_OK : 1; }\n'
    compile_only([cpp, "-std=c++11", "-pedantic"], source, tmp_path)
    subprocess.run([c, "-std=c99", "-c", str(CSRC / "trace.c"), "-o", "trace.o"], check=True, cwd=tmp_path)
    subprocess.run(
        [cpp, f"-I{CSRC}", "source.cc", "trace.o", "-lm", "-o", "program"], check=True, cwd=tmp_path
    )
    subprocess.run([tmp_path / "program"], check=True)


@pytest.mark.parametrize("path", sorted(CSRC.glob("*.c")), ids=lambda path: path.name)
def test_sources_compile_without_warnings(path, tmp_path):
    """Each C file by itself."""
    command = [compiler(os.environ.get("CC"), "gcc", "cc"), "-std=c99", "-O1"]
    compile_only(command, f'#include "{path}"\n', tmp_path)


@pytest.mark.parametrize("path", sorted([*CSRC.glob("*.c"), *CSRC.glob("*.h")]), ids=lambda path: path.name)
def test_c_allocates_nothing(path):
    """The caller owns all memory."""
    code = re.sub(r"/\*.*?\*/", "", path.read_text("utf-8"), flags=re.DOTALL)
    assert re.findall(r"\b(?:malloc|calloc|realloc|free|alloca)\s*\(", code) == []


def test_what_is_imported_later_is_listed():
    """dir() shows every public name, and imports none of them."""
    program = (
        "import sys, fasttrace as ft\n"
        "listed = {name for name in dir(ft) if not name.startswith('_')}\n"
        "assert {'embed', 'jax', 'neural', 'plasticity', 'torch', *ft.__all__} <= listed, listed\n"
        "assert 'fasttrace.neural' not in sys.modules\n"
        "ft.neural\n"
        "assert dir(ft) == sorted(set(dir(ft)))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", ["TileCoder", "TD", "TrueOnlineSarsa", "simulate", "load", "evaluate"])
def test_signatures_can_be_read(name):
    """As written, types by the names that they have in the source."""
    signature = str(inspect.signature(getattr(ft, name)))
    assert "numpy." not in signature
    assert "typing." not in signature
    assert "**" not in signature


@pytest.mark.skipif(not (ROOT / ".gitignore").exists(), reason="not a checkout")
def test_what_commands_write_is_ignored():
    """A new command's folder too."""
    ignored = (ROOT / ".gitignore").read_text("utf-8").split()
    defaults = re.findall(r'default="(fasttrace-\w+)"', MODULES["__main__"].read_text("utf-8"))
    assert len(defaults) > 3
    assert "/fasttrace-*/" in ignored


@pytest.mark.parametrize("columns", [1, 3])
def test_a_trace_over_zeros_is_as_any_other(columns):
    """ft_trace_init clears memory of any kind; ft_trace_init_zeroed leaves the same where it was 0 before."""
    if ft.backends()["c"]:
        pytest.skip(ft.backends()["c"])
    from fasttrace.backends.c import ffi, lib

    n = 100
    sizes = [2 * lib.ft_trace_width(columns) * n, 2 * lib.ft_trace_ring_size(n)]
    states = []
    for init, byte in ((lib.ft_trace_init, 7), (lib.ft_trace_init_zeroed, 0)):
        trace = ffi.new("ft_trace *")
        memory = [np.full(size, byte, np.float64) for size in sizes] + [np.full(n, byte, np.int32)]
        memory[1][4:] = 0  # pairs of epochs to come are written when these begin
        rows, ring, epochs = memory
        double = partial(ffi.from_buffer, "double[]")
        init(trace, n, columns, double(rows), double(ring), ffi.from_buffer("int32_t[]", epochs))
        trace.rows = trace.ring = trace.epochs = ffi.NULL
        states.append((bytes(ffi.buffer(trace)), *(a.tobytes() for a in memory)))
    assert states[0] == states[1]


if __name__ == "__main__":
    HEIGHTS, GRAPH = heights(), graph()
    for each in sorted(MODULES, key=lambda each: (HEIGHTS[each], each)):
        below = " ".join(sorted(other or "fasttrace" for other in GRAPH[each]))
        print(f"{HEIGHTS[each]:2} {each or 'fasttrace':30} {below}")
