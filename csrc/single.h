/* Traces whose rows are of float.  The public functions hand them to twins that single.c makes, by way of a
 * table that such a trace points to: who has none need not link them. */
#ifndef FT_SINGLE_H
#define FT_SINGLE_H

#include "single_table.h"
#include "trace.h"

#if FT_SINGLE
#define FT_TO_SINGLE(trace, function, arguments)
#define FT_TO_SINGLE_VOID(trace, function, arguments)
#else
#define FT_TO_SINGLE(trace, function, arguments) \
    if ((trace)->single) return (trace)->single->function arguments;
#define FT_TO_SINGLE_VOID(trace, function, arguments) \
    if ((trace)->single) {                            \
        (trace)->single->function arguments;          \
        return;                                       \
    }
#endif
#endif
