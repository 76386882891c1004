"""What all compiled kernels share: unaligned words of a byte array, bit scans, and the form of their arguments.

Words are little-endian: byte `index + i` of the array is bits 8 i to 8 i + 7. Nothing checks the index, so the caller
makes sure that all bytes of the word lie inside the array. A kernel whose cached code calls these must itself be
compiled again after a change here: Numba's cache looks at the caller's file only.
"""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import ArrayLike, NDArray

if sys.byteorder != "little":
    raise ImportError("cc100's kernels read and write little-endian words; this machine is big-endian")

WORD_BYTES = 8

_Scalar = TypeVar("_Scalar", bound=np.generic)
_Codegen = Callable[[Any, Any, Any, Any], Any]


def frozen(array: ArrayLike, dtype: type[_Scalar]) -> NDArray[_Scalar]:
    """Contiguous, aligned, read-only view of an array; a copy of `dtype` where that is impossible.

    Numba compiles a kernel again for every combination of read-only and writable arguments, and Arrow's buffers are
    read-only: kernels are given nothing else.
    """
    view = np.require(array, dtype, ["C", "A"]).view()
    view.flags.writeable = False
    return view


def _address(context: Any, builder: Any, signature: Any, arguments: Any, word: Any) -> Any:
    """Pointer to the word of type `word` at (array, index), the first two arguments."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    address = builder.gep(array.data, [arguments[1]])
    return builder.bitcast(address, context.get_value_type(word).as_pointer())


def _load(word: Any) -> _Codegen:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_address(context, builder, signature, arguments, word), align=1)

    return codegen


def _store(word: Any) -> _Codegen:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _address(context, builder, signature, arguments, word), align=1)
        return context.get_dummy_value()

    return codegen


@intrinsic
def load64(typing_context: Any, data: Any, index: Any) -> Any:
    """`load64(data: uint8[:], index: int64) -> uint64`: the 8 bytes from `index` on."""
    return types.uint64(data, types.int64), _load(types.uint64)


@intrinsic
def load32(typing_context: Any, data: Any, index: Any) -> Any:
    """`load32(data: uint8[:], index: int64) -> uint32`: the 4 bytes from `index` on."""
    return types.uint32(data, types.int64), _load(types.uint32)


@intrinsic
def store64(typing_context: Any, data: Any, index: Any, value: Any) -> Any:
    """`store64(data: uint8[:], index: int64, value: uint64)`: writes 8 bytes."""
    return types.none(data, types.int64, types.uint64), _store(types.uint64)


@intrinsic
def store32(typing_context: Any, data: Any, index: Any, value: Any) -> Any:
    """`store32(data: uint8[:], index: int64, value: uint32)`: writes 4 bytes."""
    return types.none(data, types.int64, types.uint32), _store(types.uint32)


@intrinsic
def trailing_zeros(typing_context: Any, x: Any) -> Any:
    """`trailing_zeros(x: uint64) -> int64`: number of zero bits below the lowest one bit; 64 for 0."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.false_bit)

    return types.int64(types.uint64), codegen


@intrinsic
def leading_zeros(typing_context: Any, x: Any) -> Any:
    """`leading_zeros(x: uint64) -> int64`: number of zero bits above the highest one bit; 64 for 0."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], cgutils.false_bit)

    return types.int64(types.uint64), codegen


@njit(cache=True, nogil=True)
def word_at(data: NDArray[np.uint8], index: int, end: int) -> np.uint64:
    """`load64` for any index below `end`, which is not behind the array's own: bytes from there on are 0."""
    if index + WORD_BYTES <= end:
        whole: np.uint64 = load64(data, index)
        return whole
    word = np.uint64(0)
    for i in range(end - index):
        word |= np.uint64(data[index + i]) << np.uint64(8 * i)
    return word
