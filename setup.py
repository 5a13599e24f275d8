"""What pyproject.toml cannot say: the C extension through cffi, one abi3 wheel for every Python, and bench/,
which stands beside the package and is installed inside it, so that an installed copy can be timed."""

import sysconfig

from setuptools import find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel


class abi3_wheel(bdist_wheel):  # noqa: N801 - named as setuptools names commands
    def finalize_options(self):
        if not sysconfig.get_config_var("Py_GIL_DISABLED"):
            self.py_limited_api = "cp311"
        super().finalize_options()


setup(
    packages=[*find_packages(include=["fasttrace*"]), "fasttrace.bench"],
    package_dir={"fasttrace.bench": "bench"},
    cffi_modules=["csrc/build_cffi.py:ffi"],
    cmdclass={"bdist_wheel": abi3_wheel},
)
