"""What _call.c has to know of a learner, or of a coder, to take its calls."""

from typing import Any

from ... import quick
from . import ffi, lib


def address(pointer: Any) -> int:
    return int(ffi.cast("intptr_t", pointer))


def addresses() -> dict[str, int]:
    """Of the kernels that _call.c calls."""
    return {name: address(ffi.addressof(lib, name)) for name in quick.native.KERNELS}


if quick.native:
    quick.native.bind(addresses())


def new_call(family: str, owner: Any, pointer: Any, **fields: Any) -> Any:
    """A Call of a family of kernels, or None where there is no quick way.

    family   "td", "gradient", "gq", "adaptive", "actor_critic", "tiles" or "network"
    owner    of the memory behind the pointer, which the Call keeps alive
    fields   see call_members in _call.c
    """
    if quick.native is None or fields.get("pairs", 0) > quick.native.MOST_ACTIONS:
        return None
    number = quick.native.FAMILIES.index(family.upper())
    return quick.native.Call(family=number, owner=owner, trace=address(pointer), **fields)
