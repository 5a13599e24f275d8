"""Gradients of returns, in PyTorch and in JAX: the transpose of what the call does, whatever it is told."""

import itertools

import numpy as np
import pytest
from streams import BACKENDS

import fasttrace as ft
from fasttrace.returns.gradients import Linear

T, B = 6, 3
FUNCTIONS = ["lambda_returns", "gae", "discounted_sum", "n_step_returns"]
BY = ("rewards", "values", "next_values", "bootstrap")
RATES, ENDS, MASKED, AHEAD, BOOTSTRAPS = (
    ("numbers", "by step", "each"),
    range(3),
    (False, True),
    (None, 1, 3),
    (0, 1),
)
EVERY = list(itertools.product(RATES, ENDS, MASKED, AHEAD, BOOTSTRAPS))


def problem(function, rates, ends, masked, ahead, bootstraps, seed=0):
    """(arrays that it can be differentiated by, all else) of one call, as NumPy's."""
    rng = np.random.default_rng(seed)
    by = {
        name: rng.standard_normal((rows, B))
        for name, rows in (("rewards", T), ("values", T + 1 - bootstraps))
    }
    if function == "discounted_sum":
        del by["values"]
    if bootstraps:
        by["bootstrap"] = rng.standard_normal(B)
    shape = {"numbers": (), "by step": (T,), "each": (T, B)}[rates]
    more = {name: rng.random(shape) if shape else 0.9 for name in ("gammas", "lambdas")}
    if ends:
        more["terminated"] = rng.random((T, B)) < 0.2
    if ends == 2:
        more["truncated"], by["next_values"] = rng.random((T, B)) < 0.3, rng.standard_normal((T, B))
    if masked:
        more["mask"] = rng.random((T, B)) < 0.7
    if function == "n_step_returns":
        more["n"] = ahead or T
    elif ahead:
        more["horizon"] = ahead
    return by, more


def run(function, by, more, **others):
    found = getattr(ft.returns, function)(**by, **more, **others)
    return found if isinstance(found, tuple) else (found,)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_is_the_transpose(function, backend):
    """<g, L x> = <L' g, x> for all that a call may be told, in each layout."""
    rng = np.random.default_rng(1)
    for case, time_axis in itertools.product(EVERY, (0, 1)):
        by, more = problem(function, *case)
        first = by["rewards"]
        results = run(function, by, more, backend=backend)
        grads = [rng.standard_normal(first.shape) for _ in results]
        turn = (lambda x: np.ascontiguousarray(x.T) if np.ndim(x) == 2 else x) if time_axis else lambda x: x
        options = {"horizon": more.get("n", more.get("horizon")), "time_axis": time_axis, "backend": backend}
        family = "lambda_returns" if function == "n_step_returns" else function
        given = {name: turn(more[name]) for name in more if name not in ("n", "horizon")}
        linear = Linear(family, turn(first).shape, "bootstrap" in by, given, options)
        found = linear.transposed(turn(grads[0]), turn(grads[1]) if len(grads) > 1 else None)
        want = sum(float((g * x).sum()) for g, x in zip(grads, results, strict=True))
        got = sum(float((found[name] * turn(x)).sum()) for name, x in by.items() if name in found)
        assert got == pytest.approx(want, rel=1e-11, abs=1e-11), (case, time_axis)
        assert all(found[name].shape == turn(x).shape for name, x in by.items() if name in found)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nan_in_a_gradient_goes_where_it_counts(backend):
    """Not across an end, nor from or to a slot that is masked."""
    g, ended, mask = np.ones((T, 1)), np.zeros((T, 1), bool), np.ones((T, 1), bool)
    ended[2], mask[4] = True, False
    g[[2, 4]] = np.nan
    given = {"gammas": 0.9, "lambdas": 0.8, "terminated": ended, "mask": mask}
    options = {"horizon": None, "time_axis": 0, "backend": backend}
    found = Linear("lambda_returns", (T, 1), False, given, options).transposed(g, None)
    np.testing.assert_array_equal(np.isnan(found["rewards"][:, 0]), np.arange(T) == 2)
    assert found["rewards"][4] == 0
    assert not np.isnan(found["values"]).any()


# ---- PyTorch ----


def tensors(by, more):
    torch = pytest.importorskip("torch")
    more = {name: torch.from_numpy(x) if isinstance(x, np.ndarray) else x for name, x in more.items()}
    return {name: torch.from_numpy(x).requires_grad_() for name, x in by.items()}, more


@pytest.mark.parametrize("function", FUNCTIONS)
def test_gradcheck(function):
    """PyTorch's own check, of the gradient and of its gradient."""
    torch = pytest.importorskip("torch")
    for case in [("numbers", 1, False, None, 0), ("each", 2, True, 3, 1), ("by step", 2, False, None, 1)]:
        by, more = tensors(*problem(function, *case))

        def call(*given, names=tuple(by), more=more):
            return run(function, dict(zip(names, given, strict=True)), more)

        assert torch.autograd.gradcheck(call, tuple(by.values()), fast_mode=True)
        assert torch.autograd.gradgradcheck(call, tuple(by.values()), fast_mode=True)


def test_a_gradient_comes_to_what_requires_it():
    """Values alone, one result alone, float32 and bfloat16, columns as torchrl has them: as they are."""
    torch = pytest.importorskip("torch")
    by, more = tensors(*problem("gae", "numbers", 1, False, None, 0))
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        rewards, values = by["rewards"].detach().to(dtype), by["values"].detach().to(dtype).requires_grad_()
        advantages, targets = ft.returns.gae(rewards, values, **more)
        assert advantages.dtype == targets.dtype == dtype
        assert advantages.requires_grad
        (grad,) = torch.autograd.grad(targets.sum(), values)
        assert grad.dtype == dtype
        want = torch.autograd.grad(ft.returns.gae(**by, **more)[1].sum(), by["values"])[0]
        torch.testing.assert_close(grad.double(), want, rtol=1e-2, atol=2e-2)
    turned = {name: x.detach().T[..., None].clone().requires_grad_() for name, x in by.items()}
    found = ft.returns.gae(
        **turned, gammas=0.9, lambdas=0.9, terminated=more["terminated"].T[..., None], time_axis=1
    )
    (grad,) = torch.autograd.grad(found[1].sum(), turned["values"])
    torch.testing.assert_close(grad[..., 0].T, want)
    one = {name: x.detach()[:, 0].clone().requires_grad_() for name, x in by.items()}
    found = ft.returns.lambda_returns(
        one["rewards"], one["values"][:-1], bootstrap=one["values"][-1], gammas=0.9
    )
    found.sum().backward()
    assert one["values"].grad[-1] == pytest.approx(sum(0.9**t for t in range(1, T + 1)))


def test_nothing_is_recorded_without_need():
    """Under no_grad, and of tensors that require none."""
    torch = pytest.importorskip("torch")
    by, more = tensors(*problem("gae", "numbers", 1, False, None, 0))
    with torch.no_grad():
        assert not ft.returns.gae(**by, **more)[0].requires_grad
        assert not ft.returns.vtrace(by["rewards"], by["values"], torch.ones(T, B).double(), **more)[
            0
        ].requires_grad
    assert not ft.returns.gae(by["rewards"].detach(), by["values"].detach(), **more)[0].requires_grad


def test_what_cannot_be_differentiated_is_refused():
    """By name, with what to do instead; and flags that were changed in between are noticed."""
    torch = pytest.importorskip("torch")
    by, more = tensors(*problem("gae", "each", 1, False, None, 0))
    with pytest.raises(
        TypeError, match=r"^rewards: got a tensor that requires grad.*rewards.detach\(\).*no_grad"
    ):
        ft.returns.upgo(**by, q=by["values"], **more)
    with pytest.raises(TypeError, match=r"^gammas: got a tensor that requires grad"):
        ft.returns.gae(**by, **{**more, "gammas": more["gammas"].requires_grad_()})
    with pytest.raises(TypeError, match=r"^out: got a place for results beside rewards, which requires grad"):
        ft.returns.lambda_returns(**by, gammas=0.9, out=torch.zeros(T, B).double())
    found = ft.returns.gae(**by, gammas=0.9, terminated=more["terminated"])[0].sum()
    more["terminated"][0] = True
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        found.backward()


# ---- JAX ----


@pytest.fixture(scope="module")
def jax():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    yield jax
    jax.config.update("jax_enable_x64", False)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_gradients_in_jax(function, jax):
    """Those of the transpose, under jit and under vmap, and theirs again."""
    by, more = problem(function, "each", 2, True, 3, 1)

    def loss(by):
        return sum((x**2).sum() for x in jax.tree.leaves(getattr(ft.jax, function)(**by, **more)))

    results = run(function, by, more)
    options = {"horizon": 3, "time_axis": 0, "backend": "auto"}
    family = "lambda_returns" if function == "n_step_returns" else function
    linear = Linear(family, (T, B), True, more, options)
    want = linear.transposed(*[2 * x for x in results], *[None] * (2 - len(results)))
    found = jax.jit(jax.grad(loss))(by)
    for name in by:
        np.testing.assert_allclose(found[name], want.get(name, 0), rtol=1e-12, atol=1e-12)
    twice = {name: np.stack([x, 3 * x]) for name, x in by.items()}
    found = jax.vmap(jax.grad(loss))(twice)
    for name in by:
        np.testing.assert_allclose(found[name][1], 3 * found[name][0], rtol=1e-12, atol=1e-12)
    # of a square of linear maps the second derivative along x is the gradient at x
    along = jax.grad(lambda x: sum((g * by[name]).sum() for name, g in jax.grad(loss)(x).items()))(by)
    for name in by:
        np.testing.assert_allclose(along[name], want.get(name, 0), rtol=1e-11, atol=1e-11)


def test_what_jax_cannot_differentiate(jax):
    by, _ = problem("gae", "numbers", 0, False, None, 0)
    with pytest.raises(TypeError, match=r"^upgo: cannot be differentiated"):
        jax.grad(lambda r: ft.jax.upgo(r, by["values"], by["values"], gammas=0.9).sum())(by["rewards"])
    with pytest.raises(TypeError, match=r"^gammas: gae cannot be differentiated by it"):
        jax.grad(lambda g: ft.jax.gae(**by, gammas=g)[0].sum())(0.9)
