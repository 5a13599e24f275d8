"""The C library as it is shipped: its header, its sources, how they are compiled; see docs/embedding.md."""

from pathlib import Path

FLAGS = ("-O3", "-ffp-contract=off")

CONFIG = {
    "cflags": "flags to compile with",
    "sources": "C files to compile",
    "cmakedir": "fasttrace_DIR of CMake's find_package",
    "pkgconfigdir": "folder for PKG_CONFIG_PATH",
    "version": "of the package",
}
"""What `python -m fasttrace config` can be asked."""

_PACKAGE = Path(__file__).resolve().parent


def get_include() -> str:
    """The folder of fasttrace.h and fasttrace.hpp: of an installed package its own, of a checkout csrc/."""
    installed = _PACKAGE / "include"
    return str(installed if installed.is_dir() else _PACKAGE.parent / "csrc")


def sources() -> list[str]:
    """The C files of the library.

    Each is compiled as C99 by itself, with -O3 -ffp-contract=off and get_include() among the folders of
    headers, and linked with -lm.
    """
    return sorted(map(str, Path(get_include()).glob("*.c")))
