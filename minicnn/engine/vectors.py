"""Sixteen floats as one value of a kernel, and several such vectors as a tile.

LLVM turns a loop into vector instructions where it can prove that no arrays overlap, and keeps sums
in registers only where it can prove that too. A tile says both: it is a value, as a float is, which
lies in registers from its `zeros` to its `store`.

    acc = zeros(16)                                           16 vectors of 16 floats
    acc = add_outer(acc, load(2, x, at, step), w, k, 1, 8)    each of 2 vectors times 8 numbers
    a, b = split(load(2, x, at, step))                        two tiles of one vector
    store(join((a + b, a - b)), y, at, step)

A vector has 16 floats everywhere: one register with AVX-512, two with AVX2, four on ARM. So a sum
is taken in the same order on all of them. Arrays are contiguous and of float32, places in them
count floats from the first, and the number of vectors has to be known when a kernel is compiled.

Each function is written down in NumPy, which is what runs where nothing is compiled, and beside it
as the instructions that a kernel gets in its place.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.core.types.containers import UniTuple
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model
from numpy.typing import NDArray

from minicnn.kernels.fast import keep
from minicnn.kernels.reference import FACTOR_1, FACTOR_2, GOLDEN

Array = NDArray[Any]

LANES = 16  # floats in a vector

_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_BYTES = ir.VectorType(ir.IntType(8), LANES)
_WORDS = ir.VectorType(ir.IntType(32), LANES)
_ANY = ir.Constant(_VECTOR, ir.Undefined)
_FMA = ("contract",)  # a product and a sum may become one instruction, rounded once


class Tile(types.Type):
    """The type of so many vectors."""

    def __init__(self, n: int) -> None:
        self.n = n
        super().__init__(name=f"Tile({n})")


@register_model(Tile)
class _TileModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, tile: Tile) -> None:
        super().__init__(manager, tile, _held(tile.n))


def _held(n: int) -> Any:
    return ir.ArrayType(_VECTOR, n)


def _in_kernels(instructions: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """The decorated function where nothing is compiled; else what compiles to `instructions`."""
    if numba.config.DISABLE_JIT:
        return lambda function: function
    return lambda function: intrinsic(prefer_literal=True)(instructions)


# -- instructions: numba's types of the arguments -> signature, and what writes the code -----------


def _zeros(typing: Any, n: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(_held(n.literal_value), None)

    return Tile(n.literal_value)(n), codegen


def _numbers(typing: Any, n: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _all_lanes(builder, args[1])
        return _tile(builder, [vector] * n.literal_value)

    return Tile(n.literal_value)(n, types.float32), codegen


def _load(typing: Any, n: Any, a: Any, at: Any, step: Any) -> Any:
    _expect_floats(a)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place, vectors = args[2], []
        for _ in range(n.literal_value):
            vectors.append(builder.load(_pointer(context, builder, a, args[1], place), align=4))
            place = builder.add(place, args[3])
        return _tile(builder, vectors)

    return Tile(n.literal_value)(n, a, types.intp, types.intp), codegen


def _load_at(typing: Any, n: Any, a: Any, at: Any, places: Any, first: Any) -> Any:
    _expect_floats(a)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = []
        for k in range(n.literal_value):
            place = _listed(context, builder, places, args[3], args[4], k)
            pointer = _pointer(context, builder, a, args[1], builder.add(args[2], place))
            vectors.append(builder.load(pointer, align=4))
        return _tile(builder, vectors)

    return Tile(n.literal_value)(n, a, types.intp, places, types.intp), codegen


def _store(typing: Any, tile: Any, a: Any, at: Any, step: Any) -> Any:
    _expect_floats(a)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = args[2]
        for vector in _vectors(builder, args[0], tile):
            builder.store(vector, _pointer(context, builder, a, args[1], place), align=4)
            place = builder.add(place, args[3])
        return context.get_dummy_value()

    return types.void(tile, a, types.intp, types.intp), codegen


def _store_rows(typing: Any, tile: Any, a: Any, at: Any, row: Any, n: Any, step: Any) -> Any:
    _expect_floats(a)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        start = place = args[2]
        for q, vector in enumerate(_vectors(builder, args[0], tile)):
            if q and q % n.literal_value == 0:
                start = place = builder.add(start, args[3])
            builder.store(vector, _pointer(context, builder, a, args[1], place), align=4)
            place = builder.add(place, args[5])
        return context.get_dummy_value()

    return types.void(tile, a, types.intp, types.intp, n, types.intp), codegen


def _store_at(typing: Any, tile: Any, a: Any, at: Any, places: Any, first: Any) -> Any:
    _expect_floats(a)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        for k, vector in enumerate(_vectors(builder, args[0], tile)):
            place = _listed(context, builder, places, args[3], args[4], k)
            pointer = _pointer(context, builder, a, args[1], builder.add(args[2], place))
            builder.store(vector, pointer, align=4)
        return context.get_dummy_value()

    return types.void(tile, a, types.intp, places, types.intp), codegen


def _load_bytes(typing: Any, a: Any, at: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, a, args[0], args[1], of=_BYTES)
        return _tile(builder, [builder.sitofp(builder.load(pointer, align=1), _VECTOR)])

    return Tile(1)(a, types.intp), codegen


def _store_bytes(typing: Any, tile: Any, a: Any, at: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, a, args[1], args[2], of=_BYTES)
        (vector,) = _vectors(builder, args[0], tile)
        builder.store(builder.fptosi(vector, _BYTES), pointer, align=1)
        return context.get_dummy_value()

    return types.void(tile, a, types.intp), codegen


def _lane_by_lane(write: Callable[..., Any]) -> Callable[..., Any]:
    """Instructions on tiles of one size, from what writes them for one vector of each."""

    def typed(typing: Any, *tiles: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            rows = zip(*(_vectors(builder, one, tiles[0]) for one in args))
            return _tile(builder, [write(builder, *row) for row in rows])

        return tiles[0](*tiles), codegen

    return typed


def _choice(comparison: str) -> Callable[..., Any]:
    def write(builder: Any, a: Any, b: Any, x: Any, y: Any) -> Any:
        return builder.select(builder.fcmp_ordered(comparison, a, b), x, y)

    typed = _lane_by_lane(write)
    return lambda typing, a, b, x, y: typed(typing, a, b, x, y)


def _add_outer(typing: Any, acc: Any, x: Any, w: Any, at: Any, step: Any, n: Any) -> Any:
    _expect_floats(w)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place, factors = args[3], []
        for _ in range(n.literal_value):
            pointer = _pointer(context, builder, w, args[2], place, 1, ir.FloatType())
            factors.append(_all_lanes(builder, builder.load(pointer)))
            place = builder.add(place, args[4])
        return _sums_of_products(builder, args[0], _vectors(builder, args[1], x), factors)

    return acc(acc, x, w, types.intp, types.intp, n), codegen


def _add_products(typing: Any, acc: Any, x: Any, d: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        left, right = _vectors(builder, args[1], x), _vectors(builder, args[2], d)
        return _sums_of_products(builder, args[0], left, right)

    return acc(acc, x, d), codegen


def _add_sliding(typing: Any, acc: Any, x: Any, every: Any, w: Any, step: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        total, numbers = _vectors(builder, args[0], acc), _vectors(builder, args[1], x)
        for j, factor in enumerate(_vectors(builder, args[3], w)):
            for i in range(acc.n):
                number = numbers[i * every.literal_value + j * step.literal_value]
                product = builder.fmul(number, factor, flags=_FMA)
                total[i] = builder.fadd(total[i], product, flags=_FMA)
        return _tile(builder, total)

    return acc(acc, x, every, w, step), codegen


def _add_sums(typing: Any, tile: Any, a: Any, at: Any, row: Any, n: Any) -> Any:
    _expect_floats(a)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        start = place = args[2]
        for q, vector in enumerate(_vectors(builder, args[0], tile)):
            if q and q % n.literal_value == 0:
                start = place = builder.add(start, args[3])
            for half in (8, 4, 2, 1):
                upper = [*range(half, 2 * half), *[0] * (LANES - half)]
                vector = builder.fadd(vector, builder.shuffle_vector(vector, _ANY, _lanes(upper)))
            pointer = _pointer(context, builder, a, args[1], place, 1, ir.FloatType())
            total = builder.extract_element(vector, cgutils.int32_t(0))
            builder.store(builder.fadd(builder.load(pointer), total), pointer)
            place = builder.add(place, ir.Constant(place.type, 1))
        return context.get_dummy_value()

    return types.void(tile, a, types.intp, types.intp, n), codegen


def _transposed(typing: Any, tile: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows = _vectors(builder, args[0], tile)
        # four times the two halves of all rows are dealt together, like cards: what stood at place
        # (r, c) of 16 x 16 numbers in a row then stands at (c, r)
        low = _lanes([k // 2 + LANES * (k % 2) for k in range(LANES)])
        high = _lanes([k // 2 + LANES * (k % 2) + LANES // 2 for k in range(LANES)])
        for _ in range(4):
            pairs = zip(rows[: LANES // 2], rows[LANES // 2 :])
            rows = [builder.shuffle_vector(*pair, part) for pair in pairs for part in (low, high)]
        return _tile(builder, rows)

    return tile(tile), codegen


def _kept(typing: Any, key_1: Any, key_2: Any, first: Any, dropped: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def all_words(number: Any) -> Any:
            low = builder.trunc(number, ir.IntType(32))
            one = builder.insert_element(ir.Constant(_WORDS, ir.Undefined), low, cgutils.int32_t(0))
            return builder.shuffle_vector(one, one, _lanes([0] * LANES))

        def mixed(h: Any, shift: int) -> Any:
            return builder.xor(h, builder.lshr(h, ir.Constant(_WORDS, [shift] * LANES)))

        def times(h: Any, factor: int) -> Any:
            return builder.mul(h, ir.Constant(_WORDS, [factor] * LANES))

        # `fast.hashed`, of sixteen counters
        h = builder.add(all_words(args[2]), _lanes(list(range(LANES))))
        h = builder.add(times(h, GOLDEN), all_words(args[0]))
        h = mixed(builder.xor(h, all_words(args[1])), 16)
        h = mixed(times(h, FACTOR_1), 13)
        h = mixed(times(h, FACTOR_2), 16)
        stays = builder.icmp_unsigned(">=", h, all_words(args[3]))
        nothing = ir.Constant(_VECTOR, [0.0] * LANES)
        return _tile(builder, [builder.select(stays, _all_lanes(builder, args[4]), nothing)])

    return Tile(1)(*[types.int64] * 4, types.float32), codegen


def _split(typing: Any, tile: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        parts = [_tile(builder, [vector]) for vector in _vectors(builder, args[0], tile)]
        return context.make_tuple(builder, signature.return_type, parts)

    return UniTuple(Tile(1), tile.n)(tile), codegen


def _join(typing: Any, tiles: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        parts = cgutils.unpack_tuple(builder, args[0])
        return _tile(builder, [builder.extract_value(part, 0) for part in parts])

    return Tile(tiles.count)(tiles), codegen


def _operator(sign: Any, instruction: str) -> None:
    """Make kernels know `sign` between two tiles of one size, and a number before a tile."""

    class Typed(AbstractTemplate):  # type: ignore[misc]
        def generic(self, args: Any, kws: Any) -> Any:
            a, b = args
            if isinstance(b, Tile) and a in (b, types.float32):
                return signature(b, a, b)
            return None

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a, tile = signature.args
        right = _vectors(builder, args[1], tile)
        left = (
            _vectors(builder, args[0], tile)
            if isinstance(a, Tile)
            else [_all_lanes(builder, args[0])] * tile.n
        )
        write = getattr(builder, instruction)
        return _tile(builder, [write(*pair, flags=_FMA) for pair in zip(left, right)])

    infer_global(sign)(Typed)
    lower_builtin(sign, Tile, Tile)(lower)
    lower_builtin(sign, types.float32, Tile)(lower)


_operator(operator.add, "fadd")
_operator(operator.sub, "fsub")
_operator(operator.mul, "fmul")


def _expect_floats(a: Any) -> None:
    """Other numbers would be read as floats without a word."""
    if (a.layout, a.dtype) != ("C", types.float32):
        raise TypingError(f"expected a contiguous array of float32, received {a}")


def _pointer(
    context: Any, builder: Any, a: Any, array: Any, place: Any, size: int = LANES, of: Any = None
) -> Any:
    """To what stands at that place of the array: a vector, or `of` another type; of its numbers
    `size` are in use.
    """
    held = context.make_array(a)(context, builder, array)
    if numba.config.BOUNDSCHECK:
        for at in (place, builder.add(place, ir.Constant(place.type, size - 1))):
            cgutils.do_boundscheck(context, builder, at, held.nitems)
    return builder.bitcast(builder.gep(held.data, [place]), (of or _VECTOR).as_pointer())


def _listed(context: Any, builder: Any, places: Any, array: Any, first: Any, k: int) -> Any:
    """Number first + k of an array of places."""
    at = builder.add(first, ir.Constant(first.type, k))
    return builder.load(_pointer(context, builder, places, array, at, 1, ir.IntType(64)))


def _lanes(places: list[int]) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places)


def _all_lanes(builder: Any, number: Any) -> Any:
    one = builder.insert_element(_ANY, number, cgutils.int32_t(0))
    return builder.shuffle_vector(one, _ANY, _lanes([0] * LANES))


def _vectors(builder: Any, value: Any, tile: Any) -> list[Any]:
    return [builder.extract_value(value, q) for q in range(tile.n)]


def _tile(builder: Any, vectors: list[Any]) -> Any:
    value = ir.Constant(_held(len(vectors)), ir.Undefined)
    for q, vector in enumerate(vectors):
        value = builder.insert_value(value, vector, q)
    return value


def _sums_of_products(builder: Any, acc: Any, left: list[Any], right: list[Any]) -> Any:
    k = 0
    for a in left:
        for b in right:
            product = builder.fmul(a, b, flags=_FMA)
            total = builder.fadd(builder.extract_value(acc, k), product, flags=_FMA)
            acc = builder.insert_value(acc, total, k)
            k += 1
    return acc


# -- what they do, in NumPy ------------------------------------------------------------------------


@_in_kernels(_zeros)
def zeros(n: int) -> Array:
    """n vectors of zeros."""
    return np.zeros((n, LANES), np.float32)


@_in_kernels(_numbers)
def numbers(n: int, value: float) -> Array:
    """n vectors, all of that number."""
    return np.full((n, LANES), value, np.float32)


@_in_kernels(_load)
def load(n: int, a: Array, at: int, step: int) -> Array:
    """n vectors of `a`: the first from place `at` on, each `step` behind the one before."""
    return np.stack([_part(a, at + q * step, LANES) for q in range(n)])


@_in_kernels(_load_at)
def load_at(n: int, a: Array, at: int, places: Array, first: int) -> Array:
    """n vectors of `a`, number q of them so far behind `at` as places[first + q] says."""
    return np.stack([_part(a, at + place, LANES) for place in _part(places, first, n)])


@_in_kernels(_store)
def store(tile: Array, a: Array, at: int, step: int) -> None:
    """The vectors of the tile into `a`, where `load` reads them."""
    for q, vector in enumerate(tile):
        _part(a, at + q * step, LANES)[:] = vector


@_in_kernels(_store_rows)
def store_rows(tile: Array, a: Array, at: int, row: int, n: int, step: int) -> None:
    """The vectors of the tile into `a`, in rows of n: from one row to the next `row`, within a row
    `step`.
    """
    for q, vector in enumerate(tile):
        _part(a, at + q // n * row + q % n * step, LANES)[:] = vector


@_in_kernels(_store_at)
def store_at(tile: Array, a: Array, at: int, places: Array, first: int) -> None:
    """The vectors of the tile into `a`, where `load_at` reads them."""
    for vector, place in zip(tile, _part(places, first, len(tile))):
        _part(a, at + place, LANES)[:] = vector


@_in_kernels(_load_bytes)
def load_bytes(a: Array, at: int) -> Array:
    """A vector of whole numbers from an array of int8."""
    return _part(a, at, LANES)[None].astype(np.float32)


@_in_kernels(_store_bytes)
def store_bytes(tile: Array, a: Array, at: int) -> None:
    """A vector of whole numbers into an array of int8."""
    _part(a, at, LANES)[:] = tile[0]


@_in_kernels(_choice(">"))
def where_above(a: Array, b: Array, x: Array, y: Array) -> Array:
    """x in the lanes where a > b, else y; so y where one of them is NaN."""
    return np.where(a > b, x, y)


@_in_kernels(_choice("<="))
def where_at_most(a: Array, b: Array, x: Array, y: Array) -> Array:
    """x in the lanes where a <= b, else y; so y where one of them is NaN."""
    return np.where(a <= b, x, y)


@_in_kernels(_choice("=="))
def where_equal(a: Array, b: Array, x: Array, y: Array) -> Array:
    """x in the lanes where a == b, else y."""
    return np.where(a == b, x, y)


@_in_kernels(_kept)
def kept(key_1: int, key_2: int, first: int, dropped: int, value: float) -> Array:
    """A vector of `value` where dropout keeps the cell, number `first` and on; 0 where it does not.

    As `fast.keep`.
    """
    stays = [keep(key_1, key_2, first + k, dropped) for k in range(LANES)]
    return np.where(stays, np.float32(value), np.float32(0))[None]


@_in_kernels(_split)
def split(tile: Array) -> tuple[Array, ...]:
    """Tiles of the single vectors."""
    return tuple(tile[q : q + 1] for q in range(len(tile)))


@_in_kernels(_join)
def join(tiles: tuple[Array, ...]) -> Array:
    """One tile of several with one vector each."""
    return np.concatenate(tiles)


@_in_kernels(_add_outer)
def add_outer(acc: Array, x: Array, w: Array, at: int, step: int, n: int) -> Array:
    """acc[q * n + f] + x[q] * w[at + f * step], for all vectors x[q] and f < n."""
    numbers = np.concatenate([_part(w, at + f * step, 1) for f in range(n)])
    return acc + (x[:, None] * numbers[:, None]).reshape(acc.shape)


@_in_kernels(_add_products)
def add_products(acc: Array, x: Array, d: Array) -> Array:
    """acc[q * n + f] + x[q] * d[f], lane by lane, for all q and the n vectors of d."""
    return acc + (x[:, None] * d).reshape(acc.shape)


@_in_kernels(_add_sliding)
def add_sliding(acc: Array, x: Array, every: int, w: Array, step: int) -> Array:
    """acc[i] + the sum of x[i * every + j * step] * w[j] over j, lane by lane."""
    acc = acc.copy()
    for j, factor in enumerate(w):
        acc += x[j * step :: every][: len(acc)] * factor
    return acc


@_in_kernels(_add_sums)
def add_sums(tile: Array, a: Array, at: int, row: int, n: int) -> None:
    """Adds the sum of each vector to a number of `a`: rows of n, from one to the next `row`."""
    while tile.shape[1] > 1:
        half = tile.shape[1] // 2
        tile = tile[:, :half] + tile[:, half:]
    for q, total in enumerate(tile[:, 0]):
        _part(a, at + q // n * row + q % n, 1)[:] += total


@_in_kernels(_transposed)
def transposed(tile: Array) -> Array:
    """16 vectors: lane r of vector c for lane c of vector r."""
    return np.ascontiguousarray(tile.T)


def _part(a: Array, at: int, size: int) -> Array:
    if at < 0 or at + size > a.size:
        raise IndexError(f"{size} numbers from place {at} on, of {a.size}")
    return a.reshape(-1)[at : at + size]
