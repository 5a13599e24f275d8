"""What a frozen program needs of fasttrace, and PyInstaller cannot see: what is imported by name.

fasttrace.torch is left to the program, which then says `import fasttrace.torch` (gradients of returns need
fasttrace.torch.returns): it would take PyTorch along.  So is fasttrace.jax.
That fasttrace itself imports it for type checkers counts for nothing.
"""

from importlib.util import find_spec

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

hiddenimports = [
    *collect_submodules("fasttrace.backends"),
    *("fasttrace.checks", "fasttrace.embed", "fasttrace.neural", "fasttrace.plasticity"),
    "_cffi_backend",  # of the C library
    *(name for name in ("fasttrace._call", "fasttrace._lock") if find_spec(name)),  # one of them, if any
]
datas = collect_data_files("fasttrace", includes=["include/*"])  # of kernels for a GPU
excludedimports = ["fasttrace.torch", "fasttrace.jax"]
