"""What _call.c has to know of a learner, or of a coder, to take its calls."""

from typing import Any

from ... import quick
from . import ffi, lib

_FAMILIES = {"td": 0, "gradient": 1, "gq": 2, "adaptive": 3, "actor_critic": 4, "tiles": 5, "network": 6}
_MOST_ACTIONS = 64  # of features of state and action


def address(pointer: Any) -> int:
    return int(ffi.cast("intptr_t", pointer))


def addresses() -> dict[str, int]:
    """Of the kernels that _call.c calls."""
    return {name: address(ffi.addressof(lib, name)) for name in quick.native.KERNELS}


if quick.native:
    quick.native.bind(addresses())


def new_call(family: str, owner: Any, pointer: Any, **fields: Any) -> Any:
    """A Call of a family of kernels, or None where there is no quick way.

    owner    of the memory behind the pointer, which the Call keeps alive
    fields   see call_members in _call.c
    """
    if quick.native is None or fields.get("pairs", 0) > _MOST_ACTIONS:
        return None
    return quick.native.Call(family=_FAMILIES[family], owner=owner, trace=address(pointer), **fields)
