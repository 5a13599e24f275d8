"""Returns of trajectories through the C library."""

import numpy as np

from ...pieces import in_pieces
from . import calls, ffi, lib  # noqa: F401 - from calls _call.c knows where the kernel is

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
# Entries that surely take less than a tenth of a second, with new memory; csrc/call/returns.h has them, too.
_FIRST = 2**22
_TURNED, _TURNED_T = 16, 64  # as csrc/returns.h has them


def run_simple(family, T, B, gamma, lambda_, rewards, values, terminated, out, second):
    """A problem of dense arrays (T, B), values (T + 1, B), of one type; terminated and second may be None.

    Packed by position, in a third of the time that `run` takes.  True: done; False: `run` has to do it.
    """
    if T * B > _FIRST:
        return False
    size = out.itemsize
    v = _from_buffer(values)
    fields = (
        T, B, _CODES[family], size == 8, 0, 1, gamma, lambda_,
        _from_buffer(rewards), v, v + B * size, v + T * B * size,
        B, B, B, B, B, B,
        _from_buffer(out), _NULL if second is None else _from_buffer(second),  # which can be written to
        _NULL if terminated is None else _from_buffer(terminated),
    )  # fmt: skip
    if _run(_new(_STRUCT, fields)) != 0:
        _checked(-1)
    return True


def run_back(T, B, gamma, lambda_, g, ended, y):
    """y_t = g_t + gamma lambda y_{t-1}, but for those that t - 1 ended; dense arrays (T, B), y[0] is there.

    The sum of arrays that are turned back in time.  True: done; False: `run` has to do it.
    """
    if T * B > _FIRST:
        return False
    row = B * g.itemsize
    first = _from_buffer(g)
    fields = (
        T - 1, B, lib.FT_SUM, g.itemsize == 8, 0, 1, gamma, lambda_,
        first + (T - 1) * row, _NULL, _NULL, first, -B, B, B, -B, -B, B,
        _from_buffer(_CHARS, y, True) + (T - 1) * row, _NULL,
        _NULL if ended is None else _from_buffer(ended) + (T - 2) * B,
    )  # fmt: skip
    _checked(_run(_new(_STRUCT, fields)))
    return True


def _checked(status):
    if status != 0:
        raise AssertionError("arguments that fasttrace.returns takes and ft_returns_run does not")


def run(p):
    """See backends.numpy.returns."""
    struct, kept = pack(p)
    if p.T * p.B <= _FIRST:
        _checked(_run(struct))
    elif struct.horizon and p.T > _FIRST and 4 * struct.horizon <= _FIRST:
        _by_windows(p, struct, kept)
    elif struct.horizon or (p.batch_major and p.T <= _FIRST):
        _by_trajectories(p, struct, kept)
    else:
        _by_time(p, struct, kept)


def _by_trajectories(p, struct, kept):
    """In pieces of some trajectories: short ones are done by sixteen, all others one by one."""
    unit = _TURNED if p.T <= _TURNED_T and not struct.horizon else 1
    units = max(p.B // unit, 1)

    def piece(begin, end):
        first, last = begin * unit, p.B if end == units else end * unit
        struct.B = last - first
        _lay_over(struct, kept, p.batch_major, 0, first)
        _checked(_run(struct))

    in_pieces(units, max(_FIRST // (p.T * unit), 1), piece)


def _by_time(p, struct, kept):
    """In pieces of some steps, the last ones first."""
    unit = 8 if p.batch_major else 1  # the latest has more than 8
    units = (p.T - 1) // 8 if p.batch_major else p.T
    carry = np.empty(p.B * (lib.FT_CARRY if p.batch_major else 1))
    struct.carry = ffi.from_buffer("double[]", carry, True)

    def piece(begin, end):
        low, high = (units - end) * unit, (units - begin) * unit if begin else p.T
        struct.T, struct.open = high - low, begin > 0
        _lay_over(struct, kept, p.batch_major, low, 0)
        _checked(_run(struct))

    in_pieces(units, max(_FIRST // (p.B * unit), 1), piece)


def _by_windows(p, struct, kept):
    """In pieces of some horizons, the first ones first: what one looks ahead at, the next does anew."""
    h = struct.horizon
    units = (p.T - 1) // h  # the last has more than one horizon, as the whole

    def piece(begin, end):
        low, high = begin * h, p.T if end == units else (end + 1) * h
        struct.T = high - low
        _lay_over(struct, kept, p.batch_major, low, 0)
        _checked(_run(struct))

    in_pieces(units, max(_FIRST // (p.B * h), 1), piece)


def _lay_over(struct, kept, batch_major, t, b):
    """Point at transition t of trajectory b, and what lies behind it."""
    (p, *_), fields = kept
    sizes = {"flags": 1}
    for name in ("gammas", "lambdas"):
        if name in fields:
            sizes[name] = getattr(p, name).itemsize
    for name in [name.removesuffix("_stride") for name in fields if name.endswith("_stride")]:
        stride = fields[f"{name}_stride"]
        by_step = fields.get(f"{name[:-1]}_kind") == lib.FT_BY_STEP
        place = t if by_step else b * stride + t if batch_major else t * stride + b
        setattr(struct, name, fields[name] + place * sizes.get(name, p.out.itemsize))
    struct.last = fields["last"] + b * p.out.itemsize


def pack(p):
    """The `ft_returns *` of a problem, and what it points to."""
    size, two = p.out.itemsize, p.rewards.ndim == 2
    kept = [p]

    def lay(name, array, shift=0, written=False):
        """Entry t of the array is then that of t + shift."""
        if array is not None:
            stride = array.shape[-1] if array.ndim == 2 else 0
            back = stride and array.strides[0] < 0  # turned back in time
            memory = array[::-1] if back else array
            pointer = _from_buffer(_CHARS, memory, True) if written else _from_buffer(memory)
            kept.append(pointer)
            if back:
                pointer, stride = pointer + (len(array) - 1) * stride * array.itemsize, -stride
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
    lay("out", p.out, 0, True)
    lay("second", p.second, 0, True)
    if p.pg_rho_bar is not None:
        fields["has_pg_rho_bar"], fields["pg_rho_bar"] = 1, p.pg_rho_bar
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
