"""Kernels on a GPU.  They are those of csrc/*.cu, around the verbs of the C library's headers.

It serves arrays that are on the device already: see docs/cuda.md for what, and what not.
"""

from .device import probe

__all__ = ["probe"]
