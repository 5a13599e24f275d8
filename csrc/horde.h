/* Many predictions on one stream of features: the constant-time trace of trace.h, eight predictions wide.
 *
 *        row:   b8 | z8       epoch   40       41       42 <- now        GTD:  b8 | bv8 | z8
 *               |    |                 |        |        |
 *   w = b + z (G + P drive)   ring  (G8,P8)  (G8,P8)  (0,1)                    (G8, Gv8, P8)
 *   trace = z P scale
 *
 * Eight predictions that decay about alike are a chunk, and each chunk has epochs of its own: one that ends
 * makes its own chunk close, not all.  docs/decisions/chunks-of-eight says why.
 *
 * Memory is for features that were written, in slabs of FT_SLAB rows of each chunk:
 *
 *   slab:  chunk 0: [row 0 .. row 15 | epochs]   chunk 1: [row 0 .. row 15 | epochs]   ...
 *
 * place[i] is the slot of feature i.  Slot 0 is no feature's: a row of zeros, read for those that have none.  An
 * entry is the address of a row of chunk 0, a multiple of 64, and in its lowest bits the row's place in its slab. */
#ifndef FT_HORDE_H
#define FT_HORDE_H

#include "eight.h"
#include "stream.h"

enum { FT_SLAB = FT_HORDE_SLAB_ROWS };
/* Words of a chunk, eight doubles each, and its counters. */
enum { FT_L_SCALE, FT_L_DRIVE, FT_L_DECAY, FT_L_V_OLD, FT_L_ALPHA, FT_L_TAKEN, FT_L_BETA, FT_L_DRIVE_V, FT_L_ZV, FT_L_ZZ };
enum { FT_C_EPOCH, FT_C_OLDEST, FT_C_SWEPT, FT_C_END, FT_C_BEGUN, FT_C_ALIVE_MAX };

/* Eight scales share what closes them.  The error grows as eps / threshold: 5e-15. */
#define FT_HORDE_THR 0.01

FT_INLINE int64_t ft_horde_width(int64_t kind) { return kind == FT_HORDE_GTD ? 3 * FT_EIGHT : 2 * FT_EIGHT; }

/* A pass of the sweep begins: over the rows that there are now.  More epochs than alive_max hurry it. */
FT_INLINE void ft_horde_pass(int64_t *c, int64_t used, int64_t ring_size) {
    c[FT_C_SWEPT] = 0;
    c[FT_C_END] = used;
    c[FT_C_BEGUN] = c[FT_C_EPOCH];
    c[FT_C_ALIVE_MAX] = 64;
    while (c[FT_C_ALIVE_MAX] * c[FT_C_ALIVE_MAX] < 2 * used && c[FT_C_ALIVE_MAX] < ring_size / 2)
        c[FT_C_ALIVE_MAX] *= 2;
}

/* One chunk, as a loop has it. */
typedef struct {
    int64_t *counters;
    double *lanes, *ring;
    uint64_t shift; /* from chunk 0's rows to this one's, in bytes */
    uint64_t mask;
    int64_t width, epoch;
    int64_t ring_size, slab; /* doubles of a slab and chunk */
} ft_chunk;

FT_INLINE ft_chunk ft_chunk_of(const ft_horde *h, int64_t q) {
    ft_chunk c;
    c.counters = h->counters + FT_HORDE_COUNTERS * q;
    c.lanes = h->lanes + FT_HORDE_WORDS * FT_EIGHT * q;
    c.width = ft_horde_width(h->kind);
    c.ring = h->rings + c.width * h->ring_size * q;
    c.slab = FT_SLAB * c.width + FT_SLAB / 2;
    c.shift = (uint64_t)(c.slab * q) * sizeof(double);
    c.ring_size = h->ring_size;
    c.mask = (uint64_t)(h->ring_size - 1);
    c.epoch = c.counters[FT_C_EPOCH];
    return c;
}

/* A row of a chunk. */
FT_INLINE double *ft_row_at_entry(uint64_t entry, uint64_t shift) {
    return (double *)(uintptr_t)((entry & ~(uint64_t)63) + shift);
}

/* Its epoch, behind the rows of the slab. */
FT_INLINE int32_t *ft_epoch_in(double *row, uint64_t entry, int64_t width) {
    const int64_t i = (int64_t)(entry & 63);
    return (int32_t *)(void *)(row + (FT_SLAB - i) * width) + i;
}

FT_INLINE const double *ft_ring_at(const ft_chunk *c, int64_t epoch) {
    return c->ring + (uint64_t)c->width * ((uint64_t)epoch & c->mask);
}

FT_INLINE uint64_t ft_entry_of(const ft_horde *h, int64_t slot, int64_t width) {
    return (uint64_t)(uintptr_t)(h->slabs[slot / FT_SLAB] + slot % FT_SLAB * width) + (uint64_t)(slot % FT_SLAB);
}

/* ---- what is compiled for each level of the CPU: see horde_loops.h ---- */

/* Not in C++: g++ looks at the pragma of a level too late for what depends on it. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(FT_NO_CLONES) && !defined(__cplusplus)
#define FT_HORDE_LEVELS 1
#else
#define FT_HORDE_LEVELS 0
#endif

#define FT_HORDE_LOOPS(level)                                                    \
    void ft_horde_run##level(const ft_horde *h, const ft_horde_stream *s);       \
    void ft_horde_values##level(const ft_horde *h, const ft_horde_stream *s);    \
    void ft_horde_reset##level(const ft_horde *h);

FT_HORDE_LOOPS(_plain)
#if FT_HORDE_LEVELS
FT_HORDE_LOOPS(_v3)
FT_HORDE_LOOPS(_v4)
#endif

#endif
