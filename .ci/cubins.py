"""Every kernel for GPUs, compiled for every architecture: registers, and bytes that spill from them."""

import re
import sys

from fasttrace.backends.cuda import compiler, returns

ARCHITECTURES = ("sm_75", "sm_80", "sm_90", "sm_100")
FAMILIES = sorted({*returns._FAMILIES.values(), "FT_VTRACE_PG"})

said = r"entry function '(\w+)'.*?(\d+) bytes spill stores.*?Used (\d+) registers"
most = 0
for arch in ARCHITECTURES:
    for family in FAMILIES:
        for real in ("float", "double") if arch == "sm_90" else ("float",):
            macros = f"-DFT_FAMILY={family}", f"-DFT_REAL={real}"
            flags = (f"--gpu-architecture={arch}", *compiler.FLAGS, *macros, "--ptxas-options=-v")
            _, log = compiler.compiled((compiler.sources() / "returns.cu").read_text("utf-8"), flags)
            found = sorted(re.findall(said, log, re.DOTALL))
            most = max(most, *(int(spilled) for _, spilled, _ in found))
            each = (
                f"{name} {used}" + (f" ({spilled} B)" if spilled != "0" else "")
                for name, spilled, used in found
            )
            print(f"{arch:7} {real:6} {family:18} {', '.join(each)}")
print(f"at most {most} bytes of a kernel spill")
sys.exit(most > 64)
