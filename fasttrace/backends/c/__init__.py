"""The C kernels, through cffi.  `lib` and `ffi` are the compiled module's own.

Every status that `lib` returns goes through `refuse`; see fasttrace.status.
"""

import warnings
from pathlib import Path

from ...status import refuse


def _why_not(error: ImportError) -> str:
    """Why there is no library.  What a compiler had to say is shown at once: pip shows nothing of it."""
    try:
        failed = Path(__file__).with_name("build_failed.txt").read_text("utf-8")  # written by setup.py
    except OSError:
        failed = str(error)
    if "\n" in failed:
        warnings.warn(f"the C library of fasttrace was not built, for this reason: {failed}", stacklevel=2)
    return (
        f"the C library is not built ({failed}); install fasttrace where a C compiler is, "
        "with FASTTRACE_REQUIRE_C=1 to see what fails"
    )


try:
    from ._fasttrace import ffi, lib
except ImportError as error:
    raise ImportError(_why_not(error)) from error

__all__ = ["ffi", "lib", "probe", "refuse"]


def probe() -> None:
    """Run a small kernel; whatever it raises is why this backend is not there."""
    hebb, E, post, pre, gain = (ffi.new("double[1]", [x]) for x in (0.0, 0.0, 1.0, 2.0, 3.0))
    lib.ft_hebbian_step_f64(1, 1, hebb, E, post, pre, gain, lib.FT_SIMPLE, 0, 0.0, 10.0)
    if hebb[0] != 6.0:
        raise RuntimeError("the C library does not multiply 1, 2 and 3 to 6")
