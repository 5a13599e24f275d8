"""What is built and installed.  That the wheel and the sdist work elsewhere is tried by .ci/run."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

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
    """fasttrace/__init__.py names the version, and no other file that is built or run does."""
    sources = [*PACKAGE.rglob("*.py"), *(ROOT / "csrc").iterdir(), ROOT / "setup.py", ROOT / "pyproject.toml"]
    version = re.compile(rf"""["']{re.escape(ft.__version__)}["']""")
    texts = {path: path.read_text("utf-8") for path in sources if path.is_file()}
    assert [path for path, text in texts.items() if version.search(text)] == [PACKAGE / "__init__.py"]


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
