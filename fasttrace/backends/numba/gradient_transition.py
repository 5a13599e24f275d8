"""One transition of each learner with two weight vectors: (h, c, delta).  csrc/gradient.c has them, too."""

import numpy as np

from . import part, verb
from .gradient_trace import (
    GTD,
    GTD2,
    GTD2_LAMBDA,
    HTD,
    PROXIMAL_GTD2,
    TDRC,
    TRUE_ONLINE_GTD,
    Carry,
    Hot,
    behaviour_decay,
    decay,
    decayed,
    htd_next,
    push_weights,
    read,
    record,
    sigma_decay,
    write,
)

_0 = np.uint64(0)
_1 = np.uint64(1)
_4 = np.uint64(4)
_5 = np.uint64(5)


@verb
def td_error(n, v, v_next):
    return n.reward + (0.0 if n.gamma_next == 0.0 else n.gamma_next * v_next) - v


@verb
def value(h, sums):
    return sums[0] + sums[2] * h.drive


@verb
def pushes(n):
    """Whether w moves with x'."""
    return n.gamma_next != 0.0 and n.lambda_next != 1.0


@verb
def gtd_write(t, h, c, indices, values, x, columns, padded, valued, n, D, added, sums, delta):
    """What GTD and GQ do with x; `added` is what its trace grows by.  Returns (c, push): w += push x'."""
    inv = 1.0 / h.scale
    dz = added * inv
    vx = sums[1] + sums[2] * h.drive_v
    dv = -t.beta * vx
    zv = decayed(D, c.zv) + added * vx
    change = (-h.drive * dz, dv - h.drive_v * dz, dz, 0.0, 0.0)
    both = write(t, h, indices, values, x, columns, padded, valued, GTD, change)[2] * h.scale
    zx = sums[2] * h.scale
    zz = decayed(D * D, c.zz) + added * both
    push = -(n.alpha * n.gamma_next * (1.0 - n.lambda_next)) * zv
    zv += t.beta * delta * zz + dv * (both - zx)
    return Carry(n.gamma_next * n.lambda_next, c.v_old, zv, zz, c.zbv, c.zzb), push


@verb
def gtd_drive(t, h, n, delta):
    return Hot(
        h.epoch, h.scale,
        h.drive + n.alpha * delta * h.scale, h.drive_v + t.beta * delta * h.scale,
        h.behaviour_epoch, h.behaviour_scale, h.behaviour_before,
    )  # fmt: skip


@part
def gtd_transition(t, h, c, i, u, x, i_next, u_next, x_next, n, padded, valued, valued_next):
    D = n.rho * c.decay
    h = decay(t, h, D)
    sums = read(t, h, i, u, x, _1, padded, valued, GTD, True)
    sums_next = read(t, h, i_next, u_next, x_next, _1, padded, valued_next, GTD, False)
    delta = td_error(n, value(h, sums), value(h, sums_next))
    c, push = gtd_write(t, h, c, i, u, x, _1, padded, valued, n, D, n.rho, sums, delta)
    if pushes(n):
        push_weights(t, i_next, u_next, x_next, _1, padded, valued_next, GTD, push)
    return gtd_drive(t, h, n, delta), c, delta


@part
def htd_transition(t, h, c, i, u, x, i_next, u_next, x_next, n, padded, valued, valued_next):
    kept = c.decay
    D = n.rho * kept
    h = behaviour_decay(decay(t, h, D), kept)
    sums = read(t, h, i, u, x, _1, padded, valued, HTD, True)
    sums_next = read(t, h, i_next, u_next, x_next, _1, padded, valued_next, HTD, False)
    delta = td_error(n, value(h, sums), value(h, sums_next))
    vx = sums[1] + sums[2] * h.drive_v
    zx = sums[2] * h.scale
    bx = sums[4] * h.behaviour_scale
    zv = decayed(D, c.zv) + n.rho * vx
    zbv = decayed(kept, c.zbv) + vx
    push, pull = n.alpha * (zv - zbv), t.beta * zbv
    dz = n.rho * (1.0 / h.scale)
    change = (push - h.drive * dz, -pull - h.drive_v * dz, dz, 0.0, 1.0 / h.behaviour_scale)
    both = write(t, h, i, u, x, _1, padded, valued, HTD, change)
    z_moved = both[2] * h.scale - zx
    zb_moved = both[4] * h.behaviour_scale - bx
    zz = decayed(D * D, c.zz) + n.rho * (zx + z_moved)
    zzb = decayed(D * kept, c.zzb) + (n.rho * bx + z_moved)
    if n.gamma_next != 0.0:
        z, zb = htd_next(
            t, h, i_next, u_next, x_next, padded, valued_next, -n.gamma_next * push, n.gamma_next * pull
        )
        z_moved -= n.gamma_next * (z * h.scale)
        zb_moved -= n.gamma_next * (zb * h.behaviour_scale)
    h = gtd_drive(t, h, n, delta)
    zv += t.beta * delta * zz - pull * z_moved
    zbv += t.beta * delta * zzb - pull * zb_moved
    return h, Carry(n.gamma_next * n.lambda_next, c.v_old, zv, zz, zbv, zzb), delta


@part
def true_online_gtd_transition(t, h, c, i, u, x, i_next, u_next, x_next, n, padded, valued, valued_next):
    D = n.rho * c.decay
    h = decay(t, h, D)
    sums = read(t, h, i, u, x, _1, padded, valued, TRUE_ONLINE_GTD, True)
    sums_next = read(t, h, i_next, u_next, x_next, _1, padded, valued_next, TRUE_ONLINE_GTD, False)
    v, v_next = value(h, sums), value(h, sums_next)
    delta = td_error(n, v, v_next)
    vx = sums[1] + sums[3] * h.drive_v
    ex, kx, gx = sums[2] * h.scale, sums[3] * h.scale, sums[4] * h.scale
    dv = 0.0 if D == 0.0 or c.v_old != c.v_old else v - c.v_old
    added = t.beta * (n.rho - kx)
    inv = 1.0 / h.scale
    de = n.rho * n.alpha * (1.0 - ex) * inv
    dk = added * inv
    down = -t.beta * vx
    zv = decayed(D, c.zv) + n.rho * vx
    change = (-n.alpha * n.rho * dv - h.drive * de, down - h.drive_v * dk, de, dk, n.rho * inv)
    both = write(t, h, i, u, x, _1, padded, valued, TRUE_ONLINE_GTD, change)
    zz = decayed(D * D, c.zz) + added * gx + n.rho * (both[3] * h.scale - kx)
    if pushes(n):
        push = -(n.alpha * n.gamma_next * (1.0 - n.lambda_next)) * zv
        push_weights(t, i_next, u_next, x_next, _1, padded, valued_next, TRUE_ONLINE_GTD, push)
    zv += delta * zz + down * (both[4] * h.scale - gx)
    h = Hot(
        h.epoch, h.scale, h.drive + (delta + dv) * h.scale, h.drive_v + delta * h.scale,
        h.behaviour_epoch, h.behaviour_scale, h.behaviour_before,
    )  # fmt: skip
    return h, Carry(n.gamma_next * n.lambda_next, v_next, zv, zz, c.zbv, c.zzb), delta


@part
def gtd2_transition(t, h, c, i, u, x, i_next, u_next, x_next, n, padded, valued, valued_next):
    sums = read(t, h, i, u, x, _1, padded, valued, GTD2, True)
    sums_next = read(t, h, i_next, u_next, x_next, _1, padded, valued_next, GTD2, False)
    delta = td_error(n, value(h, sums), value(h, sums_next))
    vx = sums[1]
    push = n.alpha * n.rho * vx
    change = (push, t.beta * (n.rho * delta - vx), 0.0, 0.0, 0.0)
    write(t, h, i, u, x, _1, padded, valued, GTD2, change)
    if n.gamma_next != 0.0:
        push_weights(t, i_next, u_next, x_next, _1, padded, valued_next, GTD2, -n.gamma_next * push)
    return h, c, delta


@part
def gtd2_lambda_transition(t, h, c, i, u, x, i_next, u_next, x_next, n, padded, valued, valued_next):
    D = n.rho * c.decay
    h = decay(t, h, D)
    sums = read(t, h, i, u, x, _1, padded, valued, GTD2_LAMBDA, True)
    sums_next = read(t, h, i_next, u_next, x_next, _1, padded, valued_next, GTD2_LAMBDA, False)
    delta = td_error(n, value(h, sums), value(h, sums_next))
    vx = sums[1] + sums[2] * h.drive_v
    zx = sums[2] * h.scale
    dz = n.rho * (1.0 / h.scale)
    dv = -t.beta * vx
    zv = decayed(D, c.zv) + n.rho * vx
    change = (n.alpha * vx, dv - h.drive_v * dz, dz, 0.0, 0.0)
    both = write(t, h, i, u, x, _1, padded, valued, GTD2_LAMBDA, change)[2] * h.scale
    zz = decayed(D * D, c.zz) + n.rho * both
    if pushes(n):
        push = -(n.alpha * n.gamma_next * (1.0 - n.lambda_next)) * zv
        push_weights(t, i_next, u_next, x_next, _1, padded, valued_next, GTD2_LAMBDA, push)
    zv += t.beta * delta * zz + dv * (both - zx)
    h = driven(h, h.drive, h.drive_v + t.beta * delta * h.scale)
    return h, Carry(n.gamma_next * n.lambda_next, c.v_old, zv, zz, c.zbv, c.zzb), delta


@verb
def driven(h, drive, drive_v):
    return Hot(
        h.epoch, h.scale, drive, drive_v, h.behaviour_epoch, h.behaviour_scale, h.behaviour_before
    )  # fmt: skip


@part
def tdrc_transition(t, h, c, i, u, x, i_next, u_next, x_next, n, padded, valued, valued_next):
    D = n.rho * c.decay
    step = t.eta * n.alpha
    keep = 1.0 - step * t.beta
    h = decay(t, h, D)
    sums = read(t, h, i, u, x, _1, padded, valued, TDRC, True)
    sums_next = read(t, h, i_next, u_next, x_next, _1, padded, valued_next, TDRC, False)
    delta = td_error(n, value(h, sums), value(h, sums_next))
    vx = h.behaviour_scale * (sums[1] + sums[2] * h.drive_v)
    zx = sums[2] * h.scale
    h = sigma_decay(t, h, keep)
    dz = n.rho * (1.0 / h.scale)
    dv = -step * vx
    per_u = 1.0 / h.behaviour_scale
    zv = decayed(D, c.zv) + n.rho * vx
    change = (-h.drive * dz, dv * per_u - h.drive_v * dz, dz, 0.0, 0.0)
    both = write(t, h, i, u, x, _1, padded, valued, TDRC, change)[2] * h.scale
    zz = decayed(D * D, c.zz) + n.rho * both
    if pushes(n):
        push = -(n.alpha * n.gamma_next * (1.0 - n.lambda_next)) * zv
        push_weights(t, i_next, u_next, x_next, _1, padded, valued_next, TDRC, push)
    zv = keep * zv + (step * delta * zz + dv * (both - zx))
    h = driven(h, h.drive + n.alpha * delta * h.scale, h.drive_v + step * delta * h.scale * per_u)
    return h, Carry(n.gamma_next * n.lambda_next, c.v_old, zv, zz, c.zbv, c.zzb), delta


@verb
def proximal_count(t, indices, values, x, padded, valued):
    """(x.x' of the x that stands in word 4, x'.x' of the one that comes into word 5)."""
    rows = t.rows
    across = square = 0.0
    for j in range(x.k):
        if padded and indices[x.at + j] < 0:
            continue
        row = record(indices, x, j, _1, PROXIMAL_GTD2)
        size = values[x.values_at + j] if valued else 1.0
        before = rows[row + _5]
        across += size * rows[row + _4]
        square += size * (before + (before + size))
        rows[row + _5] = before + size
    return across, square


@verb
def proximal_move(t, indices, values, x, padded, valued, push, pull, count):
    """w_i += push and v_i += pull for the active i, and word `count` is 0 again."""
    for j in range(x.k):
        if padded and indices[x.at + j] < 0:
            continue
        row = record(indices, x, j, _1, PROXIMAL_GTD2)
        size = values[x.values_at + j] if valued else 1.0
        t.rows[row] += size * push
        t.rows[row + _1] += size * pull
        t.rows[row + count] = 0.0


@part
def proximal_gtd2_transition(t, h, c, i, u, x, i_next, u_next, x_next, n, padded, valued, valued_next):
    D = n.rho * c.decay
    h = decay(t, h, D)
    sums = read(t, h, i, u, x, _1, padded, valued, PROXIMAL_GTD2, True)
    sums_next = read(t, h, i_next, u_next, x_next, _1, padded, valued_next, PROXIMAL_GTD2, False)
    wx, wx_next = value(h, sums), value(h, sums_next)
    delta = td_error(n, wx, wx_next)
    vx = sums[1] + sums[2] * h.drive_v
    dz = n.rho * (1.0 / h.scale)
    zv = decayed(D, c.zv) + n.rho * vx
    change = (0.0, -h.drive_v * dz, dz, 0.0, 1.0)
    lanes = write(t, h, i, u, x, _1, padded, valued, PROXIMAL_GTD2, change)
    both, xx = lanes[2] * h.scale, lanes[4]
    zx = both - sums[2] * h.scale  # of the new z
    zz = decayed(D * D, c.zz) + n.rho * both
    across = square = 0.0
    if n.gamma_next != 0.0:
        across, square = proximal_count(t, i_next, u_next, x_next, padded, valued_next)
    bend = n.gamma_next * (1.0 - n.lambda_next)
    push = 0.0 if bend == 0.0 else bend * zv
    w_ahead = wx + n.alpha * (vx * xx - push * across)
    w_ahead_next = wx_next + n.alpha * (vx * across - push * square)
    delta_ahead = td_error(n, w_ahead, w_ahead_next)
    v_ahead = vx + t.beta * (delta * zx - vx * xx)
    zv_ahead = zv + t.beta * (delta * zz - vx * zx)
    proximal_move(t, i, u, x, padded, valued, n.alpha * v_ahead, -t.beta * v_ahead, _4)
    if n.gamma_next != 0.0:
        push_ahead = 0.0 if bend == 0.0 else -(n.alpha * bend) * zv_ahead
        proximal_move(t, i_next, u_next, x_next, padded, valued_next, push_ahead, 0.0, _5)
    zv += t.beta * (delta_ahead * zz - v_ahead * zx)
    h = driven(h, h.drive, h.drive_v + t.beta * delta_ahead * h.scale)
    return h, Carry(n.gamma_next * n.lambda_next, c.v_old, zv, zz, c.zbv, c.zzb), delta


TRANSITIONS = {
    GTD: gtd_transition,
    HTD: htd_transition,
    TRUE_ONLINE_GTD: true_online_gtd_transition,
    GTD2: gtd2_transition,
    GTD2_LAMBDA: gtd2_lambda_transition,
    TDRC: tdrc_transition,
    PROXIMAL_GTD2: proximal_gtd2_transition,
}
