/* Kernels of csrc/*.cu on the CPU, block by block: threads take turns, each until it comes to a barrier. */
#include <cstdlib>
#include <cstring>
#include <ucontext.h>

struct place {
    unsigned x, y, z;
};
static place blockIdx, threadIdx, blockDim, gridDim;
static ucontext_t turns, threads[256];
enum { ENDED, BLOCK, GROUP };
static int waits[256], votes[256]; /* at which barrier */

#define __global__
#define __shared__ static
#define __launch_bounds__(n)

static void wait_at(int barrier) {
    const unsigned i = threadIdx.x;
    waits[i] = barrier;
    swapcontext(&threads[i], &turns);
}

static void __syncthreads() { wait_at(BLOCK); }

/* Of groups of eight, which is all that kernels use. */
static void __syncwarp(unsigned) { wait_at(GROUP); }

static int __any_sync(unsigned, int which) {
    const unsigned i = threadIdx.x;
    int any = 0;
    votes[i] = which;
    wait_at(GROUP);
    for (unsigned j = i / 8 * 8; j < i / 8 * 8 + 8; j++) any |= votes[j];
    wait_at(GROUP); /* all have looked */
    return any;
}

/* Whether those that wait have all others there that they wait for. */
static bool all_there(unsigned count) {
    for (unsigned i = 0; i < count; i++)
        for (unsigned j = 0; j < count; j++)
            if (waits[i] != waits[j] && (waits[i] == BLOCK || (waits[i] == GROUP && i / 8 == j / 8))) return false;
    return true;
}

static int family;
#define FT_FAMILY family
#include TWIN

static ft_problem problem;
static void (*kernel)(const ft_problem);

static void run_kernel() { kernel(problem); }

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
                makecontext(&threads[i], run_kernel, 0);
                waits[i] = BLOCK;
            }
            for (unsigned waiting = count; waiting;) {
                waiting = 0;
                for (unsigned i = 0; i < count; i++) {
                    if (!waits[i]) continue;
                    threadIdx = {i, 0, 0};
                    waits[i] = ENDED;
                    swapcontext(&turns, &threads[i]);
                    waiting += waits[i] != ENDED;
                }
                if (!all_there(count)) return -2;
            }
        }
    return 0;
}
