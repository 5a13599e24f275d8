"""What a step costs by the number of weights and of active features, and what that should be.

Features are drawn anew at every step, so that nothing is in cache but by chance.  The model has no number of
its own: TD(0) in C, with prefetch, touches one line of cache a feature, of 8 bytes a weight, and so says what
a line costs in memory of a size.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fasttrace.linear.trace import WIDE_FROM

from . import cases
from .cases import FLOOR_AHEAD, Spec
from .workloads import Workload

OURS = Spec("C", "accumulating", 0.99)
BARE = Spec(FLOOR_AHEAD)
WEIGHTS = tuple((2**each, 8) for each in (10, 13, 16, 18, 19, 20, 22, 24))
LARGER = (2**26, 8)  # TD(0) alone: as much memory as ours has at 2^24
FEATURES = tuple((2**16, each) for each in (1, 2, 4, 8, 16, 32, 64))

Costs = dict[tuple[int, int], dict[Spec, float | None]]
"""Nanoseconds a step by (d, k)."""


def drawn(n: int, k: int, steps: int) -> Workload:
    rng = np.random.default_rng(6)
    x = rng.integers(n // k, size=(steps + 1, k)) + np.arange(k) * (n // k)
    about = f"{k} features of {n} drawn anew at every step"
    return Workload(about, about, n, x.astype(np.int32), rng.standard_normal(steps), 2)


def sizes() -> dict[tuple[int, int], list[Spec]]:
    """What is timed at each."""
    return {size: [OURS, BARE] for size in (*WEIGHTS, *FEATURES)} | {LARGER: [BARE]}


def case(spec: Spec, n: int, k: int, steps: int) -> cases.Case:
    return cases.case(spec, drawn(n, k, steps))


def _lines(n: int) -> tuple[int, ...]:
    """Of the lines of cache that a feature touches, its row and its epoch: bytes a weight where they lie."""
    return (32,) if n >= WIDE_FROM else (16, 4)


def by_weights(costs: Costs) -> Iterator[tuple[int, float]]:
    """(d, ns) of the model: the step that finds everything in cache, and what lines cost beyond that."""
    measured = [(n, costs[n, k].get(BARE)) for n, k in (*WEIGHTS, LARGER)]
    sizes, bare = zip(*[(np.log2(8 * n), ns) for n, ns in measured if ns is not None], strict=True)
    ours = costs[WEIGHTS[0]][OURS]
    if ours is not None:
        for n, _ in WEIGHTS:
            beyond = np.interp([np.log2(each * n) for each in _lines(n)], sizes, bare) - bare[0]
            yield n, ours + float(beyond.sum())


def by_features(costs: Costs) -> Iterator[tuple[int, float]]:
    """(k, ns) of the model: the chain from one error to the next, as one feature has it, and so much each."""
    (_, few), (_, many) = FEATURES[0], FEATURES[-1]
    least, most = costs[FEATURES[0]][OURS], costs[FEATURES[-1]][OURS]
    if least is not None and most is not None:
        for _, k in FEATURES:
            yield k, least + (most - least) * (k - few) / (many - few)
