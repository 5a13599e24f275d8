/* Kernels of csrc/*.cu on the CPU, block by block: threads take turns, each until it comes to a barrier. */
#include <cstdlib>
#include <cstring>
#include <ucontext.h>

struct place {
    unsigned x, y, z;
};
static place blockIdx, threadIdx, blockDim, gridDim;
static ucontext_t turns, threads[256];
static int waits[256]; /* at a barrier; what has ended is at none */

#define __global__
#define __shared__ static
#define __launch_bounds__(n)

static void __syncthreads() {
    const unsigned i = threadIdx.x;
    waits[i] = 1;
    swapcontext(&threads[i], &turns);
}

static int family;
#define FT_FAMILY family
#include TWIN

static ft_problem problem;
static void (*kernel)(const ft_problem);

static void run() { kernel(problem); }

/* 0; -1 for a kernel that there is not, -2 where some threads of a block end while others wait for them. */
extern "C" int launch(const char *name, unsigned across, unsigned down, unsigned count, const void *struct_,
                      int of_family) {
    static char *stacks = (char *)std::malloc(256 << 18);
    kernel = KERNEL(name);
    if (!kernel) return -1;
    std::memcpy(&problem, struct_, sizeof problem);
    family = of_family;
    gridDim = {across, down, 1};
    blockDim = {count, 1, 1};
    /* The last block first: none may count on what an earlier one did. */
    for (blockIdx.y = down; blockIdx.y-- > 0;)
        for (blockIdx.x = across; blockIdx.x-- > 0;) {
            for (unsigned i = 0; i < count; i++) {
                getcontext(&threads[i]);
                threads[i].uc_stack.ss_sp = stacks + ((size_t)i << 18);
                threads[i].uc_stack.ss_size = 1 << 18;
                threads[i].uc_link = &turns;
                makecontext(&threads[i], run, 0);
            }
            for (unsigned waiting = count; waiting;) {
                const unsigned before = waiting;
                waiting = 0;
                for (unsigned i = 0; i < count; i++) {
                    threadIdx = {i, 0, 0};
                    waits[i] = 0;
                    swapcontext(&turns, &threads[i]);
                    waiting += waits[i];
                }
                if (waiting && waiting < before) return -2;
            }
        }
    return 0;
}
