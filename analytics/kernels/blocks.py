"""Products of small matrices, held in vector registers: what nearly all of kriging's time goes into.

    target[row + a, column + c] -= sum over p in [begin, end) of left[p, row + a] * right[p, column + c]

for four rows a and one or four vectors of columns c, and then, where it is wanted, forward substitution by the
4 x 4 upper triangle of `pivots` while the rows are still in registers. A loop over arrays that the compiler vectorises
by itself loads and stores the target on every pass, which bounds it to about half of the processor's peak; here the
sixteen accumulators stay where they are. Written out as LLVM instructions because numba has no vector type; every
product is one fused multiply-add, so the bits do not hang on how the compiler sees it.
"""

from typing import Any

import numpy as np
from numba import config as numba_config

from analytics.kernels.jit import cell_kernel

ROWS = 4  # rows of the target that one product fills
PAD = 16  # columns are padded to a multiple of this: one vector of float32, two of float64
_VECTOR_BYTES = 64


def _in_plain_python(vectors: int) -> tuple[Any, Any, Any]:
    def part(target: Any, row: Any, column: Any) -> tuple[slice, slice]:
        return slice(row, row + ROWS), slice(column, column + vectors * _VECTOR_BYTES // target.itemsize)

    def subtract(left: Any, right: Any, target: Any, row: Any, column: Any, begin: Any, end: Any) -> None:
        rows, columns = part(target, row, column)
        target[rows, columns] -= left[begin:end, rows].T @ right[begin:end, columns]

    def eliminate(left: Any, right: Any, target: Any, row: Any, column: Any, begin: Any, end: Any, pivots: Any) -> None:
        subtract(left, right, target, row, column, begin, end)
        _, columns = part(target, row, column)
        for a in range(ROWS):
            above = pivots[:a, a] @ target[row : row + a, columns]
            target[row + a, columns] = (target[row + a, columns] - above) * pivots[a, a]

    def project(v: Any, w: Any, mean: Any, variance: Any, column: Any, end: Any) -> None:
        _, columns = part(v, 0, column)
        mean[columns] = w[:end] @ v[:end, columns]
        variance[columns] = 1 - np.sum(v[:end, columns] ** 2, axis=0)

    return subtract, eliminate, project


def _compiled(vectors: int) -> tuple[Any, Any, Any]:
    from numba import types
    from numba.extending import intrinsic

    place = types.int64

    def subtract(
        typing_context: Any, left: Any, right: Any, target: Any, row: Any, column: Any, begin: Any, end: Any
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vector = _Vector(context, builder, signature, arguments, vectors)
            rows = vector.products(*arguments[3:7])
            vector.store_rows(rows, *arguments[3:5])
            return context.get_dummy_value()

        return types.void(left, right, target, place, place, place, place), generate

    def eliminate(
        typing_context: Any,
        left: Any,
        right: Any,
        target: Any,
        row: Any,
        column: Any,
        begin: Any,
        end: Any,
        pivots: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vector = _Vector(context, builder, signature, arguments, vectors)
            rows = vector.products(*arguments[3:7])
            vector.store_rows(vector.substituted(rows), *arguments[3:5])
            return context.get_dummy_value()

        return types.void(left, right, target, place, place, place, place, pivots), generate

    def project(typing_context: Any, v: Any, w: Any, mean: Any, variance: Any, column: Any, end: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _Vector(context, builder, signature, arguments, vectors).project(*arguments[4:6])
            return context.get_dummy_value()

        return types.void(v, w, mean, variance, place, place), generate

    return intrinsic(subtract), intrinsic(eliminate), intrinsic(project)


class _Vector:
    """Writes LLVM instructions on vectors of 64 bytes; arrays are numbered as the arguments are."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any, vectors: int) -> None:
        from llvmlite import ir
        from numba import types
        from numba.core import cgutils as untyped

        cgutils: Any = untyped
        self.builder, self.vectors, self.cgutils, self.ir = builder, vectors, cgutils, ir
        self.arrays: dict[int, tuple[Any, Any]] = {}
        for number, kind in enumerate(signature.args):
            if isinstance(kind, types.Array):
                array = context.make_array(kind)(context, builder, arguments[number])
                self.arrays[number] = array.data, cgutils.unpack_tuple(builder, array.shape, kind.ndim)[-1]
        self.align = 4 if signature.args[0].dtype == types.float32 else 8
        self.lanes = _VECTOR_BYTES // self.align
        self.real = ir.FloatType() if self.align == 4 else ir.DoubleType()
        self.kind = ir.VectorType(self.real, self.lanes)
        self.whole = ir.IntType(64)
        name = f"llvm.fma.v{self.lanes}f{8 * self.align}"
        self.fused = cgutils.get_or_insert_function(builder.module, ir.FunctionType(self.kind, [self.kind] * 3), name)

    def at(self, array: int, line: Any, place: Any) -> Any:
        start, width = self.arrays[array]
        return self.builder.gep(start, [self.builder.add(self.builder.mul(line, width), place)], inbounds=True)

    def vector_at(self, array: int, line: Any, column: Any, number: int) -> Any:
        place = self.builder.add(column, self.whole(number * self.lanes))
        return self.builder.bitcast(self.at(array, line, place), self.kind.as_pointer())

    def load(self, array: int, line: Any, column: Any, number: int) -> Any:
        return self.builder.load(self.vector_at(array, line, column, number), align=self.align)

    def everywhere(self, scalar: Any) -> Any:
        nothing = self.ir.Constant(self.kind, self.ir.Undefined)
        first = self.builder.insert_element(nothing, scalar, self.ir.IntType(32)(0))
        zeros = self.ir.Constant(self.ir.VectorType(self.ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, nothing, zeros)

    def times_plus(self, a: Any, b: Any, c: Any) -> Any:
        return self.builder.call(self.fused, [a, b, c])

    def kept(self, first: Any) -> Any:
        place = self.cgutils.alloca_once(self.builder, self.kind)
        self.builder.store(first, place)
        return place

    def products(self, row: Any, column: Any, begin: Any, end: Any) -> list[list[Any]]:
        b, numbers = self.builder, range(self.vectors)
        held = [[self.kept(self.load(2, b.add(row, self.whole(a)), column, k)) for k in numbers] for a in range(ROWS)]
        with self.cgutils.for_range_slice(b, begin, end, self.whole(1)) as (p, _):
            right = [self.load(1, p, column, k) for k in numbers]
            for a in range(ROWS):
                factor = self.everywhere(b.fneg(b.load(self.at(0, p, b.add(row, self.whole(a))))))
                for k in numbers:
                    b.store(self.times_plus(factor, right[k], b.load(held[a][k])), held[a][k])
        return [[b.load(place) for place in line] for line in held]

    def substituted(self, rows: list[list[Any]]) -> list[list[Any]]:
        b = self.builder

        def pivot(line: int, place: int) -> Any:
            return b.load(self.at(7, self.whole(line), self.whole(place)))

        for a in range(ROWS):
            for above in range(a):
                factor = self.everywhere(b.fneg(pivot(above, a)))
                rows[a] = [self.times_plus(factor, up, own) for up, own in zip(rows[above], rows[a], strict=True)]
            inverse = self.everywhere(pivot(a, a))
            rows[a] = [b.fmul(own, inverse) for own in rows[a]]
        return rows

    def store_rows(self, rows: list[list[Any]], row: Any, column: Any) -> None:
        for a, line in enumerate(rows):
            for k, value in enumerate(line):
                there = self.vector_at(2, self.builder.add(row, self.whole(a)), column, k)
                self.builder.store(value, there, align=self.align)

    def project(self, column: Any, end: Any) -> None:
        b, numbers = self.builder, range(self.vectors)
        zero, one = self.ir.Constant(self.real, 0.0), self.ir.Constant(self.real, 1.0)
        means = [self.kept(self.everywhere(zero)) for _ in numbers]
        variances = [self.kept(self.everywhere(one)) for _ in numbers]
        with self.cgutils.for_range(b, end, intp=self.whole) as loop:
            weight = self.everywhere(b.load(self.at(1, self.whole(0), loop.index)))
            for k in numbers:
                value = self.load(0, loop.index, column, k)
                b.store(self.times_plus(weight, value, b.load(means[k])), means[k])
                b.store(self.times_plus(b.fneg(value), value, b.load(variances[k])), variances[k])
        for k in numbers:
            for array, place in ((2, means[k]), (3, variances[k])):
                b.store(b.load(place), self.vector_at(array, self.whole(0), column, k), align=self.align)


_make = _in_plain_python if numba_config.DISABLE_JIT else _compiled  # type: ignore[attr-defined]  # set at import
_subtract_1, _eliminate_1, _project_1 = _make(1)
_subtract_4, _eliminate_4, _ = _make(4)


# Compiled each by itself and called: written into every loop that needs them they would be most of the compile time.


@cell_kernel()
def subtract_products(
    left: Any, right: Any, target: Any, row: Any, first: Any, last: Any, begin: Any, end: Any
) -> None:
    """Subtract from four rows of `target`, columns first to last (a multiple of PAD apart), as the module says."""
    lanes = _VECTOR_BYTES // target.itemsize
    column = first
    while column + 4 * lanes <= last:
        _subtract_4(left, right, target, row, column, begin, end)
        column += 4 * lanes
    while column < last:
        _subtract_1(left, right, target, row, column, begin, end)
        column += lanes


@cell_kernel()
def eliminate(left: Any, right: Any, target: Any, row: Any, first: Any, last: Any, end: Any, pivots: Any) -> None:
    """Subtract products of rows 0 to end, then substitute forward.

    pivots : (4, 4), inverse pivots on its diagonal, and above it the factor's own entries
    """
    lanes = _VECTOR_BYTES // target.itemsize
    column = first
    while column + 4 * lanes <= last:
        _eliminate_4(left, right, target, row, column, 0, end, pivots)
        column += 4 * lanes
    while column < last:
        _eliminate_1(left, right, target, row, column, 0, end, pivots)
        column += lanes


@cell_kernel()
def project(v: Any, w: Any, mean: Any, variance: Any, columns: Any, end: Any) -> None:
    """Write v'w and 1 - v'v of the first columns (a multiple of PAD) of rows 0 to end."""
    lanes = _VECTOR_BYTES // v.itemsize
    column = 0
    while column < columns:
        _project_1(v, w, mean, variance, column, end)
        column += lanes
