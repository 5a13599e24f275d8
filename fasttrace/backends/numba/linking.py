"""The code of a verb: linked into each kernel that calls it and compiled there, never by itself.

Of every function Numba makes machine code, after optimising it, also of those that only others call: it was a
fifth of what a first call waited for.  Numba's own interface for this is `pipeline_class`; the rest says of a
library that it is ready, where there is nothing to run.
"""

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder


class _NoEnvironment:
    """A code generator, but for what a function would find by name were it loaded."""

    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)

    def set_env(self, name: str, env: Any) -> None:
        pass


class _Linked(JITCodeLibrary):
    """To be linked; nothing of it is loaded."""

    @property
    def codegen(self) -> Any:
        return _NoEnvironment(self._codegen)

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        return 0


class _AsItIs(_Linked):
    """And it is optimised where it is linked, together with what is around it."""

    def _optimize_final_module(self) -> None:
        pass


# What is no interface may go with another version of Numba: then a first call waits as long as it did.
_KNOWN = all(
    hasattr(JITCodeLibrary, name)
    for name in ("_finalize_dynamic_globals", "_finalize_final_module", "_optimize_final_module")
)


class VerbCompiler(CompilerBase):
    library: type[JITCodeLibrary] = _Linked

    def define_pipelines(self) -> list[Any]:
        state = self.state
        if _KNOWN:
            state.library = self.library(state.targetctx.codegen(), state.func_id.func_qualname)
        return [DefaultPassBuilder.define_nopython_pipeline(state)]


class PartCompiler(VerbCompiler):
    library = _AsItIs
