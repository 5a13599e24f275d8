/* What somebody would write who needs but one learner: accumulating TD(lambda) over a list of the features that
 * have a trace. */
#include <math.h>
#include <stdint.h>

/* idx (T + 1, k); w (n); place (n), of a feature in the list, from 1 on, or 0; list and z, what stands there, (n);
 * deltas (T) are written.  Traces below cutoff are forgotten.  Returns how long the list is at the end. */
int64_t bench_eager_td(int64_t T, int64_t k, const int32_t *restrict idx, const double *restrict rewards,
                       double gamma, double lambda, double alpha, double cutoff, double *restrict w,
                       int32_t *restrict place, int32_t *restrict list, double *restrict z, int64_t length,
                       double *restrict deltas) {
    const double decay = gamma * lambda;
    for (int64_t t = 0; t < T; t++) {
        const int32_t *x = idx + t * k, *x_next = x + k;
        double v = 0.0, v_next = 0.0;
        for (int64_t j = 0; j < k; j++) v += w[x[j]];
        for (int64_t j = 0; j < k; j++) v_next += w[x_next[j]];
        for (int64_t j = 0; j < k; j++) {
            const int32_t l = place[x[j]];
            if (l) {
                z[l - 1] += 1.0;
            } else {
                list[length] = x[j];
                z[length] = 1.0;
                place[x[j]] = (int32_t)++length;
            }
        }
        const double delta = rewards[t] + gamma * v_next - v, a = alpha * delta;
        deltas[t] = delta;
        for (int64_t l = 0; l < length;) {
            const int32_t i = list[l];
            const double left = z[l] * decay;
            w[i] += a * z[l];
            z[l] = left;
            if (fabs(left) >= cutoff) {
                l++;
                continue;
            }
            place[i] = 0;
            length--;
            list[l] = list[length];
            z[l] = z[length];
            if (l < length) place[list[l]] = (int32_t)(l + 1);
        }
    }
    return length;
}
