/* Eight doubles side by side: what a chunk of eight predictions has for a number (horde.h).
 *
 * Parts are as wide as this file's CPU has vectors: gcc takes wider ones apart number by number, or are single
 * doubles in plain C.  On a GPU, FT_LANES, eight threads have a double each.  All give the same bits. */
#ifndef FT_EIGHT_H
#define FT_EIGHT_H

#include "trace.h"

enum { FT_EIGHT = 8 };

#ifdef FT_LANES
#define FT_PART_BYTES 64
#define FT_PARTS 1
#define FT_EACH(body) {enum {i = 0}; body}
#elif FT_VECTORS && defined(__AVX512F__)
#define FT_PART_BYTES 64
#define FT_PARTS 1
#define FT_EACH(body) {enum {i = 0}; body}
#elif FT_VECTORS && defined(__AVX__)
#define FT_PART_BYTES 32
#define FT_PARTS 2
#define FT_EACH(body) {enum {i = 0}; body} {enum {i = 1}; body}
#elif FT_VECTORS
#define FT_PART_BYTES 16
#define FT_PARTS 4
#define FT_EACH(body) {enum {i = 0}; body} {enum {i = 1}; body} {enum {i = 2}; body} {enum {i = 3}; body}
#else
#define FT_PART_BYTES 8
#define FT_PARTS 8
#define FT_EACH(body) for (int i = 0; i < FT_PARTS; i++) {body}
#endif
enum { FT_PART = FT_EIGHT / FT_PARTS };

/* Before a loop over features, of which there are several. */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 8
#define FT_UNROLLED _Pragma("GCC unroll 4")
#elif defined(__CUDACC_RTC__)
#define FT_UNROLLED _Pragma("unroll 4")
#else
#define FT_UNROLLED
#endif

/* FT_LANE: which of the eight this thread has.  FT_MEET(): the others have come here, too. */
#ifndef FT_LANES
#define FT_LANE 0
#define FT_MEET() ((void)0)
#define FT_ANY_LANE(which) (which)
#endif

#if FT_VECTORS
#pragma GCC diagnostic ignored "-Wpsabi" /* no call passes a vector: all that takes one is inlined */
/* As parameters aligned to 16, which every gcc has the same way. */
typedef double ft_part __attribute__((vector_size(FT_PART_BYTES), aligned(16), may_alias));
typedef double ft_part_anywhere __attribute__((vector_size(FT_PART_BYTES), aligned(8), may_alias));
typedef long long ft_part_choice __attribute__((vector_size(FT_PART_BYTES), aligned(16), may_alias));
FT_INLINE ft_part ft_part_from(const double *p) { return *(const ft_part_anywhere *)(const void *)p; }
FT_INLINE void ft_part_into(double *p, ft_part x) { *(ft_part_anywhere *)(void *)p = x; }
FT_INLINE ft_part ft_part_of(double x) { return x - (ft_part){0}; } /* x, also where it is -0 or NaN */
FT_INLINE ft_part ft_part_choose(ft_part_choice which, ft_part yes, ft_part no) {
    return (ft_part)((which & (ft_part_choice)yes) | (~which & (ft_part_choice)no));
}
#else
typedef double ft_part;
typedef int ft_part_choice;
FT_INLINE ft_part ft_part_from(const double *p) { return p[FT_LANE]; }
FT_INLINE void ft_part_into(double *p, ft_part x) { p[FT_LANE] = x; }
FT_INLINE ft_part ft_part_of(double x) { return x; }
FT_INLINE ft_part ft_part_choose(ft_part_choice which, ft_part yes, ft_part no) { return which ? yes : no; }
#endif

typedef struct {
    ft_part part[FT_PARTS];
} ft_eight;
/* Yes or no for each of the eight. */
typedef struct {
    ft_part_choice part[FT_PARTS];
} ft_choice;

FT_INLINE ft_eight ft_eight_from(const double *p) {
    ft_eight x;
    FT_EACH(x.part[i] = ft_part_from(p + FT_PART * i);)
    return x;
}
FT_INLINE void ft_eight_into(double *p, ft_eight x) { FT_EACH(ft_part_into(p + FT_PART * i, x.part[i]);) }
FT_INLINE ft_eight ft_eight_of(double number) {
    ft_eight x;
    FT_EACH(x.part[i] = ft_part_of(number);)
    return x;
}
FT_INLINE ft_eight ft_plus(ft_eight x, ft_eight y) {
    FT_EACH(x.part[i] += y.part[i];)
    return x;
}
FT_INLINE ft_eight ft_minus(ft_eight x, ft_eight y) {
    FT_EACH(x.part[i] -= y.part[i];)
    return x;
}
FT_INLINE ft_eight ft_times(ft_eight x, ft_eight y) {
    FT_EACH(x.part[i] *= y.part[i];)
    return x;
}
FT_INLINE ft_eight ft_over(ft_eight x, ft_eight y) {
    FT_EACH(x.part[i] /= y.part[i];)
    return x;
}
FT_INLINE ft_choice ft_same(ft_eight x, ft_eight y) {
    ft_choice which;
    FT_EACH(which.part[i] = (ft_part_choice)(x.part[i] == y.part[i]);)
    return which;
}
FT_INLINE ft_choice ft_not_same(ft_eight x, ft_eight y) {
    ft_choice which;
    FT_EACH(which.part[i] = (ft_part_choice)(x.part[i] != y.part[i]);)
    return which;
}
FT_INLINE ft_choice ft_below(ft_eight x, ft_eight y) {
    ft_choice which;
    FT_EACH(which.part[i] = (ft_part_choice)(x.part[i] < y.part[i]);)
    return which;
}
FT_INLINE ft_choice ft_either(ft_choice a, ft_choice b) {
    FT_EACH(a.part[i] |= b.part[i];)
    return a;
}
FT_INLINE ft_eight ft_choose(ft_choice which, ft_eight yes, ft_eight no) {
    FT_EACH(yes.part[i] = ft_part_choose(which.part[i], yes.part[i], no.part[i]);)
    return yes;
}

/* Halves onto each other: eight questions would be as many instructions. */
FT_INLINE int ft_any(ft_choice which) {
#if FT_VECTORS
    typedef long long two __attribute__((vector_size(16), may_alias));
    union {
        ft_part_choice all;
        two pairs[FT_PART_BYTES / 16];
    } u;
    u.all = which.part[0];
    for (int i = 1; i < FT_PARTS; i++) u.all |= which.part[i];
    for (int i = 1; i < FT_PART_BYTES / 16; i++) u.pairs[0] |= u.pairs[i];
    return (u.pairs[0][0] | u.pairs[0][1]) != 0;
#else
    int any = 0;
    FT_EACH(any |= which.part[i];)
    return FT_ANY_LANE(any);
#endif
}

/* x, and 0 where `unless` is 0: 0 times infinity is not 0. */
FT_INLINE ft_eight ft_unless_0(ft_eight unless, ft_eight x) {
    return ft_choose(ft_same(unless, ft_eight_of(0.0)), ft_eight_of(0.0), x);
}

/* x + y z */
FT_INLINE ft_eight ft_plus_times(ft_eight x, ft_eight y, ft_eight z) { return ft_plus(x, ft_times(y, z)); }

#endif
