/* Many predictions on one stream: features and their slots, the calls.  horde.h draws what is where. */
#define FT_L(name) name##_plain
#include "horde_loops.h"

int64_t ft_horde_slab_size(int32_t kind) { return FT_SLAB * ft_horde_width(kind) + FT_SLAB / 2; }

int64_t ft_horde_ring_size(int64_t n) {
    int64_t size = 1024;
    while (size < n / 2 && size < 4096) size *= 2;
    return size;
}

/* ---- features ---- */

FT_INLINE void ft_place_row(ft_horde *h, ft_row x) {
    for (int64_t j = 0; j < x.k; j++)
        if (x.idx[j] >= 0 && !(x.val && x.val[j] == 0.0) && h->place[x.idx[j]] == 0)
            h->place[x.idx[j]] = (int32_t)h->used++;
}

int32_t ft_horde_place(ft_horde *h, const ft_stream *s, int64_t rows, int32_t all, int64_t *used) {
    const int64_t count = ft_index_count(s, rows);
    uint32_t low, high;
    ft_index_bounds(s->indices, count, &low, &high);
    if ((int64_t)high > h->n) {
        h->bad_index = *ft_first_bad(s->indices, count, h->n);
        return FT_EINDEX;
    }
    for (int64_t r = 0; r < rows; r++) {
        if (all || r + 1 < rows) ft_place_row(h, ft_row_at(s, r, 0));
        used[r] = h->used;
    }
    return FT_OK;
}

/* Entries and values of a row; what is padding or 0 is left out.  Returns how many there are. */
FT_INLINE int64_t ft_enter_row(const ft_horde *h, ft_row x, int64_t width, uint64_t *entries, double *values) {
    int64_t count = 0;
    for (int64_t j = 0; j < x.k; j++) {
        if (x.idx[j] < 0 || (x.val && x.val[j] == 0.0)) continue;
        if (x.val) values[count] = x.val[j];
        entries[count++] = ft_entry_of(h, h->place[x.idx[j]], width);
    }
    return count;
}

void ft_horde_enter(const ft_horde *h, const ft_stream *s, int64_t rows, uint64_t *entries, double *values,
                    int64_t *begins) {
    const int64_t width = ft_horde_width(h->kind);
    begins[0] = 0;
    for (int64_t r = 0; r < rows; r++) {
        const ft_row x = ft_row_at(s, r, 0);
        begins[r + 1] = begins[r] + ft_enter_row(h, x, width, entries + begins[r], x.val ? values + begins[r] : values);
    }
}

/* The next row is asked for meanwhile, line by line: read in no order, each of its lines would be waited for. */
void ft_horde_permute(int64_t rows, int64_t width, const double *from, int64_t count, const int64_t *index,
                      double *to) {
    for (int64_t t = 0; t < rows; t++, from += width, to += count) {
        const int more = t + 1 < rows;
        int64_t i = 0;
        for (; i + FT_EIGHT <= count; i += FT_EIGHT) {
            if (more && i < width) FT_PREFETCH(from + width + i);
            for (int64_t j = i; j < i + FT_EIGHT; j++) to[j] = from[index[j]];
        }
        for (; i < count; i++) to[i] = from[index[i]];
    }
}

/* ---- calls ---- */

/* What there is for this CPU. */
#if FT_HORDE_LEVELS
#define FT_HORDE_CALL(name, ...)                                       \
    do {                                                               \
        __builtin_cpu_init();                                          \
        if (__builtin_cpu_supports("x86-64-v4")) name##_v4(__VA_ARGS__); \
        else if (__builtin_cpu_supports("x86-64-v3")) name##_v3(__VA_ARGS__); \
        else name##_plain(__VA_ARGS__);                                \
    } while (0)
#else
#define FT_HORDE_CALL(name, ...) name##_plain(__VA_ARGS__)
#endif

void ft_horde_run(ft_horde *h, const ft_horde_stream *s) {
    if (s->steps > 0) FT_HORDE_CALL(ft_horde_run, h, s);
}

void ft_horde_values(const ft_horde *h, const ft_horde_stream *s) { FT_HORDE_CALL(ft_horde_values, h, s); }

void ft_horde_reset(ft_horde *h) { FT_HORDE_CALL(ft_horde_reset, h); }

int32_t ft_horde_step(ft_horde *h, int64_t k, const int32_t *idx, const double *val, int64_t k_next,
                      const int32_t *idx_next, const double *val_next, ft_horde_stream *s, uint64_t *entries,
                      double *values) {
    const ft_row x = ft_row_of(k, idx, val), y = ft_row_of(k_next, idx_next, val_next);
    const int32_t *bad = ft_first_bad(idx, k, h->n);
    if (!bad) bad = ft_first_bad(idx_next, k_next, h->n);
    if (bad) {
        h->bad_index = *bad;
        return FT_EINDEX;
    }
    int64_t used[2], begins[3];
    ft_place_row(h, x);
    used[0] = h->used;
    if (h->kind == FT_HORDE_GTD) ft_place_row(h, y);
    used[1] = h->used;
    if (h->used > FT_SLAB * h->slabs_count) return FT_HORDE_FULL;
    const int64_t width = ft_horde_width(h->kind);
    begins[0] = 0;
    begins[1] = ft_enter_row(h, x, width, entries, values);
    begins[2] = begins[1] + ft_enter_row(h, y, width, entries + begins[1], values + begins[1]);
    if (val || val_next) {
        for (int64_t j = 0; !val && j < begins[1]; j++) values[j] = 1.0;
        for (int64_t j = begins[1]; !val_next && j < begins[2]; j++) values[j] = 1.0;
    }
    s->steps = 1;
    s->begins = begins;
    s->used = used;
    s->entries = entries;
    s->values = val || val_next ? values : NULL;
    ft_horde_run(h, s);
    s->begins = s->used = NULL;
    return FT_OK;
}

/* ---- a horde as a whole ---- */

void ft_horde_init(ft_horde *h, int64_t n, int64_t chunks, int32_t kind, int32_t *place, double *lanes,
                   int64_t *counters, double *rings, double **slabs) {
    h->n = n;
    h->chunks = chunks;
    h->kind = kind;
    h->ring_size = ft_horde_ring_size(n);
    h->used = 1; /* slot 0 is no feature's */
    h->slabs_count = h->bad_index = 0;
    h->place = place;
    h->lanes = lanes;
    h->counters = counters;
    h->rings = rings;
    h->slabs = slabs;
    for (int64_t q = 0; q < chunks; q++) ft_horde_chunk_init(h, q);
}

void ft_horde_chunk_init(ft_horde *h, int64_t q) {
    const ft_chunk c = ft_chunk_of(h, q);
    c.counters[FT_C_EPOCH] = c.counters[FT_C_OLDEST] = 1;
    ft_horde_pass(c.counters, 0, h->ring_size);
    ft_eight_into(c.ring + 2 * c.width - FT_EIGHT, ft_eight_of(1.0));
    ft_eight_into(c.lanes + FT_EIGHT * FT_L_SCALE, ft_eight_of(1.0));
    ft_eight_into(c.lanes + FT_EIGHT * FT_L_V_OLD, ft_eight_of((double)NAN));
}
