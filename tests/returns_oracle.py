"""Returns by their recursions, one number at a time in long double: what the tests compare with.

Flags are read here and nowhere else: an ended transition takes nothing from what follows.
"""

import numpy as np

L = np.longdouble


def trajectory(family, rewards, gammas, lambdas, *, terminated, truncated, mask, next_values, last, extra):
    """One trajectory (T,) -> (first, second) in long double.  `extra`: further arrays and rho_bar, c_bar."""
    T = len(rewards)
    first, second = np.zeros(T, L), np.zeros(T, L)
    carry = None  # of the next transition that is there
    for t in reversed(range(T)):
        if not mask[t]:
            continue
        here = {name: array[t] for name, array in extra.items() if np.ndim(array)}
        here |= {name: number for name, number in extra.items() if not np.ndim(number)}
        v_next = last if t == T - 1 else extra["following"][t + 1] if "following" in extra else L(0)
        q_next = L(0)
        if family == "upgo":  # decided by the next transition that is there
            n = next((n for n in range(t + 1, T) if mask[n]), T)
            q_next = v_next
            if n < T:
                q_next = extra["q"][n] + v_next - extra["following"][n] if n > t + 1 else extra["q"][n]
        follows = True
        if terminated[t]:
            v_next, follows = L(0), False
        elif truncated[t]:
            v_next, follows = next_values[t], False
        numbers = (rewards[t], gammas[t], lambdas[t], v_next, carry if follows else None, follows)
        first[t], second[t], carry = _FAMILIES[family](*numbers, here, q_next, last, terminated[t])
    return first, second


def w(weight, x):
    return L(0) if weight == 0 else weight * x


def _state_return(R, gamma, lambda_, v_next, G, follows, terminated):
    if terminated:
        return R
    if not follows or G is None:
        return R + w(gamma, v_next)
    return R + w(gamma, w(1 - lambda_, v_next) + w(lambda_, G))


def lambda_returns(R, gamma, lambda_, v_next, G, follows, here, q_next, last, terminated):
    G = _state_return(R, gamma, lambda_, v_next, G, follows, terminated)
    return G, L(0), G


def upgo(R, gamma, lambda_, v_next, G, follows, here, q_next, last, terminated):
    if np.isnan(q_next) and lambda_ > 0:
        v_next = q_next
    lambda_ = lambda_ if q_next >= v_next else L(0)
    G = _state_return(R, gamma, lambda_, v_next, G, follows, terminated)
    return G, L(0), G


def off_policy_returns(R, gamma, lambda_, v_next, G, follows, here, q_next, last, terminated):
    rho = here["rhos"]
    G = _state_return(R, gamma, lambda_, v_next, G, follows, terminated)
    G = w(rho, G) + w(1 - rho, here["values"])
    return G, L(0), G


def _actions(weight):
    def action_returns(R, gamma, lambda_, v_next, surplus, follows, here, q_next, last, terminated):
        G = R if terminated else R + w(gamma, v_next)
        if follows and surplus is not None:
            G += w(gamma * lambda_, surplus)
        return G, L(0), w(weight(here), G - here["q"])

    return action_returns


def gae(R, gamma, lambda_, v_next, A, follows, here, q_next, last, terminated):
    A_here = (R if terminated else R + w(gamma, v_next)) - here["values"]
    if follows and A is not None:
        A_here += w(gamma * lambda_, A)
    return A_here, A_here + here["values"], A_here


def vtrace(R, gamma, lambda_, v_next, surplus, follows, here, q_next, last, terminated):
    rho, c = min(L(here["rho_bar"]), here["rhos"]), lambda_ * min(L(here["c_bar"]), here["rhos"])
    surplus = surplus if follows and surplus is not None else L(0)
    target = R if terminated else R + w(gamma, v_next)
    own = rho if here.get("pg_rho_bar") is None else min(L(here["pg_rho_bar"]), here["rhos"])
    advantage = w(own, target + w(gamma, surplus) - here["values"])
    surplus = w(rho, target - here["values"]) + w(gamma * c, surplus)
    return here["values"] + surplus, advantage, surplus


def discounted_sum(R, gamma, lambda_, v_next, X, follows, here, q_next, last, terminated):
    if terminated:
        return R, L(0), R
    X = (last if X is None else X) if follows else v_next
    X = R + w(gamma * lambda_, X)
    return X, L(0), X


_FAMILIES = {
    "lambda_returns": lambda_returns,
    "upgo": upgo,
    "off_policy_returns": off_policy_returns,
    "off_policy_action_returns": _actions(lambda here: here["rhos"]),
    "retrace": _actions(lambda here: min(L(1), here["rhos"])),
    "tree_backup": _actions(lambda here: here["pi"]),
    "q_sigma": _actions(lambda here: w(here["sigmas"], here["rhos"]) + w(1 - here["sigmas"], here["pi"])),
    "gae": gae,
    "vtrace": vtrace,
    "discounted_sum": discounted_sum,
}


def returns(family, given, *, horizon=None):
    """(first, second) (T, B) in long double of arrays (T, B): see draw in returns_problems.py.

    With a horizon h: trajectory t to t + h of every t, bootstrapped from the value of the state it ends in.
    """
    T, B = given["rewards"].shape
    first, second = np.zeros((T, B), L), np.zeros((T, B), L)
    names = ("rewards", "gammas", "lambdas", "terminated", "truncated", "mask", "next_values")
    for b in range(B):
        column = {name: given[name][:, b].astype(bool if given[name].dtype == bool else L) for name in names}
        extra = {
            name: array[:, b].astype(L) if np.ndim(array) else array for name, array in given["extra"].items()
        }
        last = L(given["last"][b])
        if horizon is None:
            first[:, b], second[:, b] = trajectory(family, **column, last=last, extra=extra)
            continue
        for t in range(T):
            e = min(t + horizon, T)
            window = {name: array[t:e] for name, array in column.items()}
            inside = {name: array[t : e + 1] if np.ndim(array) else array for name, array in extra.items()}
            end = last
            if e < T:
                end = inside["following"][-1] if "following" in extra else L(0)
            found = trajectory(family, **window, last=end, extra=inside)
            first[t, b], second[t, b] = found[0][0], found[1][0]
    return first, second
