/* The driver of plasticity.c for one type of number: it includes this twice. */

static REAL *NAME(reals)(int64_t count, double (*of)(void)) {
    REAL *numbers = ROOM(REAL, count);
    for (int64_t i = 0; i < count; i++) {
        const double x = of();
        numbers[i] = fabs(x) <= LARGEST_REAL || x != x ? (REAL)x : x > 0.0 ? (REAL)INFINITY : -(REAL)INFINITY;
    }
    return numbers;
}

static REAL *NAME(some)(int64_t count, double (*of)(void), int there) {
    return there ? NAME(reals)(count, of) : NULL;
}

static void NAME(one_trace)(void) {
    const int64_t n_post = below(20), n_pre = below(40);
    NAME(ft_hebbian_step)(n_post, n_pre, NAME(reals)(n_post * n_pre, any), NAME(reals)(n_post * n_pre, small),
                          NAME(reals)(n_post, any), NAME(reals)(n_pre, any), NAME(reals)(n_post, any),
                          (int32_t)(1 + below(3)), (int32_t)below(3), (REAL)unit(), (REAL)ratio());
}

static void NAME(network)(void) {
    NAME(ft_plastic) net;
    memset(&net, 0, sizeof net);
    double (*const of)(void) = below(8) == 0 ? any : small;
    net.cell = below(3);
    net.mode = below(4);
    net.soft = below(3);
    net.T = 1 + below(6);
    net.B = 1 + below(4);
    net.n_post = 1 + below(20);
    net.n_pre = net.cell == FT_PLASTIC_LAYER ? 1 + below(20) : net.n_post;
    const int64_t T = net.T, B = net.B, P = net.n_post, K = net.n_pre, G = net.cell == FT_PLASTIC_LSTM ? 4 : 1;
    const int layer = net.cell == FT_PLASTIC_LAYER;
    net.fan_out = !layer && below(2);
    net.per_neuron = layer || below(2);
    const int own = !net.per_neuron && below(2);
    const int form = (int)below(4); /* one number, one a post neuron, one a pre neuron, each */
    net.al_post = form == 1 ? 1 : form == 3 ? K : 0;
    net.al_pre = form >= 2 ? 1 : 0;
    net.al = NAME(reals)(form == 0 ? 1 : form == 1 ? P : form == 2 ? K : P * K, of);
    net.clip = (REAL)(byte() + 1) / (REAL)64;
    net.eta = (REAL)unit();
    net.bm = (REAL)small();
    net.W = NAME(reals)(P * K, of);
    net.gates = NAME(some)(3 * P * P, of, G == 4);
    if (!layer) {
        net.wm = NAME(reals)(P, of);
        net.fw = NAME(some)(P, of, (int)net.fan_out);
        net.fb = NAME(some)(P, of, (int)net.fan_out);
    }
    net.pre = NAME(some)(T * B * K, of, layer);
    net.modulation = own ? NULL : NAME(reals)(T * B * (net.per_neuron ? P : 1), of);
    net.h0 = NAME(some)(B * P, of, !layer && below(2));
    net.c0 = NAME(some)(B * P, of, G == 4 && below(2));
    net.hebb0 = NAME(some)(B * P * K, of, (int)below(2));
    net.E0 = NAME(some)(B * P * K, of, (int)below(2));
    net.u = NAME(reals)(G * T * B * P, of);
    net.h = G == 4 ? ROOM(REAL, T * B * P) : net.u;
    net.c = G == 4 ? ROOM(REAL, T * B * P) : NULL;
    net.M = net.per_neuron ? NULL : ROOM(REAL, T * B);
    net.hebb = ROOM(REAL, B * P * K);
    net.E = ROOM(REAL, B * P * K);
    net.activation = below(3);
    net.plain = below(4) == 0 ? below(P + 1) : 0;
    const int64_t first = below(32) == 0 ? -1 : below(B), last = below(32) == 0 ? B + 1 : first + below(B - first + 1);
    const int64_t spacing = below(16) == 0 ? 0 : 1 + below(T);
    const int bad = first < 0 || last > B || last < first;
    REAL *work = ROOM(REAL, NAME(ft_plastic_work)(&net, 0));
    const int64_t units = bad ? 1 : (last - first) * T;
    for (int64_t at = 0; at < units || at == 0;) { /* shared among calls */
        net.begin = at;
        net.end = below(2) || units - at <= 1 ? 0 : at + 1 + below(units - at);
        MUST((NAME(ft_plastic_forward)(&net, first, last, work) == FT_EVALUE) == bad);
        at = net.end ? net.end : units;
        if (bad || units == 0) break;
    }
    net.begin = net.end = 0;
    if (bad) return;
    NAME(ft_plastic_back) up;
    memset(&up, 0, sizeof up);
    up.dh = NAME(reals)(T * B * P, of);
    up.dM = NAME(some)(T * B, of, !net.per_neuron && below(2));
    up.dc = NAME(some)(B * P, of, G == 4 && below(2));
    up.dhebb = NAME(some)(B * P * K, of, (int)below(2));
    up.dE = NAME(some)(B * P * K, of, (int)below(2));
    up.u = ROOM(REAL, G * T * B * P);
    up.M = ROOM(REAL, T * B * (net.per_neuron ? P : 1));
    up.pre = ROOM(REAL, T * B * K);
    up.h0 = ROOM(REAL, B * P);
    up.c0 = ROOM(REAL, B * P);
    up.hebb0 = ROOM(REAL, B * P * K);
    up.E0 = ROOM(REAL, B * P * K);
    up.al = ROOM(REAL, P * K);
    up.sums = ROOM(double, 3 * P + 2);
    work = ROOM(REAL, NAME(ft_plastic_work)(&net, spacing > 0 ? spacing : 1));
    MUST((NAME(ft_plastic_backward)(&net, &up, first, last, spacing, work) == FT_EVALUE) == (spacing < 1));
}
