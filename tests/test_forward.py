"""The forward views: the golden ones, in every form of features, and what is known of each."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from streams import FORMS, GOLDEN, features, random_stream, relative

import fasttrace as ft
from fasttrace import forward

TOLERANCE = 1e-10  # what the golden data state
EXACT = 1e-12

with np.load(Path(GOLDEN) / "forward.npz") as _file:
    DATA = dict(_file)

CALLS = {
    "mc_linear": (forward.monte_carlo, {}),
    "online_lambda_return": (forward.online_lambda_return, {}),
    "offtd_online_lambda_return": (forward.online_lambda_return, {}),
    **{f"ttd_n{n}": (forward.truncated_td, {"n": n}) for n in (1, 2, 5, 1000)},
    **{
        f"offline_lambda_return_{variant}": (forward.offline_lambda_return, {"variant": variant})
        for variant in forward.VARIANTS
    },
}
RESULTS = sorted({tuple(key.split("/")[0:3:2]) for key in DATA if "/out/" in key and key[0] == "S"})


@pytest.mark.parametrize(("case", "name"), RESULTS)
def test_golden(case, name):
    """Weights after a whole stream; the discounts of flagged terminations are not 0 in the data."""
    data = {key.split("/")[2]: value for key, value in DATA.items() if key.startswith(f"{case}/in/")}
    function, options = CALLS[name]
    if name.startswith("off") and "online" in name:
        options = {"rhos": data["rho"]}
    got = function(
        data.get("x", data["idx"]),
        data["R"],
        alpha=float(data["alpha"]),
        gammas=data["gamma"][1:],
        lambdas=data["lam"][1:],
        terminated=data["terminal"],
        n_features=int(data["d"]),
        weights=data["w0"],
        **options,
    )
    assert relative(got, DATA[f"{case}/out/{name}/w"]) < TOLERANCE


def test_golden_dutch_monte_carlo():
    data = {key.split("/")[2]: value for key, value in DATA.items() if key.startswith("M01/in/")}
    got = forward.dutch_monte_carlo(data["idx"], data["G"], alpha=float(data["alpha"]), weights=data["w0"])
    assert relative(got, DATA["M01/out/mc_dutch/w"]) < TOLERANCE


# ---- random streams ----


def episodes(seed=0, form="indices", **options):
    """A stream, its features as vectors, and what every forward view takes of it; some discounts are 0."""
    s = random_stream(seed, T=50, n=9, form=form, repeats=True, vary_alpha=True, **options)
    terminated = np.zeros(s.T, bool)
    terminated[[11, 12, 30, 43]] = True
    x = np.array([s.dense(t) for t in range(s.T + 1)])
    common = {
        "alpha": s.alpha, "gammas": s.gammas, "lambdas": s.lambdas, "terminated": terminated,
        "weights": s.weights,
    }  # fmt: skip
    return s, x, common


VIEWS = {
    "live": forward.offline_lambda_return,
    "monte carlo": forward.monte_carlo,
    "online": forward.online_lambda_return,
    "truncated": lambda *first, **options: forward.truncated_td(*first, n=4, **options),
}
each_view = pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)


@each_view
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_features(form, view):
    """Indices, pairs, ragged and dense rows mean the same vectors."""
    s, x, common = episodes(form=form)
    assert relative(view(s.x(), s.rewards, **common), view(x, s.rewards, **common)) < EXACT


def brute_force(x, s, common, variant):
    """The off-line lambda-return as it is written: every return from (12.3) for the weights that it is under.

    G_t sums n-step returns weighted by (1 - lambda) lambda..., each written out.
    """
    w, start = common["weights"].copy(), 0
    gammas = np.where(common["terminated"], 0.0, common["gammas"])
    lambdas = common["lambdas"]

    def n_step(t, n, w):
        G, discount = 0.0, 1.0
        for i in range(t, t + n):
            G += discount * s.rewards[i]
            discount *= gammas[i]
        return G + discount * (w @ x[t + n])

    def compound(t, stop, w):
        G, left = 0.0, 1.0
        for n in range(1, stop - t):
            G += left * (1 - lambdas[t + n - 1]) * n_step(t, n, w)
            left *= lambdas[t + n - 1]
        return G + left * n_step(t, stop - t, w)

    for last in np.flatnonzero(common["terminated"]):
        old = w.copy()
        for t in range(start, last + 1):
            G = compound(t, last + 1, w if variant == "live" else old)
            v = (old if variant == "batch" else w) @ x[t]
            w = w + common["alpha"][t] * (G - v) * x[t]
        start = last + 1
    return w


@pytest.mark.parametrize("variant", forward.VARIANTS)
def test_lambda_returns_are_mixtures_of_n_step_returns(variant):
    """(12.2), (12.3) written out give the weights that the recursion gives."""
    s, x, common = episodes(1)
    got = forward.offline_lambda_return(x, s.rewards, **common, variant=variant)
    assert relative(got, brute_force(x, s, common, variant)) < EXACT


def test_one_step_of_truncated_td_is_td():
    """TTD with n = 1 is TD(0), whatever lambda."""
    s, x, common = episodes(2)
    learner = ft.TD(s.n, alpha=1.0, lambda_=0.0, backend="numpy")
    learner.weights = s.weights
    gammas = np.where(common["terminated"], 0.0, s.gammas)
    learner.learn(x, s.rewards, gammas=gammas, alpha=s.alpha)
    assert relative(forward.truncated_td(x, s.rewards, n=1, **common), learner.weights) < EXACT


def test_beyond_the_episode_truncated_td_is_offline():
    """With n beyond the longest episode nothing is updated before its end; values are those of its start."""
    s, x, common = episodes(3, restarts=False)
    got = forward.truncated_td(x, s.rewards, n=100, **common)
    assert relative(got, forward.offline_lambda_return(x, s.rewards, **common, variant="sequential")) < EXACT


def test_lambda_1_is_monte_carlo():
    """Then no return looks at a weight, so the three variants but `batch` are one."""
    s, x, common = episodes(4)
    want = forward.monte_carlo(x, s.rewards, **common)
    ones = common | {"lambdas": 1.0}
    for variant in ("live", "sequential"):
        assert relative(forward.offline_lambda_return(x, s.rewards, **ones, variant=variant), want) < EXACT
    assert relative(forward.offline_lambda_return(x, s.rewards, **ones, variant="batch"), want) > 1e-3


@pytest.mark.parametrize(
    "view",
    [VIEWS["live"], VIEWS["monte carlo"], VIEWS["truncated"]],
    ids=["live", "monte carlo", "truncated"],
)
def test_what_follows_the_last_end_is_pending(view):
    """Without a flag the last updates are not made: a soft 0 in the discounts is no flag."""
    s, x, common = episodes(5)
    gammas = s.gammas.copy()
    gammas[-1] = 0.0
    common |= {"gammas": gammas}
    stop = 44 if view is not VIEWS["truncated"] else None
    if stop:
        head = {k: v[:stop] if k != "weights" else v for k, v in common.items()}
        assert_array_equal(view(x, s.rewards, **common), view(x[: stop + 1], s.rewards[:stop], **head))
    flags = common["terminated"].copy()
    flags[-1] = True
    got, ended = view(x, s.rewards, **common), view(x, s.rewards, **common | {"terminated": flags})
    assert relative(got, ended) > 1e-4


def test_online_flags_are_discounts_of_zero():
    """Step by step there is nothing else to an end: flag or 0, the weights are the same to the bit."""
    s, x, common = episodes(6, off_policy=True)
    soft = common | {"gammas": np.where(common["terminated"], 0.0, s.gammas), "terminated": None}
    assert_array_equal(
        forward.online_lambda_return(x, s.rewards, rhos=s.rhos, **common),
        forward.online_lambda_return(x, s.rewards, rhos=s.rhos, **soft),
    )


@pytest.mark.parametrize("off_policy", [False, True])
def test_online_is_true_online_td(off_policy):
    """At the end of the stream, and at every other step: S&B 12.5."""
    s, x, common = episodes(7, off_policy=off_policy)
    gammas = np.where(common["terminated"], 0.0, s.gammas)
    learner = ft.TrueOnlineTD(s.n, alpha=1.0, backend="numpy")
    learner.weights = s.weights
    for t in range(0, s.T, 5):
        part = slice(t, t + 5)
        rhos = None if s.rhos is None else s.rhos[part]
        learner.learn(
            x[t : t + 6], s.rewards[part], gammas=gammas[part], lambdas=s.lambdas[part], alpha=s.alpha[part],
            rhos=rhos,
        )  # fmt: skip
        head = {k: v if k == "weights" else v[: t + 5] for k, v in common.items()}
        rhos = None if s.rhos is None else s.rhos[: t + 5]
        want = forward.online_lambda_return(x[: t + 6], s.rewards[: t + 5], rhos=rhos, **head)
        assert relative(learner.weights, want) < EXACT


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("vary_alpha", [False, True])
def test_dutch_monte_carlo_is_monte_carlo(form, vary_alpha):
    """One reward at the end, no discount: the same as with all states kept (12.13 to 12.14)."""
    s = random_stream(8, T=25, n=6, form=form, vary_alpha=vary_alpha)
    x = features(s.rows[:-1], s.n, form)
    G = 1.7
    terminated = np.zeros(s.T, bool)
    terminated[-1] = True
    want = forward.monte_carlo(
        s.x(), np.append(np.zeros(s.T - 1), G), alpha=s.alpha, gammas=1.0, terminated=terminated,
        weights=s.weights,
    )  # fmt: skip
    got = forward.dutch_monte_carlo(x, G, alpha=s.alpha, weights=s.weights)
    assert relative(got, want) < EXACT
    w = s.weights.copy()
    for t in range(s.T):
        w += np.broadcast_to(s.alpha, s.T)[t] * (G - w @ s.dense(t)) * s.dense(t)
    assert relative(got, w) < EXACT


def test_numbers_stand_for_arrays():
    s, x, common = episodes(9)
    common |= {"alpha": 0.1, "gammas": 0.9, "lambdas": 0.8}
    arrays = common | {name: np.full(s.T, common[name]) for name in ("alpha", "gammas", "lambdas")}
    for view in VIEWS.values():
        assert_array_equal(view(x, s.rewards, **common), view(x, s.rewards, **arrays))


@each_view
def test_nothing_to_learn_from(view):
    """No transition: the weights that came in, as a copy, and a row of x is enough."""
    w = np.array([1.0, 2.0, 3.0])
    got = view([[0, 2]], [], alpha=0.1, gammas=0.9, lambdas=0.8, terminated=[], weights=w)
    assert_array_equal(got, w)
    got[0] = 9.0
    assert w[0] == 1.0


@each_view
def test_what_comes_in_stays_as_it_is(view):
    s, x, common = episodes(10)
    before = [x.copy(), s.rewards.copy(), *(np.copy(v) for v in common.values())]
    view(x, s.rewards, **common)
    for array, copy in zip([x, s.rewards, *common.values()], before, strict=True):
        assert_array_equal(array, copy)


def test_n_features():
    """Dense features and weights tell how many there are; indices alone do not."""
    common = {"alpha": 0.5, "gammas": 0.0, "lambdas": 0.9, "terminated": [True]}
    assert_allclose(forward.monte_carlo(np.eye(2), [1.0], **common), [0.5, 0.0])
    assert_allclose(forward.monte_carlo([[1], [0]], [1.0], n_features=3, **common), [0.0, 0.5, 0.0])
    with pytest.raises(ValueError, match="n_features: got None"):
        forward.monte_carlo([[1], [0]], [1.0], **common)


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        (
            {"x": [[0], [5], [1]]},
            ft.FeatureIndexError,
            r"index 5 at \[1, 0\] is out of range, expected 0 to 4",
        ),
        ({"x": [[0], [1]]}, ValueError, r"rewards: got shape \(2,\), expected \(1,\)"),
        ({"x": [0, 1]}, ValueError, r"x: got shape \(2,\)"),
        ({"rewards": [1.0, np.nan]}, ValueError, "rewards: entry 1 is nan"),
        ({"alpha": 0.0}, ValueError, "alpha: got 0.0"),
        ({"alpha": None}, ValueError, "alpha: got None"),
        ({"gammas": 1.5}, ValueError, "gammas: got 1.5"),
        ({"gammas": None}, ValueError, "gammas: got None"),
        ({"lambdas": [0.1, 0.2, 0.3]}, ValueError, r"lambdas: got shape \(3,\), expected a number or \(2,\)"),
        ({"terminated": [True]}, ValueError, r"terminated: got shape \(1,\), expected \(2,\)"),
        ({"terminated": [0.0, 1.0]}, TypeError, "terminated: got dtype float64, expected booleans"),
        ({"terminated": [0, 2]}, ValueError, "terminated: expected booleans"),
        ({"weights": [1.0, 2.0]}, ValueError, r"weights: got shape \(2,\), expected \(5,\)"),
        ({"n_features": 0}, ValueError, "n_features: got 0"),
        ({"variant": "lively"}, ValueError, "variant: got 'lively', expected one of 'live'"),
    ],
)
def test_refuses(changed, error, words):
    """What was given, what is allowed."""
    good = {
        "x": [[0], [4], [1]], "rewards": [1.0, 2.0], "alpha": 0.1, "gammas": 0.9, "lambdas": 0.8,
        "terminated": [False, True], "n_features": 5,
    }  # fmt: skip
    with pytest.raises(error, match=words):
        forward.offline_lambda_return(**good | changed)


def test_truncated_td_refuses_no_steps():
    with pytest.raises(ValueError, match="n: got 0, expected an integer from 1"):
        forward.truncated_td(
            [[0], [0]], [1.0], n=0, alpha=1, gammas=1, lambdas=1, terminated=[True], n_features=1
        )
