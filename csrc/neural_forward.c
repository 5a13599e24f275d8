/* Forward TD(lambda) of a network. */
#define FT_KERNELS "neural_forward.h"
#include "neural_both.h"
