"""Environments: the book's, to the bit as Gymnasium's, and the same walk in every backend."""

import copy
import functools
import math
import pickle
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose
from streams import BACKENDS, COMPILED
from walks import Runner, walk

import fasttrace as ft
from fasttrace.errors import NOT_FINITE

each_backend = pytest.mark.parametrize("backend", BACKENDS)


def pendulum_reset(u):
    return (2.0 * math.pi * u[0], 0, u[1] < 0.5)  # a float, an integer, a bool


def pendulum_step(state, action, u):
    angle, speed, heavy = state
    speed = 0.99 * speed + 0.1 * (action - 1) - (0.2 if heavy else 0.1) * math.sin(angle) + 0.01 * u[2]
    angle += speed
    return (angle, speed, heavy), -abs(angle), 0.9 * (u[0] > 0.02)


def pendulum():
    return ft.envs.custom(pendulum_reset, pendulum_step, n_actions=3, n_state=3, n_uniforms=(2, 3))


def coin_reset(u):
    return (0.0,)


def coin_step(state, action, u):
    return (state[0] + 1.0,), 1, 0 if state[0] > 3 else 1


def coin():
    return ft.envs.custom(coin_reset, coin_step, n_actions=None, n_state=1, n_uniforms=0)


CAR = ft.envs.MountainCar()  # compiled once, as are those below
ENVIRONMENTS = [
    ft.envs.RandomWalk(),
    ft.envs.RandomWalk(4),
    CAR,
    ft.envs.CartPole(),
    ft.envs.Acrobot(),
    ft.envs.PuddleWorld(),
    ft.envs.BoyanChain(),
    ft.envs.Baird(),
    ft.envs.Collision(),
    ft.envs.FourRooms(),
    pendulum(),
    coin(),
]
each_env = pytest.mark.parametrize("env", ENVIRONMENTS, ids=repr)


@pytest.mark.parametrize("backend", COMPILED)
@each_env
def test_same_walk_in_every_backend(env, backend):
    """The same numbers in give the same states, rewards and gammas, to the bit."""
    assert walk(env, backend) == walk(env, "numpy")


@each_backend
def test_mountain_car_is_gymnasiums(backend):
    """Start and hundreds of steps, at the walls and up to the goal: float64 states are equal."""
    gymnasium = pytest.importorskip("gymnasium")
    theirs = gymnasium.make("MountainCar-v0").unwrapped
    ours = Runner(CAR, backend)
    rng = np.random.default_rng(1)
    seen = set()

    def play(policy, steps):
        for _ in range(steps):
            action = policy(*theirs.state)
            _, reward, terminated, _, _ = theirs.step(action)
            position, velocity = map(float, theirs.state)
            happened = ours.step(action, np.empty(0))
            assert happened == [position, velocity, reward, 0.0 if terminated else 1.0]
            if terminated:
                seen.add("goal")
                return
            seen.update({"wall"} if position == -1.2 else {"limit"} if abs(velocity) == 0.07 else {"slope"})

    for seed in range(5):
        theirs.reset(seed=seed)
        assert ours.reset(np.random.default_rng(seed).random(1)) == list(theirs.state)
        play(lambda position, velocity: int(rng.integers(3)), 200)
        play(lambda position, velocity: 2 if velocity > 0 else 0, 300)
    for start in ([-1.15, -0.07], [0.59, 0.07], [0.4, 0.069], [-0.6, 0.0699], [-0.5, 0.0]):
        theirs.state = np.array(start)
        ours.state[:] = start
        play(lambda position, velocity: 2 if velocity > 0 else 0, 300)
    assert seen == {"wall", "goal", "limit", "slope"}


def test_mountain_car_draws_as_gymnasium_does():
    """numpy's uniform(-0.6, -0.4), for every u."""
    env = ft.envs.MountainCar()
    theirs = np.random.default_rng(5).uniform(-0.6, -0.4, 1000).tolist()
    assert [env.reset((u,))[0] for u in np.random.default_rng(5).random(1000).tolist()] == theirs


@each_backend
@pytest.mark.parametrize("n", [1, 2, 5, 19])
def test_random_walk_is_the_books(n, backend):
    """From the middle, left below one half; -1 off the left end, +1 off the right, gamma 0 there alone."""
    runner = Runner(ft.envs.RandomWalk(n), backend)
    for u, end in ((0.0, -1), (np.nextafter(0.5, 0), -1), (0.5, 1), (np.nextafter(1, 0), 1)):
        (s,) = runner.reset(np.empty(0))
        assert s == n // 2
        while True:
            s += end
            inside = 0 <= s < n
            happened = runner.step(0, np.array([u]))
            assert happened == [s, 0.0 if inside else end, 1.0 if inside else 0.0]
            if not inside:
                break


def test_true_values_solve_the_walk():
    """Each is the mean of its neighbours', with the rewards beyond the ends (Bellman's equation)."""
    v = ft.envs.RandomWalk(19).true_values
    around = np.concatenate([[-1.0], v, [1.0]])
    assert_allclose(v, (around[:-2] + around[2:]) / 2, atol=1e-15)


def test_what_a_loop_has_to_know():
    walk, car = ft.envs.RandomWalk(7), ft.envs.MountainCar()
    assert (walk.n_actions, walk.n_state, walk.n_uniforms, walk.n_features) == (0, 1, (0, 1), 7)
    assert (car.n_actions, car.n_state, car.n_uniforms, car.n_features) == (3, 2, (1, 0), None)
    assert (walk.low, walk.high) == ((0.0,), (6.0,))
    assert (car.low, car.high) == ((-1.2, -0.07), (0.6, 0.07))
    assert (coin().n_actions, coin().n_uniforms) == (0, (0, 0))


@pytest.mark.skipif(ft.backends()["c"] is not None, reason="the C library is not there")
@each_env
def test_c_knows_the_same(env):
    """The numbers in the C struct are the environment's."""
    struct = env.kernel("c").struct
    assert (struct.n_state, struct.n_actions) == (env.n_state, env.n_actions)
    assert (struct.reset_uniforms, struct.step_uniforms) == env.n_uniforms


@each_env
def test_copies_walk_alike(env):
    """Pickle and copy, also after a backend has compiled it."""
    env.kernel("numpy")
    for twin in (pickle.loads(pickle.dumps(env)), copy.copy(env), copy.deepcopy(env)):
        assert repr(twin) == repr(env)
        assert walk(twin, "numpy", 50) == walk(env, "numpy", 50)


def test_built_in_environments_are_plain_functions():
    """They can be stepped through from Python, with nothing around them."""
    env = ft.envs.RandomWalk(3)
    state = env.reset(())
    state, reward, gamma = env.step(state, 0, (0.9,))
    assert (state, reward, gamma) == ((2.0,), 0.0, 1.0)


def make(reset=coin_reset, step=coin_step, n_actions=2, n_state=1, n_uniforms=1):
    return ft.envs.custom(reset, step, n_actions=n_actions, n_state=n_state, n_uniforms=n_uniforms)


@pytest.mark.parametrize(
    ("changed", "error", "names"),
    [
        ({"reset": None}, TypeError, "reset"),
        ({"step": 3}, TypeError, "step"),
        ({"step": functools.partial(coin_step, u=())}, TypeError, "step.*plain function"),
        ({"reset": coin_step}, TypeError, r"reset\(u\)"),
        ({"step": coin_reset}, TypeError, r"step\(state, action, u\)"),
        ({"n_actions": -1}, ValueError, "n_actions"),
        ({"n_actions": 2.0}, TypeError, "n_actions"),
        ({"n_state": 0}, ValueError, "n_state"),
        ({"n_state": None}, TypeError, "n_state"),
        ({"n_uniforms": -1}, ValueError, "n_uniforms"),
        ({"n_uniforms": (1, -1)}, ValueError, "n_uniforms"),
        ({"n_uniforms": (1, 2, 3)}, ValueError, "n_uniforms"),
        ({"n_uniforms": 1.5}, TypeError, "n_uniforms"),
        ({"n_uniforms": True}, TypeError, "n_uniforms"),
    ],
)
def test_custom_refuses_bad_arguments(changed, error, names):
    with pytest.raises(error, match=names):
        make(**changed)


@pytest.mark.parametrize(
    ("n", "error"), [(0, ValueError), (-3, ValueError), (2.0, TypeError), (True, TypeError)]
)
def test_random_walk_refuses_bad_sizes(n, error):
    with pytest.raises(error, match="n: "):
        ft.envs.RandomWalk(n)


@each_backend
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"reset": lambda u: (0.0, 1.0)}, "reset must return a state that is a tuple of n_state=1 numbers"),
        ({"reset": lambda u: 0.0}, "reset must return a state"),
        ({"step": lambda s, a, u: ((), 0.0, 1.0)}, "step must return a state"),
        ({"step": lambda s, a, u: (s[0], 0.0, 1.0)}, "step must return a state"),
        ({"step": lambda s, a, u: (s, 0.0)}, r"step must return \(state, reward, gamma\)"),
        ({"step": lambda s, a, u: s[0]}, r"step must return \(state, reward, gamma\)"),
    ],
)
def test_refuses_results_of_another_shape(changed, message, backend):
    """The same error in every backend; Numba and C give it before the first step."""
    with pytest.raises(TypeError, match=message):
        walk(make(**changed), backend, 1)


@pytest.mark.parametrize("backend", COMPILED)
def test_says_what_does_not_compile(backend):
    """What Numba cannot compile, and a u beyond n_uniforms, which the type of u rules out."""
    with pytest.raises(TypeError, match="step does not compile with Numba"):
        make(step=lambda s, a, u: (s, eval("1.0"), 1.0)).kernel(backend)
    with pytest.raises(TypeError, match="reset does not compile with Numba"):
        make(reset=lambda u: (u[1],)).kernel(backend)


@pytest.mark.parametrize(
    "changed",
    [
        {"reset": lambda u: (math.inf,)},
        {"step": lambda s, a, u: ((math.nan,), 0.0, 1.0)},
        {"step": lambda s, a, u: (s, math.nan, 1.0)},
        {"step": lambda s, a, u: (s, math.inf, 1.0)},
        {"step": lambda s, a, u: (s, 0.0, 1.5)},
        {"step": lambda s, a, u: (s, 0.0, -0.5)},
        {"step": lambda s, a, u: (s, 0.0, math.nan)},
    ],
)
def test_reference_checks_numbers(changed):
    """The NumPy backend refuses, in the words of the others, what is not a number that it can use."""
    with pytest.raises(ValueError, match=re.escape(NOT_FINITE)):
        walk(make(**changed), "numpy", 1)


@each_backend
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_exception_in_step(backend):
    """Python and Numba raise it; C, which cannot, sees a reward of NaN."""

    def step(state, action, u):
        return state, 1.0 / (action - 1), 1.0

    env = make(step=step)
    if backend == "c":
        runner = Runner(env, backend)
        runner.reset(np.zeros(1))
        assert runner.step(0, np.zeros(1))[1] == -1.0
        assert math.isnan(runner.step(1, np.zeros(1))[1])
    else:
        runner = Runner(env, backend)
        runner.reset(np.zeros(1))
        with pytest.raises(ZeroDivisionError):
            runner.step(1, np.zeros(1))


@pytest.mark.parametrize("backend", COMPILED)
def test_takes_functions_that_numba_has_compiled(backend):
    """A step that is already jitted, and that calls another, walks as the plain one."""
    numba = pytest.importorskip("numba")
    env = make(numba.njit(coin_reset), numba.njit(coin_step))
    assert walk(env, backend, 20) == walk(make(), "numpy", 20)
