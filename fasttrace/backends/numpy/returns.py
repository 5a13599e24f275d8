"""Returns as forward sums: the weight of each term is a product that is written out.

    G_t = sum over k of (c_t c_{t+1} ... c_{t+k-1}) a_{t+k}

a is what transition t + k adds, c what of all that follows is left behind it.  O(T^2) where c is near 1.
"""

import numpy as np

run_simple = None  # no shorter way here; see backends.c.returns


def run(p):
    """Write the results of a problem (fasttrace.returns.Problem) to p.out and p.second."""
    arrays = {name: _time_first(p, getattr(p, name)) for name in _ARRAYS}
    for name in ("gamma", "lambda_"):
        rates = getattr(p, f"{name}s" if name == "gamma" else "lambdas")
        if rates is None:
            rates = np.full((p.T, 1), getattr(p, name))
        elif rates.ndim == 1 and p.rewards.ndim == 2:
            rates = rates[:, None]
        else:
            rates = _time_first(p, rates)
        arrays[name] = np.broadcast_to(rates, (p.T, p.B)).astype(np.float64)
    given = Given(p, arrays)
    with np.errstate(all="ignore"):
        out, second = _FAMILIES[p.family](given)
    for place, result in ((p.out, out), (p.second, second)):
        if place is not None:
            _time_first(p, place)[...] = np.where(given.skipped, 0.0, result)


_ARRAYS = ("rewards", "values", "nexts", "rhos", "pi", "sigmas", "q", "next_values", "flags", "ends")


def _time_first(p, array):
    """A view (rows, B)."""
    if array is None:
        return None
    return array.reshape(p.B, -1).T if p.batch_major else array.reshape(-1, p.B)


class Given:
    """A problem's arrays as float64 (T, B), with what its flags say."""

    def __init__(self, p, arrays):
        T, B = p.T, p.B
        self.p = p
        flags = np.zeros((T, B), np.uint8) if arrays["flags"] is None else arrays["flags"]
        self.skipped = flags & 4 != 0
        self.terminated = flags & 1 != 0
        self.truncated = (flags & 2 != 0) & ~self.terminated
        self.ended = self.terminated | self.truncated
        self.gamma, self.lambda_ = arrays["gamma"], arrays["lambda_"]
        for name in ("rewards", "values", "rhos", "pi", "sigmas"):
            array = arrays[name]
            setattr(self, name, None if array is None else array[:T].astype(np.float64))
        last = p.last.astype(np.float64)
        if arrays["nexts"] is not None:
            self.v_next = np.concatenate([arrays["nexts"][1:T].astype(np.float64), last[None]])
        if arrays["q"] is not None:
            q = np.concatenate([arrays["q"][1:T].astype(np.float64), last[None]])
            unknown = np.isnan(q) & (self.lambda_ > 0.0)
            self.lambda_ = np.where(q >= self.v_next, self.lambda_, 0.0)
            self.v_next = np.where(unknown, q, self.v_next)
        self.v_cut = arrays["next_values"]
        self.end = np.zeros((T + 1, B))  # G_{t:t}
        if arrays["ends"] is not None:
            self.end[:T] = arrays["ends"][:T]
        self.end[T] = last

    def bootstrap(self, weight):
        """weight times the value of the next state; gamma times that of the state it was truncated in."""
        v, weight = self.v_next, np.where(self.terminated, 0.0, weight)
        if self.v_cut is not None:
            v = np.where(self.truncated, self.v_cut, v)
        return weighed(np.where(self.truncated, self.gamma, weight), v)

    def decay(self):
        """gamma lambda, 0 where the episode ends."""
        return np.where(self.ended, 0.0, self.gamma * self.lambda_)

    def forward_sum(self, a, c, end=None, horizon=None):
        """sum over k < horizon of (product of c from t to t + k - 1) a_{t+k}, then that product times `end`.

        a, c  (T, B).  A skipped transition adds nothing and leaves the product as it is.
        end   (T + 1, B) or None for zeros.
        """
        T = self.p.T
        horizon = (self.p.horizon or T) if horizon is None else horizon
        a, c = np.where(self.skipped, 0.0, a), np.where(self.skipped, 1.0, c)
        weight, total = np.ones_like(a), np.zeros_like(a)
        for k in range(T):  # weight is of t < T - k
            if k == horizon or not weight.any():
                break
            total[: T - k] += weighed(weight, a[k:])
            weight = weighed(weight, c[k:])
            if end is not None:
                total[T - k - 1] += weighed(weight[-1], end[T])
            weight = weight[:-1]
        if end is not None:
            total[: len(weight)] += weighed(weight, end[T - len(weight) : T])
        return total

    def following(self, a, c):
        """The forward sum from t + 1 on, up to the same horizon as that from t; 0 from T on."""
        total = self.forward_sum(a, c, horizon=(self.p.horizon or self.p.T + 1) - 1)
        return np.concatenate([total[1:], np.zeros((1, self.p.B))])


def weighed(weight, x):
    """weight x, and 0 where the weight is 0, whatever x is."""
    return np.where(weight == 0.0, 0.0, weight * x)


def lambda_returns(g):
    """Of every reward, and (1 - lambda) of every value, on the way; Sutton & Barto 2018, 12.18."""
    a = g.rewards + g.bootstrap(g.gamma * (1.0 - g.lambda_))
    return g.forward_sum(a, g.decay(), g.end), None


def off_policy_returns(g):
    """The same, each weighed by the product of importance ratios up to it; 12.22."""
    a = weighed(g.rhos, g.rewards + g.bootstrap(g.gamma * (1.0 - g.lambda_)))
    a = a + weighed(1.0 - g.rhos, g.values)
    return g.forward_sum(a, weighed(g.decay(), g.rhos), g.end), None


def _action_returns(g, w):
    """TD errors delta_k = R + gamma V' - q, weighed by gamma lambda w on the way; 12.26.  w (T, B)."""
    target = g.rewards + g.bootstrap(g.gamma)
    errors = g.following(weighed(w, target - g.values), weighed(g.decay(), w))
    return target + weighed(g.decay(), errors), None


def off_policy_action_returns(g):
    return _action_returns(g, g.rhos)


def retrace(g):
    return _action_returns(g, np.minimum(1.0, g.rhos))


def tree_backup(g):
    return _action_returns(g, g.pi)


def q_sigma(g):
    return _action_returns(g, weighed(g.sigmas, g.rhos) + weighed(1.0 - g.sigmas, g.pi))


def gae(g):
    """Schulman et al. 2016, equation 16: TD errors, weighed by gamma lambda."""
    delta = g.rewards + g.bootstrap(g.gamma) - g.values
    advantages = g.forward_sum(delta, g.decay())
    return advantages, advantages + g.values


def vtrace(g):
    """Espeholt et al. 2018, equation 1, and the advantage of section 4.2, whose ratio may have a bound of its
    own (`clip_pg_rho` there)."""
    rho = np.minimum(g.p.rho_bar, g.rhos)
    error = g.rewards + g.bootstrap(g.gamma) - g.values
    delta, c = weighed(rho, error), weighed(g.decay(), np.minimum(g.p.c_bar, g.rhos))
    vs = g.values + g.forward_sum(delta, c)
    gamma = np.where(g.ended, 0.0, g.gamma)
    if g.p.pg_rho_bar is not None:
        rho = np.minimum(g.p.pg_rho_bar, g.rhos)
    return vs, weighed(rho, error + weighed(gamma, g.following(delta, c)))


def discounted_sum(g):
    """The product gamma lambda of all rewards up to each; what a truncation goes on with counts as one."""
    g.v_next = np.zeros_like(g.rewards)
    g.gamma = g.gamma * g.lambda_
    g.lambda_ = np.ones_like(g.gamma)
    a = g.rewards + g.bootstrap(np.zeros_like(g.gamma))
    return g.forward_sum(a, g.decay(), g.end), None


upgo = lambda_returns  # with lambda 0 where the action taken was worth less than the state; see Given

_FAMILIES = {
    function.__name__: function
    for function in (
        lambda_returns, off_policy_returns, off_policy_action_returns, retrace, tree_backup, q_sigma, gae,
        vtrace, discounted_sum,
    )
} | {"upgo": upgo}  # fmt: skip
