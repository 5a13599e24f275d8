"""What the builds of other programs ask for: where the C library is, and how it is compiled."""

import shlex
import sys
from pathlib import Path

from ..sources import CONFIG, FLAGS, get_include, sources
from ..version import __version__


def run(asked: list[str]) -> int:
    """Print the answers, one a line, quoted for a shell; a status."""
    if not asked:
        print("config: expected some of", ", ".join(f"--{question}" for question in CONFIG), file=sys.stderr)
        return 2
    include = get_include()
    answers = {
        "cflags": [f"-I{include}", *FLAGS],
        "sources": sources(),
        "cmakedir": [str(Path(include, "cmake"))],
        "pkgconfigdir": [str(Path(include, "pkgconfig"))],
        "version": [__version__],
    }
    for question in asked:
        print(shlex.join(answers[question]))
    return 0
