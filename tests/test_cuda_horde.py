"""Hordes on a GPU, and without one: equal to those of the other backends."""

import copy

import numpy as np
import pytest
from cuda_twin import Memory, host, place  # noqa: F401 - fixtures

import fasttrace as ft

KINDS = {
    "replacing": ("TD", "replacing"),
    "true online": ("TrueOnlineTD", "accumulating"),
    "GTD": ("GTD", "accumulating"),
}
SIZE, M, STEPS = 70, 19, 90


def stream(seed, values=False):
    """x, cumulants; discounts with ends of some predictions, ratios with zeros."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-1, SIZE, (STEPS + 1, 4))
    x[:, 1] = np.where(rng.random(STEPS + 1) < 0.1, x[:, 0], x[:, 1])  # twice the same
    given = ((x, rng.random(x.shape)) if values else x), rng.standard_normal((STEPS, M))
    gammas = np.where(rng.random((STEPS, M)) < 0.05, 0.0, 0.9)
    return given, {"gammas": gammas, "rhos": 2.0 * rng.random(STEPS) * (rng.random(STEPS) > 0.1)}


def both(kind):
    """Equal hordes there and here, whose lanes are not in order."""
    learner, trace = KINDS[kind]
    numbers = {"alpha": np.linspace(0.01, 0.1, M), "lambda_": np.linspace(1.0, 0.0, M)}
    beta = {"beta": 0.02} if kind == "GTD" else {}
    return [ft.Horde(SIZE, M, learner, trace, **numbers, **beta, backend=name) for name in ("cuda", "auto")]


def same(there, here):
    for name, array in there._trace.arrays().items():
        np.testing.assert_array_equal(array, here._trace.arrays()[name], err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_streams_are_learned_to_the_bit(kind, place):  # noqa: F811
    """A stream, a step, what is predicted, an end; and all that is kept."""
    there, here = both(kind)
    assert there.backend == "cuda"
    for seed in range(2):
        given, series = stream(seed, kind != "replacing")
        np.testing.assert_array_equal(there.learn(*given, **series), here.learn(*given, **series))
        one = [0, 3, 3], given[1][0], [4, 69]
        np.testing.assert_array_equal(there.update(*one), here.update(*one))
        np.testing.assert_array_equal(there.predict(given[0]), here.predict(given[0]))
        for horde in (there, here):
            horde.reset()
    same(there, here)


def test_a_horde_stays_there_until_somebody_looks(host):  # noqa: F811
    there, here = both("true online")
    given, series = stream(0)
    for horde in (there, here):
        horde.learn(*given, **series)
        before = Memory.copied
        horde.learn(*given, **series)
        if horde is there:
            assert Memory.copied - before < horde._trace.__dict__["rings"].nbytes / 2
        horde.weights = horde.weights + 1.0
        assert horde.add(alpha=0.1) == M
        horde.remove(3)
        horde.alpha = 0.02
        horde.learn(*given, **series)
    same(there, here)
    np.testing.assert_array_equal(there[4].weights, here[4].weights)


def test_a_horde_comes_and_goes(host, tmp_path):  # noqa: F811
    """Copies stay on the GPU, checkpoints do not, and learners that are taken out never were."""
    there, here = both("GTD")
    given, series = stream(0)
    for horde in (there, here):
        horde.learn(*given, **series)
    again = copy.deepcopy(there)
    assert again.backend == "cuda"
    assert there[2].backend == there.state_dict()["backend"] == here.backend
    there.save(tmp_path / "horde.npz")
    loaded = ft.load(tmp_path / "horde.npz")
    same(loaded, here)
    again.load_state_dict(loaded.state_dict())
    assert again.to("cuda").backend == "cuda"
    deltas = here.learn(*given, **series)
    for other in (again, loaded.to("cuda"), there.to("auto")):
        np.testing.assert_array_equal(other.learn(*given, **series), deltas)


def test_bad_features_change_nothing_there(host):  # noqa: F811
    there, here = both("replacing")
    given, series = stream(0)
    for horde in (there, here):
        horde.learn(*given, **series)
        with pytest.raises(ft.FeatureIndexError, match=r"x_next: index 70 at \[0\] is out of range"):
            horde.update([0], given[1][0], [70])
        with pytest.raises(ft.FeatureIndexError, match="index 99"):
            horde.predict([[0], [99]])
    same(there, here)


def test_a_gpu_that_is_full_leaves_a_horde_as_it_was(host, monkeypatch):  # noqa: F811
    """Features that were to have memory have none; others are learned on."""
    there, here = both("replacing")
    few = np.arange(12).reshape(4, 3), np.ones((3, M))
    np.testing.assert_array_equal(there.learn(*few), here.learn(*few))
    with monkeypatch.context() as patched:

        def full(self, name, size, zeros=False):
            raise MemoryError("GPU 0 has no room")

        patched.setattr(Memory, "room", full)
        with pytest.raises(MemoryError, match="GPU 0"):
            there.learn(np.arange(40, 52).reshape(4, 3), few[1])
    np.testing.assert_array_equal(there.weights, here.weights)
    np.testing.assert_array_equal(there.learn(*few), here.learn(*few))


def test_without_a_gpu_a_horde_says_why():
    if ft.backends()["cuda"] is None:
        pytest.skip("a GPU is there")
    with pytest.raises(ft.BackendUnavailable, match="backend 'cuda' is not available"):
        ft.Horde(8, 3, alpha=0.1, backend="cuda")
