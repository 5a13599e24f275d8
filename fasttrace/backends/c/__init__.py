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

__all__ = ["ffi", "lib", "refuse"]
