"""`python -m fasttrace bench`: hands over to the suite, which lives in bench/ of a checkout or an sdist."""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import fasttrace


def run(argv: Sequence[str]) -> int:
    """Run the suite with its own options; the exit status."""
    root = _checkout()
    if root is None:
        print(
            "fasttrace bench: the benchmark suite is not part of an installed package; run this from a "
            "checkout or an unpacked sdist, where bench/ is",
            file=sys.stderr,
        )
        return 1
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return int(import_module("bench.report").main(argv))


def _checkout() -> Path | None:
    """The folder of the suite's sources: where this package stands, else where the user does."""
    for root in (Path(fasttrace.__file__).resolve().parents[1], Path.cwd()):
        if (root / "bench" / "report.py").is_file() and (root / "csrc" / "fasttrace.h").is_file():
            return root
    return None
