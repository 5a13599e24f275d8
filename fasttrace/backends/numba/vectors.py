"""Vectors of 32 bytes inside compiled loops, written as they are in C.

Numba leaves it to LLVM to find vectors.  It does not where a loop writes more than a few arrays, since any of
them might overlap, nor in a sum, since it would add in another order.  Here a row is walked by vectors that
are spelled out: `row` makes a function for kernels from a plain one over Vector, with the same operations in
the same order as csrc/plasticity.h, and so with the same result to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

BYTES = 32


class Vector:
    """A vector in a register while a row is compiled."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def _is(self, value: Any) -> Vector:
        return Vector(self.builder, value)

    def __add__(self, other: Vector) -> Vector:
        return self._is(self.builder.fadd(self.value, other.value))

    def __sub__(self, other: Vector) -> Vector:
        return self._is(self.builder.fsub(self.value, other.value))

    def __mul__(self, other: Vector) -> Vector:
        return self._is(self.builder.fmul(self.value, other.value))

    def __truediv__(self, other: Vector) -> Vector:
        return self._is(self.builder.fdiv(self.value, other.value))

    def __neg__(self) -> Vector:
        return self._is(self.builder.fneg(self.value))

    def _compare(self, sign: str, other: Vector) -> Vector:
        return self._is(self.builder.fcmp_ordered(sign, self.value, other.value))

    def __lt__(self, other: Vector) -> Vector:
        return self._compare("<", other)

    def __gt__(self, other: Vector) -> Vector:
        return self._compare(">", other)

    def size(self) -> Vector:
        return self.negative().where(-self, self)

    def negative(self) -> Vector:
        return self < self._is(ir.Constant(self.value.type, [0.0] * self.value.type.count))

    def __and__(self, other: Vector) -> Vector:
        return self._is(self.builder.and_(self.value, other.value))

    def where(self, yes: Vector, no: Vector) -> Vector:
        """self is what a comparison gave."""
        return self._is(self.builder.select(self.value, yes.value, no.value))


class Walk:
    """What a row's body sees at one vector: loads, stores and running sums, by name.

    Numbers of an array that holds shorter ones are converted on the way.
    """

    def __init__(self, builder: Any, kind: Any, at: Callable[[str], Any], scalars: Any, sums: Any) -> None:
        self.builder, self._kind, self._at, self._scalars, self._sums = builder, kind, at, scalars, sums

    def _load(self, name: str) -> Any:
        place, kind, size = self._at(name)
        return self.builder.load(place, typ=kind, align=size)  # aligned as one number: a row begins anywhere

    def load(self, name: str) -> Vector:
        value = self._load(name)
        short = value.type != self._kind
        return Vector(self.builder, self.builder.fpext(value, self._kind) if short else value)

    def is_0(self, name: str) -> Vector:
        """Where integers are 0."""
        value = self._load(name)
        return Vector(self.builder, self.builder.icmp_unsigned("==", value, ir.Constant(value.type, None)))

    def store(self, name: str, value: Vector) -> None:
        place, kind, size = self._at(name)
        x = value.value
        self.builder.store(x if x.type == kind else self.builder.fptrunc(x, kind), place, align=size)

    def scalar(self, name: str) -> Vector:
        return self._scalars[name]

    def number(self, x: float) -> Vector:
        return Vector(self.builder, ir.Constant(self._kind, [x] * self._kind.count))

    def add(self, number: int, value: Vector) -> None:
        """Into the sum of this number, which the row returns."""
        before = Vector(self.builder, self.builder.load(self._sums[number]))
        self.builder.store((before + value).value, self._sums[number])


def _total(builder: Any, value: Any, lanes: int) -> Any:
    """Halves onto each other, down to one."""
    half = lanes // 2
    while half >= 1:
        index = ir.VectorType(ir.IntType(32), half)
        low, high = (ir.Constant(index, list(range(start, start + half))) for start in (0, half))
        value = builder.fadd(
            builder.shuffle_vector(value, value, low), builder.shuffle_vector(value, value, high)
        )
        half //= 2
    return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))


def row(
    names: tuple[str, ...], scalars: tuple[str, ...], sums: int
) -> Callable[[Callable[[Walk], None]], Any]:
    """A function for kernels, f(memory, n, (where each of names starts), (each of scalars)) -> sums.

    memory   (size,) float32 or float64, in which all that is named lies, or a tuple with an array for each
             name: of such numbers, the first of the longest, or of integers
    n        vectors of the row
    sums     how many sums the body adds to; they come back as a tuple
    """

    def make(body: Callable[[Walk], None]) -> Any:
        @intrinsic
        def walk(typing_context, memory, n, places, numbers):
            element = memory[0].dtype if isinstance(memory, types.BaseTuple) else memory.dtype
            signature = types.UniTuple(element, sums)(
                memory, n, types.UniTuple(types.intp, len(names)), types.UniTuple(element, len(scalars))
            )

            def generate(context, builder, signature, arguments):
                real = context.get_value_type(element)
                lanes = BYTES // (element.bitwidth // 8)
                kind = ir.VectorType(real, lanes)
                kinds = list(memory) if isinstance(memory, types.BaseTuple) else [memory] * len(names)
                if isinstance(memory, types.BaseTuple):
                    arrays = cgutils.unpack_tuple(builder, arguments[0])
                else:
                    arrays = [arguments[0]] * len(names)
                data = {
                    name: (context.make_array(each)(context, builder, array).data, each.dtype)
                    for name, each, array in zip(names, kinds, arrays, strict=True)
                }
                starts = dict(zip(names, cgutils.unpack_tuple(builder, arguments[2]), strict=True))
                spread = {}
                for name, x in zip(scalars, cgutils.unpack_tuple(builder, arguments[3]), strict=True):
                    one = builder.insert_element(
                        ir.Constant(kind, ir.Undefined), x, ir.Constant(ir.IntType(32), 0)
                    )
                    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
                    spread[name] = Vector(builder, builder.shuffle_vector(one, one, everywhere))
                zero = ir.Constant(kind, [0.0] * lanes)
                totals = [cgutils.alloca_once_value(builder, zero) for _ in range(sums)]
                for total in totals:  # a row is walked many times, alloca_once runs at the start
                    builder.store(zero, total)
                with cgutils.for_range(builder, arguments[1]) as loop:
                    step = builder.mul(loop.index, ir.Constant(loop.index.type, lanes))

                    def at(name: str) -> Any:
                        array, dtype = data[name]
                        one = context.get_value_type(dtype)
                        place = builder.gep(array, [builder.add(starts[name], step)], source_etype=one)
                        many = ir.VectorType(one, lanes)
                        return builder.bitcast(place, ir.PointerType(many)), many, dtype.bitwidth // 8

                    body(Walk(builder, kind, at, spread, totals))
                found = [_total(builder, builder.load(total), lanes) for total in totals]
                return context.make_tuple(builder, signature.return_type, found)

            return signature, generate

        return walk

    return make
