"""Environments compiled from their plain functions: for loops in Numba and, by address, in C.

Not cached on disk: the functions may hold constants that no cache can see.  Compiled with Python's
own errors, so that 1 / 0 raises as it does in plain Python.
"""

import numba
import numpy as np
from numba import types
from numba.core.errors import NumbaError

_ARRAY = types.Array(types.float64, 1, "C")
_POINTER = types.CPointer(types.float64)
_REAL = (types.Integer, types.Float, types.Boolean)

# Tuples have their length in their type, so the source is written for n_state and n_uniforms.
# C does not see an exception of the user's; it sees the NaN that was not written over.
_SOURCE = """
def reset_into({first}state, u):
    state[0] = nan
    {state} = reset({reset_u})

def step_into({first}state, action, u, out):
    out[0] = nan
    {state}, out[0], out[1] = step({state}, action, {step_u})
"""


class Env:
    """An environment's functions, compiled.  What they return is for the loop to check.

    reset_into(state, u)                jitted; state (n_state,) and u are float64 arrays
    step_into(state, action, u, out)    jitted; out[0] is the reward, out[1] gamma
    c_functions()                       the same as C functions, see ft_env in csrc/fasttrace.h

    Errors: TypeError for functions that do not compile, or that return another shape of result.
    """

    def __init__(self, env):
        state, reset_u, step_u = (types.Tuple((types.float64,) * n) for n in (env.n_state, *env.n_uniforms))
        self._functions = {"nan": np.nan}
        self._callbacks = None
        state_returned = self._compile("reset", env.reset, reset_u)
        returned = self._compile("step", env.step, state, types.int64, step_u)
        _expect_state("reset", state_returned, env.n_state)
        if not (isinstance(returned, types.BaseTuple) and len(returned) == 3 and _real(list(returned)[1:])):
            raise TypeError("step must return (state, reward, gamma)")
        _expect_state("step", returned[0], env.n_state)
        self._tuples = {
            "state": _tuple("state", env.n_state),
            "reset_u": _tuple("u", env.n_uniforms[0]),
            "step_u": _tuple("u", env.n_uniforms[1]),
        }
        reset_into, step_into = self._written(first="")
        self.reset_into = numba.njit(types.void(_ARRAY, _ARRAY), nogil=True)(reset_into)
        self.step_into = numba.njit(types.void(_ARRAY, types.int64, _ARRAY, _ARRAY), nogil=True)(step_into)

    def callbacks(self):
        """(reset_into, step_into) as values of one type, whatever the environment: a loop that takes them is
        compiled once for all.  An exception of the user's is printed, and leaves the NaN.
        """
        if self._callbacks is None:
            reset_into, step_into = self._written(first="")
            self._callbacks = (
                numba.cfunc(types.void(_ARRAY, _ARRAY))(reset_into),
                numba.cfunc(types.void(_ARRAY, types.int64, _ARRAY, _ARRAY))(step_into),
            )
        return self._callbacks

    def c_functions(self):
        """(reset, step), Numba's C callbacks; keep them as long as their `address` is in use."""
        reset_into, step_into = self._written(first="self, ")
        reset = types.void(types.voidptr, _POINTER, _POINTER)
        step = types.void(types.voidptr, _POINTER, types.int64, _POINTER, _POINTER)
        return numba.cfunc(reset)(reset_into), numba.cfunc(step)(step_into)

    def _compile(self, name, function, *arguments):
        function = numba.njit(nogil=True)(getattr(function, "py_func", function))
        try:
            function.compile(arguments)
        except NumbaError as error:
            raise TypeError(f"{name} does not compile with Numba: {error}") from error
        self._functions[name] = function
        return function.nopython_signatures[0].return_type

    def _written(self, **names):
        written = dict(self._functions)
        exec(_SOURCE.format(**self._tuples, **names), written)
        return written["reset_into"], written["step_into"]


def _tuple(name, n):
    return "(" + "".join(f"{name}[{i}], " for i in range(n)) + ")"


def _real(kinds):
    return all(isinstance(kind, _REAL) for kind in kinds)


def _expect_state(name, kind, n):
    if not (isinstance(kind, types.BaseTuple) and len(kind) == n and _real(kind)):
        raise TypeError(f"{name} must return a state that is a tuple of n_state={n} numbers")
