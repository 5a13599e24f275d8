"""One of each class of ft.neural, and the streams that they learn from."""

import numpy as np

import fasttrace as ft
from fasttrace import neural
from fasttrace.backends import NAMES

BACKENDS = [name for name in NAMES if ft.backends()[name] is None]
T, INPUTS, ACTIONS, MOVES = 40, 4, 3, 2


def network(m, backend):
    return neural.MLP((INPUTS, 9, 6, m), seed=4, dtype=np.float64, backend=backend)


def stream(backend):
    return {"hidden": (9, 6), "dtype": np.float64, "seed": 6, "backend": backend}


def _predictor(cls, m=1, **options):
    return lambda backend: getattr(neural, cls)(network(m, backend), **options)


def _agent(cls, **options):
    return lambda backend: getattr(neural, cls)(INPUTS, **options, **stream(backend))


# By class; what is there twice has memory of its own in the second form.
LEARNERS = {
    "NetworkTD": _predictor("NetworkTD", m=3, alpha=0.01, lambda_=np.array([0.5, 0.8, 0.9])),
    "NetworkTD, adaptive": _predictor("NetworkTD", optimiser=neural.AdaptiveObGD(), keep=9),
    "NetworkSarsa": _predictor("NetworkSarsa", m=ACTIONS, alpha=0.01),
    "StreamTD": _agent("StreamTD"),
    "StreamQ": _agent("StreamQ", n_actions=ACTIONS),
    "StreamQ, after": _agent("StreamQ", n_actions=ACTIONS, cut="after"),
    "StreamSarsa": _agent("StreamSarsa", n_actions=ACTIONS),
    "StreamAC": _agent("StreamAC", n_actions=ACTIONS),
    "StreamAC, moves": _agent("StreamAC", n_moves=MOVES),
    "QRC": _agent("QRC", n_actions=ACTIONS),
    "ForwardTD": _predictor("ForwardTD", m=2, alpha=0.01, window=5),
    "TDRC": _predictor("TDRC", alpha=0.01),
    "ExpectedTraceTD": _predictor("ExpectedTraceTD", alpha=0.01),
}


def learn(learner, start=0, stop=T, **changed):
    """Learn from steps start to stop of one stream, episodes among them."""
    rng = np.random.default_rng(3)
    states, moves = rng.normal(size=(T + 1, INPUTS)), rng.normal(size=(T + 1, MOVES))
    actions, rewards = rng.integers(0, ACTIONS, T + 1), rng.normal(size=(T, 3))
    gammas, rhos = np.where(rng.random(T) < 0.1, 0.0, 0.9), rng.random(T) + 0.5
    steps, rows = slice(start, stop), slice(start, stop + 1)
    m = 1 if _acts(learner) else learner.n_outputs
    rewards = rewards[:, :m] if m > 1 else rewards[:, 0]
    more = {"rhos": rhos[steps]} if isinstance(learner, neural.TDRC) else {}
    given = {"rewards": rewards, "states": states} | changed
    taken = (moves if getattr(learner, "n_moves", None) else actions)[rows]
    return learner.learn(
        given["states"][rows], *([taken] if _acts(learner) else []), given["rewards"][steps],
        gammas=gammas[steps], **more,
    )  # fmt: skip


def _acts(learner):
    return isinstance(learner, neural.NetworkSarsa) or hasattr(learner, "n_actions")


def saved(learner):
    """Everything that a learner is, to the bit."""
    state = learner.state_dict()
    arrays = state["arrays"]
    if "waiting" in arrays:  # in slots where nothing waits may be what a step left that was taken back
        at = (arrays["first"] + np.arange(arrays["waiting"] + 1)) % len(arrays["states"])
        for name in ("states", "values", "rewards", "gammas", "lambdas"):
            arrays[name] = arrays[name][at[: None if name == "states" else -1]]
        arrays["first"] = np.zeros(())
    return {name: array.tobytes() for name, array in arrays.items()} | {"online": state["online"]}
