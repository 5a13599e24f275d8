/* The drivers of neural.c for one type of number: it includes this twice. */

static REAL *NAME(reals)(int64_t count, double (*of)(void)) {
    REAL *numbers = ROOM(REAL, count);
    for (int64_t i = 0; i < count; i++) {
        const double x = of();
        numbers[i] = fabs(x) <= LARGEST_REAL || x != x ? (REAL)x : x > 0.0 ? (REAL)INFINITY : -(REAL)INFINITY;
    }
    return numbers;
}

static NAME(ft_mlp) NAME(net)(int64_t inputs, int64_t outputs, int64_t n_traces) {
    NAME(ft_mlp) net;
    net.n_layers = 1 + below(3);
    int64_t *sizes = ROOM(int64_t, net.n_layers + 1);
    for (int64_t l = 0; l <= net.n_layers; l++) sizes[l] = l == 0 ? inputs : l == net.n_layers ? outputs : 1 + below(20);
    net.sizes = sizes;
    net.n_params = 0;
    for (int64_t l = 0; l < net.n_layers; l++) net.n_params += (sizes[l] + 1) * sizes[l + 1];
    net.activation = below(2);
    net.layer_norm = below(2);
    const int64_t few = below(32) == 0 ? net.n_params : 8; /* of them are the fuzzer's own */
    const REAL *some = NAME(reals)(few, few == 8 ? small : any);
    net.params = ROOM(REAL, net.n_params);
    for (int64_t i = 0; i < net.n_params; i++) net.params[i] = some[i % few] / (REAL)8;
    net.room = ROOM(REAL, ft_mlp_room(net.n_layers, sizes, n_traces));
    return net;
}

static int64_t NAME(outputs)(const NAME(ft_mlp) * net) { return net->sizes[net->n_layers]; }

static NAME(ft_head) NAME(head)(int64_t inputs, int64_t outputs, int64_t m) {
    NAME(ft_head) h;
    h.net = NAME(net)(inputs, outputs, m);
    h.n_traces = m;
    h.optimiser = m == 1 ? below(3) : FT_SGD;
    h.alpha = step_size();
    h.kappa = number(ratio);
    h.beta2 = unit();
    h.epsilon = 1e-8;
    h.Z = ROOM(REAL, m * h.net.n_params);
    h.v = h.optimiser == FT_ADAPTIVE_OBGD ? ROOM(REAL, 2 * h.net.n_params) : NULL;
    h.before = below(2) ? ROOM(REAL, h.net.n_params) : NULL;
    h.numbers = ROOM(double, FT_HEAD_DECAYS + 4 * m);
    h.numbers[FT_HEAD_POWER] = 1.0;
    return h;
}

static void NAME(networks)(void) {
    const int64_t inputs = 1 + below(9), method = below(4), normal = method == FT_NETWORK_ACTOR_CRITIC && below(2);
    const int64_t n_actions = normal ? 2 * (1 + below(3)) : 1 + below(5);
    const int64_t outputs = method == FT_NETWORK_ACTOR_CRITIC ? 1 : method == FT_NETWORK_TD ? 1 + below(9) : n_actions;
    const int64_t m = method == FT_NETWORK_TD ? outputs : 1;
    const NAME(ft_head) critic = NAME(head)(inputs, outputs, m);
    NAME(ft_head) actor;
    if (method == FT_NETWORK_ACTOR_CRITIC) actor = NAME(head)(inputs, n_actions, 1);
    double *kept = ROOM(double, ft_network_kept(inputs));
    watch(critic.net.params, critic.net.n_params, sizeof(REAL));
    watch(critic.Z, m * critic.net.n_params, sizeof(REAL));
    const int64_t normalise = below(2), scale = m == 1 && below(2), choose = method != FT_NETWORK_TD && !normal && below(2);
    int64_t action = below(n_actions);
    const int held = hold();
    for (int op = 0; more() && op < 20; op++) {
        ft_network_stream s;
        memset(&s, 0, sizeof s);
        s.steps = choose ? below(2) : 1 + below(6);
        s.method = method;
        s.cut = method == FT_NETWORK_Q ? below(3) : FT_CUT_NEVER;
        s.n_actions = method == FT_NETWORK_TD ? 0 : n_actions;
        s.choose = choose;
        s.ends = s.steps && below(4) == 0;
        s.normalise = normalise;
        s.scale = scale;
        s.normal = normal;
        s.policy = below(2);
        s.parameter = s.policy == FT_SOFTMAX ? (byte() + 1) / 64.0 : unit();
        s.u = uniform();
        s.action = action;
        s.was_greedy = below(2);
        s.entropy = number(ratio);
        s.lambda_actor = number(unit);
        double (*const of)(void) = below(8) == 0 ? any : small;
        s.states = doubles((s.steps + 1) * inputs, of);
        s.rewards = doubles(s.steps * m, of);
        s.gamma_output = s.lambda_output = m > 1 && below(2);
        s.gamma_step = s.lambda_step = s.gamma_output ? m : below(2);
        s.gammas = doubles(s.steps * m, below(8) == 0 ? any : unit);
        s.lambdas = doubles(s.steps * m, unit);
        if (normal) s.moves = doubles(s.steps * (n_actions / 2), of);
        int32_t *actions = ROOM(int32_t, s.steps + 1);
        for (int64_t t = 0; t <= s.steps; t++) actions[t] = (int32_t)below(n_actions);
        s.actions = choose || normal || method == FT_NETWORK_TD ? NULL : actions;
        if (method == FT_NETWORK_ACTOR_CRITIC && !choose && !normal) s.actions = actions;
        s.q = ROOM(double, 2 * (n_actions > outputs ? n_actions : outputs));
        s.kept = kept;
        s.deltas = ROOM(double, s.steps * m);
        if (below(2)) s.inputs = ROOM(double, s.steps * inputs);
        remember();
        const int32_t status = NAME(ft_network_run)(&critic, method == FT_NETWORK_ACTOR_CRITIC ? &actor : NULL, &s);
        MUST(status == FT_OK || status == FT_EVALUE);
        if (status == FT_EVALUE && s.done == 0) unchanged();
        if (choose && status == FT_OK && (s.steps == 0 || !s.ends)) action = s.action_next;
        MUST(action >= 0 && action < n_actions);
        release(held);
    }
}

static void NAME(passes)(void) {
    const int64_t inputs = 1 + below(20), outputs = 1 + below(9), n = below(5);
    const NAME(ft_mlp) net = NAME(net)(inputs, outputs, 1);
    NAME(ft_mlp_forward)(&net, n, NAME(reals)(n * inputs, any), ROOM(REAL, n * outputs));
    NAME(ft_mlp_gradients)(&net, NAME(reals)(inputs, any), n, NAME(reals)(n * outputs, any), ROOM(REAL, outputs),
                           ROOM(REAL, n * net.n_params));
    NAME(ft_jacobian) trace;
    trace.m = 1 + below(4);
    trace.n = below(4) == 0 ? 2048 + below(40) : below(70);
    trace.Z = ROOM(REAL, trace.m * trace.n);
    trace.largest = ROOM(double, 2 * trace.m);
    REAL *w = NAME(reals)(trace.n < 70 ? trace.n : 0, small);
    if (trace.n >= 70) w = ROOM(REAL, trace.n);
    watch(trace.Z, trace.m * trace.n, sizeof(REAL));
    watch(w, trace.n, sizeof(REAL));
    const int held = hold();
    for (int op = 0; more() && op < 20; op++) {
        trace.decay = NAME(reals)(trace.m, unit);
        trace.step = NAME(reals)(trace.m, below(4) == 0 ? any : small);
        REAL *J = ROOM(REAL, trace.m * trace.n);
        for (int64_t i = 0; i < trace.m * trace.n && more(); i++) J[i] = (REAL)small();
        if (below(8) == 0 && trace.n) J[below(trace.n < 256 ? trace.n : 256)] = (REAL)NAN;
        remember();
        const int which = (int)below(3);
        if (NAME(ft_jacobian_step)(&trace, which == 1 ? NULL : J, which == 2 ? NULL : w) != FT_OK) unchanged();
        release(held);
    }
}

static void NAME(remedies)(void) {
    const int64_t inputs = 1 + below(9), which = below(3), m = which == 2 ? 1 : 1 + below(4);
    double (*const of)(void) = below(8) == 0 ? any : small;
    NAME(ft_forward_td) td;
    NAME(ft_qrc) qrc;
    NAME(ft_expected) expected;
    if (which == 0) {
        memset(&td, 0, sizeof td);
        td.net = NAME(net)(inputs, m, 1);
        td.m = m;
        td.window = 1 + below(6);
        td.fresh = below(2);
        td.alpha = step_size();
        td.states = ROOM(REAL, (td.window + 1) * inputs);
        td.values = ROOM(REAL, (td.window + 1) * m);
        td.before = ROOM(REAL, td.net.n_params);
        td.work = ROOM(REAL, 2 * m + m * m + m * td.net.n_params);
        td.rewards = ROOM(double, (td.window + 1) * m);
        td.gammas = ROOM(double, (td.window + 1) * m);
        td.lambdas = ROOM(double, (td.window + 1) * m);
        td.returns = ROOM(double, m);
    } else if (which == 1) {
        memset(&qrc, 0, sizeof qrc);
        qrc.q = qrc.h = NAME(net)(inputs, m, 1);
        qrc.h.params = ROOM(REAL, qrc.h.n_params);
        qrc.h.room = ROOM(REAL, ft_mlp_room(qrc.h.n_layers, qrc.h.sizes, 1));
        qrc.cut = below(2);
        qrc.alpha = step_size();
        qrc.alpha_h = step_size();
        qrc.beta = number(unit);
        qrc.z_w = ROOM(REAL, qrc.q.n_params);
        qrc.z_theta = ROOM(REAL, qrc.q.n_params);
        qrc.work = ROOM(REAL, 2 * m + 7 * qrc.q.n_params);
    } else {
        memset(&expected, 0, sizeof expected);
        expected.net = NAME(net)(inputs, 1, 1);
        const int64_t k = expected.k = expected.net.sizes[expected.net.n_layers - 1] + 1, n = expected.net.n_params;
        expected.alpha = step_size();
        expected.alpha_z = step_size();
        expected.eta = number(unit);
        expected.z = ROOM(REAL, n - k);
        expected.y = ROOM(REAL, k);
        expected.Theta = ROOM(REAL, k * k);
        expected.work = ROOM(REAL, 2 + 3 * n + k + k * k);
    }
    const int held = hold();
    for (int op = 0; more() && op < 20; op++) {
        const int64_t T = below(6), each = which == 0 ? T * m : T;
        const REAL *states = NAME(reals)((T + 1) * inputs, of);
        const double *rewards = doubles(each, of), *gammas = doubles(each, unit), *lambdas = doubles(each, unit);
        double *deltas = ROOM(double, each);
        int32_t *actions = ROOM(int32_t, T + 1);
        for (int64_t t = 0; t <= T; t++) actions[t] = (int32_t)below(m);
        int64_t done;
        if (which == 0) {
            done = NAME(ft_forward_td_run)(&td, T, states, rewards, gammas, lambdas, deltas);
            if (below(4) == 0) NAME(ft_forward_td_flush)(&td);
            MUST(td.waiting >= 0 && td.waiting <= td.window);
        } else if (which == 1) {
            qrc.rhos = below(2) ? doubles(T, ratio) : NULL;
            done = NAME(ft_qrc_run)(&qrc, T, states, below(4) ? actions : NULL, rewards, gammas, lambdas, deltas);
        } else {
            done = NAME(ft_expected_run)(&expected, T, states, rewards, gammas, lambdas, deltas);
        }
        MUST(done >= 0 && done <= T);
        release(held);
    }
}
