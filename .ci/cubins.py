"""Kernels for GPUs, compiled for every architecture: registers, and bytes that spill from them."""

import re
import sys

from fasttrace.backends.cuda import compiler, returns

ARCHITECTURES = ("sm_75", "sm_80", "sm_90", "sm_100")
MOST = {"returns": 64, "simulate": 512, "learn": 512, "horde": 128}  # that may spill
SAID = r"entry function '(\w+)'.*?(\d+) bytes spill stores.*?Used (\d+) registers"


def all_macros(arch):
    for family in sorted({*returns._FAMILIES.values(), "FT_VTRACE_PG"}):
        for real in ("float", "double") if arch == "sm_90" else ("float",):
            yield "returns", (f"FT_FAMILY={family}", f"FT_REAL={real}")
    car = (
        "FT_ENV=ft_mountain_car(&env)",
        "FT_KIND=FT_TRUE_ONLINE",
        "FT_WIDTH=4",
        "FT_ACTIVE=8",
        "FT_BOUNDED=0",
    )
    yield "simulate", car
    yield "learn", ("FT_KIND=FT_TRUE_ONLINE", "FT_WIDTH=1", "FT_TASK=FT_STATES")
    yield "learn", ("FT_KIND=FT_ACCUMULATING", "FT_WIDTH=4", "FT_TASK=FT_ACTIONS")
    for kind in ("FT_HORDE_ACCUMULATING", "FT_HORDE_TRUE_ONLINE", "FT_HORDE_GTD"):
        yield "horde", (f"FT_KIND={kind}",)


failed = 0
for arch in ARCHITECTURES:
    for stem, macros in all_macros(arch):
        source = (compiler.sources() / f"{stem}.cu").read_text("utf-8")
        flags = (f"--gpu-architecture={arch}", *compiler.FLAGS, *(f"-D{macro}" for macro in macros))
        _, log = compiler.compiled(source, (*flags, "--ptxas-options=-v"))
        for name, spilled, registers in sorted(re.findall(SAID, log, re.DOTALL)):
            print(f"{arch:7} {name:9} {registers:>4} registers {spilled:>4} B spilled  {' '.join(macros)}")
            failed |= int(spilled) > MOST[stem]
sys.exit(failed)
