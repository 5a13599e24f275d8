/* One transition of the linear learners with a single weight vector: scalars between the four verbs.
 * Shared by the stream kernels and the simulation. */
#ifndef FT_LINEAR_H
#define FT_LINEAR_H

#include "trace.h"

/* For code that is compiled for each kind of trace. */
#define FT_KINDS(CASE)                                                                            \
    CASE(accumulating, FT_ACCUMULATING)                                                           \
    CASE(replacing, FT_REPLACING)                                                                 \
    CASE(replacing_clear, FT_REPLACING_CLEAR)                                                     \
    CASE(dutch, FT_DUTCH)                                                                         \
    CASE(true_online, FT_TRUE_ONLINE)

/* What one transition hands to the next, and its first half to its second. */
typedef struct {
    double decay, v_old;
    ft_pair sums; /* the last read of the state that is learned about */
    double v;
} ft_carry;

FT_INLINE ft_carry ft_carry_of(const ft_trace *t) {
    ft_carry c;
    c.decay = t->decay;
    c.v_old = t->v_old;
    c.sums = ft_pair_of(0.0, 0.0);
    c.v = 0.0;
    return c;
}

FT_INLINE void ft_carry_store(ft_trace *t, const ft_hot *h, const ft_carry *c, double alpha) {
    ft_store(t, h);
    t->decay = c->decay;
    t->v_old = c->v_old;
    t->alpha = alpha;
}

/* Accumulating and replacing writes leave w alone.  They come before the read of x_next, and that
 * read, moved by the drive, is the next step's read of x: two passes over features, not three. */
FT_INLINE int ft_reads_once(int kind) { return kind < FT_DUTCH; }

/* Features, and the column of the weights that they read. */
typedef struct {
    ft_row row;
    int64_t column;
} ft_place;

FT_INLINE ft_pair ft_read_at(const ft_hot *h, ft_place x, int64_t width, int padded) {
    return ft_read(h, x.row, width, x.column, padded);
}

/* How far z of row i has moved its weight: w = b + z moved. */
FT_INLINE double ft_moved(const ft_hot *h, int64_t i) {
    const ft_pair g = ft_since(h, i);
    return ft_first(g) + ft_second(g) * h->drive;
}

/* q[a] = w.x of `columns` columns from `first` on.  A weight at a time, so that weights of 0 sum to 0
 * and ties stay ties; features in twos, as in ft_read. */
FT_INLINE void ft_read_values(const ft_hot *h, ft_row x, int64_t width, int64_t first,
                              int64_t columns, int padded, double *FT_RESTRICT q) {
    for (int64_t a = 0; a < columns; a++) q[a] = 0.0;
    for (int64_t j = 0;;) {
        const int64_t one = ft_next(x, &j, padded), two = ft_next(x, &j, padded);
        if (one < 0) return;
        const double *r = h->rows + 2 * width * x.idx[one] + first;
        const double r_moved = ft_moved(h, x.idx[one]), r_size = x.val ? x.val[one] : 1.0;
        if (two < 0) {
            for (int64_t a = 0; a < columns; a++) q[a] += r_size * (r[a] + r[width + a] * r_moved);
            return;
        }
        const double *s = h->rows + 2 * width * x.idx[two] + first;
        const double s_moved = ft_moved(h, x.idx[two]), s_size = x.val ? x.val[two] : 1.0;
        for (int64_t a = 0; a < columns; a++)
            q[a] += r_size * (r[a] + r[width + a] * r_moved) + s_size * (s[a] + s[width + a] * s_moved);
    }
}

/* The value that the next action was chosen by: that of ft_read_values, of one column.  It stands
 * for v_next where a trace is dutch, and no sums of x_next are needed. */
FT_INLINE int ft_values_before(int kind, int64_t width) {
    return width > 1 && !ft_reads_once(kind);
}

FT_INLINE double ft_value_before(const ft_hot *h, ft_place x, int64_t width, int padded) {
    double q;
    ft_read_values(h, x.row, width, x.column, 1, padded, &q);
    return q;
}

/* A transition has two halves; between them the caller reads x_next, in whatever way it needs.
 *
 * First half: decay, and v.  kind, width and padded are constants where speed matters. */
FT_INLINE void ft_leave(ft_trace *t, ft_hot *h, ft_carry *c, ft_place x, double rho, int kind,
                        int64_t width, int padded) {
    const double decay = rho * c->decay;
    if (ft_reads_once(kind)) {
        c->v = ft_value(h, c->sums);
        ft_decay(t, h, decay);
        if (kind == FT_ACCUMULATING)
            ft_write(h, x.row, width, x.column, padded, rho, 0.0, 1.0 / h->scale);
        else
            ft_replace(h, x.row, width, x.column, padded, kind == FT_REPLACING_CLEAR, rho,
                       1.0 / h->scale);
    } else {
        ft_decay(t, h, decay);
        c->sums = ft_read_at(h, x, width, padded);
        c->v = ft_value(h, c->sums);
        if (decay == 0.0 || c->v_old != c->v_old) c->v_old = c->v;
    }
}

/* Second half: the TD error, and what it changes.  v_next is x_next's value, sums_next its read. */
FT_INLINE double ft_arrive(ft_hot *h, ft_carry *c, ft_place x, ft_pair sums_next, double v_next,
                           double reward, double gamma_next, double lambda_next, double rho,
                           double alpha, int kind, int64_t width, int padded) {
    const double delta = reward + (gamma_next == 0.0 ? 0.0 : gamma_next * v_next) - c->v;
    if (ft_reads_once(kind))
        ft_drive(h, alpha * delta);
    else {
        const double step = alpha * rho, dv = kind == FT_TRUE_ONLINE ? c->v - c->v_old : 0.0;
        ft_write(h, x.row, width, x.column, padded,
                 step * (1.0 - ft_second(c->sums) * h->scale), -step * dv, 1.0 / h->scale);
        ft_drive(h, delta + dv);
        c->v_old = v_next;
    }
    c->sums = sums_next;
    c->decay = gamma_next * lambda_next;
    return delta;
}

#endif
