/* Gradient traces, TDRC and QRC. */
#define FT_KERNELS "neural_gradient.h"
#include "neural_both.h"
