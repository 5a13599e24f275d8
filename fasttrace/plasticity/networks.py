"""Plastic networks: forward, step by step, and backward; the recurrent ones, which modulate themselves."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from .. import arguments
from ..backends import Backend, Name, module, resolve
from ..memory import Array, aligned_copy, aligned_zeros, dtype_of
from ..pieces import in_pieces
from .checks import (
    ALPHAS,
    BOUNDS,
    MODES,
    MODULATED,
    MODULATIONS,
    Alpha,
    Bound,
    Mode,
    Modulated,
    Modulation,
    Owner,
    array_of,
    finite_steps,
    first_bad_step,
    steps_of,
    write,
)
from .sequence import Pass, PlasticState, Sequence
from .team import ALONE, Team, gram, times

_MODULATED = ("simple", "retroactive")


class Workspaces:
    """Scratch memory of the kernels, allocated once and handed from call to call."""

    def __init__(self) -> None:
        self._free: list[Array] = []

    def take(self, size: int, dtype: Any) -> Array:
        try:
            work = self._free.pop()
        except IndexError:
            work = None
        fits = work is not None and work.size >= size and work.dtype == dtype
        return work if fits else aligned_zeros(size, dtype)  # type: ignore[return-value]

    def give(self, work: Array) -> None:
        self._free.append(work)

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: Any) -> None:
        self.__init__()  # type: ignore[misc]


class Plastic(Owner):
    """What layer, RNN and LSTM share.  Not for use by itself."""

    _cell: ClassVar[str]
    _inputs: ClassVar[tuple[tuple[str, str], ...]] = ()  # (weights of the inputs, bias) of each gate
    _recurrent: ClassVar[tuple[str, ...]]  # the plastic weights first, then the plain ones
    _modulates = True  # computes its own modulation

    def __init__(
        self,
        n_inputs: int,
        n_hidden: int,
        *,
        mode: Mode,
        clip: float,
        bound: Bound,
        fan_out: bool,
        modulation: Modulation,
        modulated: Modulated,
        alpha: Alpha,
        eta: float,
        seed: Any,
        dtype: Any,
        backend: str,
    ) -> None:
        self._n_inputs, self._n_hidden = n_inputs, n_hidden
        self.mode = arguments.choice("mode", mode, MODES)
        self.clip = arguments.positive("clip", clip)
        self.bound = arguments.choice("bound", bound, BOUNDS)
        if not isinstance(fan_out, (bool, np.bool_)):
            raise TypeError(f"fan_out: got {fan_out!r}, expected True or False")
        self.fan_out = bool(fan_out)
        self.modulation = arguments.choice("modulation", modulation, MODULATIONS)
        self.modulated = arguments.choice("modulated", modulated, MODULATED)
        self.alpha = arguments.choice("alpha", alpha, ALPHAS)
        self.dtype = dtype_of(dtype)
        self._work = Workspaces()
        self._backend = resolve(backend)
        eta = arguments.unit("eta", eta)
        self.params: dict[str, Array] = self._initial_params(np.random.default_rng(seed), eta)
        self._shapes = {name: array.shape for name, array in self.params.items()}

    # ---- parameters ----

    def _n_pre(self) -> int:
        return self._n_hidden

    def _initial_params(self, rng: np.random.Generator, eta: float) -> dict[str, Array]:
        """Weights uniform in +-1 / sqrt(H), al small, M about 0; biases 0, the forget gate's 1."""
        H, K = self._n_hidden, self._n_pre()
        bound = 1.0 / math.sqrt(H)
        alphas: dict[str, tuple[int, ...]] = {"synapse": (H, K), "neuron": (H, 1), "scalar": ()}
        params: dict[str, Any] = {}
        for gate, W in enumerate(self._recurrent):
            for Wx, b in self._inputs[gate : gate + 1]:
                params[Wx] = rng.uniform(-bound, bound, (H, self._n_inputs))
                params[b] = np.full(H, 1.0 if b == "bf" else 0.0)
            params[W] = rng.uniform(-bound, bound, (H, K))
        params["al"] = rng.uniform(0.0, 0.1, alphas[self.alpha])
        if self._modulates:
            params["wm"] = rng.uniform(-bound, bound, H)
            params["bm"] = 0.0
        params["eta"] = eta
        if self.fan_out:
            params["fw"], params["fb"] = np.ones(H), np.zeros(H)
        return {name: aligned_copy(np.asarray(value, self.dtype)) for name, value in params.items()}

    def _checked_params(self) -> dict[str, Array]:
        """The parameters as they are now.  Errors: ValueError, TypeError, and FloatingPointError for NaN."""
        if self.params.keys() != self._shapes.keys():
            raise ValueError(f"params: got {sorted(self.params)}, expected {sorted(self._shapes)}")
        checked = {}
        for name, shape in self._shapes.items():
            array = array_of(name, self.params[name], shape, self.dtype, finite=False)
            if not arguments.is_finite(array):
                place = ", ".join(map(str, arguments.place_of(array)))
                raise FloatingPointError(
                    f"params[{name!r}]: not finite before step 0 (entry {place or 'itself'})"
                )
            checked[name] = array
        return checked

    # ---- options ----

    @property
    def backend(self) -> Name:
        """Name of the backend in use."""
        return self._backend

    def to(self, backend: Backend) -> Any:
        """Change to another backend; returns the network."""
        self._backend = resolve(backend)
        return self

    def __repr__(self) -> str:
        options = f"mode={self.mode!r}, clip={self.clip!r}, bound={self.bound!r}"
        if self._modulates:
            options += f", fan_out={self.fan_out!r}"
        defaults = {"modulation": "tanh", "modulated": "all"}
        options += "".join(f", {n}={getattr(self, n)!r}" for n in defaults if getattr(self, n) != defaults[n])
        options += f", alpha={self.alpha!r}, dtype={self.dtype.name}, backend={self._backend!r}"
        return f"{type(self).__name__}({self._n_inputs}, {self._n_hidden}, {options})"

    def initial_state(self, batch: int) -> PlasticState:
        """The state of `batch` elements before their first step: zeros."""
        return self._zero_state(arguments.count("batch", batch))

    def _zero_state(self, B: int) -> PlasticState:
        H, K = self._n_hidden, self._n_pre()
        h = None if self._cell == "layer" else np.zeros((B, H), self.dtype)
        c = np.zeros((B, H), self.dtype) if self._cell == "lstm" else None
        return PlasticState(h, c, np.zeros((B, H, K), self.dtype), np.zeros((B, H, K), self.dtype))

    def _state_shapes(self, B: int) -> dict[str, tuple[int, ...]]:
        H, K = self._n_hidden, self._n_pre()
        shapes: dict[str, tuple[int, ...]] = {} if self._cell == "layer" else {"h": (B, H)}
        if self._cell == "lstm":
            shapes["c"] = (B, H)
        return {**shapes, "hebb": (B, H, K), "E": (B, H, K)}

    def _checked_state(self, label: str, state: Any, B: int) -> dict[str, Array | None]:
        """Arrays by name; a part that is None, or a state that is, stands for zeros."""
        arrays: dict[str, Array | None] = {}
        for name, shape in self._state_shapes(B).items():
            value = None if state is None else getattr(state, name, None)
            arrays[name] = None if value is None else array_of(f"{label}.{name}", value, shape, self.dtype)
        return arrays

    # ---- one pass ----

    def _checked_modulation(self, modulation: Any, T: int, B: int) -> Array | None:
        if modulation is None:
            if not self._modulates and self.mode in _MODULATED:
                raise ValueError(f"modulation: got None, expected (T, B) or (T, B, H) in mode {self.mode!r}")
            return None
        array = np.asarray(modulation)
        shapes = [(T, B)] if self._modulates else [(T, B), (T, B, self._n_hidden)]
        if array.dtype != self.dtype:
            raise TypeError(
                f"modulation: got dtype {array.dtype}, expected {self.dtype}, that of the network"
            )
        if array.shape not in shapes:
            expected = " or ".join(map(str, shapes))
            raise ValueError(f"modulation: got shape {array.shape}, expected {expected}")
        finite_steps("modulation", array)
        return np.array(array, order="C")

    def _new_pass(
        self, params: dict[str, Array], xs: Array, state: Any, modulation: Array | None, team: Team
    ) -> Pass:
        """Everything a kernel needs, with copies of what the caller may change before the way back."""
        T, B = xs.shape[:2]
        H, K, G = self._n_hidden, self._n_pre(), len(self._recurrent)
        u = np.empty((G, T, B, H), self.dtype)
        if self._inputs:
            flat = xs.reshape(T * B, self._n_inputs)
            for g, (Wx, b) in enumerate(self._inputs):
                with np.errstate(over="ignore", invalid="ignore"):  # reported by its step, after the run
                    times(team, flat, params[Wx].T, u[g].reshape(T * B, H))
                    u[g] += params[b]
        else:
            u[:] = 0
        none = np.zeros(0, self.dtype)
        lstm, layer = self._cell == "lstm", self._cell == "layer"
        per_neuron = modulation is not None and modulation.ndim == 3
        return Pass(
            cell=self._cell,
            mode=self.mode,
            bound=self.bound,
            activation=self.modulation,
            plain=H - H // 2 if self.modulated == "half" else 0,
            fan_out=self.fan_out,
            clip=self.clip,
            dtype=self.dtype,
            u=u,
            h=np.empty((T, B, H), self.dtype) if lstm else u[0],
            c=np.empty((T, B, H), self.dtype) if lstm else None,
            M=None if per_neuron else np.zeros((T, B), self.dtype),
            hebb=np.zeros((B, H, K), self.dtype),
            E=np.zeros((B, H, K), self.dtype),
            W=params[self._recurrent[0]].copy(),
            al=params["al"].copy(),
            gates=np.stack([params[name] for name in self._recurrent[1:]]) if lstm else None,
            wm=params["wm"].copy() if self._modulates else none,
            bm=params["bm"].copy() if self._modulates else np.zeros((), self.dtype),
            eta=params["eta"].copy(),
            fw=params["fw"].copy() if self.fan_out else none,
            fb=params["fb"].copy() if self.fan_out else none,
            pre=xs if layer else None,
            modulation=modulation,
            h0=state.get("h"),
            c0=state.get("c"),
            hebb0=state["hebb"],
            E0=state["E"],
        )

    def _in_parts(
        self,
        team: Team,
        p: Pass,
        size: int,
        units: int,
        runner: Callable[[int, int, Array], tuple[Callable[[int, int], None], Any]],
    ) -> list[Any]:
        """Each thread runs its part of the batch, in pieces between which Ctrl-C is heard.

        size, units  numbers of workspace; of work an element
        runner       (run(begin, end), what that fills in) for first, last, workspace

        Returns what was filled in, in order.
        """
        G, _, B, H = p.u.shape
        # Few enough for a tenth of a second anywhere; the reference's own loop is heard at any time.
        once = (1 << 25) // (G * H * (p.W.shape[1] + 64) + 256) + 1

        def part(first: int, last: int) -> Any:
            total = (last - first) * units
            work = self._work.take(size, p.dtype)
            try:
                run, result = runner(first, last, work)

                def piece(begin: int, end: int) -> None:
                    team.go_on()
                    run(begin, end)

                at_once = total if self._backend == "numpy" else once
                in_pieces(total, at_once, piece, lambda done: {"steps": 0})
            finally:
                self._work.give(work)
            return result

        return team(part, B)

    def _run(self, p: Pass, team: Team) -> None:
        kernels = module(self._backend, "plasticity")
        size = kernels.work_size(p, 0)
        self._in_parts(team, p, size, p.u.shape[1], lambda *part: (kernels.forward(p, *part), None))
        for name, array in (("h", p.h), ("M", p.M)):
            if array is not None and (t := first_bad_step(array)) is not None:
                raise FloatingPointError(
                    f"{name}: not finite at step {t}; smaller parameters would keep it so"
                )

    def forward(self, xs: Any, state: Any = None, modulation: Any = None, *, threads: int = 1) -> Sequence:
        """Run a sequence.

        xs          (T, B, I)
        state       to begin with, unchanged by this; None for zeros
        modulation  (T, B), in place of the network's own M.  A layer needs it in the modulated modes, and
                    also takes (T, B, H), one value a post neuron
        threads     that share the batch

        Errors: ValueError for shapes, an empty sequence, or NaN, with its step; TypeError for another dtype
        than the network's; FloatingPointError for a parameter that is not finite, or numbers that overflow.
        Ctrl-C: KeyboardInterrupt with `.steps` 0, whatever was done: half a sequence is none.
        """
        array = steps_of("xs", xs, (self._n_inputs,), self.dtype)
        T, B = array.shape[:2]
        start = self._checked_state("state", state, B)
        given = self._checked_modulation(modulation, T, B)
        params = self._checked_params()
        threads = arguments.count("threads", threads)
        xs = np.array(array, order="C")
        start = {name: None if each is None else each.copy() for name, each in start.items()}
        with Team(threads) as team:
            p = self._new_pass(params, xs, start, given, team)
            self._run(p, team)
        h = None if self._cell == "layer" else p.h[-1].copy()
        after = PlasticState(h, None if p.c is None else p.c[-1].copy(), p.hebb, p.E)
        return Sequence(*p.seen(), after, p, self, xs, [params[Wx].copy() for Wx, _ in self._inputs])

    def _step(self, x: Any, state: PlasticState, modulation: Any) -> Pass:
        array = np.asarray(x)
        if array.ndim != 2:
            raise ValueError(f"x: got shape {array.shape}, expected (B, {self._n_inputs})")
        B = len(array)
        array = array_of("x", x, (B, self._n_inputs), self.dtype)
        if not isinstance(state, PlasticState):
            raise TypeError(f"state: got {type(state).__name__}, expected what initial_state or .state gives")
        start: dict[str, Array | None] = {}
        for name, shape in self._state_shapes(B).items():
            value = getattr(state, name)
            if not (isinstance(value, np.ndarray) and value.flags.writeable):
                raise TypeError(f"state.{name}: got {type(value).__name__}, expected a writable array")
            used = name != "E" or self.mode == "retroactive"
            start[name] = array_of(f"state.{name}", value, shape, self.dtype, finite=used)
        given = None if modulation is None else np.asarray(modulation)[None]
        given = self._checked_modulation(given, 1, B)
        p = self._new_pass(self._checked_params(), array[None], start, given, ALONE)
        self._run(p, ALONE)
        arrays, values = [], []
        if state.h is not None:
            arrays, values = [state.h], [p.h[0]]
        if state.c is not None and p.c is not None:
            arrays.append(state.c)
            values.append(p.c[0])
        if self.mode != "none":
            arrays.append(state.hebb)
            values.append(p.hebb)
        if self.mode == "retroactive":
            arrays.append(state.E)
            values.append(p.E)
        write(arrays, values)
        return p

    def backward(
        self,
        sequence: Sequence,
        dh: Any,
        dM: Any = None,
        dstate: Any = None,
        *,
        threads: int = 1,
        spacing: int | None = None,
    ) -> dict[str, Array]:
        """Gradients of a loss, from what it gives for h, for M and for the state that the sequence ended in.

        dh       (T, B, H), or None
        dM       (T, B), or None
        dstate   with h, c, hebb, E as the state's, each or all None
        spacing  steps between the checkpoints that Hebb and E are replayed from; None: ceil(sqrt(T)).
                 It changes memory, not the result

        Returns a dict: the names of `params`, and xs (T, B, I), h0, c0 (LSTM), hebb0, E0, and modulation
        where one was given.  The parameters are those of the forward pass, also if they have changed since.

        Errors: ValueError for shapes, NaN, or a sequence that this network did not make; TypeError for
        another dtype; FloatingPointError for a gradient that is not finite, with its step.
        Ctrl-C: KeyboardInterrupt with `.steps` 0; the sequence can be gone through again.
        """
        if not isinstance(sequence, Sequence):
            raise TypeError(f"sequence: got {type(sequence).__name__}, expected what forward returns")
        if sequence._owner is not self:
            raise ValueError("sequence: made by another network, expected one of this network's forward")
        p, xs = sequence._pass, sequence._xs
        _, T, B, H = p.u.shape
        dh = None if dh is None else array_of("dh", dh, (T, B, H), self.dtype)
        dM = None if dM is None else array_of("dM", dM, (T, B), self.dtype)
        if dM is not None and p.M is None:
            raise ValueError("dM: the modulation is by the neuron; its gradient has no (T, B)")
        after = self._checked_state("dstate", dstate, B)
        threads = arguments.count("threads", threads)
        if spacing is None:
            spacing = math.isqrt(T - 1) + 1
        spacing = arguments.count("spacing", spacing)
        if after.get("h") is not None:
            dh = np.zeros((T, B, H), self.dtype) if dh is None else dh.copy()
            dh[-1] += after["h"]
        up = SimpleNamespace(dh=dh, dM=dM, dc=after.get("c"), dhebb=after["hebb"], dE=after["E"])
        g = self._new_gradients(p)
        kernels = module(self._backend, "plasticity")
        size = kernels.work_size(p, spacing)
        with Team(threads) as team:
            parts = self._in_parts(
                team, p, size, 2 * (T + 1), lambda *part: kernels.backward(p, up, g, *part, spacing)
            )
            if not np.isfinite(g.u).all():
                bad = next(t for t in reversed(range(T)) if not np.isfinite(g.u[:, t]).all())
                raise FloatingPointError(f"gradient: not finite at step {bad}")
            sums = {name: sum(part[name] for part in parts) for name in parts[0]}
            with np.errstate(over="ignore", invalid="ignore"):
                return self._gradients(sequence, xs, g, sums, team)

    def _new_gradients(self, p: Pass) -> SimpleNamespace:
        """Room for what each element of the batch has of its own."""
        _, T, B, H = p.u.shape
        state = {name: np.zeros(shape, self.dtype) for name, shape in self._state_shapes(B).items()}
        return SimpleNamespace(
            u=np.empty_like(p.u),
            M=np.empty((T, B) if p.M is not None else (T, B, H), self.dtype),
            pre=None if p.pre is None else np.empty_like(p.pre),
            h0=state.get("h"),
            c0=state.get("c"),
            hebb0=state["hebb"],
            E0=state["E"],
        )

    def _gradients(
        self, sequence: Sequence, xs: Array, g: Any, sums: dict[str, Any], team: Team
    ) -> dict[str, Array]:
        p = sequence._pass
        _, T, B, H = p.u.shape
        ones = np.ones((T * B, 1), self.dtype)
        grads: dict[str, Any] = {}
        dxs = g.pre
        for gate, (Wx, b) in enumerate(self._inputs):
            du = g.u[gate].reshape(T * B, H)
            flat = xs.reshape(T * B, -1)
            grads[Wx] = gram(team, du, flat)
            grads[b] = gram(team, ones, du)
            part = np.empty_like(flat)
            times(team, du, sequence._Wx[gate], part)
            dxs = part if dxs is None else dxs + part
        for gate, W in enumerate(self._recurrent):
            grads[W] = self._recurrent_gradient(p, g.u[gate], team)
        al = sums.pop("al")
        axes = {"synapse": (), "neuron": (1,), "scalar": (0, 1)}[self.alpha]
        grads["al"] = np.sum(al, axis=axes, keepdims=self.alpha == "neuron", dtype=np.float64) if axes else al
        grads |= sums
        dtype = self.dtype
        result = {name: np.asarray(grads[name], dtype).reshape(self._shapes[name]) for name in self.params}
        for name, array in result.items():
            if not np.isfinite(array).all():
                raise FloatingPointError(f"gradient of {name}: not finite, though each step's is")
        result["xs"] = dxs.reshape(xs.shape)
        for name in ("h0", "c0", "hebb0", "E0"):
            if getattr(g, name) is not None:
                result[name] = getattr(g, name)
        if p.modulation is not None:
            result["modulation"] = g.M
        return result

    def _recurrent_gradient(self, p: Pass, du: Array, team: Team) -> Array:
        """Sum over steps and batch of outer(du_t, pre_t)."""
        T, B, H = du.shape
        if p.pre is not None:
            return gram(team, du.reshape(T * B, H), p.pre.reshape(T * B, -1))
        grad = gram(team, du[1:].reshape(-1, H), p.h[:-1].reshape(-1, H))
        return grad if p.h0 is None else grad + du[0].T @ p.h0


class PlasticRNN(Plastic):
    """h_t = tanh(Wx x_t + bx + (W + al * Hebb_t) h_{t-1}), M_t = tanh(wm . h_t + bm).

    mode     "none"; "plastic": Hebb += eta outer(h_t, h_{t-1}), no modulation; "simple": Hebb += M_t outer;
             "retroactive": Hebb += M_t E_t with the E that was, then E goes to the outer product by eta
    clip     Hebb stays in [-clip, clip]
    bound    "hard"; "soft": the step shrinks as Hebb nears the bound it moves to; "decay": Hebb goes to the
             outer product (or E) by M_t (or eta) and so forgets, Hebb += M_t (outer - Hebb)
    fan_out  one modulation a post neuron, fw M_t + fb
    modulation  M_t is "tanh", "sigmoid" or "linear" of wm . h_t + bm
    modulated   "all" neurons, or "half": the first H // 2, and for the others Hebb += eta outer
    alpha    al a "synapse" (H, H), a "neuron" (H, 1), or one "scalar" ()
    eta      where it starts; it is trained like the rest
    seed     int or Generator, of the first parameters
    dtype    float32 or float64; every array that comes in must be of it

    params   dict of the live, writable arrays: Wx (H, I), bx, W, al, wm, bm, eta; with fan_out fw, fb
    """

    _cell = "rnn"
    _inputs: ClassVar[tuple[tuple[str, str], ...]] = (("Wx", "bx"),)
    _recurrent: ClassVar[tuple[str, ...]] = ("W",)

    def __init__(
        self,
        n_inputs: int,
        n_hidden: int,
        *,
        mode: Mode = "simple",
        clip: float = 1.0,
        bound: Bound = "hard",
        fan_out: bool = False,
        modulation: Modulation = "tanh",
        modulated: Modulated = "all",
        alpha: Alpha = "synapse",
        eta: float = 0.1,
        seed: Any = 0,
        dtype: Any = np.float32,
        backend: Backend = "auto",
    ) -> None:
        super().__init__(
            arguments.count("n_inputs", n_inputs),
            arguments.count("n_hidden", n_hidden),
            mode=mode,
            clip=clip,
            bound=bound,
            fan_out=fan_out,
            modulation=modulation,
            modulated=modulated,
            alpha=alpha,
            eta=eta,
            seed=seed,
            dtype=dtype,
            backend=backend,
        )

    @property
    def n_inputs(self) -> int:
        return self._n_inputs

    @property
    def n_hidden(self) -> int:
        return self._n_hidden

    def step(self, x: Any, state: PlasticState, modulation: Any = None) -> tuple[Array, Array]:
        """One step of x (B, I): (h (B, H), M (B,)).  The state changes in place, but for an error.

        modulation  (B,), in place of the network's own M

        Errors: as forward's; ValueError for a state that is not finite (E: in the retroactive mode, which
        alone reads it), TypeError for one that is not of writable arrays.
        """
        p = self._step(x, state, modulation)
        assert p.M is not None
        return p.h[0], p.M[0]


class PlasticLSTM(PlasticRNN):
    """An LSTM whose weights from hidden to candidate are plastic; options as PlasticRNN's.

        i = tanh(Wix x + (Wih + al * Hebb_t) h_{t-1} + bi)        the candidate, and the trace's post
        j, f, o = sigmoid(W.x x + W.h h_{t-1} + b.)                input, forget and output gate
        c_t = f c_{t-1} + i j;  h_t = o tanh(c_t);  M_t = tanh(wm . h_t + bm)

    params   Wix, Wih, bi, Wjx, Wjh, bj, Wfx, Wfh, bf, Wox, Woh, bo, al, wm, bm, eta; with fan_out fw, fb
    """

    _cell = "lstm"
    _inputs = (("Wix", "bi"), ("Wjx", "bj"), ("Wfx", "bf"), ("Wox", "bo"))
    _recurrent = ("Wih", "Wjh", "Wfh", "Woh")
