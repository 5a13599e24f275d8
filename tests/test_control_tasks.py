"""Cart-pole, acrobot and puddle world: as Gymnasium's, as their equations, and the same walk everywhere."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from streams import BACKENDS
from walks import Runner

import fasttrace as ft
from fasttrace.backends import NAMES

CART_POLE, ACROBOT, PUDDLES = ft.envs.CartPole(), ft.envs.Acrobot(), ft.envs.PuddleWorld()  # compiled once
NOTHING = np.empty(0)
NO_NOISE = np.zeros(2)  # the transform of Box & Muller gives 0 for u[0] = 0
UP, DOWN, RIGHT, LEFT = range(4)
each_backend = pytest.mark.parametrize("backend", BACKENDS)


def numpys_cos_is_libms():
    """Where NumPy has its own cos and sin (by vectors, on some CPUs) they may differ in the last bit."""
    x = np.random.default_rng(0).uniform(-4, 4, 10_000)
    ours = [[f(each) for each in x.tolist()] for f in (math.cos, math.sin)]
    return ours == [[f(each) for each in x] for f in (np.cos, np.sin)]


def next_to(theirs, action):
    """Gymnasium's next state, reward and gamma."""
    _, reward, terminated, _, _ = theirs.step(action)
    return [*np.float64(theirs.state).tolist(), reward, 0.0 if terminated else 1.0]


# ---- cart-pole ----


@each_backend
def test_cart_pole_is_gymnasiums(backend):
    """Starts and whole episodes, over each of the four limits: float64 states are equal to the bit."""
    gymnasium = pytest.importorskip("gymnasium")
    theirs = gymnasium.make("CartPole-v1").unwrapped
    ours = Runner(CART_POLE, backend)
    exact, rng, ends = numpys_cos_is_libms(), np.random.default_rng(1), set()

    def play(policy):
        for _ in range(400):
            action = policy(*theirs.state)
            if not exact:
                ours.state[:] = theirs.state
            happened, expected = ours.step(action, NOTHING), next_to(theirs, action)
            assert_allclose(happened, expected, rtol=0, atol=0.0 if exact else 1e-13)
            if happened[-1] == 0.0:
                x, theta = happened[0], happened[2]
                ends.add("x" if abs(x) > 2.4 else "theta")
                ends.add("right" if (x if abs(x) > 2.4 else theta) > 0 else "left")
                break

    for seed in range(8):
        theirs.reset(seed=seed)
        assert ours.reset(np.random.default_rng(seed).random(4)) == theirs.state.tolist()
        play(lambda *state: int(rng.integers(2)))
    for lean in (-0.1, 0.0, 0.1):  # balanced while the cart runs away
        theirs.reset(seed=3)
        ours.state[:] = theirs.state
        play(lambda x, x_dot, theta, theta_dot, lean=lean: int(theta + 0.3 * theta_dot > lean))
    assert ends == {"x", "theta", "left", "right"}


@each_backend
def test_cart_pole_obeys_newton(backend):
    """The force moves both masses, and gravity the pole: the two equations of motion, at random states."""
    rng = np.random.default_rng(2)
    runner = Runner(CART_POLE, backend)
    for _ in range(100):
        x, x_dot, theta, theta_dot = runner.state[:] = rng.uniform(-1, 1, 4) * (2.4, 3, 0.2, 3)
        action = int(rng.integers(2))
        happened = runner.step(action, NOTHING)
        x_acc, theta_acc = (happened[1] - x_dot) / 0.02, (happened[3] - theta_dot) / 0.02
        pole = 0.05 * (theta_acc * math.cos(theta) - theta_dot**2 * math.sin(theta))
        assert_allclose(1.1 * x_acc + pole, 20.0 * action - 10.0, atol=1e-10)
        assert_allclose(2 / 3 * theta_acc + x_acc * math.cos(theta), 9.8 * math.sin(theta), atol=1e-10)
        assert happened[0] == x + 0.02 * x_dot
        assert happened[2] == theta + 0.02 * theta_dot


@each_backend
def test_cart_pole_ends_beyond_its_limits(backend):
    """On a limit the pole stands still; the step over it has its reward too."""
    runner = Runner(CART_POLE, backend)
    degrees = 12 * 2 * math.pi / 360
    for place, limit in ((0, 2.4), (2, degrees)):
        for side in (-1, 1):
            runner.state[:] = 0.0
            runner.state[place] = side * limit
            assert runner.step(0, NOTHING)[-2:] == [1.0, 1.0]
            runner.state[:] = 0.0
            runner.state[place] = side * np.nextafter(limit, 3)
            assert runner.step(0, NOTHING)[-2:] == [1.0, 0.0]


def test_cart_pole_seldom_exceeds_its_bounds():
    """States of a pole that stands are within low and high: all of them by place, 99 % by velocity."""
    env, rng = CART_POLE, np.random.default_rng(4)
    states, state = [], env.reset(rng.random(4))
    for _ in range(5000):
        states.append(state)
        state, _, gamma = env.step(state, int(rng.integers(2)), ())
        state = state if gamma else env.reset(rng.random(4))
    inside = (np.abs(states) <= env.high).mean(axis=0)
    assert_array_equal(inside[[0, 2]], 1.0)
    assert inside.min() > 0.99


# ---- acrobot ----


@each_backend
def test_acrobot_is_gymnasiums(backend):
    """Starts are equal, and each step from the same state to the last bits: at the goal, round the circle,
    at the limits of both velocities.

    Not to the bit: Gymnasium squares velocities by NumPy's scalar power, pow(x, 2), which glibc rounds
    otherwise than x x about once in a thousand times, and cos may be NumPy's own.
    """
    gymnasium = pytest.importorskip("gymnasium")
    theirs = gymnasium.make("Acrobot-v1").unwrapped
    ours = Runner(ACROBOT, backend)
    rng, seen, equal = np.random.default_rng(1), set(), []

    def play(policy, steps):
        for _ in range(steps):
            ours.state[:] = before = theirs.state
            action = policy(*theirs.state)
            happened, expected = ours.step(action, NOTHING), next_to(theirs, action)
            assert_allclose(happened, expected, rtol=0, atol=1e-12)
            equal.append(happened == expected)
            seen.update(f"limit {i}" for i in (2, 3) if abs(happened[i]) == ours.env.high[i])
            seen.update(f"circle {i}" for i in (0, 1) if abs(happened[i] - before[i]) > 5)
            if happened[-1] == 0.0:
                seen.add("goal")
                break

    for seed in range(3):
        theirs.reset(seed=seed)
        assert ours.reset(np.random.default_rng(seed).random(4)) == theirs.state.tolist()
        play(lambda *state: int(rng.integers(3)), 100)
        play(lambda theta1, theta2, speed1, speed2: 2 if speed2 > 0 else 0, 300)  # pumps until it is up
    for start in ([2, 3, 12, 28], [-2, -3, -12, -28], [0, 0, 3, -20], [3, 0, 1, 25]):
        theirs.state = np.array(start, float)
        play(lambda *state: 1, 20)
    assert seen == {"goal", "circle 0", "circle 1", "limit 2", "limit 3"}
    assert not numpys_cos_is_libms() or np.mean(equal) > 0.8


def energy(theta1, theta2, speed1, speed2):
    """Of two links of 1 m and 1 kg, moments of inertia 1, centres in the middle."""
    moving = (3.5 + math.cos(theta2)) * speed1**2 / 2 + (1.25 + 0.5 * math.cos(theta2)) * speed1 * speed2
    return moving + 1.25 * speed2**2 / 2 - 9.8 * (1.5 * math.cos(theta1) + 0.5 * math.cos(theta1 + theta2))


@each_backend
def test_acrobot_keeps_its_energy(backend):
    """Without torque, up to what steps of .2 s lose; with it, the energy changes by the work it does."""
    runner = Runner(ACROBOT, backend)
    rng, least = np.random.default_rng(3), energy(0, 0, 0, 0)
    for action in (0, 1, 2):
        for _ in range(20):
            before = runner.state[:] = rng.uniform(-0.5, 0.5, 4)
            before = before.copy()
            after = runner.step(action, NOTHING)[:4]
            work = (action - 1) * (after[1] - before[1])
            assert_allclose(energy(*after), energy(*before) + work, rtol=0, atol=2e-3)
    runner.state[:] = 0.3, -0.2, 0.0, 0.0
    begin = energy(*runner.state) - least
    for _ in range(50):
        runner.step(1, NOTHING)
        assert 0.8 * begin < energy(*runner.state) - least < 1.001 * begin


@each_backend
def test_acrobot_hangs_still_and_is_up_above_one_link(backend):
    """At rest it stays so; the tip has to be more than one link's length above the bar."""
    runner = Runner(ACROBOT, backend)
    runner.state[:] = 0.0
    *state, reward, gamma = runner.step(1, NOTHING)
    assert_allclose(state, 0.0, atol=1e-15)
    assert (reward, gamma) == (-1.0, 1.0)
    for theta, over in ((3.1, True), (2.2, True), (2.0, False), (-2.2, True), (-2.0, False)):
        runner.state[:] = theta, 0.0, 0.0, 0.0  # the tip is at -2 cos(theta)
        assert runner.step(1, NOTHING)[-2:] == ([0.0, 0.0] if over else [-1.0, 1.0])


# ---- puddle world ----


@each_backend
@pytest.mark.parametrize(
    ("place", "penalty"),
    [
        ((0.2, 0.75), 40.0),  # on the middle lines
        ((0.45, 0.5), 40.0),
        ((0.45, 0.75), 80.0),  # of both
        ((0.2, 0.8), 20.0),
        ((0.2, 0.66), 4.0),
        ((0.07, 0.79), 20.0),  # 3, 4, 5 from an end
        ((0.51, 0.32), 0.0),
        ((0.49, 0.37), 20.0),
        ((0.48, 0.84), 400 * (0.05 + 0.1 - math.hypot(0.03, 0.09))),
        ((0.2, 0.6), 0.0),
        ((0.7, 0.7), 0.0),
        ((0.98, 0.97), 0.0),
    ],
)
def test_what_a_puddle_costs(place, penalty, backend):
    """-1, and -400 times the depth in each puddle, where a step ends."""
    runner = Runner(PUDDLES, backend)
    for action, (right, up) in enumerate(((0, 0.05), (0, -0.05), (0.05, 0), (-0.05, 0))):
        start = np.subtract(place, (right, up))
        if start.max() > 1.0:
            continue  # the edge is in the way
        runner.state[:] = start
        x, y, reward, gamma = runner.step(action, NO_NOISE)
        assert_allclose((x, y, reward), (*place, -1.0 - penalty), atol=1e-12)
        assert gamma == (0.0 if sum(place) >= 1.9 else 1.0)


@each_backend
def test_puddle_worlds_edges_and_goal(backend):
    """Nothing leaves the square; the goal is x + y >= 1.9."""
    runner = Runner(PUDDLES, backend)
    for start, action, end in (
        ((0.98, 0.5), RIGHT, (1.0, 0.5)),
        ((0.02, 0.5), LEFT, (0.0, 0.5)),
        ((0.7, 0.98), UP, (0.7, 1.0)),
        ((0.7, 0.02), DOWN, (0.7, 0.0)),
    ):
        runner.state[:] = start
        assert runner.step(action, NO_NOISE) == [*end, -1.0, 1.0]
    for x, gamma in ((0.9, 0.0), (0.9 - 1e-15, 1.0)):
        runner.state[:] = x, 0.97
        assert runner.step(UP, NO_NOISE) == [x, 1.0, -1.0, gamma]
    extreme = np.array([np.nextafter(1, 0), 0.125])  # the largest noise there is, 8.6 deviations
    runner.state[:] = 0.5, 0.2
    x, y, _, _ = runner.step(RIGHT, extreme)
    assert_allclose((x, y), np.array([0.55, 0.2]) + 0.01 * math.sqrt(53 * math.log(2)), rtol=1e-12)


def test_puddle_worlds_noise_is_gaussian():
    """Mean 0, deviation .01, a Gaussian's share within one and two of them; independent coordinates."""
    env, rng = PUDDLES, np.random.default_rng(6)
    u = rng.random((20_000, 2)).tolist()
    noise = np.array([env.step((0.7, 0.3), UP, each)[0] for each in u]) - (0.7, 0.35)
    assert_allclose(noise.mean(axis=0), 0.0, atol=3e-4)
    assert_allclose(noise.std(axis=0), 0.01, rtol=0.02)
    for deviations in (1, 2):
        share = (np.abs(noise) < 0.01 * deviations).mean(axis=0)
        assert_allclose(share, math.erf(deviations / math.sqrt(2)), atol=0.012)
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.03
    assert abs(np.corrcoef(noise.T**2)[0, 1]) < 0.03


@each_backend
def test_puddle_world_starts_uniform_outside_the_goal(backend):
    """Every strip of the square by its area, along both coordinates, and never in the goal."""
    runner = Runner(PUDDLES, backend)
    u = np.random.default_rng(7).random((10_000, 2))
    starts = np.array([runner.reset(each) for each in u])
    assert starts.min() >= 0.0
    assert starts.sum(axis=1).max() < 1.9
    edges = np.array([0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 1.0])
    areas = np.array([0.25, 0.25, 0.25, 0.15, 0.05 - 0.00125, 0.05 - 0.00375])
    for coordinate in starts.T:
        counts = np.histogram(coordinate, edges)[0]
        expected = len(u) * areas / 0.995
        assert ((counts - expected) ** 2 / expected).sum() < 20.5  # chi-square, 5 degrees: 1 in 1000
    for most in ((1, 0), (0, 1), (1, 1)):
        x, y = runner.reset(np.nextafter(np.array(most, float), 0.5))
        assert max(x, y) <= 1.0
        assert x + y < 1.9 + 1e-15


# ---- all three ----


WRAP = {"CartPole": (), "Acrobot": (0, 1), "PuddleWorld": ()}  # of a coder: the angles that are circles
each_task = pytest.mark.parametrize("name", WRAP)


def learner(name, backend, tiles, **options):
    env = getattr(ft.envs, name)()
    coder = ft.TileCoder(env.low, env.high, tiles, 8, wrap=WRAP[name])
    options = {"alpha": 0.5 / 8, "gamma": 1.0, "lambda_": 0.9} | options
    agent = ft.TrueOnlineSarsa(coder.n_features, env.n_actions, backend=backend, **options)
    return env, agent, coder


@each_task
def test_same_seed_same_walk(name):
    """simulate visits the same states in every backend: lengths and returns are equal, and so are weights."""
    runs = {}
    for backend in NAMES:
        if ft.backends()[backend] is None:
            env, agent, coder = learner(name, backend, 2, epsilon=0.1)
            history = ft.simulate(env, agent, coder, steps=600, max_episode_steps=200, seed=5)
            runs[backend] = history, agent.weights
    expected, weights = runs["numpy"]
    assert len(expected.lengths) > 1
    for history, w in runs.values():
        assert history.lengths.tolist() == expected.lengths.tolist()
        assert history.returns.tolist() == expected.returns.tolist()
        assert_allclose(w, weights, rtol=0, atol=1e-11 * abs(weights).max())


@each_task
def test_is_learned(name):
    """True online Sarsa on tiles gets far better than it begins; what it learned of the pole balances
    Gymnasium's too, which gives float32."""
    tiles, epsilon, enough = {
        "CartPole": (4, 0.05, 300.0),  # where every reward is 1, zeros are no optimism: it has to explore
        "Acrobot": (5, 0.0, -130.0),
        "PuddleWorld": (10, 0.0, -40.0),
    }[name]
    env, agent, coder = learner(name, "auto", tiles, epsilon=epsilon, alpha=0.3 / 8, seed=0)
    history = ft.simulate(env, agent, coder, episodes=300, max_episode_steps=500, seed=0)
    first, last = history.returns[:10].mean(), history.returns[-100:].mean()
    assert last > enough
    assert first < last - 50
    if name == "CartPole":
        gymnasium = pytest.importorskip("gymnasium")
        returns = ft.evaluate(gymnasium.make("CartPole-v1"), agent, coder, episodes=3, seed=0)
        assert returns.mean() > enough


@each_task
def test_refuses_what_does_not_fit(name):
    env, agent, coder = learner(name, "numpy", 2)
    with pytest.raises(ValueError, match=rf"agent: has 5 actions, {name}\(\) has {env.n_actions}"):
        ft.simulate(env, ft.Sarsa(coder.n_features, 5, alpha=0.1), coder, steps=1)
    with pytest.raises(ValueError, match=rf"coder: codes 1 numbers, a state of {name}\(\) has {env.n_state}"):
        ft.simulate(env, agent, ft.TileCoder([0.0], [1.0], 4, 2), steps=1)
    with pytest.raises(ValueError, match="coder: got None"):
        ft.simulate(env, agent, steps=1)
    with pytest.raises(TypeError, match="positional argument"):
        getattr(ft.envs, name)(3)
