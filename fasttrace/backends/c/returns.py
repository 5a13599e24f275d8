"""Returns of trajectories through the C library."""

import numpy as np

from . import ffi, lib

_CHARS = ffi.typeof("char[]")
_FAMILIES = {
    "lambda_returns": lib.FT_LAMBDA,
    "off_policy_returns": lib.FT_OFF_POLICY,
    "off_policy_action_returns": lib.FT_ACTION,
    "retrace": lib.FT_RETRACE,
    "tree_backup": lib.FT_ACTION,
    "q_sigma": lib.FT_Q_SIGMA,
    "gae": lib.FT_GAE,
    "vtrace": lib.FT_VTRACE,
    "discounted_sum": lib.FT_SUM,
    "upgo": lib.FT_UPGO,
}
_FLOAT64 = np.dtype(np.float64)


def run(p):
    """See backends.numpy.returns."""
    struct, kept = pack(p)
    status = lib.ft_returns_run(struct)
    del kept
    if status != lib.FT_OK:
        raise AssertionError("arguments that fasttrace.returns takes and ft_returns_run does not")


def pack(p):
    """The `ft_returns *` of a problem, and what it points to."""
    struct = ffi.new("ft_returns *")
    size, batch_major = p.out.itemsize, p.batch_major
    kept = []  # what the struct points to

    def lay(name, array, shift=0):
        """Entry t of the array is then that of t + shift."""
        if array is None:
            return
        stride = array.shape[-1] if array.ndim == 2 else 0
        pointer = ffi.from_buffer(_CHARS, array)
        kept.append(pointer)
        offset = shift * (1 if batch_major else stride) * size
        setattr(struct, name, ffi.cast("void *", pointer) + offset)
        setattr(struct, f"{name}_stride", stride)

    struct.T, struct.B, struct.family = p.T, p.B, _FAMILIES[p.family]
    struct.f64, struct.batch_major = size == 8, batch_major
    struct.rho_bar, struct.c_bar = p.rho_bar, p.c_bar
    struct.gamma, struct.lambda_ = p.gamma, p.lambda_
    struct.terminations_only = p.terminations_only
    lay("rewards", p.rewards)
    lay("values", p.values)
    lay("nexts", p.nexts, 1)
    lay("next_values", p.next_values)
    lay("rhos", p.pi if p.family == "tree_backup" else p.rhos)
    lay("pi", p.pi)
    lay("sigmas", p.sigmas)
    lay("q_nexts", p.q, 1)
    last = ffi.from_buffer(_CHARS, p.last)
    struct.last = last
    for name, array in (("flags", p.flags), ("out", p.out), ("second", p.second)):
        if array is not None:
            pointer = ffi.from_buffer(_CHARS, array)
            kept.append(pointer)
            setattr(struct, name, ffi.cast("void *", pointer) if name != "flags" else ffi.cast("uint8_t *", pointer))
            setattr(struct, f"{name}_stride", array.shape[-1] if array.ndim == 2 else 0)
    for name, array in (("gamma", p.gammas), ("lambda", p.lambdas)):
        if array is not None:
            lay(f"{name}s", array)
            by_step = array.ndim == 1 and p.rewards.ndim == 2
            each = lib.FT_EACH_F64 if array.dtype is _FLOAT64 else lib.FT_EACH_F32
            setattr(struct, f"{name}_kind", lib.FT_BY_STEP if by_step else each)
    if p.horizon and p.horizon < p.T:
        lay("ends", p.ends)
        struct.horizon = p.horizon
        scratch = np.empty(p.horizon)
        struct.scratch = ffi.cast("double *", ffi.from_buffer(_CHARS, scratch))
        kept.append(scratch)
    return struct, (p, kept)
