"""`python -m fasttrace bench`: hands over to the suite, bench/ here, fasttrace.bench once it is installed."""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import fasttrace

NEEDS = ("matplotlib", "rich", "numba")


def run(argv: Sequence[str]) -> int:
    """Run the suite with its own options, in a process of its own; the exit status."""
    cuda = parser().parse_args(argv).cuda
    if missing := [name for name in NEEDS if find_spec(name) is None]:
        print(f'fasttrace bench: no {", ".join(missing)}; pip install "fasttrace[bench]"', file=sys.stderr)
        return 1
    # The process imports this very package, whatever stands where the user does.
    root = Path(fasttrace.__file__).resolve().parents[1]
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    suite = "bench"  # of a checkout that is not installed
    if find_spec("fasttrace.bench"):
        suite = import_module("fasttrace.bench").__name__  # which says how many threads the process has
    command = [sys.executable, "-P", "-m", f"{suite}.{'cuda' if cuda else 'report'}", *argv]
    try:
        return subprocess.call(command, env={**os.environ, "PYTHONPATH": path})
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    """The options of the suite, known before it is loaded."""
    parser = argparse.ArgumentParser(
        prog="fasttrace bench",
        description="Run the benchmark suite and write its report: Markdown and a chart.",
    )
    parser.add_argument("--output", metavar="DIR", default="fasttrace-bench", help="folder of the report")
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds and streams: a look, not a measurement"
    )
    parser.add_argument(
        "--cuda", action="store_true", help="figures of a GPU alone, into cuda.md; needs PyTorch for CUDA"
    )
    return parser
