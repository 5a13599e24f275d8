"""What csrc/fasttrace.h numbers stands in fasttrace/layout.py too: the same names, values and recipes."""

import math
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from streams import ONE_VECTOR, learn, random_stream, relative

from fasttrace import layout, registry

CSRC = Path(__file__).resolve().parents[1] / "csrc"


@pytest.fixture(scope="module")
def enums():
    """{enum: {name: value}} of the header, as cffi reads it."""
    ffi = runpy.run_path(str(CSRC / "build_cffi.py"))["ffi"]
    return {
        name: ffi.typeof(f"enum {name}").relements
        for name in ("ft_status", "ft_kind", "ft_target", "ft_policy")
    }


def rows(table):
    """The rows of a table of transition.h: lists of columns, written as Python writes them."""
    text = (CSRC / "transition.h").read_text("utf-8").partition(f"#define {table}(ROW)")[2]
    text = re.split(r"(?<!\\)\n", text)[0].replace("\\\n", " ").replace("ft_min(", "min(")
    for row in re.split(r"\bROW\(", text)[1:]:
        columns, depth = [""], 0
        for each in row.strip()[:-1]:
            depth += (each == "(") - (each == ")")
            if each == "," and not depth:  # commas within parentheses part no columns
                columns.append("")
            else:
                columns[-1] += each
        yield [" ".join(column.split()) for column in columns]


def of_c(name):
    return f"FT_{name.upper()}"


def test_statuses(enums):
    values = {"FT_OK": layout.OK, "FT_EINDEX": layout.BAD_INDEX}
    values |= {"FT_EACTION": layout.BAD_ACTION, "FT_EVALUE": layout.BAD_VALUE}
    assert enums["ft_status"] == values


@pytest.mark.parametrize(("enum", "table"), [("ft_kind", layout.KINDS), ("ft_target", layout.TARGETS)])
def test_kinds_and_targets(enums, enum, table):
    assert enums[enum] == {of_c(row.name): row.value for row in table.values()}
    assert sorted(row.value for row in table.values()) == list(range(len(table)))


def test_policies(enums):
    assert enums["ft_policy"] == {
        "FT_EPSILON_GREEDY": layout.POLICIES["epsilon"],
        "FT_SOFTMAX": layout.POLICIES["softmax"],
    }


@pytest.mark.parametrize(("macro", "table"), [("FT_KINDS", layout.KINDS), ("FT_TARGETS", layout.TARGETS)])
def test_columns(macro, table):
    """Every column of a row, the recipe among them, is in C as it is here."""
    want = [
        [row.name, of_c(row.name), *[str(int(each)) if isinstance(each, bool) else each for each in row[2:]]]
        for row in table.values()
    ]
    assert list(rows(macro)) == want


def test_given():
    """A recipe is made of what ft_given has, and nothing else."""
    text = (CSRC / "transition.h").read_text("utf-8")
    for struct, names in (("ft_given", layout.GIVEN), ("ft_handed", layout.HANDED)):
        fields = re.search(rf"double ([\w, ]+);\n\}} {struct};", text)[1]
        assert fields.split(", ") == list(names)
    for kind in layout.KINDS.values():
        for expression in (kind.D, kind.c, kind.beta, kind.a):
            assert set(re.findall(r"[a-zA-Z_]\w*", expression)) <= {*layout.GIVEN, "min"}
        for expression in (kind.decay, kind.kept):
            assert set(re.findall(r"[a-zA-Z_]\w*", expression)) <= {*layout.HANDED, "min"}


def test_options():
    ffi = runpy.run_path(str(CSRC / "build_cffi.py"))["ffi"]
    assert [name for name, _ in ffi.typeof("ft_options").fields] == list(layout.Options._fields)


def by_recipe(row, kind, options, s):
    """Weights and TD errors after a stream, by the four verbs on dense vectors: what stands in the tables."""
    kind, target = layout.KINDS[kind], layout.TARGETS[row.target]
    x, w = s.pairs(), s.weights.ravel().copy()
    trace, deltas = np.zeros(len(w)), []
    decay, v_old, followon, lambda_ = 0.0, math.nan, 0.0, 0.0
    for t in range(s.T):
        rho = s.rhos[t] if "rhos" in row.takes else 1.0
        numbers = {"rho": rho, "min": min, "sigma": s.sigmas[t] if "sigmas" in row.takes else 0.0}
        if row.control:
            numbers |= {"pi": s.policy[t, s.actions[t]]}
            numbers |= {"factor": eval(target.factor, numbers), "rho": 1.0}
        else:
            numbers["factor"] = rho
        if kind.takes_pi:
            numbers["pi"] = s.pi[t]
        if kind.emphatic:
            followon += s.interests[t]
            numbers["M"] = lambda_ * s.interests[t] + (1 - lambda_) * followon
        numbers |= {"decay": decay, "alpha": s.alpha} | options
        D = eval(kind.D, numbers)
        trace = D * trace if D else np.zeros(len(w))
        v, gamma_next, lambda_next = w @ x[t], s.gammas[t], s.lambdas[t]
        v_next = taken = w @ x[t + 1]
        if row.target != "taken":
            q = s.dense(t + 1) @ w.reshape(s.n, s.n_actions)
            v_next, taken = q.max() if target.greedy else q @ s.policy[t + 1], q[s.actions[t + 1]]
            lambda_next *= not target.cuts or taken >= v_next
        numbers |= {"ex": trace @ x[t], "v": v, "v_old": v if D == 0 or math.isnan(v_old) else v_old}
        deltas.append(s.rewards[t] + gamma_next * v_next - v)
        c, beta, a = (eval(each, numbers | {"delta": deltas[-1]}) for each in (kind.c, kind.beta, kind.a))
        if kind.clears:
            trace[np.repeat(s.dense(t) != 0, s.n_actions)] = 0.0
        trace = np.where(x[t] != 0, c, trace) if kind.replaces else trace + c * x[t]
        w += beta * x[t] + a * trace
        numbers |= {"gamma_next": gamma_next, "lambda_next": lambda_next} | options
        decay, v_old, lambda_ = eval(kind.decay, numbers), taken, lambda_next
        followon = eval(kind.kept, numbers) * followon if gamma_next else 0.0
    return w, deltas


@pytest.mark.parametrize("algorithm", ONE_VECTOR, ids=str)
def test_recipes(algorithm):
    """D, c, beta and a as they are written, between the four verbs, are the learner."""
    row = next(each for each in registry.STEP_LEARNERS if each.kernel == algorithm.kernel)
    s = random_stream(8, T=80, n_actions=3 if row.control else 0, off_policy=True)
    learner = algorithm.make(s, "numpy")
    w, deltas = by_recipe(row, learner._kind, learner._kind_options._asdict(), s)
    assert relative(deltas, learn(learner, s)) < 1e-11
    assert relative(w, learner.weights.ravel()) < 1e-11
