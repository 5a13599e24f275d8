/* Eight doubles side by side, 64 bytes: what a chunk of eight predictions has for a number (horde.c).
 * Vectors as gcc and clang have them, or plain loops that give the same bits. */
#ifndef FT_EIGHT_H
#define FT_EIGHT_H

#include "trace.h"

enum { FT_EIGHT = 8 };

#if FT_VECTORS
#pragma GCC diagnostic ignored "-Wpsabi" /* no call passes a vector: all that takes one is inlined */
/* Aligned to 64 where they are in memory; as parameters to 16, which every gcc has the same way. */
typedef double ft_eight __attribute__((vector_size(64), aligned(16), may_alias));
typedef double ft_eight_anywhere __attribute__((vector_size(64), aligned(8), may_alias));
typedef long long ft_choice __attribute__((vector_size(64), aligned(16), may_alias));

FT_INLINE ft_eight ft_eight_load(const double *p) { return *(const ft_eight *)(const void *)p; }
FT_INLINE void ft_eight_store(double *p, ft_eight x) { *(ft_eight *)(void *)p = x; }
FT_INLINE ft_eight ft_eight_from(const double *p) { return *(const ft_eight_anywhere *)(const void *)p; }
FT_INLINE void ft_eight_into(double *p, ft_eight x) { *(ft_eight_anywhere *)(void *)p = x; }
FT_INLINE ft_eight ft_eight_of(double x) { return (ft_eight){x, x, x, x, x, x, x, x}; }
FT_INLINE ft_eight ft_plus(ft_eight x, ft_eight y) { return x + y; }
FT_INLINE ft_eight ft_minus(ft_eight x, ft_eight y) { return x - y; }
FT_INLINE ft_eight ft_times(ft_eight x, ft_eight y) { return x * y; }
FT_INLINE ft_eight ft_over(ft_eight x, ft_eight y) { return x / y; }
FT_INLINE ft_choice ft_same(ft_eight x, ft_eight y) { return (ft_choice)(x == y); }
FT_INLINE ft_choice ft_not_same(ft_eight x, ft_eight y) { return (ft_choice)(x != y); }
FT_INLINE ft_choice ft_below(ft_eight x, ft_eight y) { return (ft_choice)(x < y); }
FT_INLINE ft_choice ft_either(ft_choice a, ft_choice b) { return a | b; }
FT_INLINE ft_eight ft_choose(ft_choice which, ft_eight yes, ft_eight no) {
    return (ft_eight)((which & (ft_choice)yes) | (~which & (ft_choice)no));
}
/* Halves onto each other: eight questions would be as many instructions. */
FT_INLINE int ft_any(ft_choice which) {
    typedef long long four __attribute__((vector_size(32), may_alias));
    typedef long long two __attribute__((vector_size(16), may_alias));
    union {
        ft_choice all;
        four halves[2];
        two quarters[4];
    } u;
    u.all = which;
    u.halves[0] |= u.halves[1];
    u.quarters[0] |= u.quarters[1];
    return (u.quarters[0][0] | u.quarters[0][1]) != 0;
}
#else
typedef struct {
    double lane[FT_EIGHT];
} ft_eight;
typedef struct {
    int lane[FT_EIGHT];
} ft_choice;
#define FT_LANES for (int i = 0; i < FT_EIGHT; i++)

FT_INLINE ft_eight ft_eight_from(const double *p) {
    ft_eight x;
    FT_LANES x.lane[i] = p[i];
    return x;
}
FT_INLINE void ft_eight_into(double *p, ft_eight x) { FT_LANES p[i] = x.lane[i]; }
FT_INLINE ft_eight ft_eight_load(const double *p) { return ft_eight_from(p); }
FT_INLINE void ft_eight_store(double *p, ft_eight x) { ft_eight_into(p, x); }
FT_INLINE ft_eight ft_eight_of(double number) {
    ft_eight x;
    FT_LANES x.lane[i] = number;
    return x;
}
FT_INLINE ft_eight ft_plus(ft_eight x, ft_eight y) {
    FT_LANES x.lane[i] += y.lane[i];
    return x;
}
FT_INLINE ft_eight ft_minus(ft_eight x, ft_eight y) {
    FT_LANES x.lane[i] -= y.lane[i];
    return x;
}
FT_INLINE ft_eight ft_times(ft_eight x, ft_eight y) {
    FT_LANES x.lane[i] *= y.lane[i];
    return x;
}
FT_INLINE ft_eight ft_over(ft_eight x, ft_eight y) {
    FT_LANES x.lane[i] /= y.lane[i];
    return x;
}
FT_INLINE ft_choice ft_same(ft_eight x, ft_eight y) {
    ft_choice which;
    FT_LANES which.lane[i] = x.lane[i] == y.lane[i];
    return which;
}
FT_INLINE ft_choice ft_not_same(ft_eight x, ft_eight y) {
    ft_choice which;
    FT_LANES which.lane[i] = x.lane[i] != y.lane[i];
    return which;
}
FT_INLINE ft_choice ft_below(ft_eight x, ft_eight y) {
    ft_choice which;
    FT_LANES which.lane[i] = x.lane[i] < y.lane[i];
    return which;
}
FT_INLINE ft_choice ft_either(ft_choice a, ft_choice b) {
    FT_LANES a.lane[i] |= b.lane[i];
    return a;
}
FT_INLINE ft_eight ft_choose(ft_choice which, ft_eight yes, ft_eight no) {
    FT_LANES yes.lane[i] = which.lane[i] ? yes.lane[i] : no.lane[i];
    return yes;
}
FT_INLINE int ft_any(ft_choice which) {
    int any = 0;
    FT_LANES any |= which.lane[i];
    return any;
}
#undef FT_LANES
#endif

/* x, and 0 where `unless` is 0: 0 times infinity is not 0. */
FT_INLINE ft_eight ft_unless_0(ft_eight unless, ft_eight x) {
    return ft_choose(ft_same(unless, ft_eight_of(0.0)), ft_eight_of(0.0), x);
}

/* x + y z */
FT_INLINE ft_eight ft_plus_times(ft_eight x, ft_eight y, ft_eight z) { return ft_plus(x, ft_times(y, z)); }

#endif
