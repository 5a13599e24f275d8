"""fasttrace.backends.cuda without a GPU: NumPy's arrays stand for a device's, launches run on the CPU."""

import ctypes
import shutil
import subprocess
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest

import fasttrace as ft
from fasttrace import registry
from fasttrace.backends import _missing
from fasttrace.backends.cuda import arrays, compiler, device, returns
from fasttrace.memory import aligned_zeros

HERE = Path(__file__).parent
GXX = shutil.which("g++")
# The kernels that each source has: what a name stands for.
KERNELS = {
    "returns": ("columns", "segments", "tiles", "windows"),
    "simulate": ("simulate", "look"),
    "learn": ("learn",),
    "horde": ("run", "values", "reset"),
}
NUMBERS = [
    "FT_LAMBDA",
    "FT_OFF_POLICY",
    "FT_ACTION",
    "FT_RETRACE_RETURN",
    "FT_Q_SIGMA_RETURN",
    "FT_GAE",
    "FT_VTRACE",
    "FT_SUM",
    "FT_UPGO",
    "FT_VTRACE_PG",
]  # fmt: skip, enum ft_family


class Host(arrays.CuPy):
    """NumPy's arrays have CuPy's names."""

    def __init__(self, like):
        self._cupy, self.device = np, 0

    def stream(self):
        return 0

    def address(self, array):
        return array.ctypes.data

    def view(self, name, array):
        strides = tuple(stride // array.itemsize for stride in array.strides)
        return arrays.View(array.ctypes.data, array.shape, strides, array.dtype.name, array.itemsize, 0)

    def empty(self, shape, dtype):
        return np.full(shape, np.nan, dtype)  # whatever is not written to shows


class Memory:
    copied = 0  # bytes, there and back

    def __init__(self, device):
        self._there = {}

    def room(self, name, size, zeros=False):
        if name not in self._there or self._there[name].nbytes < size:
            self._there[name] = aligned_zeros(size, np.uint8)
            self._there[name][:] = 0xFF  # NaN, and an index that is none
        if zeros:
            self._there[name][:] = 0
        return self.at(name)

    def at(self, name):
        return self._there[name].ctypes.data

    def put(self, name, array):
        at = self.room(name, array.nbytes)
        self._there[name][: array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        Memory.copied += array.nbytes
        return at

    def get(self, name, array):
        array.reshape(-1).view(np.uint8)[:] = self._there[name][: array.nbytes]
        Memory.copied += array.nbytes


@cache
def built(stem, *macros):
    """The library of csrc/{stem}.cu for the CPU."""
    library = Path(mkdtemp()) / "twin.so"
    named = "".join(f'!strcmp(name, "{each}") ? {each} : ' for each in KERNELS[stem])
    defined = (f'TWIN="{compiler.sources() / f"{stem}.cu"}"', f"KERNEL(name)={named}0", *macros)
    command = [
        GXX,
        "-O1",
        "-std=c++14",
        "-ffp-contract=off",
        "-shared",
        "-fPIC",
        "-DFT_NO_CLONES",
        "-DFT_NO_VECTORS",
    ]
    command += [*(f"-D{each}" for each in defined), f"-I{compiler.sources()}", HERE / "cuda_twin.cpp"]
    subprocess.run([*command, "-o", library], check=True)
    return ctypes.CDLL(library).launch


def launch(stem, macros, name, device, stream, grid, threads, problem):
    family = 0
    if stem == "returns":  # all families in one library: compiling takes longer than running
        *macros, of = macros
        family = NUMBERS.index(of.partition("=")[2])
    status = built(stem, *macros)(name.encode(), *grid, threads, problem, family)
    if status:
        raise AssertionError(f"{name} of {stem}: {status}, see cuda_twin.cpp")


@pytest.fixture
def host(monkeypatch):
    """NumPy's arrays are taken for a device's, and what is launched runs on the CPU."""
    if GXX is None:
        pytest.skip("g++ is not there")
    monkeypatch.setitem(arrays.KINDS, "numpy", Host)
    monkeypatch.setattr(device, "launch", launch)
    monkeypatch.setattr(device, "prepare", lambda stem, macros, *_: built(stem, *macros))
    monkeypatch.setattr(device, "Memory", Memory)
    monkeypatch.setitem(_missing, "cuda", None)


@pytest.fixture(params=["host", pytest.param("gpu", marks=pytest.mark.cuda)])
def place(request):
    """Where kernels run: on the CPU, or where there is one on a GPU."""
    if request.param == "host":
        request.getfixturevalue("host")
    elif (reason := ft.backends()["cuda"]) is not None:
        pytest.skip(reason)
    return request.param


@pytest.fixture
def kernels(place):
    """kernels(family) is what stands for fasttrace.returns.{family}, of NumPy's arrays."""
    return lambda family: partial(on_device if place == "host" else on_tensors, family)


def on_device(family, *given, **keywords):
    names = ["rewards", *next(row for row in registry.RETURNS if row.kernel == family).arguments]
    return returns.on_device(family, {**dict(zip(names, given, strict=True)), **keywords})


def on_tensors(family, *given, **keywords):
    """The same by way of PyTorch's tensors on a GPU."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch knows no GPU")

    def there(value):
        return torch.tensor(value, device="cuda") if isinstance(value, np.ndarray) else value

    found = on_device(family, *map(there, given), **{name: there(value) for name, value in keywords.items()})
    return tuple(each.cpu().numpy() for each in found) if isinstance(found, tuple) else found.cpu().numpy()
