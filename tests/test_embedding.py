"""The C library in other hands: what is shipped, one file of it, addresses, and an interface that stays.

That programs build from an installed copy is tried by .ci/embedded.py.
"""

import ctypes
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from streams import EVERY

import fasttrace as ft
from fasttrace import embed
from fasttrace.__main__ import main
from fasttrace.experiments.amalgamate import FAMILIES, amalgamate
from fasttrace.linear.addresses import STEPS

ROOT = Path(__file__).resolve().parents[1]
CSRC = ROOT / "csrc"
ABI = ROOT / "tests" / "data" / "abi.json"
needs_c = pytest.mark.skipif(ft.backends()["c"] is not None, reason="needs C")


def compiler(*names):
    found = next((name for name in names if name and shutil.which(name)), None)
    return found or pytest.skip(f"no compiler: {', '.join(filter(None, names))}")


def run(*command, cwd):
    done = subprocess.run([str(each) for each in command], cwd=cwd, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- what is shipped ----


def test_a_checkout_names_csrc():
    """As an installed package names its own copy."""
    assert Path(ft.get_include()) == CSRC
    assert {Path(path) for path in embed.sources()} == set(CSRC.glob("*.c"))


def test_config_answers(capsys):
    """One line for each that is asked, in the order of asking."""
    assert main(["config", "--version", "--cmakedir", "--pkgconfigdir", "--cflags", "--sources"]) == 0
    version, cmake, pkgconfig, flags, sources = capsys.readouterr().out.splitlines()
    assert version == ft.__version__
    assert Path(cmake, "fasttraceConfig.cmake").is_file()
    assert Path(pkgconfig, "fasttrace.pc").is_file()
    assert flags.split() == [f"-I{CSRC}", "-O3", "-ffp-contract=off"]
    assert sources.split() == embed.sources()


def test_config_wants_a_question(capsys):
    """Nothing, with success, would be an empty flag in somebody's Makefile."""
    assert main(["config"]) == 2
    assert "expected some of --cflags, --sources" in capsys.readouterr().err


def test_pkg_config_names_this_version():
    """Its file cannot ask version.py."""
    text = (CSRC / "pkgconfig" / "fasttrace.pc").read_text("utf-8")
    assert re.findall(r"^Version: (.*)$", text, re.MULTILINE) == [ft.__version__]


# ---- one file ----


def test_every_source_is_of_a_family():
    """None is left out of the one file, none is in it twice."""
    named = [f"{stem}.c" for stems, _ in FAMILIES.values() for stem in stems]
    assert sorted(named) == sorted(path.name for path in CSRC.glob("*.c"))


def test_one_file_is_all_and_compiles_without_warnings(tmp_path, capsys):
    """As C99."""
    assert main(["amalgamate", str(tmp_path)]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "fasttrace.h"), str(tmp_path / "fasttrace.c")]
    assert "#include FT_" not in (tmp_path / "fasttrace.c").read_text("utf-8")
    cc = compiler(os.environ.get("CC"), "gcc", "cc")
    strict = "-Wall", "-Wextra", "-Wconversion", "-Werror"
    run(cc, "-std=c99", *strict, "-fsyntax-only", "fasttrace.c", cwd=tmp_path)


def test_families_bring_what_they_call(tmp_path):
    """Streams call traces, and nothing of networks is there."""
    amalgamate(tmp_path, ["streams"])
    text = (tmp_path / "fasttrace.c").read_text("utf-8")
    assert "\nint32_t ft_td_run(" in text
    assert "\nvoid ft_trace_init(" in text
    assert "ft_mlp" not in text


def test_an_unknown_family_is_refused(tmp_path, capsys):
    """By name, with those that there are, before anything is written."""
    assert main(["amalgamate", str(tmp_path / "new"), "--only", "traces,trace"]) == 2
    assert "got 'trace', expected some of traces, streams" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be(tmp_path, capsys):
    """Is an error that names it."""
    (tmp_path / "taken").write_text("")
    assert main(["amalgamate", str(tmp_path / "taken")]) == 2
    assert "taken" in capsys.readouterr().err


KINDS = """
#include "fasttrace.h"
#include <stdio.h>
static double rows[16], ring[2048];
static float singles[16];
static int32_t epochs[4];
int main(void) {
    const int32_t at[4] = {1, 2, 3, 0};
    const double one = 1.0;
    for (int32_t kind = 0; kind <= FT_EMPHATIC_BETA; kind++)
        for (int single = 0; single < 2; single++) {
            ft_trace trace;
            double delta;
            if (single) ft_trace_init_single(&trace, 4, 1, singles, ring, epochs);
            else ft_trace_init(&trace, 4, 1, rows, ring, epochs);
            ft_stream s = {0};
            s.steps = s.k = 1, s.indices = at, s.n_actions = 1;
            s.rewards = s.gammas = s.lambdas = s.alphas = &one;
            const int32_t *to = at + 1;
            const int step =
                ft_td_step(&trace, kind, 1, at, NULL, 1, to, NULL, 1.0, 0.9, 0.8, 1.0, 0.1, &delta);
            printf("%d %d\\n", step, ft_td_run(&trace, kind, &s, &delta));
        }
    return 0;
}
"""


def test_kinds_that_are_left_out_are_refused(tmp_path):
    """By steps and streams, of doubles and of floats; the two that are named go on."""
    amalgamate(tmp_path, ["streams", "simulation", "single"])
    one = tmp_path / "fasttrace.c"
    quick = one.read_text("utf-8").replace("__attribute__((always_inline))", "")  # compiled in a second
    one.write_text(quick, "utf-8")
    (tmp_path / "main.c").write_text(KINDS)
    cc = compiler(os.environ.get("CC"), "gcc", "cc")
    only = "-DFT_NO_CLONES", "-DFT_ONLY_KINDS=FT_TRUE_ONLINE,FT_ACCUMULATING"
    run(cc, "-std=c99", "-O0", *only, "main.c", "fasttrace.c", "-lm", "-o", "main", cwd=tmp_path)
    found = run(tmp_path / "main", cwd=tmp_path).splitlines()
    assert [kind for kind in range(11) if found[2 * kind : 2 * kind + 2] == ["0 0", "0 0"]] == [0, 4]
    assert found.count("-3 -3") == 2 * 9


# ---- C++ ----

CPP = """
#include "fasttrace.hpp"
#include <array>
#include <cmath>
using namespace fasttrace;
#define EXPECT(x) do { if (!(x)) return __LINE__ & 127; } while (0)
#define THROWS(x, error) do { try { x; return __LINE__ & 127; } catch (const error &) {} } while (0)
template <class F> static bool says(F &&call, std::int64_t index) {
    try { call(); } catch (const IndexError &e) { return e.index == index; }
    return false;
}
#define OUT_OF_RANGE(x, index) EXPECT(says([&] { x; }, index))
static bool near(double a, double b) { return std::abs(a - b) < 1e-12; }
int main() {
    const std::vector<std::int32_t> x = {1, 2};
    const std::array<std::int32_t, 2> y = {3, 4};
    const std::vector<double> values = {0.5, 2.0};
    TrueOnlineTD learner(10, 0.1);
    EXPECT(learner.step(x, 1.0, y, 0.9, 0.8) == 1.0);
    TrueOnlineTD copy = learner, moved = std::move(copy); /* go on as the first does, on their own memory */
    EXPECT(learner.step(y, 1.0, {5, 6}, 0.9, 0.8) == moved.step(y, 1.0, {5, 6}, 0.9, 0.8));
    EXPECT(learner.weights() == moved.weights() && learner.trace() == moved.trace());
    learner.step({x, values}, 1.0, {y, values}, 0.9, 0.8);
    EXPECT(learner.weights() != moved.weights());
    moved = learner;
    EXPECT(learner.weights() == moved.weights());
    OUT_OF_RANGE(learner.step({10}, 1.0, x, 0.9, 0.8), 10);
    THROWS(learner.step(x, NAN, x, 0.9, 0.8), ValueError);
    EXPECT(learner.weights() == moved.weights());
    THROWS(TD(0, 0.1), ValueError);
    THROWS(TD(5, 0.1, FT_TRUE_ONLINE), ValueError);
    TD td(5, 0.1, FT_DUTCH);
    td.step({0}, 1.0, {1}, 0.9, 0.9, 2.0);
    EXPECT(td.value({0}) == 0.2);
    Sarsa sarsa(10, 3, 0.1);
    sarsa.step(x, 2, 1.0, y, 0, 0.9, 0.9);
    EXPECT(sarsa.greedy(x) == 2 && sarsa.values(x)[2] == 0.2);
    THROWS(sarsa.step(x, 3, 1.0, y, 0, 0.9, 0.9), ActionError);
    TrueOnlineSarsa online(10, 3, 0.1);
    online.step(x, 2, 1.0, y, 0, 0.9, 0.9);
    ExpectedSarsa own(10, 3, 0.1, 0.25);
    own.step(x, 2, 1.0, y, 0, 0.9, 0.9);
    EXPECT(online.weights() == own.weights()); /* a first step */
    GTD gtd(10, 0.1, 0.01);
    gtd.step(x, 1.0, y, 0.9, 0.9, 1.5);
    GTD other = gtd;
    EXPECT(other.value(x) == gtd.value(x) && gtd.value(x) > 0.0);
    other = GTD(3, 0.1, 0.1, FT_HTD);
    EXPECT(other.value({2}) == 0.0);
    SwiftTD swift(10, 0.05);
    EXPECT(swift.step(x, 1.0, y, 0.9, 0.9) == 1.0 && near(swift.value(x), 0.1) && swift.alphas()[0] == 0.05);
    SwiftTD swift_copy = swift, swift_moved = std::move(swift_copy);
    swift.step(y, 1.0, x, 0.9, 0.9);
    swift_moved.step(y, 1.0, x, 0.9, 0.9);
    EXPECT(swift.weights() == swift_moved.weights() && swift.alphas() == swift_moved.alphas());
    swift.step(x, 2.0, y, 0.9, 0.9);
    EXPECT(swift.weights() != swift_moved.weights());
    swift_moved = swift;
    EXPECT(swift.weights() == swift_moved.weights());
    OUT_OF_RANGE(swift.value({11}), 11);
    OUT_OF_RANGE(gtd.step({12}, 1.0, x, 0.9, 0.8), 12);
    OUT_OF_RANGE(gtd.value({13}), 13);
    OUT_OF_RANGE(learner.value({14}), 14);
    OUT_OF_RANGE(swift.step({10}, 1.0, x, 0.9, 0.8), 10);
    THROWS(swift.step(x, 1.0, x, 0.9, 1.1), ValueError);
    THROWS(SwiftTD(10, 0.05, 0.0), ValueError);
    THROWS(TIDBD(std::int64_t(1) << 50, 0.1), ValueError);
    TIDBD tidbd(5, 0.1);
    Autostep autostep(5, 0.1);
    EXPECT(tidbd.step({0}, 1.0, {1}, 0.9, 0.9) == 1.0 && autostep.step({0}, 1.0, {1}, 0.9, 0.9) == 1.0);
    EXPECT(near(tidbd.value({0}), 0.1) && near(autostep.value({0}), 0.1));
    Horde horde(10, {0.5, 0.9, 0.99}, 0.1, 0.8);
    const std::vector<double> cumulants = {1.0, 2.0, 3.0}, none = {0.0, 0.0, 0.0};
    EXPECT(horde.step(x, cumulants, y) == cumulants && horde.size() == 3);
    Horde twin = horde, third = std::move(twin);
    for (int t = 0; t < 20; t++) { /* a slab more: all of the features */
        const std::array<std::int32_t, 2> a = {t % 10, (t + 3) % 10}, b = {(t + 1) % 10, (t + 4) % 10};
        const auto deltas = horde.step(a, cumulants, b);
        EXPECT(third.step(a, cumulants, b) == deltas && third.values(b) == horde.values(b));
    }
    TrueOnlineTD alone(10, 0.1);
    Horde fresh(10, {0.5, 0.9, 0.99}, 0.1, 0.8);
    for (int t = 0; t < 20; t++) {
        const std::array<std::int32_t, 1> a = {t % 10}, b = {(t + 1) % 10};
        const double lone = alone.step({a, std::array<double, 1>{1.5}}, 2.0, b, 0.9, 0.8);
        EXPECT(near(fresh.step({a, std::array<double, 1>{1.5}}, cumulants, b)[1], lone));
    }
    EXPECT(near(fresh.values({7})[1], alone.value({7})));
    fresh.step(x, cumulants, x, none, none, none); /* rho 0: nothing is learned */
    EXPECT(near(fresh.values({7})[1], alone.value({7})));
    OUT_OF_RANGE(horde.step({10}, cumulants, y), 10);
    OUT_OF_RANGE(horde.values({10}), 10);
    THROWS(horde.step(x, {1.0}, y), ValueError);
    THROWS(horde.step(x, {1.0, 2.0, NAN}, y), ValueError);
    THROWS(horde.step(x, cumulants, y, {0.5, 0.5, 1.5}, none, none), ValueError);
    THROWS(Horde(10, {0.5}, 0.1, 0.8, FT_HORDE_GTD), ValueError);
    Horde gtd_horde(100, std::vector<double>(19, 0.9), 0.1, 0.9, FT_HORDE_GTD, 0.01);
    for (int t = 0; t < 100; t++) gtd_horde.step({t}, std::vector<double>(19, 1.0), {(t + 1) % 100});
    third = gtd_horde;
    EXPECT(third.values({5}) == gtd_horde.values({5}) && third.values({5})[18] > 0.0);
    const TileCoder coder({0.0, 0.0}, {1.0, 1.0}, {4, 4}, 8);
    EXPECT(coder(std::array<double, 2>{0.5, 0.5}).size() == 8 && coder.n_features() == 200);
    const double state[2] = {0.5, 0.5};
    EXPECT(coder(state) == coder(std::vector<double>{0.5, 0.5}));
    return 0;
}
"""


def test_learners_in_cpp(tmp_path):
    """They own their memory, are copied and moved with it, and throw what a status says."""
    cxx, cc = compiler(os.environ.get("CXX"), "g++", "c++"), compiler(os.environ.get("CC"), "gcc", "cc")
    amalgamate(tmp_path, ["traces", "gradient", "adaptive", "tiles", "horde"])
    (tmp_path / "main.cc").write_text(CPP)
    run(cc, "-std=c99", "-O0", "-DFT_NO_CLONES", "-c", "fasttrace.c", cwd=tmp_path)
    strict = "-Wall", "-Wextra", "-Wconversion", "-Wold-style-cast", "-Wshadow", "-Werror", "-pedantic"
    files = "-I.", f"-I{CSRC}", "main.cc", "fasttrace.o", "-lm", "-o", "main"
    run(cxx, "-std=c++17", *strict, *files, cwd=tmp_path)
    run(tmp_path / "main", cwd=tmp_path)


# ---- addresses of state and step ----

NUMBERS = (1.0, 0.9, 0.8)  # reward, gamma, lambda


def take(interface, null, address, learner, delta):
    """A step from features (1, 2) to (3, 4), with action 0 and then 1, by what an interface holds."""
    x, y = (np.array(row, np.int32) for row in ((1, 2), (3, 4)))
    at, to = (2, address(x), null), (2, address(y), null)
    state = interface.state
    if interface.name == "ft_sarsa_step":
        return interface.step(state, interface.kind, *at, 0, *to, 1, *NUMBERS, learner.alpha, delta)
    if interface.name == "ft_control_step":
        own = (learner.epsilon, getattr(learner, "sigma", 1.0))
        q = np.empty(4)  # a whole vector
        return interface.step(
            state, interface.kind, interface.target, 0, *own, *at, 0, *to, 1, *NUMBERS, learner.alpha,
            address(q), delta,
        )  # fmt: skip
    if interface.name == "ft_gq_step":
        q = np.empty(4)
        return interface.step(
            state, learner.beta, 0, learner.epsilon, null, *at, 0, *to, 1, *NUMBERS, 1.0, learner.alpha,
            address(q), delta,
        )  # fmt: skip
    if interface.name == "ft_adaptive_step":
        return interface.step(state, interface.kind, *at, 0, *to, 0, *NUMBERS, delta)
    if interface.name == "ft_actor_critic_step":
        work = np.empty(12)
        return interface.step(
            state, 1.0, *at, 0, *to, *NUMBERS, 0.8, learner.alpha, learner.alpha_actor, address(work), delta
        )  # fmt: skip
    if interface.name == "ft_gradient_step":
        return interface.step(state, learner.beta, *at, *to, *NUMBERS, 1.0, learner.alpha, delta)
    return interface.step(
        state, interface.kind, interface.options, *at, *to, *NUMBERS, 1.0, 1.0, 1.0, learner.alpha, delta
    )


@needs_c
@pytest.mark.parametrize("each", EVERY.values(), ids=str)
def test_a_step_by_address_is_the_learners(each):
    """Of cffi's and of ctypes', to the bit; what the learner then says of itself is true."""
    from fasttrace.backends.c import ffi

    sizes = (10, 2) if each.control else (10,)
    by_cffi, by_ctypes, own = (
        getattr(ft, each.learner)(*sizes, alpha=0.1, backend="c", **each.options) for _ in range(3)
    )
    delta = ffi.new("double *")

    def pointer(a):
        return ffi.from_buffer("double[]" if a.dtype == float else "int32_t[]", a)

    assert take(by_cffi.cffi, ffi.NULL, pointer, by_cffi, delta) == 0
    number = ctypes.c_double()
    at = ctypes.addressof(number)
    assert take(by_ctypes.ctypes, None, lambda a: a.ctypes.data, by_ctypes, at) == 0
    assert delta[0] == number.value == 1.0
    assert_array_equal(by_cffi.weights, by_ctypes.weights)
    moved = by_cffi.v if "gtd2" in each.kernel else by_cffi.weights
    assert moved.any()
    if not each.control:
        taken = inspect.signature(type(own).update).parameters
        given = {"gamma": 0.9, "lambda_": 0.8, "rho": 1.0, "pi": 1.0}
        given = {name: number for name, number in given.items() if name in taken}
        if each.kernel == "gtd2":
            del given["lambda_"]  # it has no use for one
        own.update(np.array([1, 2]), 1.0, np.array([3, 4]), **given)
        assert_array_equal(own.weights, by_cffi.weights)


def test_learners_with_an_address_are_those_with_a_step():
    """What compiled loops are served with, C is."""
    assert STEPS.keys() == embed._FORMS.keys()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ft.LSTD(3), "expected TD, TrueOnlineTD"),
        (lambda: ft.TD(3, alpha=0.1, backend="numpy"), "has the backend 'numpy'"),
        (lambda: ft.TD(3, alpha=0.1, bound=True), "a bound"),
    ],
)
def test_others_have_no_address(make, says):
    """As an attribute that is not there: hasattr says so."""
    learner = make()
    assert not hasattr(learner, "cffi")
    with pytest.raises(AttributeError, match=says):
        learner.ctypes  # noqa: B018


# ---- an interface that stays ----


def declared():
    """Functions by their types, structs by where their fields are, constants: as cffi has read the header."""
    from fasttrace.backends.c import ffi, lib

    functions, constants = {}, {}
    for name in dir(lib):
        value = getattr(lib, name)
        if isinstance(value, int):
            constants[name] = value
        else:
            functions[name] = ffi.typeof(value).cname
    structs = {}
    for name in ffi.list_types()[0]:
        told = ffi.typeof(name)
        if told.kind == "struct" and told.fields is not None:
            fields = {field: each.offset for field, each in told.fields}
            structs[name] = {"": ffi.sizeof(told), **fields}
    return {"functions": functions, "constants": constants, "structs": structs}


@needs_c
@pytest.mark.skipif(sys.maxsize < 2**32, reason="the list is of 64 bits")
def test_nothing_of_the_interface_vanishes_or_moves():
    """What programs were compiled against is there as it was; if it must change, FT_ABI_VERSION goes up, and
    `python tests/test_embedding.py` writes the list anew, as it does for what is added."""
    assert declared() == json.loads(ABI.read_text("utf-8"))


@needs_c
def test_structs_are_laid_out_as_cffi_has_them(tmp_path):
    """And so as NumPy arrays are laid over them: a C compiler says where each field is."""
    structs = declared()["structs"]
    lines = [
        f'printf("%zu\\n", {f"offsetof({name}, {field})" if field else f"sizeof({name})"});'
        for name, fields in structs.items()
        for field in fields
    ]
    program = "\n".join(
        ['#include "fasttrace.h"\n#include <stddef.h>\n#include <stdio.h>\nint main(void) {', *lines]
    )
    (tmp_path / "main.c").write_text(program + "return 0; }")
    cc = compiler(os.environ.get("CC"), "gcc", "cc")
    run(cc, "-std=c99", "-O0", f"-I{CSRC}", "main.c", "-o", "main", cwd=tmp_path)
    found = [int(line) for line in run(tmp_path / "main", cwd=tmp_path).split()]
    assert found == [offset for fields in structs.values() for offset in fields.values()]
    assert len(found) > 100


@needs_c
def test_the_library_says_what_it_was_built_with():
    """A program can compare."""
    from fasttrace.backends.c import lib

    assert lib.ft_abi_version() == lib.FT_ABI_VERSION


if __name__ == "__main__":
    ABI.write_text(json.dumps(declared(), indent=1) + "\n", "utf-8")
