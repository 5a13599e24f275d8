"""Off-policy learners that bound their ratios: what they are in special cases, and bad input."""

import math

import numpy as np
import pytest
from streams import BACKENDS, GOLDEN, learn, random_stream, relative

import fasttrace as ft

NUMBERS = {"alpha": 0.1, "lambda_": 0.8}


def stream(**changes):
    return random_stream(21, T=200, n=12, k=3, off_policy=True).but(alpha=0.1, **changes)


def weights(learner, s):
    learner.weights = s.weights
    learn(learner, s)
    return learner.weights


@pytest.mark.parametrize("backend", BACKENDS)
def test_vtrace_on_policy_is_td(backend):
    """Where ratios are 1 no bound of at least 1 binds."""
    s = stream(rhos=np.ones(200))
    want = weights(ft.TD(12, **NUMBERS, backend=backend), s)
    for bars in ({}, {"c_bar": 1.0, "rho_bar": 1.0}):
        assert relative(weights(ft.VtraceTD(12, **NUMBERS, **bars, backend=backend), s), want) < 1e-13


@pytest.mark.parametrize("backend", BACKENDS)
def test_vtrace_without_bounds_is_off_policy_td(backend):
    """The ratio of a step stands in the update instead of in the trace: the weights are the same."""
    s = stream()
    want = weights(ft.TD(12, **NUMBERS, backend=backend), s)
    got = weights(ft.VtraceTD(12, **NUMBERS, c_bar=math.inf, rho_bar=math.inf, backend=backend), s)
    assert relative(got, want) < 1e-13
    assert relative(weights(ft.VtraceTD(12, **NUMBERS, backend=backend), s), want) > 1e-3  # a bound does bind


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["c_bar", "rho_bar"])
def test_bars(name, backend):
    for bad in (-0.1, math.nan):
        with pytest.raises(ValueError, match=f"{name}: got {bad}, expected a number of at least 0"):
            ft.VtraceTD(4, alpha=0.1, backend=backend, **{name: bad})
    with pytest.raises(TypeError, match=f"{name}: expected a real number"):
        ft.VtraceTD(4, alpha=0.1, backend=backend, **{name: "1"})


@pytest.mark.parametrize("backend", BACKENDS)
def test_ratios_are_needed(backend):
    learner = ft.VtraceTD(4, alpha=0.1, backend=backend)
    with pytest.raises(ValueError, match=r"rhos: got None, VtraceTD\.learn needs rhos"):
        learner.learn([[0], [1]], [1.0])
    with pytest.raises(TypeError, match="rho"):
        learner.update([0], 1.0, [1])
    for bad in (-1.0, math.inf):
        with pytest.raises(ValueError, match="rho"):
            learner.update([0], 1.0, [1], rho=bad)
    assert not np.any(learner.weights)


@pytest.mark.parametrize("backend", BACKENDS)
def test_tree_backup_of_a_policy_that_does_not_choose_is_td(backend):
    """Where pi is 1 and so is every ratio, it is TD(lambda); where pi is p throughout, TD(p lambda)."""
    for p, lambda_ in ((1.0, 0.8), (0.5, 0.4)):
        s = stream(rhos=np.ones(200), pi=np.full(200, p), lambdas=np.full(200, 0.8))
        want = weights(ft.TD(12, alpha=0.1, backend=backend), s.but(lambdas=np.full(200, lambda_)))
        assert relative(weights(ft.TreeBackupTD(12, alpha=0.1, backend=backend), s), want) < 1e-13


@pytest.mark.parametrize("backend", BACKENDS)
def test_tree_backup_ends_a_trace_that_the_target_would_not_have_taken(backend):
    """After an action of pi 0 the states before it learn no more."""
    learner = ft.TreeBackupTD(3, alpha=0.1, lambda_=1.0, gamma=1.0, backend=backend)
    learner.learn([[0], [1], [2]], [0.0, 1.0], rhos=[0.0, 2.0], pi=[0.0, 0.5])
    np.testing.assert_allclose(learner.weights, [0.0, 0.2, 0.0], rtol=0, atol=1e-15)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("zeta", "psi_0"), [(0.0, 0.9), (0.25, 1.0), (0.4, 0.7), (0.5, 1.0)])
def test_ab_of_a_small_psi_is_tree_backup(zeta, psi_0, backend):
    """Where psi is at most 1 the other bound never binds."""
    psi = 2 * zeta * psi_0
    s = stream(lambdas=np.full(200, psi))
    want = weights(ft.TreeBackupTD(12, alpha=0.1, lambda_=psi, backend=backend), s)
    got = weights(ft.ABTD(12, alpha=0.1, zeta=zeta, psi_0=psi_0, backend=backend), s)
    assert relative(got, want) < 1e-13


@pytest.mark.parametrize("backend", BACKENDS)
def test_ab_of_a_large_psi_cuts_no_more_than_the_policies_do(backend):
    """zeta 1 and a psi_max that never binds: the factor is min(1, rho), Vtrace's with lambda 1 and all bars
    but its own away."""
    s = stream(lambdas=np.ones(200))
    want = weights(ft.VtraceTD(12, alpha=0.1, lambda_=1.0, backend=backend), s)
    assert relative(weights(ft.ABTD(12, alpha=0.1, zeta=1.0, psi_max=1e9, backend=backend), s), want) < 1e-13


@pytest.mark.parametrize("backend", BACKENDS)
def test_numbers_of_ab(backend):
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=f"zeta: got {bad}, expected a number from 0 to 1"):
            ft.ABTD(4, alpha=0.1, zeta=bad, backend=backend)
    for name in ("psi_0", "psi_max"):
        for bad in (0.0, -1.0, math.nan, math.inf):
            with pytest.raises(ValueError, match=f"{name}: got {bad}"):
                ft.ABTD(4, alpha=0.1, backend=backend, **{name: bad})
    with pytest.raises(TypeError, match="lambda_"):
        ft.ABTD(4, alpha=0.1, lambda_=0.9, backend=backend)
    assert "zeta=0.5, psi_0=1.0, psi_max=2.0" in repr(ft.ABTD(4, alpha=0.1, backend=backend))


WITH_PI = [ft.TreeBackupTD, ft.ABTD]
BAD_PI = [
    ({"rho": 1.0, "pi": -0.1}, "pi: got -0.1, expected a number from 0 to 1"),
    ({"rho": 1.0, "pi": 1.1}, "pi: got 1.1, expected a number from 0 to 1"),
    ({"rho": 1.0, "pi": math.nan}, "pi: got nan, expected a number from 0 to 1"),
    ({"rho": 0.0, "pi": 0.5}, "pi: got 0.5 with a ratio of 0.0, expected 0 where that is 0"),
    ({"rho": 0.5, "pi": 0.0}, "pi: got 0.0 with a ratio of 0.5, expected 0 where that is 0"),
    ({"rho": 0.5, "pi": 0.50001}, "pi / rho, how likely the behaviour was to act so, of at most 1"),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", WITH_PI, ids=lambda each: each.__name__)
def test_bad_pi(kind, backend):
    """Refused by update and by learn, with nothing changed; what rounding makes of a behaviour is taken."""
    learner = kind(4, alpha=0.1, backend=backend)
    for numbers, message in BAD_PI:
        with pytest.raises(ValueError, match="pi") as raised:
            learner.update([0], 1.0, [1], **numbers)
        assert message in str(raised.value)
        with pytest.raises(ValueError, match="pi"):
            learner.learn([[0], [1], [2]], [1.0, 1.0], rhos=[1.0, numbers["rho"]], pi=[1.0, numbers["pi"]])
    with pytest.raises(ValueError, match=f"pi: got None, {kind.__name__}.learn needs pi"):
        learner.learn([[0], [1]], [1.0], rhos=1.0)
    with pytest.raises(ValueError, match=f"rhos: got None, {kind.__name__}.learn needs rhos"):
        learner.learn([[0], [1]], [1.0], pi=1.0)
    with pytest.raises(TypeError, match="pi"):
        learner.update([0], 1.0, [1], rho=1.0)
    with pytest.raises(ValueError, match=r"pi: got shape \(3,\), expected a number or \(1,\)"):
        learner.learn([[0], [1]], [1.0], rhos=1.0, pi=[1.0, 1.0, 1.0])
    assert not np.any(learner.weights)
    learner.update([0], 1.0, [1], rho=0.5, pi=0.5 * (1.0 + 1e-7))
    assert np.any(learner.weights)


@pytest.mark.parametrize("backend", [each for each in BACKENDS if each.values != ("numba",)])
def test_simulate(backend):
    """Ratios are 1 there; environments have no pi."""
    walk = ft.envs.RandomWalk()
    learners = [kind(19, alpha=0.1, gamma=1.0, backend=backend) for kind in (ft.VtraceTD, ft.TD)]
    for learner in learners:
        ft.simulate(walk, learner, episodes=20, seed=1)
    assert relative(learners[0].weights, learners[1].weights) < 1e-13
    for kind in WITH_PI:
        with pytest.raises(TypeError, match=f"{kind.__name__} asks for pi of the action taken"):
            ft.simulate(walk, kind(19, alpha=0.1, backend=backend), episodes=1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_beta_of_gamma_is_no_beta(backend):
    """Of a constant discount, and where episodes end: F = i after a termination."""
    gammas = np.where(np.arange(200) % 23 == 22, 0.0, 0.9)
    s = stream(gammas=gammas, lambdas=np.full(200, 0.8))
    want = weights(ft.EmphaticTD(12, alpha=0.1, backend=backend), s)
    assert relative(weights(ft.EmphaticTD(12, alpha=0.1, beta=0.9, backend=backend), s), want) < 1e-13
    assert relative(weights(ft.EmphaticTD(12, alpha=0.1, beta=0.5, backend=backend), s), want) > 1e-3


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_beta_of_0_is_the_interest(backend):
    """F = i, so M = i: TD(lambda) with the step size of the interest."""
    s = stream(interests=None)
    want = weights(ft.TD(12, alpha=0.1, backend=backend), s)
    assert relative(weights(ft.EmphaticTD(12, alpha=0.1, beta=0.0, backend=backend), s), want) < 1e-13


@pytest.mark.parametrize("backend", BACKENDS)
def test_beta(backend):
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=f"beta: got {bad}, expected a number from 0 to 1"):
            ft.EmphaticTD(4, alpha=0.1, beta=bad, backend=backend)
    with_beta, without = (ft.EmphaticTD(4, alpha=0.1, beta=each, backend=backend) for each in (0.5, None))
    assert "beta=0.5" in repr(with_beta)
    with pytest.raises(ValueError, match="beta"):
        without.load_state_dict(with_beta.state_dict())


# ---- 6000 steps, by loops of their own over the formulas of the paper ----

PSI = 2 * 0.8 * 0.9 + (2 * 0.8 - 1) * (2.5 - 2 * 0.9)
LONG = {
    "vtrace": (ft.VtraceTD, {"c_bar": 0.9, "rho_bar": 1.3}),
    "tree backup": (ft.TreeBackupTD, {}),
    "ab": (ft.ABTD, {"zeta": 0.8, "psi_0": 0.9, "psi_max": 2.5}),
    "beta": (ft.EmphaticTD, {"beta": 0.4}),
}


def eager(name, s, T):
    w, z, F, lambda_, D, deltas = np.zeros(s.n), np.zeros(s.n), 0.0, 0.0, 0.0, []
    for t in range(T):
        x, gamma, rho, pi = s.dense(t), s.gammas[t], s.rhos[t], s.pi[t]
        delta = s.rewards[t] + gamma * (w @ s.dense(t + 1)) - w @ x
        F += s.interests[t]
        M = lambda_ * s.interests[t] + (1 - lambda_) * F
        z = rho * (D * z + M * x) if name == "beta" else D * z + x
        w += s.alpha * {"vtrace": min(1.3, rho), "beta": 1.0}.get(name, rho) * delta * z
        nu = min(PSI, 1 / max(pi, pi / rho)) if pi > 0 else 0.0
        D = gamma * nu * pi if name == "ab" else gamma * s.lambdas[t]
        D *= {"vtrace": min(0.9, rho), "tree backup": pi}.get(name, 1.0)
        F, lambda_ = (rho * 0.4 * F if gamma else 0.0), s.lambdas[t]
        deltas.append(delta)
    return w, deltas


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", LONG)
def test_long_run(name, backend):
    """With zeros among ratios and discounts; learned in three pieces."""
    T = 6000
    s = random_stream(33, T=T, n=30, k=4, off_policy=True).but(alpha=0.02, weights=np.zeros(30))
    kind, options = LONG[name]
    learner = kind(30, alpha=0.02, backend=backend, **options)
    deltas = np.concatenate([learn(learner, s, *piece) for piece in ((0, 1), (1, 2500), (2500, T))])
    w, want = eager(name, s, T)
    assert relative(deltas, want) < 1e-10
    assert relative(learner.weights, w) < 1e-10


# ---- options that are set later ----

LATER = [
    (ft.VtraceTD, "c_bar", 0.3, -1.0),
    (ft.VtraceTD, "rho_bar", 0.3, np.nan),
    (ft.ABTD, "zeta", 0.1, 1.5),
    (ft.ABTD, "psi_0", 0.4, 0.0),
    (ft.ABTD, "psi_max", 1.2, np.inf),
    (ft.EmphaticTD, "beta", 0.3, 1.5),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("cls", "name", "value", "bad"), LATER, ids=lambda each: getattr(each, "__name__", each)
)
def test_an_option_that_is_set_is_in_use(cls, name, value, bad, backend):
    """At once, also by the quick step, which takes int32 rows; what is no such option changes nothing."""
    x = np.array([[0, 1], [1, 2], [2, 0]] * 5, np.int32)
    ab = cls is ft.ABTD
    more = {"rho": 1.6} | ({"pi": 0.8} if ab else {})
    zeta = {"zeta": 0.4 if name == "psi_0" else 0.9} if ab else {}  # psi_max counts from .5 on
    learner = cls(3, alpha=0.1, backend=backend, **zeta)
    fresh = cls(3, alpha=0.1, backend=backend, **(zeta | {name: value}))
    default = cls(3, alpha=0.1, backend=backend, **zeta)
    setattr(learner, name, value)
    with pytest.raises(ValueError, match=f"^{name}: got"):
        setattr(learner, name, bad)
    for each in (learner, fresh, default):
        for t in range(14):
            each.update(x[t], 1.0 + t, x[t + 1], **more)
    assert getattr(learner, name) == value
    np.testing.assert_array_equal(learner.weights, fresh.weights)
    assert (learner.weights != default.weights).any()


AUTHORS = {  # the names that Ghiassian & Sutton's program has, and the learner that is the same
    "TD": lambda lambda_: ft.TD(6, alpha=0.01, lambda_=lambda_),
    "GTD": lambda lambda_: ft.GTD(6, alpha=0.01, beta=0.005, lambda_=lambda_),
    "GTD2": lambda lambda_: ft.GTD2(6, alpha=0.01, beta=0.005, lambda_=lambda_),
    "HTD": lambda lambda_: ft.HTD(6, alpha=0.01, beta=0.005, lambda_=lambda_),
    "PGTD2": lambda lambda_: ft.ProximalGTD2(6, alpha=0.01, beta=0.005, lambda_=lambda_),
    "TDRC": lambda lambda_: ft.TDRC(6, alpha=0.01, eta=0.5, beta=1.0, lambda_=lambda_),
    "ETD": lambda lambda_: ft.EmphaticTD(6, alpha=0.01, lambda_=lambda_),
    "ETDLB": lambda lambda_: ft.EmphaticTD(6, alpha=0.01, beta=0.6, lambda_=lambda_),
    "TB": lambda lambda_: ft.TreeBackupTD(6, alpha=0.01, lambda_=lambda_),
    "Vtrace": lambda lambda_: ft.VtraceTD(6, alpha=0.01, lambda_=lambda_),
    "ABTD": lambda zeta: ft.ABTD(6, alpha=0.01, zeta=zeta),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", AUTHORS)
def test_the_authors_program_learns_the_same(name, backend):
    """Their weights on 3000 steps of their collision task, every 250 of them, at four lambdas (zetas)."""
    with np.load(GOLDEN / "collision.npz") as golden:
        x = np.nonzero(np.unpackbits(golden["x"][:, None], axis=1))[1].reshape(-1, 3)
        rewards, gammas, rhos = golden["rewards"], golden["gammas"], golden["rhos"]
        pi = {"pi": golden["pi"]} if name in ("TB", "ABTD") else {}
        theirs = {number: golden[f"{name}/{number}"] for number in (0.0, 0.4, 0.9, 1.0)}
    for number, want in theirs.items():
        learner = AUTHORS[name](number).to(backend)
        got = []
        for t in range(0, 3000, 250):
            part = slice(t, t + 250)
            more = {key: each[part] for key, each in pi.items()}
            learner.learn(x[t : t + 251], rewards[part], gammas=gammas[part], rhos=rhos[part], **more)
            got.append(learner.weights)
        assert relative(np.array(got), want) < 1e-13
