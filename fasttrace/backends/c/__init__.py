"""The C kernels, through cffi.  `lib` and `ffi` are the compiled module's own.

Every status that `lib` returns goes through `refuse`; see fasttrace.status.
"""

from ...status import refuse

try:
    from ._fasttrace import ffi, lib
except ImportError as error:
    raise ImportError(
        f"the C library is not built ({error}); install fasttrace where a C compiler is, "
        "with FASTTRACE_REQUIRE_C=1 to see what fails"
    ) from error

__all__ = ["ffi", "lib", "probe", "refuse"]


def probe() -> None:
    """Run a small kernel; whatever it raises is why this backend is not there."""
    hebb, E, post, pre, gain = (ffi.new("double[1]", [x]) for x in (0.0, 0.0, 1.0, 2.0, 3.0))
    lib.ft_hebbian_step_f64(1, 1, hebb, E, post, pre, gain, lib.FT_SIMPLE, 0, 0.0, 10.0)
    if hebb[0] != 6.0:
        raise RuntimeError("the C library does not multiply 1, 2 and 3 to 6")
