"""The oldest versions that pyproject.toml allows, one a line, as pip takes them: numpy==1.26 ..."""

import re
import tomllib
from pathlib import Path

# PyTorch comes with the libraries of GPUs, gigabytes, JAX with a compiler; what is CUDA's does
# not run there; the others are tools.
ASIDE = {"jax", "torch", "cuda-bindings", "nvidia-cuda-nvrtc", "ruff", "mypy", "build"}

project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
groups = [project["dependencies"], *project["optional-dependencies"].values()]
declared = "\n".join(requirement for group in groups for requirement in group)
oldest = dict(re.findall(r"^([\w-]+)>=([\w.]+)", declared, re.MULTILINE))
print(*(f"{name}=={version}" for name, version in sorted(oldest.items()) if name not in ASIDE), sep="\n")
