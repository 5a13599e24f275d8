"""What pyproject.toml cannot say: the C extension through cffi, one abi3 wheel for every Python, and bench/,
which stands beside the package and is installed inside it, so that an installed copy can be timed.

C files are compiled side by side, and each only when something that it is made from has changed: objects
are kept in `.objects/`, by a digest of source, headers, flags and what the compiler says of itself.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import BaseError, CCompilerError

ROOT = Path(__file__).resolve().parent
CSRC = ROOT / "csrc"
SHIPPED = [path for each in ("*.[ch]", "*.hpp", "*.cu", "cmake/*", "pkgconfig/*") for path in CSRC.glob(each)]
OBJECTS = ROOT / ".objects"
KEPT = 100  # objects, so that going back and forth between two sets of flags compiles nothing
FAILED = "build_failed.txt"  # see fasttrace/backends/c


class abi3_wheel(bdist_wheel):  # noqa: N801 - named as setuptools names commands
    def finalize_options(self):
        if not sysconfig.get_config_var("Py_GIL_DISABLED"):
            self.py_limited_api = "cp311"
        super().finalize_options()


class with_sources(build_py):  # noqa: N801
    """csrc/ goes along as fasttrace/include: for programs in C and C++, and for kernels that are compiled for
    a GPU when they are first used."""

    def run(self):
        super().run()
        for source in () if self.editable_mode else SHIPPED:
            to = Path(self.build_lib, "fasttrace", "include", source.relative_to(CSRC))
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, to)


class parallel_build(build_ext):  # noqa: N801
    output = ""  # of the command that failed
    failed: "dict[str, str]"  # why, by extension

    def finalize_options(self):
        super().finalize_options()
        self.force = True  # dates do not tell that flags have changed
        self.failed = {}

    def run(self):
        super().run()
        for ext in self.extensions:
            folders = {Path(self.build_lib, *ext.name.split(".")[:-1])}
            if self.inplace:
                folders.add(ROOT.joinpath(*ext.name.split(".")[:-1]))
            for folder in folders:
                self._leave_word(folder, ext)

    def _leave_word(self, folder, ext):
        """Why there is no library, for those who look for one; an old one is not left in its place."""
        (folder / FAILED).unlink(missing_ok=True)
        if ext.name in self.failed:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / Path(self.get_ext_filename(ext.name)).name).unlink(missing_ok=True)
            (folder / FAILED).write_text(self.failed[ext.name], encoding="utf-8")

    def build_extensions(self):
        compiler = self.compiler
        compiler.compile = partial(self._compile, compiler.compile)
        super().build_extensions()

    def build_extension(self, ext):
        try:
            super().build_extension(ext)
        except (BaseError, CCompilerError) as error:
            lines = self.output.strip().splitlines()[-20:]
            self.failed[ext.name] = "\n".join([str(error), *lines])
            rule = "*" * 100
            print(
                f"\n{rule}\nTHE C LIBRARY WAS NOT BUILT: {self.failed[ext.name]}\n{rule}\n", file=sys.stderr
            )
            raise

    def _compile(self, compile_, sources, depends=(), **options):
        if not getattr(self.compiler, "initialized", True):  # Microsoft's, once for all threads
            self.compiler.initialize()
        about = _about(self.compiler, options)
        each = partial(self._compile_one, partial(compile_, **options), about, options.get("output_dir"))
        largest_first = sorted(sources, key=lambda source: -Path(source).stat().st_size)
        with ThreadPoolExecutor(_cores()) as pool:
            futures = {source: pool.submit(each, source) for source in largest_first}
            try:
                objects = [futures[source].result() for source in sources]
            finally:
                pool.shutdown(cancel_futures=True)
        _forget()
        return objects

    def _compile_one(self, compile_, about, folder, source):
        built = Path(*self.compiler.object_filenames([source], output_dir=folder))
        kept = about and OBJECTS / (
            hashlib.sha256(about + Path(source).read_bytes()).hexdigest() + built.suffix
        )
        if not kept or not kept.exists():
            try:
                compile_([source])
            except (BaseError, CCompilerError):
                self.output = self.output or _complaint(self.compiler, source, compile_.keywords)
                raise
            if kept:
                _copy(built, kept)
        else:
            _copy(kept, built)
            os.utime(kept)
        return str(built)


def _complaint(compiler, source, options):
    """What the compiler says of a source that it does not take: what it said before went to the screen."""
    if compiler.compiler_type != "unix":
        return ""
    paths = [f"-I{folder}" for folder in [*(options.get("include_dirs") or ()), *compiler.include_dirs]]
    names = [
        f"-D{name}" if value is None else f"-D{name}={value}" for name, value in options.get("macros") or ()
    ]
    flags = [*paths, *names, *(options.get("extra_postargs") or ())]
    return _says([*compiler.compiler_so, *flags, "-c", source, "-o", os.devnull]) or ""


def _says(command, text=""):
    """What a command writes; None where there is no such command, or it fails and writes nothing."""
    try:
        done = subprocess.run(
            command, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
    except OSError:
        return None
    return done.stdout or None


def _about(compiler, options):
    """All that an object is made from beside its source, as bytes; None where the compiler does not tell."""
    if compiler.compiler_type != "unix":
        return None
    command = [*compiler.compiler_so, *(options.get("extra_postargs") or ())]
    if any(
        "coverage" in flag or "profile" in flag for flag in command
    ):  # these write a file beside the object
        return None
    # Its version, what -march=native stands for, the version of libc.
    macros = _says([*command, "-dM", "-E", "-x", "c", "-"], "#include <limits.h>\n")
    if not macros or "__VERSION__" not in macros:
        return None
    paths = [os.environ.get(name) for name in ("CPATH", "C_INCLUDE_PATH")]
    options = {name: value for name, value in options.items() if name != "output_dir"}
    said = repr([sys.version, sysconfig.get_platform(), command, sorted(options.items()), paths, macros])
    headers = sorted(CSRC.rglob("*.h"))
    return b"".join([said.encode(), *(path.name.encode() + path.read_bytes() for path in headers)])


def _copy(source, to):
    """Whole or not at all: another build may be looking."""
    to.parent.mkdir(parents=True, exist_ok=True)
    part = to.with_name(f"{to.name}.{os.getpid()}")
    shutil.copyfile(source, part)
    os.replace(part, to)


def _forget():
    """Let go of all but those used last."""
    if OBJECTS.is_dir():
        for path in sorted(OBJECTS.iterdir(), key=lambda path: -path.stat().st_mtime)[KEPT:]:
            path.unlink(missing_ok=True)


def _modules():
    """The module for quick calls, which is built with NumPy's headers; without them Python does its work.

    Its steps are whole because the GIL is held: where there is none, the lock alone is built.
    """
    required = bool(os.environ.get("FASTTRACE_REQUIRE_C"))
    free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    source = Path("fasttrace", "_lock.c" if free else "_call.c")
    includes = ["csrc"]
    if not free:
        try:
            import numpy
        except ImportError:
            if required:
                raise
            return []
        includes.append(numpy.get_include())
    if not (required or source.exists()):
        return []
    flags = ["-O3", "-std=c99", "-ffp-contract=off", "-g0", *shlex.split(os.environ.get("CFLAGS", ""))]
    return [
        Extension(
            f"fasttrace.{source.stem}",
            [str(source)],
            include_dirs=includes,
            extra_compile_args=[] if sys.platform == "win32" else flags,
            py_limited_api=not free,
            optional=not required,
        )
    ]


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


setup(
    packages=[*find_packages(include=["fasttrace*"]), "fasttrace.bench"],
    package_dir={"fasttrace.bench": "bench"},
    cffi_modules=["csrc/build_cffi.py:ffi"],
    ext_modules=_modules(),
    cmdclass={"bdist_wheel": abi3_wheel, "build_ext": parallel_build, "build_py": with_sources},
)
