"""docs/any-network.md: its programs run, with NumPy, JAX and PyTorch, and do what they say."""

import re
from pathlib import Path

import numpy as np
import pytest

import fasttrace as ft

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "any-network.md").read_text("utf-8")
PROGRAMS = dict(
    zip(("numpy", "jax", "torch"), re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL), strict=True)
)


@pytest.fixture(scope="module", params=PROGRAMS)
def ran(request):
    """(name, what a program of the page left behind)."""
    pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    names = {"__name__": "page"}
    exec(compile(PROGRAMS[request.param], f"{request.param} in any-network.md", "exec"), names)
    return request.param, names


def test_the_programs_learn(ran):
    """Finite parameters that moved, and a trace that is not empty."""
    name, left = ran
    if name == "torch":
        assert all(torch_finite(each) for each in left["net"].parameters())
        assert [tuple(z.shape) for z in left["traces"].z] == [
            tuple(w.shape) for w in left["net"].parameters()
        ]
    else:
        assert np.isfinite(left["params"]).all()
        assert left["trace"].Z.any()


def torch_finite(tensor):
    return bool(np.isfinite(tensor.detach().numpy()).all())


def test_the_one_in_numpy_is_the_native_network():
    """The page's network, its trace and its steps against NetworkTD with the same tanh units."""
    names = {"__name__": "page"}
    exec(compile(PROGRAMS["numpy"].split("trace = ")[0], "any-network.md", "exec"), names)
    params, rng = names["params"].copy(), np.random.default_rng(7)
    net = ft.neural.MLP((4, 16, 1), dtype=np.float64, backend="numpy")
    net.params[:] = np.concatenate([params[:64], np.zeros(16), params[64:], [0.0]])
    trace, states = ft.neural.JacobianTrace(80, dtype=np.float64), rng.normal(size=(9, 4))
    for t in range(8):
        v, gradient = names["value_and_gradient"](params, states[t])
        native = net.jacobian(states[t])
        np.testing.assert_allclose(native[0], v, rtol=1e-12)
        np.testing.assert_allclose(native[1][0, :64], gradient[:64], rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(native[1][0, 80:96], gradient[64:], rtol=1e-12)
        trace.step(params, gradient[None], [1.0], 0.8, 1e-2)
        net.params[:] = np.concatenate([params[:64], np.zeros(16), params[64:], [0.0]])
    assert trace.Z.any()
