"""docs/returns.md: its code runs, and its numbers are what the formulas give."""

import re
from pathlib import Path

import numpy as np
import pytest
from streams import BACKENDS

import fasttrace as ft

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "returns.md").read_text("utf-8")
GAMMA, LAMBDA = 0.9, 0.8


def blocks():
    return re.findall(r"```py(?:thon)?\n(.*?)```", PAGE, re.DOTALL)


def six_steps():
    scope = {"np": np, "ft": ft}
    exec(next(block for block in blocks() if "rewards = np.ones(6)" in block), scope)
    return scope


def table():
    """Rows of advantages by the words that they begin with."""
    rows = re.findall(r"^\| ([^|]*) \|((?:[ *]*-?[\d.]+[ *]*\|){6})$", PAGE, re.MULTILINE)
    return {
        name.replace("*", "").partition(":")[0].strip(): re.findall(r"-?\d+\.\d+", cells)
        for name, cells in rows
    }


def sums(v_next, cut):
    """The forward sum of TD errors: delta_t + gamma lambda delta_{t+1} + ..., up to the first cut."""
    s = six_steps()
    delta = s["rewards"] + GAMMA * np.asarray(v_next) - s["values"][:6]
    result = []
    for t in range(6):
        end = next((k for k in range(t, 6) if cut[k]), 5)
        result.append(sum((GAMMA * LAMBDA) ** (k - t) * delta[k] for k in range(t, end + 1)))
    return result


def test_the_table_of_the_page():
    """Each formula's advantages, to the digits shown."""
    v = six_steps()["values"]
    no, done = [False] * 6, [False, False, True, False, True, False]
    only_terminated = [False] * 4 + [True, False]
    want = {
        "right": sums([4, 3, 4, 2, 0, 7], done),
        "truncated taken for terminated": sums([4, 3, 0, 2, 0, 7], done),
        "truncated ignored": sums([4, 3, 6, 2, 0, 7], only_terminated),
        "bootstrap from `values[t + 1]`, then cut": sums([4, 3, 6, 2, 0, 7], done),
        "terminated ignored as well": sums(v[1:], no),
    }
    shown = table()
    assert set(shown) == set(want)
    for name, numbers in want.items():
        assert shown[name] == [f"{x:.4f}" for x in numbers], name


@pytest.mark.parametrize("backend", BACKENDS)
def test_gae_gives_the_right_row(backend):
    """And the wrong ones where it is told the wrong thing."""
    s = six_steps()
    np.testing.assert_allclose(s["right"], sums([4, 3, 4, 2, 0, 7], [0, 0, 1, 0, 1, 0]), rtol=1e-14)
    found, _ = ft.returns.gae(
        s["rewards"], s["values"], gammas=GAMMA, lambdas=LAMBDA, terminated=s["terminated"] | s["truncated"],
        backend=backend,
    )  # fmt: skip
    np.testing.assert_allclose(found, sums([4, 3, 0, 2, 0, 7], [0, 0, 1, 0, 1, 0]), rtol=1e-14)


def brute_force(episodes):
    """{(t, b): advantage} of episodes [(t, b, reward, v, v_next)], by forward sums."""
    result = {}
    for episode in episodes:
        for i, (t, b, *_) in enumerate(episode):
            deltas = [reward + 0.99 * v_next - v for _, _, reward, v, v_next in episode[i:]]
            result[t, b] = sum((0.99 * 0.95) ** k * delta for k, delta in enumerate(deltas))
    return result


@pytest.mark.parametrize("backend", BACKENDS)
def test_gymnasium_with_its_default_autoreset(backend, monkeypatch):
    """The page's loop over vector CartPoles with a time limit, against episodes gone through one by one."""
    gymnasium = pytest.importorskip("gymnasium")
    T, B = 80, 3
    makers = [lambda: gymnasium.make("CartPole-v1", max_episode_steps=13)] * B
    envs = gymnasium.vector.SyncVectorEnv(makers)
    rng = np.random.default_rng(0)
    seen = []

    def value(obs):
        return np.round(10 * obs @ [0.3, 0.1, -2.0, 0.5]).astype(np.float64)

    def policy(obs):
        seen.append(obs.copy())
        return rng.integers(2, size=B)

    rewards, next_values = np.empty((2, T, B))
    values, (terminated, truncated, mask) = np.empty((T + 1, B)), np.empty((3, T, B), bool)
    scope = dict(locals())
    block = next(block for block in blocks() if "envs.reset" in block)
    gae = ft.returns.gae
    monkeypatch.setattr(ft.returns, "gae", lambda *args, **more: gae(*args, backend=backend, **more))
    scope |= {"np": np, "ft": ft}
    exec(block, scope)
    assert truncated.any()
    assert terminated.any()

    episodes = []
    for b in range(B):
        episode = []
        for t in range(T):
            if t and (terminated[t - 1, b] or truncated[t - 1, b]):
                assert rewards[t, b] == 0  # the dummy
                continue
            arrived = seen[t + 1][b] if t + 1 < T else scope["obs"][b]
            episode.append(
                (t, b, rewards[t, b], value(seen[t][b]), 0.0 if terminated[t, b] else value(arrived))
            )
            if terminated[t, b] or truncated[t, b]:
                episodes.append(episode)
                episode = []
        episodes.append(episode)
    want = np.zeros((T, B))
    for place, advantage in brute_force(episodes).items():
        want[place] = advantage
    np.testing.assert_allclose(scope["advantages"], want, rtol=1e-11, atol=1e-11)
    assert scope["batch"].size == mask.sum() < T * B


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", ["SAME_STEP", "DISABLED"])
def test_gymnasium_with_other_autoresets(mode, backend, monkeypatch):
    """The page's loops, against episodes that the environments' own records tell of."""
    gymnasium = pytest.importorskip("gymnasium")
    T, B = 60, 3
    seen = [[] for _ in range(B)]  # of each environment: episodes of (observations, rewards, terminated)

    class Recorded(gymnasium.Wrapper):
        def __init__(self, b):
            super().__init__(gymnasium.make("CartPole-v1", max_episode_steps=9 + b))
            self.b = b

        def reset(self, **options):
            obs, info = super().reset(**options)
            seen[self.b].append(([obs], [], False))
            return obs, info

        def step(self, action):
            obs, reward, terminated, truncated, info = super().step(action)
            observations, rewards, _ = seen[self.b].pop()
            seen[self.b].append(([*observations, obs], [*rewards, reward], terminated))
            return obs, reward, terminated, truncated, info

    envs = gymnasium.vector.SyncVectorEnv(
        [lambda b=b: Recorded(b) for b in range(B)], autoreset_mode=gymnasium.vector.AutoresetMode[mode]
    )
    rng = np.random.default_rng(0)

    def value(obs):
        return np.round(10 * obs @ [0.3, 0.1, -2.0, 0.5]).astype(np.float64)

    def policy(obs):
        return rng.integers(2, size=B)

    rewards, next_values = np.full((2, T, B), np.nan)
    values, (terminated, truncated) = np.empty((T + 1, B)), np.empty((2, T, B), bool)
    gae = ft.returns.gae
    monkeypatch.setattr(ft.returns, "gae", lambda *args, **more: gae(*args, backend=backend, **more))
    scope = {**locals(), "np": np, "ft": ft}
    exec(blocks()[next(i for i, block in enumerate(blocks()) if f"Mode.{mode}" in block) + 1], scope)
    assert truncated.any()
    assert terminated.any()

    episodes = []
    for b in range(B):
        t = 0
        for observations, given, over in seen[b]:
            v = [float(value(obs)) for obs in observations]
            steps = range(len(given))
            episodes.append(
                [(t + i, b, given[i], v[i], 0.0 if over and i == steps[-1] else v[i + 1]) for i in steps]
            )
            t += len(given)
        assert t == T  # every step is a transition
    want = np.zeros((T, B))
    for place, advantage in brute_force(episodes).items():
        want[place] = advantage
    np.testing.assert_allclose(scope["advantages"], want, rtol=1e-11, atol=1e-11)


def test_gradients_of_the_page():
    """Its actor's loss goes back to rewards and values; its line of JAX gives what NumPy's does."""
    torch = pytest.importorskip("torch")
    arrays = {"rewards": np.ones(6), "values": np.arange(7.0)}
    tensors = {name: torch.from_numpy(x).requires_grad_() for name, x in arrays.items()}
    exec(next(block for block in blocks() if "backward()" in block), {"ft": ft, **tensors})
    assert (tensors["rewards"].grad < 0).all()
    assert tensors["values"].grad[0] == 0
    assert (tensors["values"].grad[1:] < 0).all()
    jax = pytest.importorskip("jax")
    scope = {"ft": ft, "jax": jax, **arrays}
    exec(next(block for block in blocks() if "jax.jit" in block), scope)
    want = ft.returns.gae(**arrays, gammas=0.99, lambdas=0.95)
    np.testing.assert_allclose([*scope["advantages"], *scope["targets"]], np.concatenate(want), rtol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_ppo_loop_on_torch_tensors(backend, monkeypatch):
    """The page's replacement for the loop over dones, against that loop."""
    torch = pytest.importorskip("torch")
    T, B = 16, 4
    generator = torch.Generator().manual_seed(0)
    rewards, values = (torch.randn(T, B, generator=generator) for _ in range(2))
    next_value = torch.randn(B, generator=generator)
    dones = (torch.rand(T, B, generator=generator) < 0.2).float()
    next_done = (torch.rand(B, generator=generator) < 0.5).float()
    gae = ft.returns.gae
    monkeypatch.setattr(ft.returns, "gae", lambda *args, **more: gae(*args, backend=backend, **more))
    scope = {**locals(), "ft": ft}
    exec(next(block for block in blocks() if "torch.cat" in block), scope)
    want, last = torch.zeros(T, B, dtype=torch.float64), 0.0
    for t in reversed(range(T)):
        on = 1.0 - (next_done if t == T - 1 else dones[t + 1]).double()
        v_next = (next_value if t == T - 1 else values[t + 1]).double()
        last = rewards[t].double() + 0.99 * v_next * on - values[t] + 0.99 * 0.95 * on * last
        want[t] = last
    assert scope["advantages"].dtype == torch.float32
    torch.testing.assert_close(scope["advantages"].double(), want, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(scope["targets"].double(), want + values, rtol=1e-6, atol=1e-6)
