"""What csrc/fasttrace.h numbers stands in fasttrace/layout.py too: the same names, values and recipes."""

import re
import runpy
from pathlib import Path

import pytest

from fasttrace import layout

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
        columns = re.split(r",(?![^()]*\))", row.strip()[:-1])  # commas within parentheses part no columns
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
    fields = re.search(r"double ([\w, ]+);\n\} ft_given;", text)[1]
    assert fields.split(", ") == list(layout.GIVEN)
    for kind in layout.KINDS.values():
        for expression in (kind.D, kind.c, kind.beta, kind.a):
            assert set(re.findall(r"[a-zA-Z_]\w*", expression)) <= {*layout.GIVEN, "min"}
