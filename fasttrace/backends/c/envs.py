"""Environments for loops in C: the built-in ones' own functions, or callbacks by address."""

from . import ffi, lib

_RESET = "void (*)(const void *, double *, const double *)"
_STEP = "void (*)(const void *, double *, int64_t, const double *, double *)"


class Env:
    """`struct` is the `ft_env *`; it lives as long as this does.

    callbacks   (reset, step) with an `address` each; None for a built-in one, which has a C twin.
    """

    def __init__(self, env, callbacks=None):
        self.struct = ffi.new("ft_env *")
        if callbacks is None:
            name, *numbers = env.twin
            self._numbers = [ffi.new("int64_t *", number) for number in numbers]
            getattr(lib, name)(self.struct, *self._numbers)
            return
        self._callbacks = reset, step = callbacks
        self.struct.n_state, self.struct.n_actions = env.n_state, env.n_actions
        self.struct.reset_uniforms, self.struct.step_uniforms = env.n_uniforms
        self.struct.reset = ffi.cast(_RESET, reset.address)
        self.struct.step = ffi.cast(_STEP, step.address)
