"""The benchmark suite: `pytest bench/` times kernel by kernel, `python -m fasttrace bench` writes the report.

It stands beside the package and is installed as fasttrace.bench.

workloads    the streams, built here, the same on every machine
baselines    what a user would write instead: eager lists in Numba; native.py: TD(0) in C, the floor
cases        one timed run each, with the check of its result
interleave   A B C A B C ...: the only timing that ratios are taken from
figures      what is to be reached, and what was measured
table        what `pytest bench/` prints
measure      carries it all out; report and chart write it down
"""

import os

# One thread for everything that is compared, NumPy's products of vectors too: this comes before NumPy is
# imported, and that is why `python -m fasttrace bench` imports this and starts a process for the report.
for _library in ("OPENBLAS", "MKL", "OMP", "VECLIB_MAXIMUM"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")
