"""The comparison of off-policy predictors: what runs, what is judged, and the pictures."""

from dataclasses import replace

import numpy as np
import pytest

from fasttrace.__main__ import main
from fasttrace.experiments.offpolicy_runs import ENTRIES, PARTS, TASKS, Found, errors, spread

PNG = b"\x89PNG"


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.label)
def test_each_learner_learns(task, entry):
    """On both tasks the error falls, from that of weights of 0; the same run twice is the same."""
    alpha = 2.0**-9 if entry.learner == "EmphaticTD" else 2.0**-7  # ratios of 4 make its emphasis large
    setting = (alpha, 0.5, entry.among[-1])
    found = errors(task, entry, setting, 0, 4000)
    features, values, weights = TASKS[task].judged(0)
    assert found.shape == (PARTS + 1,)
    np.testing.assert_allclose(found[0], np.mean(np.sqrt(np.sum(weights * values**2, axis=1))))
    assert found[-1] < 0.75 * found[0]
    assert features.shape[0] == values.shape[1]
    np.testing.assert_array_equal(found, errors(task, entry, setting, 0, 4000))


def test_what_diverges_is_infinite():
    found = errors("collision", ENTRIES[0], (64.0, 1.0, 0.0), 0, 4000)
    assert np.isinf(found[-1])
    assert not np.isnan(found).any()


def test_where_ratios_are_as_in_the_collision_task_three_are_one():
    """pi is 1 or 0, and where it is 1 no ratio is below 1: tree backup, V-trace, and ABTD from zeta .5."""
    by_name = {entry.learner: entry for entry in ENTRIES}
    tree, trace, ab = (
        errors("collision", by_name[name], (0.01, lambda_, 0.0), 3, 2000)
        for name, lambda_ in (("TreeBackupTD", 1.0), ("VtraceTD", 1.0), ("ABTD", 0.5))
    )
    np.testing.assert_allclose(tree, trace, rtol=1e-12)
    np.testing.assert_allclose(tree, ab, rtol=1e-12)


def test_spread():
    assert spread(np.array([1.0, 3.0])) == pytest.approx(1.0)
    assert spread(np.ones(1)) == 0.0


def test_the_command(tmp_path, capsys, monkeypatch):
    """A row a learner, and both pictures where it says."""
    few = replace(TASKS["collision"], alphas=TASKS["collision"].alphas[::4])
    monkeypatch.setitem(TASKS, "collision", few)
    assert main(["offpolicy", "--quick", "--runs", "2", "--output", str(tmp_path / "new")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for entry in ENTRIES:
        assert entry.label.split(",")[0] in printed
    for name in ("collision.png", "collision-learning.png"):
        assert (tmp_path / "new" / name).read_bytes().startswith(PNG)


def test_the_best_is_the_least():
    """By the mean over runs of the mean over a run."""
    grid = np.random.default_rng(0).random((2, 4, 3, 5, PARTS + 1)) + 1.0
    grid[1, 2, 0] -= 0.9
    assert Found(ENTRIES[1], grid).best == (1, 2, 0)
