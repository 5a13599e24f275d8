"""`python -m fasttrace bench`: hands over to the suite, which lives in bench/ of a checkout or an sdist."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import fasttrace


def run(argv: Sequence[str]) -> int:
    """Run the suite with its own options, in a process of its own; the exit status."""
    root = _checkout()
    if root is None:
        print(
            "fasttrace bench: the benchmark suite is not part of an installed package; run this from a "
            "checkout or an unpacked sdist, where bench/ is",
            file=sys.stderr,
        )
        return 1
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "bench.report", *argv]
    try:
        return subprocess.call(command, env={**os.environ, "PYTHONPATH": path})
    except KeyboardInterrupt:
        return 130


def _checkout() -> Path | None:
    """The folder of the suite's sources: where this package stands, else where the user does."""
    for root in (Path(fasttrace.__file__).resolve().parents[1], Path.cwd()):
        if (root / "bench" / "report.py").is_file() and (root / "csrc" / "fasttrace.h").is_file():
            return root
    return None
