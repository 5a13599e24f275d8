"""What pyproject.toml cannot say: the C extension through cffi, and one abi3 wheel for every Python."""

import sysconfig

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel


class abi3_wheel(bdist_wheel):  # noqa: N801 - named as setuptools names commands
    def finalize_options(self):
        if not sysconfig.get_config_var("Py_GIL_DISABLED"):
            self.py_limited_api = "cp310"
        super().finalize_options()


setup(cffi_modules=["csrc/build_cffi.py:ffi"], cmdclass={"bdist_wheel": abi3_wheel})
