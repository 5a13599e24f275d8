"""Returns of trajectories through the C library."""

import numpy as np

from . import ffi, lib

_CHARS = ffi.typeof("char[]")
_FAMILIES = {
    "lambda_returns": lib.FT_LAMBDA,
    "off_policy_returns": lib.FT_OFF_POLICY,
    "off_policy_action_returns": lib.FT_ACTION,
    "retrace": lib.FT_RETRACE_RETURN,
    "tree_backup": lib.FT_ACTION,
    "q_sigma": lib.FT_Q_SIGMA_RETURN,
    "gae": lib.FT_GAE,
    "vtrace": lib.FT_VTRACE,
    "discounted_sum": lib.FT_SUM,
    "upgo": lib.FT_UPGO,
}
_FLOAT64 = np.dtype(np.float64)
_KIND = {"float32": lib.FT_EACH_F32, "float64": lib.FT_EACH_F64}
_STRUCT = ffi.typeof("ft_returns *")
_new, _from_buffer, _run, _NULL = ffi.new, ffi.from_buffer, lib.ft_returns_run, ffi.NULL
_CODES = {name: int(code) for name, code in _FAMILIES.items()}


def run_simple(family, T, B, gamma, lambda_, rewards, values, terminated, out, second):
    """A problem of dense arrays (T, B), values (T + 1, B), of one type; terminated and second may be None.

    Packed by position, in a third of the time that `run` takes.  True: done.
    """
    size = out.itemsize
    v = _from_buffer(values)
    fields = (
        T, B, _CODES[family], size == 8, 0, 1, gamma, lambda_,
        _from_buffer(rewards), v, v + B * size, v + T * B * size,
        B, B, B, B, B, B,
        _from_buffer(out), _NULL if second is None else _from_buffer(second),
        _NULL if terminated is None else _from_buffer(terminated),
    )  # fmt: skip
    if _run(_new(_STRUCT, fields)) != 0:
        raise AssertionError("arguments that fasttrace.returns takes and ft_returns_run does not")
    return True


def run(p):
    """See backends.numpy.returns."""
    struct, kept = pack(p)
    status = _run(struct)
    del kept
    if status != 0:
        raise AssertionError("arguments that fasttrace.returns takes and ft_returns_run does not")


def pack(p):
    """The `ft_returns *` of a problem, and what it points to."""
    size, two = p.out.itemsize, p.rewards.ndim == 2
    kept = [p]

    def lay(name, array, shift=0):
        """Entry t of the array is then that of t + shift."""
        if array is not None:
            stride = array.shape[-1] if array.ndim == 2 else 0
            pointer = _from_buffer(array)
            kept.append(pointer)
            fields[name] = pointer + shift * (1 if p.batch_major else stride) * size
            fields[f"{name}_stride"] = stride

    fields = {
        "T": p.T, "B": p.B, "family": _CODES[p.family], "f64": size == 8, "batch_major": p.batch_major,
        "terminations_only": p.terminations_only, "gamma": p.gamma, "lambda_": p.lambda_,
        "rho_bar": p.rho_bar, "c_bar": p.c_bar,
    }  # fmt: skip
    lay("rewards", p.rewards)
    lay("values", p.values)
    lay("nexts", p.nexts, 1)
    lay("next_values", p.next_values)
    lay("rhos", p.pi if p.family == "tree_backup" else p.rhos)
    lay("pi", p.pi)
    lay("sigmas", p.sigmas)
    lay("q_nexts", p.q, 1)
    lay("flags", p.flags)
    lay("out", p.out)
    lay("second", p.second)
    fields["last"] = _from_buffer(p.last)
    for name, rates in (("gamma", p.gammas), ("lambda", p.lambdas)):
        if rates is not None:
            lay(f"{name}s", rates)
            fields[f"{name}_kind"] = lib.FT_BY_STEP if two and rates.ndim == 1 else _KIND[rates.dtype.name]
    if p.horizon and p.horizon < p.T:
        lay("ends", p.ends)
        fields["horizon"] = p.horizon
        fields["scratch"] = ffi.new("double[]", p.horizon)
    return _new(_STRUCT, fields), (kept, fields)
