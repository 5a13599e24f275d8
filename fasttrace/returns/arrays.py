"""Arrays of other libraries than NumPy: what goes in as they have it comes out as they have it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

import numpy as np

from ..errors import BackendUnavailable
from ..kinds import CPU, NUMPY, TORCH, Kind, foreign, kind_of, one_kind

FLAGS = ("terminated", "truncated", "mask")
DIFFERENTIABLE = ("lambda_returns", "gae", "discounted_sum")  # n_step_returns are the first, with a horizon
BY = ("rewards", "values", "next_values", "bootstrap")  # what these can be differentiated by
_PLAIN = {float, int, type(None)}
_HOST = ("c", "numba", "numpy")


def of_its_kind(
    family: str,
    given: dict[str, Any],
    own: Mapping[str, Any],
    bars: Any,
    more: dict[str, Any],
    again: Callable[..., Any],
) -> Any:
    """The results of a call where not all is NumPy's; None where all is.

    given  every argument that may be an array, by name; own are those of the family
    more   horizon, time_axis, out and backend
    again  fasttrace.returns._returns, with arrays of NumPy's in their places

    Errors: TypeError for arrays of two kinds or on two devices, on one that the backend does not compute on,
    and for a tensor that requires grad where no gradient would come back.
    """
    out, backend = more["out"], more["backend"]
    outs = _outs_of(out)
    if backend != "cuda" and _all_numpys(given.values()) and _all_numpys(outs.values()):
        return None
    kind, place = one_kind(given, FLAGS)
    for name, each in outs.items():
        its = kind_of(each) or NUMPY
        if (where := its.device(each)) != place:
            raise TypeError(f"{name}: got an array on {where} beside arrays on {place}, expected one device")
    if place.partition(":")[0] == "cuda":
        return _on_device(family, given, own, bars, more, place)
    if place != CPU:
        (name, *_) = (name for name, value in given.items() if kind_of(value) is not None)
        raise TypeError(f"{name}: got an array on {place}, expected one on the CPU or on a GPU of CUDA")
    if backend == "cuda":
        raise TypeError('backend="cuda": got arrays on the CPU, expected arrays on the GPU')
    kind = kind or NUMPY
    if (
        kind is NUMPY
        and not any(map(kind.is_bfloat16, given.values()))
        and not any(map(foreign, outs.values()))
    ):
        return None
    if kind is TORCH and family in DIFFERENTIABLE:
        by = [name for name in BY if name in given and given[name] is not None and _wants(given[name])]
        if by:
            if out is not None:
                raise TypeError(
                    f"out: got a place for results beside {by[0]}, which requires grad; expected None"
                )
            differentiable = import_module("fasttrace.torch.returns").differentiable
            return differentiable(family, given, more, again)
    return _on_host(family, kind, given, own, bars, more, again)


def _on_host(
    family: str,
    kind: Kind,
    given: Mapping[str, Any],
    own: Mapping[str, Any],
    bars: Any,
    more: dict[str, Any],
    again: Callable[..., Any],
) -> Any:
    """By way of NumPy's arrays, which are views where they can be."""
    arrays = {name: host_array(kind_of(value), name, value) for name, value in given.items()}
    common = {name: arrays[name] for name in (*FLAGS, "next_values", "bootstrap")} | more
    outs = _outs_of(more["out"])
    places = {name: _place(name, each) for name, each in outs.items()}
    common["out"] = tuple(places.values()) if isinstance(more["out"], (tuple, list)) else places.get("out")
    found = again(
        family, arrays["rewards"], {name: arrays[name] for name in own}, arrays["gammas"], arrays["lambdas"],
        common, bars,
    )  # fmt: skip
    if not outs:
        of = _result_of(given, own)
        return (
            tuple(kind.back(each, of) for each in found) if isinstance(found, tuple) else kind.back(found, of)
        )
    for name, each in outs.items():
        its = kind_of(each) or NUMPY
        if its.is_bfloat16(each):
            each[...] = its.back(places[name], each)
    return more["out"]


def host_array(kind: Kind | None, name: str, value: Any) -> Any:
    """An argument as NumPy's; what is no array as it is."""
    if kind is None or (kind is NUMPY and not kind.is_bfloat16(value)):
        return value
    return kind.array(name, value)


def _result_of(given: Mapping[str, Any], own: Mapping[str, Any]) -> Any:
    """The argument that says whether results are of bfloat16: they are if all that count are."""
    counts = [given[name] for name in ("rewards", *own) if getattr(given[name], "ndim", 0)]
    other = [each for each in counts if not (kind_of(each) or NUMPY).is_bfloat16(each)]
    return (other or counts or [given["rewards"]])[0]


def _all_numpys(given: Iterable[Any]) -> bool:
    """Whether these are NumPy's, of its own types, and numbers: most often, and seen at once."""
    for each in given:
        if type(each) is np.ndarray:
            if each.dtype.kind == "V":
                return False
        elif type(each) not in _PLAIN:
            return False
    return True


def _wants(value: Any) -> bool:
    return kind_of(value) is TORCH and TORCH.requires_grad(value)


def _outs_of(out: Any) -> dict[str, Any]:
    if out is None:
        return {}
    if isinstance(out, (tuple, list)):
        return {f"out[{i}]": each for i, each in enumerate(out)}
    return {"out": out}


def _place(name: str, out: Any) -> Any:
    """NumPy's view of a place for results; of bfloat16 another place, that is copied from."""
    kind = kind_of(out) or NUMPY
    if kind is NUMPY and not kind.is_bfloat16(out):
        return out
    array = kind.array(name, out)
    if not array.flags.writeable:
        raise ValueError(f"{name}: got {kind.like} that is read-only")
    return array


def _on_device(
    family: str, given: Mapping[str, Any], own: Mapping[str, Any], bars: Any, more: dict[str, Any], place: str
) -> Any:
    """By the kernels of fasttrace.backends.cuda, where the arrays lie."""
    backend = more["backend"]
    if backend in _HOST:
        raise TypeError(
            f"backend={backend!r}: got arrays on {place}, which it does not compute on; expected 'auto', "
            "'cuda', or arrays on the CPU"
        )
    for name, value in [*given.items(), *_outs_of(more["out"]).items()]:
        kind = kind_of(value)
        if kind is not None and kind.requires_grad(value):
            raise TypeError(
                f"{name}: got a tensor that requires grad on {place}, where no gradient comes back; expected "
                f"{name}.detach(), or the call within torch.no_grad()"
            )
    try:
        on_device = import_module("fasttrace.backends.cuda.returns").on_device
    except ImportError as error:
        raise BackendUnavailable(
            f"backend 'cuda' is not available: {error}; pip install \"fasttrace[cuda]\""
        ) from error
    bounds = dict(zip(("rho_bar", "c_bar", "pg_rho_bar"), bars, strict=True)) if family == "vtrace" else {}
    return on_device(family, {**given, **more, **bounds})
