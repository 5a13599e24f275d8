"""What plastic networks refuse: the same error in every backend, before anything has changed."""

import re

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fasttrace as ft
from fasttrace.backends import NAMES
from fasttrace.plasticity import HebbianTrace, PlasticLayer, PlasticLSTM, PlasticRNN, PlasticState

BACKENDS = [name for name in NAMES if ft.backends()[name] is None]
T, B, I, H = 4, 2, 3, 5  # noqa: E741
NAN = np.float32("nan")

backend_ = pytest.mark.parametrize("backend", BACKENDS)


def refuses(exception, message, call):
    with pytest.raises(exception, match=re.escape(message)):
        call()


def net(backend="numpy", cls=PlasticRNN, mode="retroactive", **options):
    return cls(I, H, mode=mode, backend=backend, **options)


def draw(*shape, dtype=np.float32):
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


def with_nan(array, *place):
    array[place] = NAN
    return array


# ---- construction ----


@pytest.mark.parametrize("cls", [PlasticRNN, PlasticLSTM, PlasticLayer])
@pytest.mark.parametrize(
    ("options", "exception", "message"),
    [
        ({"mode": "hebbian"}, ValueError, "mode: got 'hebbian', expected one of 'none', 'plastic', 'simple'"),
        ({"bound": "firm"}, ValueError, "bound: got 'firm', expected one of 'hard', 'soft'"),
        ({"bound": "firm"}, ValueError, "expected one of 'hard', 'soft', 'decay'"),
        ({"modulated": "some"}, ValueError, "modulated: got 'some', expected one of 'all', 'half'"),
        ({"alpha": "layer"}, ValueError, "alpha: got 'layer', expected one of 'synapse', 'neuron', 'scalar'"),
        ({"clip": 0.0}, ValueError, "clip: got 0.0, expected a finite number above 0"),
        ({"clip": -1.0}, ValueError, "clip: got -1.0, expected a finite number above 0"),
        ({"clip": np.inf}, ValueError, "clip: got inf"),
        ({"eta": 1.5}, ValueError, "eta: got 1.5, expected a number from 0 to 1"),
        ({"eta": -0.1}, ValueError, "eta: got -0.1, expected a number from 0 to 1"),
        ({"eta": np.nan}, ValueError, "eta: got nan"),
        ({"eta": "fast"}, TypeError, "eta: expected a real number, got str 'fast'"),
        ({"dtype": np.float16}, TypeError, "expected float32 or float64"),
        ({"dtype": int}, TypeError, "expected float32 or float64"),
        ({"dtype": "nonsense"}, TypeError, "expected float32 or float64"),
        ({"backend": "fortran"}, ValueError, "backend='fortran'"),
    ],
)
def test_options(cls, options, exception, message):
    refuses(exception, message, lambda: cls(I, H, **{"mode": "simple"} | options))


def test_sizes():
    refuses(ValueError, "n_hidden: got 0, expected an integer from 1", lambda: PlasticRNN(3, 0, mode="none"))
    refuses(
        TypeError, "n_inputs: expected an integer, got float 2.5", lambda: PlasticLSTM(2.5, 3, mode="none")
    )
    refuses(ValueError, "n_in: got -1", lambda: PlasticLayer(-1, 3))
    refuses(TypeError, "fan_out: got 1, expected True or False", lambda: PlasticRNN(3, 3, fan_out=1))
    refuses(
        ValueError,
        "modulation: got 'relu', expected one of 'tanh', 'sigmoid', 'linear'",
        lambda: PlasticLSTM(3, 3, modulation="relu"),
    )
    refuses(ValueError, "shape: got 3, expected (post, pre)", lambda: HebbianTrace(3, mode="simple"))
    refuses(ValueError, "batch: got 0", lambda: net().initial_state(0))


# ---- sequences ----


@backend_
@pytest.mark.parametrize("cls", [PlasticRNN, PlasticLSTM])
class TestForward:
    def test_inputs(self, cls, backend):
        """Shape, dtype, nothing at all, and NaN with its step."""
        n = net(backend, cls)
        refuses(
            ValueError, "xs: got shape (4, 2, 4), expected (T, B, 3)", lambda: n.forward(draw(T, B, I + 1))
        )
        refuses(ValueError, "xs: got shape (4, 3), expected (T, B, 3)", lambda: n.forward(draw(T, I)))
        refuses(ValueError, "xs: got an empty sequence, shape (0, 2, 3)", lambda: n.forward(draw(0, B, I)))
        refuses(ValueError, "xs: got an empty batch, shape (4, 0, 3)", lambda: n.forward(draw(T, 0, I)))
        refuses(
            TypeError,
            "xs: got dtype float64, expected float32, that of the network",
            lambda: n.forward(draw(T, B, I, dtype=np.float64)),
        )
        refuses(TypeError, "xs: got dtype int64", lambda: n.forward(np.ones((T, B, I), np.int64)))
        refuses(
            ValueError,
            "xs: step 2: entry 2, 1, 0 is nan, expected finite numbers",
            lambda: n.forward(with_nan(draw(T, B, I), 2, 1, 0)),
        )

    def test_state(self, cls, backend):
        """Each part by its name."""
        n = net(backend, cls)
        xs, state = draw(T, B, I), n.initial_state(B)
        state.hebb = state.hebb[:1]
        refuses(
            ValueError, "state.hebb: got shape (1, 5, 5), expected (2, 5, 5)", lambda: n.forward(xs, state)
        )
        state = n.initial_state(B)
        state.E = state.E.astype(np.float64)
        refuses(TypeError, "state.E: got dtype float64, expected float32", lambda: n.forward(xs, state))
        state = n.initial_state(B)
        state.h[1, 3] = NAN
        refuses(ValueError, "state.h: entry 1, 3 is nan", lambda: n.forward(xs, state))

    def test_modulation(self, cls, backend):
        n, xs = net(backend, cls), draw(T, B, I)
        refuses(
            ValueError,
            "modulation: got shape (4, 3), expected (4, 2)",
            lambda: n.forward(xs, None, draw(T, B + 1)),
        )
        refuses(
            ValueError,
            "modulation: step 3: entry 3, 0 is nan",
            lambda: n.forward(xs, None, with_nan(draw(T, B), 3, 0)),
        )
        refuses(
            TypeError,
            "modulation: got dtype float64, expected float32",
            lambda: n.forward(xs, None, draw(T, B, dtype=np.float64)),
        )

    def test_parameters(self, cls, backend):
        """What an optimiser may have left."""
        n, xs = net(backend, cls), draw(T, B, I)
        n.params["al"][1, 2] = np.inf
        refuses(
            FloatingPointError,
            "params['al']: not finite before step 0 (entry 1, 2)",
            lambda: n.forward(xs),
        )
        n = net(backend, cls)
        n.params["wm"] = n.params["wm"].astype(np.float64)
        refuses(TypeError, "wm: got dtype float64, expected float32", lambda: n.forward(xs))
        n = net(backend, cls)
        n.params["al"] = np.zeros((H, 1), np.float32)
        refuses(ValueError, "al: got shape (5, 1), expected (5, 5)", lambda: n.forward(xs))
        del n.params["al"]
        refuses(ValueError, "params: got [", lambda: n.forward(xs))

    def test_threads(self, cls, backend):
        n, xs = net(backend, cls), draw(T, B, I)
        refuses(ValueError, "threads: got 0", lambda: n.forward(xs, threads=0))
        refuses(TypeError, "threads: expected an integer", lambda: n.forward(xs, threads=1.5))

    def test_numbers_that_overflow(self, cls, backend):
        """inf - inf inside: the step that it came from."""
        n = net(backend, cls, mode="none")
        rnn = cls is PlasticRNN
        n.params["W" if rnn else "Wih"][:] = -3e38
        n.params["Wx" if rnn else "Wix"][:] = 3e38
        for gate in () if rnn else ("bj", "bf", "bo"):
            n.params[gate][:] = 20.0
        xs = np.full((T, B, I), np.float32(10.0))
        refuses(FloatingPointError, "h: not finite at step 1;", lambda: n.forward(xs))


@backend_
class TestBackward:
    def test_a_sequence_of_another_network(self, backend):
        one, other = net(backend), net(backend)
        s = one.forward(draw(T, B, I))
        refuses(ValueError, "sequence: made by another network", lambda: other.backward(s, s.h))
        refuses(
            TypeError, "sequence: got ndarray, expected what forward returns", lambda: one.backward(s.h, s.h)
        )

    def test_gradients_that_come_in(self, backend):
        n = net(backend)
        s = n.forward(draw(T, B, I))
        refuses(
            ValueError, "dh: got shape (4, 2, 4), expected (4, 2, 5)", lambda: n.backward(s, draw(T, B, 4))
        )
        refuses(TypeError, "dh: got dtype float64", lambda: n.backward(s, draw(T, B, H, dtype=np.float64)))
        refuses(
            ValueError, "dh: entry 1, 0, 2 is nan", lambda: n.backward(s, with_nan(draw(T, B, H), 1, 0, 2))
        )
        refuses(ValueError, "dM: got shape (2, 4)", lambda: n.backward(s, draw(T, B, H), draw(B, T)))
        refuses(ValueError, "spacing: got 0", lambda: n.backward(s, draw(T, B, H), spacing=0))

    def test_a_gradient_that_overflows(self, backend):
        """With the step at which it was first not finite, coming from the end."""
        n = net(backend, mode="none")
        n.params["W"] *= np.float32(1e20)
        n.params["Wx"] *= np.float32(1e-4)
        n.params["W"][:] = np.eye(H, dtype=np.float32) * np.float32(1e20)
        n.params["Wx"][:] = 0.0
        s = n.forward(draw(T, B, I))
        refuses(
            FloatingPointError, "gradient: not finite at step 1", lambda: n.backward(s, np.ones_like(s.h))
        )


@backend_
class TestStep:
    def test_nothing_changes(self, backend):
        """After an error the state is as it was."""
        n = net(backend, PlasticLSTM)
        state = n.forward(draw(T, B, I)).state
        before = state.copy()
        calls = [
            (ValueError, lambda: n.step(draw(B, I + 1), state)),
            (ValueError, lambda: n.step(draw(B + 1, I), state)),
            (ValueError, lambda: n.step(draw(I), state)),
            (TypeError, lambda: n.step(draw(B, I, dtype=np.float64), state)),
            (ValueError, lambda: n.step(with_nan(draw(B, I), 0, 0), state)),
            (ValueError, lambda: n.step(draw(B, I), state, draw(B + 1))),
            (TypeError, lambda: n.step(draw(B, I), None)),
        ]
        for exception, call in calls:
            with pytest.raises(exception):
                call()
        n.params["bo"][0] = NAN
        with pytest.raises(FloatingPointError):
            n.step(draw(B, I), state)
        for one, other in zip(state._arrays(), before._arrays(), strict=True):
            assert_array_equal(one, other)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize(
        ("cls", "names"),
        [
            (PlasticRNN, ("h", "hebb", "E")),
            (PlasticLSTM, ("h", "c", "hebb", "E")),
            (PlasticLayer, ("hebb", "E")),
        ],
    )
    def test_a_state_that_is_not_finite(self, cls, names, value, backend):
        """Refused as forward does; an infinite Hebb would else become the clip in silence."""
        n = net(backend, cls)
        given = draw(B) if cls is PlasticLayer else None
        for name in names:
            state = n.initial_state(B)
            array = getattr(state, name)
            place = (1, 3, 2)[: array.ndim]
            array[place] = value
            before = state.copy()
            message = f"state.{name}: entry {', '.join(map(str, place))} is {value}, expected finite numbers"
            refuses(ValueError, message, lambda state=state: n.step(draw(B, I), state, given))
            refuses(
                ValueError,
                message,
                lambda state=state: n.forward(draw(1, B, I), state, None if given is None else given[None]),
            )
            for one, other in zip(state._arrays(), before._arrays(), strict=True):
                assert_array_equal(one, other)

    @pytest.mark.parametrize("hidden", [60, 100])
    def test_large_finite_numbers(self, hidden, backend):
        """Squares that overflow are not taken for infinity, in small and in large arrays."""
        n = PlasticRNN(I, hidden, mode="retroactive", backend=backend)
        state = n.initial_state(1)
        state.E[0, -1, -1] = 3e38
        n.step(draw(1, I), state)
        state.E[0, -1, -1] = np.inf
        place = f"0, {hidden - 1}, {hidden - 1}"
        refuses(ValueError, f"state.E: entry {place} is inf", lambda: n.step(draw(1, I), state))

    def test_reset(self, backend):
        state = net(backend).initial_state(B)
        refuses(TypeError, "mask: got dtype int64, expected bool", lambda: state.reset(np.array([0, 1])))
        refuses(ValueError, "mask: got shape (3,), expected (2,)", lambda: state.reset(np.ones(3, bool)))


@backend_
def test_a_layer_needs_its_modulation(backend):
    layer = PlasticLayer(I, H, mode="simple", backend=backend)
    xs = draw(T, B, I)
    refuses(ValueError, "modulation: got None, expected (T, B) or (T, B, H)", lambda: layer.forward(xs))
    refuses(
        ValueError,
        "modulation: got shape (4, 2, 4), expected (4, 2) or (4, 2, 5)",
        lambda: layer.forward(xs, None, draw(T, B, 4)),
    )
    s = layer.forward(xs, None, draw(T, B, H))
    refuses(ValueError, "dM: the modulation is by the neuron", lambda: layer.backward(s, s.h, draw(T, B)))
    assert PlasticLayer(I, H, mode="plastic", backend=backend).forward(xs).M.any() == False  # noqa: E712


@backend_
def test_traces(backend):
    """After an error Hebb and E are as they were."""
    trace = HebbianTrace((2, 3), mode="retroactive", backend=backend)
    trace.step(draw(2), draw(3), 1.0)
    trace.step(draw(2), draw(3), 1.0)
    hebb, E = trace.hebb.copy(), trace.E.copy()
    refuses(ValueError, "post: got shape (3,), expected (2,)", lambda: trace.step(draw(3), draw(3), 1.0))
    refuses(TypeError, "pre: got dtype float64", lambda: trace.step(draw(2), draw(3, dtype=float), 1.0))
    refuses(ValueError, "pre: entry 1 is nan", lambda: trace.step(draw(2), with_nan(draw(3), 1), 1.0))
    refuses(ValueError, "modulation: got nan", lambda: trace.step(draw(2), draw(3), np.nan))
    refuses(ValueError, "modulation: got shape (3,)", lambda: trace.step(draw(2), draw(3), draw(3)))
    assert_array_equal(trace.hebb, hebb)
    assert_array_equal(trace.E, E)
    for name in ("hebb", "E"):
        for bad, exception, message in (
            (with_nan(draw(2, 3), 1, 2), ValueError, "entry 1, 2 is nan, expected finite numbers"),
            (draw(3, 2), ValueError, "got shape (3, 2), expected (2, 3)"),
            (draw(2, 3, dtype=float), TypeError, "got dtype float64, expected float32"),
        ):
            refuses(exception, f"{name}: {message}", lambda n=name, bad=bad: setattr(trace, n, bad))
    assert_array_equal(trace.hebb, hebb)
    assert_array_equal(trace.E, E)
    live, trace.hebb = trace.hebb, -hebb
    assert_array_equal(live, -hebb)
    trace.E.flags.writeable = False
    hebb = trace.hebb.copy()
    refuses(ValueError, "hebb, E: got a read-only array", lambda: trace.step(draw(2), draw(3)))
    assert_array_equal(trace.hebb, hebb)
    refuses(ValueError, "eta: got 2.0", lambda: HebbianTrace((2, 2), eta=2.0))
    refuses(ValueError, "clip: got 0.0", lambda: HebbianTrace((2, 2), clip=0.0))


def test_states_of_other_networks():
    """A step takes the arrays of a state as they are; they must fit."""
    rnn, lstm = net(), net(cls=PlasticLSTM)
    refuses(TypeError, "state.c: got NoneType", lambda: lstm.step(draw(B, I), rnn.initial_state(B)))
    state = rnn.initial_state(B)
    state.hebb.flags.writeable = False
    refuses(TypeError, "state.hebb: got ndarray, expected a writable", lambda: rnn.step(draw(B, I), state))
    odd = PlasticState(*(each.astype(np.float64) for each in (state.h, state.h, state.hebb, state.E)))
    refuses(TypeError, "state.h: got dtype float64", lambda: rnn.step(draw(B, I), odd))
