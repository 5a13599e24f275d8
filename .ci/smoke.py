"""Learn a little with each backend named on the command line, which are all that there are."""

import sys
from pathlib import Path

import numpy as np

import fasttrace as ft
from fasttrace import quick
from fasttrace.backends.cuda import compiler

expected = set(sys.argv[1:])
tree = Path(__file__).resolve().parents[1]
frozen = getattr(sys, "frozen", False)  # by PyInstaller
assert frozen or tree not in Path(ft.__file__).resolve().parents, f"{ft.__file__} is not an installed copy"
there = {name for name, reason in ft.backends().items() if reason is None} - {"cuda"}
assert there == expected, ft.backends()
assert (compiler.sources() / "returns.cu").is_file(), compiler.sources()
assert compiler.sources().name == "include"
assert (quick.native is not None) == ("c" in expected), quick.missing
if "c" not in expected:
    assert "compiler" in ft.backends()["c"], ft.backends()
    assert ft.TD(1, alpha=0.1).backend == "numba"
    try:
        ft.TD(1, alpha=0.1, backend="c")
    except ft.BackendUnavailable as error:
        print(error)
    else:
        raise AssertionError("a backend that is not there was not refused")

walks = []
for backend in sorted(expected):
    env = ft.envs.MountainCar()
    coder = ft.TileCoder(env.low, env.high, tiles=8, tilings=8, backend=backend)
    agent = ft.TrueOnlineSarsa(coder.n_features, 3, alpha=1 / 8, gamma=1.0, epsilon=0.0, backend=backend)
    walks.append(ft.simulate(env, agent, coder, episodes=3, seed=0).lengths)
    print(ft.__version__, backend, walks[-1])
assert all(np.array_equal(walk, walks[0]) for walk in walks)
