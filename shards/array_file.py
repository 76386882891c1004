"""Named arrays in one file or one blob: the format of intermediate results and of packed values in shuffles.

Layout: magic `CC1A` and 4 zero bytes; the arrays, little-endian, each padded with zero bytes to a multiple of 8; the directory
(JSON, UTF-8: `arrays` as a list of [name, dtype, offset, length], and `attributes`, anything that JSON holds); length of
the directory as uint64; magic again. Arrays can be added one after another, and any range of one read without the rest.
"""

import io
import json
from collections.abc import Mapping
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from cc100.shards.errors import DamagedFileError

_MAGIC = b"CC1A"
_TRAILER_BYTES = 12
_DTYPES = {name: np.dtype(f"<{name}") for name in ("u2", "u4", "u8", "i2", "i4", "i8", "f4", "f8")} | {
    "u1": np.dtype("u1"),
    "i1": np.dtype("i1"),
}

Array = npt.NDArray[Any]


class Writable(Protocol):
    """What a writer needs of a stream."""

    def write(self, data: Any, /) -> int:
        """Write all of a bytes-like object."""


class ArrayWriter:
    """Writes arrays one after another to a binary stream; the same arrays give the same bytes."""

    def __init__(self, stream: Writable) -> None:
        self._stream = stream
        self._entries: list[tuple[str, str, int, int]] = []
        self._offset = 8
        stream.write(_MAGIC + bytes(4))

    def add(self, name: str, array: Array) -> None:
        """Append an array of shape [n], of an integer or floating type of 1 to 8 bytes."""
        column = np.ascontiguousarray(array)
        kind = column.dtype.str[1:]
        if column.ndim != 1 or kind not in _DTYPES:
            raise ValueError(f"only one-dimensional numeric arrays can be stored; {name} is {array.dtype}{array.shape}")
        self._entries.append((name, kind, self._offset, len(column)))
        if column.nbytes:
            self._stream.write(column.view(np.uint8).data)
            self._stream.write(bytes(-column.nbytes % 8))
        self._offset += column.nbytes + -column.nbytes % 8

    def close(self, attributes: Mapping[str, Any] | None = None) -> None:
        """Write the directory; the stream stays open."""
        directory = {"arrays": self._entries, "attributes": attributes or {}}
        data = json.dumps(directory, ensure_ascii=False, sort_keys=True).encode()
        self._stream.write(data + len(data).to_bytes(8, "little") + _MAGIC)


class ArrayFile:
    """Reads arrays, or ranges of them, from an open seekable binary file.

    Args:
        stream: the file.
        name: its path, for messages.

    Raises:
        DamagedFileError: the file is no array file, or was cut.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream, self._name = stream, name
        try:
            size = stream.seek(0, io.SEEK_END)
            trailer = self._read(size - _TRAILER_BYTES, _TRAILER_BYTES) if size >= _TRAILER_BYTES else b""
            if trailer[8:] != _MAGIC:
                raise ValueError("the mark at its end is missing")
            length = int.from_bytes(trailer[:8], "little")
            directory = json.loads(self._read(size - _TRAILER_BYTES - length, length))
            self._entries = {n: (_DTYPES[kind], offset, count) for n, kind, offset, count in directory["arrays"]}
            self.attributes: dict[str, Any] = directory["attributes"]
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(str(error)) from error

    def length(self, name: str) -> int:
        """Number of elements of an array."""
        return self._entry(name)[2]

    def read(self, name: str, begin: int = 0, end: int | None = None) -> Array:
        """Elements begin..end of an array (default: all of them), read-only."""
        dtype, offset, length = self._entry(name)
        stop = length if end is None else min(end, length)
        count = max(stop - begin, 0)
        return np.frombuffer(self._read(offset + begin * dtype.itemsize, count * dtype.itemsize), dtype, count)

    def _entry(self, name: str) -> tuple[np.dtype[Any], int, int]:
        try:
            return self._entries[name]
        except KeyError:
            raise self._damaged(f"it has no array {name!r}") from None

    def _read(self, offset: int, size: int) -> bytes:
        if size == 0:
            return b""
        self._stream.seek(offset)
        data = self._stream.read(size)
        if len(data) != size:
            raise self._damaged(f"it ends at byte {offset + len(data)}, {size - len(data)} bytes early")
        return data

    def _damaged(self, what: str) -> DamagedFileError:
        return DamagedFileError(
            f"{self._name} is damaged: {what}. Delete it and run the same command again: it will be made anew."
        )


def pack(arrays: Mapping[str, Array], attributes: Mapping[str, Any] | None = None) -> bytes:
    """A set of arrays as one blob, in the layout of the file."""
    stream = io.BytesIO()
    writer = ArrayWriter(stream)
    for name, array in arrays.items():
        writer.add(name, array)
    writer.close(attributes)
    return stream.getvalue()


def unpack(blob: bytes) -> dict[str, Array]:
    """Arrays of a blob made by `pack`: read-only views, nothing is copied."""
    length = int.from_bytes(blob[-_TRAILER_BYTES:-4], "little")
    directory = json.loads(blob[-_TRAILER_BYTES - length : -_TRAILER_BYTES])
    return {
        name: np.frombuffer(blob, _DTYPES[kind], count, offset) for name, kind, offset, count in directory["arrays"]
    }
