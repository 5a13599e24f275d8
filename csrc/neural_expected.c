/* Expected traces of the last layer. */
#define FT_KERNELS "neural_expected.h"
#include "neural_both.h"
