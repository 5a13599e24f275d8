"""Which backends are there, and what Numba finds again of what it has compiled."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import fasttrace as ft
from fasttrace.backends import NAMES, _missing, resolve

needs_numba = pytest.mark.skipif(ft.backends()["numba"] is not None, reason=str(ft.backends()["numba"]))


def python(code, **env):
    """What a fresh Python prints that imports from where this one does."""
    code = f"import sys; sys.path.insert(0, {str(Path(ft.__file__).parents[1])!r})\n{code}"
    command = [sys.executable, "-c", code]
    environment = {**os.environ, **env}
    return subprocess.run(command, check=True, text=True, capture_output=True, env=environment).stdout


@pytest.mark.parametrize("name", NAMES)
def test_a_backend_is_there_if_it_runs(name, monkeypatch):
    """Not if it can be imported alone: whatever its small kernel raises is the reason."""
    if ft.backends()[name]:
        pytest.skip(ft.backends()[name])
    monkeypatch.delitem(_missing, name)
    monkeypatch.setattr(import_module(f"fasttrace.backends.{name}"), "probe", lambda: 1 // 0)
    reason = "ZeroDivisionError: integer division or modulo by zero"
    assert ft.backends()[name] == reason
    with pytest.raises(ft.BackendUnavailable, match=rf"backend '{name}' is not available: {reason}"):
        resolve(name)


def test_auto_where_no_backend_is(monkeypatch):
    """BackendUnavailable with the reason of each."""
    for name in NAMES:
        monkeypatch.setitem(_missing, name, f"no {name} today")
    with pytest.raises(ft.BackendUnavailable, match=r"c: no c today; numba: no numba today; numpy: no numpy"):
        ft.TD(8, alpha=0.1)


@needs_numba
def test_numba_without_its_compiler():
    """NUMBA_DISABLE_JIT=1: numba is not there, the reason names the setting; the others are."""
    code = """
import fasttrace as ft
print(ft.backends()["numpy"], ft.backends()["numba"])
try:
    ft.TD(8, alpha=0.1, backend="numba")
except ft.BackendUnavailable as error:
    print(error)
"""
    there, refused = python(code, NUMBA_DISABLE_JIT="1").splitlines()
    assert there.startswith("None BackendUnavailable: NUMBA_DISABLE_JIT is set")
    assert refused.startswith("backend 'numba' is not available: BackendUnavailable: NUMBA_DISABLE_JIT")


LEARN = """
import fasttrace as ft
import numpy as np
from fasttrace.backends.numba import adaptive, gradient

def learn():
    x = np.zeros((3, 2), np.int32)
    numbers = {"alpha": 0.1, "backend": "numba"}
    for learner in (ft.GTD(4, beta=0.1, **numbers), ft.SwiftTD(4, **numbers)):
        learner.learn(x, np.ones(2))
        learner.update(x[0], 1.0, x[1])
    run = adaptive.run_kernel(adaptive.SWIFT, True, False, False)
    return [gradient.run_kernel(0, True), gradient.step_kernel(0), run, adaptive.step_kernel(adaptive.SWIFT)]
"""


@needs_numba
def test_kernels_that_capture_compiled_functions_are_found_again():
    """What one process has compiled, the next one reads: nothing is compiled anew."""
    learn = {}
    exec(LEARN, learn)
    for kernel in learn["learn"]():
        assert kernel.signatures
    hits = "print([(sum(k.stats.cache_hits.values()), sum(k.stats.cache_misses.values())) for k in learn()])"
    assert python(LEARN + hits).strip() == str([(1, 0)] * 4)


KEYS = """
from fasttrace.backends.numba import kernel, verb

def make(add, size):
    @verb
    def moved(x):
        return x + add

    @kernel
    def f(x):
        return moved(x) * size

    return f

class Target:
    def magic_tuple():
        return ()

keys = [make(add, size)._cache._index_key((), Target) for add, size in ((1, 2), (1, 3), (2, 2))]
"""


@needs_numba
def test_a_cached_kernel_is_known_by_what_it_captures(tmp_path):
    """Constants, and those of the functions it calls: the same in each process, and no two alike."""
    cases = tmp_path / "kernels_that_capture.py"
    cases.write_text(KEYS)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport kernels_that_capture as k\nprint(k.keys)"
    )
    env = {"NUMBA_CACHE_DIR": str(tmp_path)}
    first, second = python(code, **env), python(code, **env)
    assert first == second
    assert len(set(eval(first))) == 3


VERSION = """
from typing import NamedTuple

from fasttrace.backends.numba import kernel

class {name}(NamedTuple):
    x: float

@kernel
def f(t):
    return t.x

print(f({name}(3.0)))
"""


@needs_numba
def test_a_cache_of_another_version_is_set_aside(tmp_path):
    """Its index may name types that are no more: the kernel is compiled anew."""
    module, code = (
        tmp_path / "versions.py",
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import versions",
    )
    for name in ("Before", "After", "After"):
        module.write_text(VERSION.format(name=name))
        assert python(code, NUMBA_CACHE_DIR=str(tmp_path)).strip() == "3.0"
