/* What the loops over returns have in common; returns.c includes the rest for each level and type. */
#ifndef FT_RETURNS_H
#define FT_RETURNS_H

#include "trace.h"
#include <string.h>

#define FT_JOIN(a, b) a##b
#define FT_JOINED(a, b) FT_JOIN(a, b)

#if defined(__GNUC__) && !defined(__clang__)
#define FT_UNROLL _Pragma("GCC unroll 8")
#else
#define FT_UNROLL
#endif

/* Stays in its register: gcc would rather convert it once more. */
#if defined(__GNUC__) && defined(__x86_64__)
#define FT_ONCE(v) __asm__("" : "+v"(v))
#else
#define FT_ONCE(v) ((void)(v))
#endif

/* Kinds of GAE: one gamma and one lambda, neither 0, and nothing truncated or skipped; rates that differ, or
 * are 0; anything. */
enum ft_gae_kind { FT_GAE_ONE, FT_GAE_EACH, FT_GAE_FULL };

typedef void ft_lanes_fn(const ft_returns *, int64_t b, int64_t n);

/* Trajectories side by side in one go, and rows at a time where they lie far apart: what belongs to them stays
 * in the first-level cache. */
#define FT_LANES 512
#define FT_ROWS 2

/* Trajectories that are turned at once, and how long they may be; see returns_turn.h. */
#define FT_TURNED 16
#define FT_TURNED_T 64

/* FT_VTRACE with a bound of its own on the ratio in its second result. */
enum { FT_VTRACE_PG = FT_UPGO + 1 };

FT_INLINE int ft_is_vtrace(int family) { return family == FT_VTRACE || family == FT_VTRACE_PG; }

/* What such a family carries is a return of values: S_T's to begin with. */
FT_INLINE int ft_has_ends(int family) {
    return family == FT_LAMBDA || family == FT_OFF_POLICY || family == FT_UPGO;
}

FT_INLINE int ft_of_actions(int family) {
    return family == FT_ACTION || family == FT_RETRACE_RETURN || family == FT_Q_SIGMA_RETURN;
}

FT_INLINE int ft_has_rho(int family) {
    return family == FT_OFF_POLICY || ft_is_vtrace(family) || ft_of_actions(family);
}

FT_INLINE int ft_has_v(int family) {
    return family != FT_LAMBDA && family != FT_SUM && family != FT_UPGO;
}

FT_INLINE int ft_has_second(int family) { return family == FT_GAE || ft_is_vtrace(family); }

/* Where entry (t, b) of an array is. */
FT_INLINE int64_t ft_at(const ft_returns *p, int64_t t, int64_t b, int64_t stride) {
    return p->batch_major ? b * stride + t : t * stride + b;
}

#endif
