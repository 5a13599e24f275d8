"""The C kernels, through cffi.  `lib` and `ffi` are the compiled module's own."""

import warnings
from pathlib import Path


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

__all__ = ["ffi", "lib"]
