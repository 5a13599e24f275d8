"""What a learner takes in memory, and what the import takes in time."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import fasttrace as ft

from .workloads import Workload

_TIME_IMPORT = """
import numpy, time
began = time.perf_counter()
import fasttrace
print(time.perf_counter() - began)
"""


def learner_bytes(workload: Workload, backend: str) -> int:
    """Bytes that a TD learner of the workload's size holds after it has learned a little."""
    ft.TD(workload.n, alpha=0.1, backend=backend).learn(workload.x[:2], workload.rewards[:1])  # imports
    head = workload.head(1000)
    tracemalloc.start()
    try:
        learner = ft.TD(workload.n, alpha=workload.alpha, backend=backend)
        learner.learn(head.x, head.rewards)
        held, _ = tracemalloc.get_traced_memory()
        return held
    finally:
        tracemalloc.stop()


def import_seconds(times: int = 11) -> float:
    """`import fasttrace` after `import numpy`, each time in a new process; the minimum."""
    command = [sys.executable, "-c", _TIME_IMPORT]
    return min(float(subprocess.check_output(command, text=True)) for _ in range(times))
