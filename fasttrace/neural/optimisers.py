"""How a step is taken: plain, or bounded so that it does not overshoot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import arguments
from ..backends import module


@dataclass
class Optimiser:
    """How a step is taken; the base of ObGD and AdaptiveObGD."""

    alpha: float = 1.0
    kappa: float = 2.0

    name = "sgd"
    beta2 = 0.0
    epsilon = 0.0

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("alpha", "kappa", "epsilon"):
            value = arguments.positive(name, value)
        elif name == "beta2":
            value = arguments.unit(name, value)
            if value == 1.0:
                raise ValueError("beta2: got 1.0, expected a number from 0 and below 1")
        object.__setattr__(self, name, value)

    def options(self) -> dict[str, Any]:
        """As plain data; `optimiser_of` makes it again."""
        return {"name": type(self).__name__, **vars(self)}


@dataclass
class ObGD(Optimiser):
    """Overshooting-bounded gradient descent.

        M = alpha kappa max(|delta|, 1) |z|_1
        w <- w + alpha / max(M, 1) delta z

    so that no update moves the parameters by more than 1 / kappa in the 1-norm.

    Source: Elsayed, Vasan & Mahmood 2024, algorithm 3.
    """

    name = "obgd"

    def __post_init__(self) -> None:
        self._moments: tuple[Any, float] = (None, 1.0)

    def options(self) -> dict[str, Any]:
        return {"name": type(self).__name__} | {k: v for k, v in vars(self).items() if k != "_moments"}

    def step(self, params: NDArray[Any], z: NDArray[Any], delta: float) -> float:
        """One update of any parameters by any trace of their shape, in place; returns the step size.

        Errors: TypeError for other dtypes than float32 and float64, or parameters that cannot be written;
        ValueError for shapes; FloatingPointError for what is not finite.  Then nothing has changed.
        """
        if not (isinstance(params, np.ndarray) and params.flags.writeable and params.dtype in ("f4", "f8")):
            raise TypeError("params: expected a writable array of float32 or float64")
        z = np.asarray(z)
        if z.dtype != params.dtype:
            raise TypeError(f"z: got dtype {z.dtype}, expected {params.dtype}, that of params")
        if z.shape != params.shape:
            raise ValueError(f"z: got shape {z.shape}, expected {params.shape}")
        v, power = self._moments
        if v is None or v.shape != params.shape:
            v, power = np.zeros_like(params), 1.0
        delta = arguments.finite("delta", delta)
        with np.errstate(all="ignore"):
            found = module("numpy", "neural").bounded(self, params, z, v, power, delta)
        if not all(np.isfinite(each).all() for each in found.values()):
            raise FloatingPointError("the update is not finite; nothing has changed")
        params[...] = found["params"]
        self._moments = (found.get("v"), float(found.get("power", 1.0)))
        return float(found["step"])


@dataclass
class AdaptiveObGD(ObGD):
    """ObGD along z / sqrt(v + epsilon), v the running mean of (delta z)^2 without its bias, as Adam's.

    Source: Elsayed, Vasan & Mahmood 2024, the published program; epsilon stands inside the root.
    """

    beta2: float = 0.999
    epsilon: float = 1e-8

    name = "adaptive_obgd"


class Plain(Optimiser):
    """w += alpha delta z."""


OPTIMISERS: dict[str, type[Optimiser]] = {each.__name__: each for each in (Plain, ObGD, AdaptiveObGD)}


def optimiser_of(options: dict[str, Any]) -> Optimiser:
    rest = dict(options)
    return OPTIMISERS[rest.pop("name")](**rest)
