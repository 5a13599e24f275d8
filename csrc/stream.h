/* Rows of a stream, and the check of their indices. */
#ifndef FT_STREAM_H
#define FT_STREAM_H

#include "trace.h"

FT_INLINE ft_row ft_row_of(int64_t k, const int32_t *idx, const double *val) {
    ft_row x;
    x.k = k;
    x.idx = idx;
    x.val = val;
    return x;
}

/* plain: binary rows of one length without padding, nothing to decide in the loop. */
FT_INLINE ft_row ft_row_at(const ft_stream *s, int64_t r, int plain) {
    if (plain) return ft_row_of(s->k, s->indices + r * s->k, NULL);
    const int64_t begin = s->indptr ? s->indptr[r] : r * s->k;
    return ft_row_of(s->indptr ? s->indptr[r + 1] - begin : s->k,
                     s->indices + (s->shared ? 0 : begin), s->values ? s->values + begin : NULL);
}

/* The first of `count` indices that is below -1 or not below n, or NULL. */
FT_INLINE const int32_t *ft_first_bad(const int32_t *idx, int64_t count, int64_t n) {
    for (int64_t i = 0; i < count; i++)
        if (idx[i] < -1 || idx[i] >= n) return idx + i;
    return NULL;
}

/* The lowest and the highest of index + 1, as unsigned.  The highest tells of every index that is below -1
 * or too large, and the lowest is 0 where there is padding.  In trace.c. */
void ft_index_bounds(const int32_t *idx, int64_t count, uint32_t *lowest, uint32_t *highest);

/* How many indices the first `rows` rows have. */
FT_INLINE int64_t ft_index_count(const ft_stream *s, int64_t rows) {
    return s->indptr ? s->indptr[rows] : s->shared ? s->k : rows * s->k;
}

/* FT_OK and whether there is padding, or FT_EINDEX. */
FT_INLINE int32_t ft_check_indices(ft_trace *t, const int32_t *idx, int64_t count, int *padded) {
    uint32_t low, high;
    ft_index_bounds(idx, count, &low, &high);
    *padded = low == 0;
    if ((int64_t)high <= t->n) return FT_OK;
    t->bad_index = *ft_first_bad(idx, count, t->n);
    return FT_EINDEX;
}

FT_INLINE int32_t ft_check_stream(ft_trace *t, const ft_stream *s, int64_t rows, int *padded) {
    *padded = s->checked != 1;
    if (s->checked) return FT_OK;
    return ft_check_indices(t, s->indices, ft_index_count(s, rows), padded);
}

#endif
