"""Every backend gives the golden results, however the stream is fed."""

from itertools import pairwise

import numpy as np
import pytest
from streams import ALGORITHMS, BACKENDS, golden, golden_stream, learn, relative

TOLERANCE = 1e-10  # what the golden data state; they are good to about 1e-16 themselves
FORWARD = {"online_lambda_return", "offtd_online_lambda_return"}
RESULTS = sorted(
    {tuple(key.split("/")[0:3:2]) for key in golden() if "/out/" in key and key.split("/")[2] not in FORWARD}
)


OTHER_NAMES = {  # golden keys that are not those of the registry
    "offtd_true_online": "true_online_td",
    "off_expected_sarsa_true_online": "true_online_expected_sarsa",
    "emphatic_td_I1": "emphatic_td",
    "true_online_etd": "true_online_emphatic_td",
    "q_sigma_sb": "q_sigma",
}


def learner_of(name):
    """The learner that a golden key stands for: offtd_dutch is TD with dutch traces, given rhos."""
    name = OTHER_NAMES.get(name, name.removeprefix("off_").removeprefix("off").removesuffix("_folded"))
    return ALGORITHMS[name if name in ALGORITHMS else f"{name}_accumulating"]


def stream_of(case, name):
    """The stream of a result; on-policy where its name does not say that ratios count."""
    off_policy = name.startswith("off") or name in {"retrace", "q_sigma_sb"} or "etd" in name
    s = golden_stream(case, off_policy=off_policy or "emphatic" in name)
    if name.endswith("_folded"):
        s = s.but(alpha=np.full(s.T, s.alpha))
    if "etd" in name or "emphatic" in name:
        s = s.but(alpha=0.2 * s.alpha)
    if name.endswith("_I1"):
        s = s.but(interests=None)
    return s


def check(s, case, name, learner, deltas):
    want = {key: golden()[f"{case}/out/{name}/{key}"] for key in ("w", "z", "delta")}
    folded = name.endswith(("_folded", "_true_online", "true_online_etd"))
    alpha = np.broadcast_to(s.alpha, s.T)[-1]
    assert relative(learner.weights, want["w"]) < TOLERANCE
    assert relative(learner.trace, want["z"] / alpha if folded else want["z"]) < TOLERANCE
    assert relative(deltas, want["delta"]) < TOLERANCE


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("case", "name"), RESULTS)
def test_learn_agrees(case, name, backend):
    """Weights, last trace and TD errors of a whole stream are the golden ones."""
    s = stream_of(case, name)
    learner = learner_of(name).make(s, backend)
    check(s, case, name, learner, learn(learner, s))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("case", "name"), [each for each in RESULTS if each[0][0] == "S"])
def test_update_agrees(case, name, backend):
    """The same, fed one transition at a time, without the next state where the episode ends."""
    s = stream_of(case, name)
    learner = learner_of(name).make(s, backend)
    x = s.x()
    rhos = np.ones(s.T) if s.rhos is None else s.rhos
    more = {"alpha": np.broadcast_to(s.alpha, s.T)}
    if "interests" in learner_of(name).takes:
        more["interest"] = np.ones(s.T) if s.interests is None else s.interests
    deltas = [
        learner.update(
            x[t],
            s.rewards[t],
            x[t + 1] if s.gammas[t] else None,
            gamma=s.gammas[t],
            lambda_=s.lambdas[t],
            rho=rhos[t],
            **{key: values[t] for key, values in more.items()},
        )
        for t in range(s.T)
    ]
    check(s, case, name, learner, deltas)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["online_lambda_return", "offtd_online_lambda_return"])
@pytest.mark.parametrize("case", ["S01", "S03", "S05", "S08", "S10", "S12"])
def test_true_online_td_is_the_golden_forward_view(case, name, backend):
    """True online TD's weights are those of the online lambda-return algorithm."""
    s = golden_stream(case, off_policy=name.startswith("off"))
    learner = ALGORITHMS["true_online_td"].make(s, backend)
    learn(learner, s)
    assert relative(learner.weights, golden()[f"{case}/out/{name}/w"]) < TOLERANCE


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "name", [name for name, each in ALGORITHMS.items() if each.pairs or not each.control]
)
def test_learn_in_pieces_is_learn(name, backend):
    """However a stream is split, the pieces give what one call gives, to the bit."""
    algorithm = ALGORITHMS[name]
    s = golden_stream("Q03" if algorithm.control else "S03", off_policy=not algorithm.control)
    whole, pieces = algorithm.make(s, backend), algorithm.make(s, backend)
    deltas = learn(whole, s)
    rng = np.random.default_rng(5)
    cuts = [0, 1, 2, *np.sort(rng.integers(2, s.T, 12)), s.T]  # with an empty piece or two
    parts = [learn(pieces, s, *cut) for cut in pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate(parts), deltas)
    np.testing.assert_array_equal(pieces.weights, whole.weights)
    np.testing.assert_array_equal(pieces.trace, whole.trace)
