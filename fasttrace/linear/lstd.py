"""Least-squares TD(lambda): no step size; the weights solve A w = b."""

from __future__ import annotations

from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from .. import arguments
from ..backends import Backend
from ..features import Rows, Stream, raise_bad_index
from ..memory import Float64, aligned_zeros, check_arrays
from ..quick import quick
from .learner import most_entries
from .prediction import StateLearner

_COUNTERS = ("n", "active", "since", "refresh", "stale", "bad_index")
_POINTERS = 8
Solver = Literal["solve", "inverse"]
SOLVERS: tuple[Solver, ...] = ("solve", "inverse")


class LeastSquares:
    """The sums A and b with the trace, one layout for every backend (csrc/fasttrace.h draws it).

    A         (n, n), row i is column i of the matrix: a step adds to few columns
    b, z      (n,)
    inverse   (n, n) of the matrix, or None; u (n,) is inverse z
    words     the C struct ft_lstd: `counters` (int64), `scalars` (float64: decay), then C's pointers
    list      the first counters["active"] are the features whose trace is not 0; listed (n,) says whether
    """

    columns = 1
    v_old, alpha = 0.0, 0.0  # what other learners carry from step to step

    def __init__(self, n: int, epsilon: float, inverse: bool, backend: str) -> None:
        self.n, self.epsilon, self.backend = n, epsilon, backend
        self.words = aligned_zeros(len(_COUNTERS) + 1 + _POINTERS, np.int64)
        self.counters = self.words[: len(_COUNTERS)]
        self.scalars = self.words[len(_COUNTERS) : -_POINTERS].view(np.float64)
        self.counters[:4] = n, 0, 0, max(4 * n, 256)
        self.A = aligned_zeros(n * n, np.float64).reshape(n, n)
        np.fill_diagonal(self.A, epsilon)
        self.b, self.z = aligned_zeros(n, np.float64), aligned_zeros(n, np.float64)
        self.inverse: Float64 | None = None
        self.u, self.work = aligned_zeros(0, np.float64), aligned_zeros(2 * n if inverse else n, np.float64)
        if inverse:
            self.inverse = aligned_zeros(n * n, np.float64).reshape(n, n)
            np.fill_diagonal(self.inverse, 1.0 / epsilon)
            self.u = aligned_zeros(n, np.float64)
        self.list, self.listed = aligned_zeros(n, np.int32), aligned_zeros(n, np.uint8)
        self.handle: Any = None  # the C backend's pointer to words, made when first needed
        self._solution: Float64 | None = None

    @property
    def matrix(self) -> Float64:
        """A as it is written, a view: matrix[i, j] is the sum of z_i (x_j - gamma x'_j)."""
        return self.A.T

    @property
    def decay(self) -> float:
        return float(self.scalars[0])

    @decay.setter
    def decay(self, value: float) -> None:
        self.scalars[0] = value

    def _counter(name: str) -> Any:  # type: ignore[misc]  # noqa: N805 - makes the properties below
        place = _COUNTERS.index(name)

        def get(self: LeastSquares) -> int:
            return int(self.counters[place])

        def put(self: LeastSquares, value: int) -> None:
            self.counters[place] = value

        return property(get, put)

    since, refresh, stale = _counter("since"), _counter("refresh"), _counter("stale")

    def changed(self) -> None:
        """What was solved before is no longer the solution."""
        self._solution = None

    def invert(self) -> None:
        """Compute inverse and u anew; a singular matrix leaves them stale, one not finite for good."""
        assert self.inverse is not None
        if not np.isfinite(self.A).all():
            self.stale = 2
            return
        try:
            self.inverse[:] = np.linalg.inv(self.matrix)
        except np.linalg.LinAlgError:
            return
        self.u[:] = self.inverse @ self.z
        self.since, self.stale = 0, 0

    def solution(self) -> Float64:
        """w, kept until something is learned.  Not to be written to."""
        if self._solution is None:
            with np.errstate(all="ignore"):
                self._solution = self._solved()
        return self._solution

    def _solved(self) -> Float64:
        """By the inverse if that is good to rounding, which a look at what is left of b tells."""
        A, b = self.matrix, self.b
        if not (np.isfinite(A).all() and np.isfinite(b).all()):
            return np.full(self.n, np.nan)
        if self.inverse is not None and not self.stale:
            w = self.inverse @ b
            for _ in range(3):
                left = b - A @ w
                size = np.abs(A).sum(axis=1).max() * np.abs(w).max() + np.abs(b).max()
                if np.abs(left).max() <= self.n * np.finfo(float).eps * size:
                    return w
                w = w + self.inverse @ left
        try:
            return np.linalg.solve(A, b)
        except np.linalg.LinAlgError:  # singular: of all that come closest, the shortest
            return np.linalg.lstsq(A, b, rcond=None)[0]

    def dense(self) -> tuple[Float64, Float64]:
        """Copies of w and z, (n,) each."""
        return self.solution().copy(), self.z.copy()

    def to(self, backend: str) -> LeastSquares:
        """Every backend works on the same arrays."""
        self.backend = backend
        self._relist()
        return self

    def _relist(self) -> None:
        """The list of features in the trace; the reference keeps none."""
        active = np.flatnonzero(self.z)
        self.listed[:] = self.z != 0.0
        self.list[: len(active)] = active
        self.counters[1] = len(active)

    def reset(self) -> None:
        """The trace becomes empty; A and b stay.  The list forgets what is 0 in the next step."""
        self.z[:] = 0.0
        self.u[:] = 0.0
        self.decay = 0.0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything, for a checkpoint that goes on bit for bit."""
        own = {"A": self.A, "b": self.b, "z": self.z, "decay": self.scalars}
        if self.inverse is None:
            return own
        return own | {"inverse": self.inverse, "u": self.u, "kept": self.counters[[2, 4]]}

    def set_arrays(self, arrays: dict[str, Any]) -> None:
        """Become what arrays() gave.  Errors: ValueError."""
        own = self.arrays()
        check_arrays(arrays, own)
        kept = arrays.get("kept")
        if kept is not None and not (0 <= kept[0] <= self.refresh and 0 <= kept[1] <= 2):
            raise ValueError(f"state: no inverse has the counters {kept.tolist()}")
        for name, array in own.items():
            array[:] = arrays[name]
        if kept is not None:
            self.since, self.stale = (int(each) for each in kept)
        self._relist()
        self.changed()

    def __getstate__(self) -> dict[str, Any]:
        size = self.n, self.epsilon, self.inverse is not None, self.backend
        return {"size": size, "arrays": self.arrays()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(*state["size"])  # type: ignore[misc]
        self.set_arrays(state["arrays"])

    def __deepcopy__(self, memo: dict[int, Any]) -> LeastSquares:
        other = object.__new__(LeastSquares)
        other.__setstate__(self.__getstate__())
        return other


class LSTD(StateLearner):
    """Least-squares TD(lambda): what TD(lambda) would converge to, from the transitions seen so far.

        z <- rho (gamma lambda z + x)                                    (12.25)
        A <- A + z (x - gamma x_next)',  b <- b + R z                    A_0 = epsilon I
        w  = A^-1 b

    n_features  n; memory is 8 n^2 bytes, twice that with the inverse
    epsilon     above 0; with the least of data it keeps A regular, with more it matters less
    solver      "solve": a step adds to A and b, O(n k) with k active features, less while the trace has few
                entries; `weights` and `predict` solve through LAPACK, O(n^3), once after each change.
                "inverse": a step updates the inverse as well, O(n^2) (Sherman and Morrison), and solving is
                O(n^2): for weights that are wanted after every step.  It is computed anew every 4 n steps,
                and where A comes near to singular

    There is no step size, and so no TD error under weights of the moment: `update` and `learn` return None.
    `weights` cannot be set.  Off-policy where importance ratios are given.

    Source: Bradtke & Barto 1996; Boyan 2002; Sutton & Barto 2018, section 9.8.
    """

    _stem = "lstd"
    _kernel = "lstd"
    _kind = "accumulating"

    def __init__(
        self,
        n_features: int,
        *,
        epsilon: float = 1e-3,
        gamma: float = 0.99,
        lambda_: float = 0.9,
        solver: Solver = "solve",
        backend: Backend = "auto",
    ) -> None:
        self._epsilon = arguments.positive("epsilon", epsilon)
        self._solver = arguments.choice("solver", solver, SOLVERS)
        super().__init__(n_features, gamma=gamma, lambda_=lambda_, backend=backend)

    def _options(self) -> dict[str, Any]:
        own = {"n_features": self.n_features, "epsilon": self._epsilon, "solver": self._solver}
        return own | super()._options()

    @classmethod
    def _entries(cls, options: dict[str, Any]) -> int:
        return super()._entries(options) ** 2

    def _new_trace(self, backend: str) -> LeastSquares:
        return LeastSquares(self.n_features, self._epsilon, self._solver == "inverse", backend)

    # ---- what there is to read -----------------------------------------------------------------------------

    @property
    def alpha(self) -> NoReturn:
        """Least squares have no step size."""
        raise AttributeError("LSTD has no step size alpha")

    @property
    def epsilon(self) -> float:
        """A_0 = epsilon I.  Fixed: it is in A from the beginning."""
        return self._epsilon

    @property
    def solver(self) -> Solver:
        """ "solve" or "inverse"."""
        return self._solver

    @property
    def weights(self) -> Float64:
        """A copy of w, which solves A w = b; the shortest of those that come closest where A is singular.

        They cannot be set: A and b say what they are.
        """
        with self._read():
            return self._trace.solution().copy()

    @weights.setter
    def weights(self, value: Any) -> None:
        raise AttributeError(
            "weights: those of LSTD solve A w = b and cannot be set; a new LSTD begins without any"
        )

    @property
    def A(self) -> Float64:  # noqa: N802 - the field's name
        """A copy of A (n, n): epsilon I and the sum of z (x - gamma x_next)'."""
        with self._read():
            return self._trace.matrix.copy(order="C")

    @property
    def b(self) -> Float64:
        """A copy of b (n,): the sum of R z."""
        with self._read():
            return self._trace.b.copy()

    @property
    def trace(self) -> Float64:
        """A copy of the trace as the last update used it, not yet decayed."""
        with self._read():
            return self._trace.z.copy()

    @property
    def diverged(self) -> bool:
        """Whether A, b or the trace is no longer finite."""
        with self._read():
            sums = self._trace
            return not all(np.isfinite(each).all() for each in (sums.A, sums.b, sums.z))

    # ---- learning ------------------------------------------------------------------------------------------

    @quick
    def update(
        self,
        x: Any,
        reward: float,
        x_next: Any,
        *,
        gamma: float | None = None,
        lambda_: float | None = None,
        rho: float = 1.0,
    ) -> None:
        """Add one transition; the arguments are those of TD.update.

        Errors: FeatureIndexError, ValueError, TypeError; RuntimeError where another thread uses the learner.
        """
        gamma = self._gamma if gamma is None else gamma
        lambda_ = self._lambda if lambda_ is None else lambda_
        with self._in_use():
            self._transition(x, x_next, reward, gamma, lambda_, rho=rho)

    def learn(
        self, x: Any, rewards: Any, *, gammas: Any = None, lambdas: Any = None, rhos: Any = None
    ) -> None:
        """Add a stream of T transitions; the arguments are those of TD.learn.

        Ctrl-C is heard between two transitions: KeyboardInterrupt has `steps`, those added.
        Errors: FeatureIndexError, ValueError, TypeError, before anything has changed; RuntimeError where
        another thread uses the learner.
        """
        self._learn_rows(x, rewards, gammas, lambdas, rhos=rhos)

    def _step_work(self, entries: float, shared: bool, steps: int) -> float:
        n = self.n_features
        if self._solver == "inverse":
            return 1e5 + n * (20.0 * n + 50.0 * entries)
        return 1e5 + 20.0 * n * n if self.backend == "numpy" else 100.0 + 5.0 * n * (1.0 + entries)

    def _run(self, stream: Stream) -> Float64:
        sums, t = self._trace, 0
        sums.changed()
        while t < stream.steps:
            t = self._module.lstd_run(sums, stream, t)
            if sums.stale == 1:
                sums.invert()
        return np.full(stream.steps, np.nan)  # no TD errors

    def _values(self, rows: Rows) -> Float64:
        raise_bad_index(rows.indices, self.n_features, shape=rows.shape)
        with self._read():
            w = np.append(self._trace.solution(), 0.0)  # -1, padding, is the last
        values, size = np.zeros((rows.count, 1)), max(1, 10**6 // max(1, int(most_entries(rows))))
        for begin in range(0, rows.count, size):  # Ctrl-C is heard between two
            some = rows.part(begin, min(begin + size, rows.count))
            values[begin : begin + some.count, 0] = _products(some, w)
        return values


def _products(rows: Rows, w: Float64) -> Float64:
    """x.w of every row; w has a 0 more, for padding."""
    if rows.shared and rows.values is not None:
        return rows.values.reshape(rows.count, rows.k) @ w[:-1]
    parts: Float64 = w[rows.indices]
    if rows.values is not None:
        parts = parts * rows.values
    lengths = np.full(rows.count, rows.k) if rows.indptr is None else np.diff(rows.indptr)
    values = np.zeros(rows.count)
    np.add.at(values, np.repeat(np.arange(rows.count), lengths), parts)
    return values
