"""Eight doubles side by side, the twin of csrc/eight.h: a type for kernels, and what is done with it.

LLVM makes of it what vectors the CPU has.  Rows of a horde are found by their addresses, as in C; numbers in
arrays by their index.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

EIGHT = 8
_DOUBLE, _I8, _I32, _I64 = ir.DoubleType(), ir.IntType(8), ir.IntType(32), ir.IntType(64)
_VECTOR, _BITS = ir.VectorType(_DOUBLE, EIGHT), ir.VectorType(ir.IntType(1), EIGHT)


class Eight(types.Type):
    """A vector."""

    def __init__(self) -> None:
        super().__init__(name="eight")


class Choice(types.Type):
    """Of a comparison: yes or no for each lane."""

    def __init__(self) -> None:
        super().__init__(name="choice")


@register_model(Eight)
class _EightModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


@register_model(Choice)
class _ChoiceModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _BITS)


_eight, _choice = Eight(), Choice()


def _operation(result: Any, *given: Any) -> Callable[[Callable[..., Any]], Any]:
    """A function of kernels from one of LLVM's builder and values."""

    def make(build: Callable[..., Any]) -> Any:
        arity = len(given)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return build(builder, *arguments)

        if arity == 1:

            @intrinsic
            def one(typing_context, x):
                return (result(*given), generate) if (x,) == given else None

            return one
        if arity == 2:

            @intrinsic
            def two(typing_context, x, y):
                return (result(*given), generate) if (x, y) == given else None

            return two

        @intrinsic
        def three(typing_context, x, y, z):
            return (result(*given), generate) if (x, y, z) == given else None

        return three

    return make


plus = _operation(_eight, _eight, _eight)(lambda builder, x, y: builder.fadd(x, y))
minus = _operation(_eight, _eight, _eight)(lambda builder, x, y: builder.fsub(x, y))
times = _operation(_eight, _eight, _eight)(lambda builder, x, y: builder.fmul(x, y))
over = _operation(_eight, _eight, _eight)(lambda builder, x, y: builder.fdiv(x, y))
same = _operation(_choice, _eight, _eight)(lambda builder, x, y: builder.fcmp_ordered("==", x, y))
not_same = _operation(_choice, _eight, _eight)(lambda builder, x, y: builder.fcmp_unordered("!=", x, y))
below = _operation(_choice, _eight, _eight)(lambda builder, x, y: builder.fcmp_ordered("<", x, y))
either = _operation(_choice, _choice, _choice)(lambda builder, x, y: builder.or_(x, y))
choose = _operation(_eight, _choice, _eight, _eight)(lambda builder, which, x, y: builder.select(which, x, y))
plus_times = _operation(_eight, _eight, _eight, _eight)(
    lambda builder, x, y, z: builder.fadd(x, builder.fmul(y, z))
)


@_operation(types.boolean, _choice)
def any_of(builder: Any, which: Any) -> Any:
    return builder.icmp_unsigned("!=", builder.bitcast(which, _I8), _I8(0))


@_operation(_eight, types.float64)
def eight_of(builder: Any, number: Any) -> Any:
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), number, _I32(0))
    lanes = ir.Constant(ir.VectorType(_I32, EIGHT), [0] * EIGHT)
    return builder.shuffle_vector(one, one, lanes)


@_operation(_eight, _eight, _eight)
def unless_0(builder: Any, unless: Any, x: Any) -> Any:
    """x, and 0 where `unless` is 0."""
    zero = ir.Constant(_VECTOR, [0.0] * EIGHT)
    return builder.select(builder.fcmp_ordered("==", unless, zero), zero, x)


# ---- memory ----


def _pointer(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, ir.PointerType(kind))


@_operation(_eight, types.uint64)
def load(builder: Any, address: Any) -> Any:
    return builder.load(_pointer(builder, address, _VECTOR), typ=_VECTOR, align=64)


@_operation(types.int32, types.uint64)
def load_epoch(builder: Any, address: Any) -> Any:
    return builder.load(_pointer(builder, address, _I32), typ=_I32, align=4)


@intrinsic
def store(typing_context, address, x):
    """An eight at an address."""

    def generate(context, builder, signature, arguments):
        builder.store(arguments[1], _pointer(builder, arguments[0], _VECTOR), align=64)
        return context.get_dummy_value()

    return types.void(types.uint64, _eight), generate


@intrinsic
def store_epoch(typing_context, address, epoch):
    def generate(context, builder, signature, arguments):
        builder.store(arguments[1], _pointer(builder, arguments[0], _I32), align=4)
        return context.get_dummy_value()

    return types.void(types.uint64, types.int32), generate


def _place(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at], source_etype=_DOUBLE), ir.PointerType(_VECTOR))


@intrinsic
def load_from(typing_context, array, at):
    """Eight numbers of an array, from anywhere."""

    def generate(context, builder, signature, arguments):
        place = _place(context, builder, signature.args[0], *arguments)
        return builder.load(place, typ=_VECTOR, align=8)

    return _eight(array, types.uint64), generate


@intrinsic
def store_into(typing_context, array, at, x):
    def generate(context, builder, signature, arguments):
        builder.store(arguments[2], _place(context, builder, signature.args[0], *arguments[:2]), align=8)
        return context.get_dummy_value()

    return types.void(array, types.uint64, _eight), generate


@intrinsic
def ahead(typing_context, address):
    """Bring what is there into cache."""

    def generate(context, builder, signature, arguments):
        pointer = _pointer(builder, arguments[0], _I8)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, _I32, _I32, _I32])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
        builder.call(function, [pointer, _I32(0), _I32(3), _I32(1)])  # to read, to keep, data
        return context.get_dummy_value()

    return types.void(types.uint64), generate
