"""What the compiled kernels of the tokenizer share."""

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from numba import njit

Bytes: TypeAlias = npt.NDArray[np.uint8]
Words: TypeAlias = npt.NDArray[np.uint32]
Keys: TypeAlias = npt.NDArray[np.uint64]
Int32s: TypeAlias = npt.NDArray[np.int32]
Int64s: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float32]
Integer: TypeAlias = int | np.int64
_Function = TypeVar("_Function", bound=Callable[..., Any])
_U64, _I64 = np.uint64, np.int64


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Read-only view of a contiguous array: Numba compiles again for arrays that are not."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def kernel_part(function: _Function) -> _Function:
    """A function that is compiled into kernels only, and so needs neither a Python interface nor a cache entry.

    Without Numba's run time: counting references to the arrays of a tuple took more than half of the time.
    """
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "forceinline": True}
    return njit(nogil=True, error_model="numpy", _nrt=False, **options)(function)


@kernel_part
def code_at(text: Bytes, at: Integer) -> tuple[np.int64, np.int64]:
    """Code point and bytes of a character of valid UTF-8."""
    byte = _I64(text[_U64(at)])
    if byte < 0x80:
        return byte, _I64(1)
    second = _I64(text[_U64(at + 1)]) & 0x3F
    if byte < 0xE0:
        return (byte & 0x1F) << 6 | second, _I64(2)
    third = _I64(text[_U64(at + 2)]) & 0x3F
    if byte < 0xF0:
        return (byte & 0x0F) << 12 | second << 6 | third, _I64(3)
    return (byte & 0x07) << 18 | second << 12 | third << 6 | _I64(text[_U64(at + 3)]) & 0x3F, _I64(4)
