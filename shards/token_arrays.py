"""Token arrays: pairs of `.bin` and `.idx` files, byte for byte Megatron's indexed data set (its `IndexedDatasetBuilder`).

    .bin   the tokens of all sequences, one after the other, int32, little-endian; nothing else
    .idx   9 bytes  "MMIDIDX\\0\\0"
           u64      version, 1
           u8       type of the tokens, 4 = int32
           u64      S, number of sequences
           u64      D, number of documents + 1
           i32[S]   tokens of each sequence
           i64[S]   byte at which each sequence begins in .bin
           i64[D]   sequence at which each document begins, and S

A sequence is a paragraph with its closing </s>, a document is a page. There is no empty pair: an empty file cannot be mapped.
fairseq's index has the same first 18 bytes and another layout after them (`export_formats`).
"""

import dataclasses
import os
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from cc100.shards.errors import DamagedFileError

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]

TOKEN = np.dtype("<i4")
_HEADER = struct.Struct("<9sQBQQ")
_MAGIC, _VERSION, _INT32 = b"MMIDIDX\0\0", 1, 4


@dataclasses.dataclass(frozen=True)
class TokenIndex:
    """Where sequences and documents begin in a `.bin` file.

    Attributes:
        lengths: tokens of each sequence, int32[S].
        documents: sequence at which each document begins, and S at the end, int64[D + 1].
    """

    lengths: Int32s
    documents: Int64s

    @property
    def tokens(self) -> int:
        """Number of tokens of all sequences."""
        return int(self.lengths.sum(dtype=np.int64))

    def starts(self) -> Int64s:
        """Token at which each sequence begins, and their number at the end: int64[S + 1]."""
        return np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])

    def to_bytes(self) -> bytes:
        """Content of the `.idx` file."""
        header = _HEADER.pack(_MAGIC, _VERSION, _INT32, len(self.lengths), len(self.documents))
        pointers = self.starts()[:-1] * TOKEN.itemsize
        arrays = ((self.lengths, "<i4"), (pointers, "<i8"), (self.documents, "<i8"))
        return header + b"".join(array.astype(kind).tobytes() for array, kind in arrays)


def read_index(data: bytes, name: str) -> TokenIndex:
    """Content of an `.idx` file.

    Args:
        data: the whole file.
        name: its path, for messages.

    Raises:
        DamagedFileError: it is not what Megatron's writer gives for int32 tokens.
    """
    try:
        return _parse_index(data)
    except ValueError as error:
        raise DamagedFileError(
            f"{name} is damaged: {error}. Delete it and run cc100 encode again: it will be made anew."
        ) from error


def _parse_index(data: bytes) -> TokenIndex:
    if len(data) < _HEADER.size:
        raise ValueError(f"it has {len(data)} bytes, fewer than its header")
    magic, version, kind, sequences, documents = _HEADER.unpack_from(data)
    if (magic, version) != (_MAGIC, _VERSION):
        raise ValueError("it does not begin with MMIDIDX and version 1")
    if kind != _INT32:
        raise ValueError(f"its type of tokens is {kind}, not 4 (int32); an index of fairseq looks like that")
    expected = _HEADER.size + 12 * sequences + 8 * documents
    if len(data) != expected:
        raise ValueError(f"it has {len(data)} bytes, not the {expected} of its {sequences} sequences")
    index = TokenIndex(
        np.frombuffer(data, "<i4", sequences, _HEADER.size),
        np.frombuffer(data, "<i8", documents, _HEADER.size + 12 * sequences),
    )
    if not sequences or index.lengths.min() < 1:
        raise ValueError("it has a sequence without tokens, or none at all")
    if (
        documents < 2
        or index.documents[0] != 0
        or index.documents[-1] != sequences
        or np.diff(index.documents).min() < 1
    ):
        raise ValueError(f"its documents do not rise from sequence 0 to {sequences}")
    if not np.array_equal(np.frombuffer(data, "<i8", sequences, _HEADER.size + 4 * sequences), index.starts()[:-1] * 4):
        raise ValueError("its sequences do not follow each other in the .bin file")
    return index


class TokenArrays:
    """A pair on a local disk, mapped into memory.

    Args:
        prefix: path of both files without `.bin` and `.idx`.

    Attributes:
        index: sequences and documents.
        tokens: all tokens, int32[tokens], read-only.

    Raises:
        DamagedFileError: a file is missing, or the two do not fit together.
    """

    def __init__(self, prefix: str) -> None:
        try:
            with open(f"{prefix}.idx", "rb") as stream:
                self.index = read_index(stream.read(), f"{prefix}.idx")
            size = os.stat(f"{prefix}.bin").st_size
        except OSError as error:
            raise DamagedFileError(f"{error.filename}: {error.strerror}. Run cc100 encode again") from error
        check_size(self.index, size, f"{prefix}.bin")
        self.tokens: npt.NDArray[Any] = np.memmap(f"{prefix}.bin", TOKEN, "r")
        self._starts = self.index.starts()

    def __len__(self) -> int:
        """Number of sequences."""
        return len(self.index.lengths)

    def __getitem__(self, sequence: int) -> Int32s:
        """Tokens of a sequence, as a view."""
        if not -len(self) <= sequence < len(self):
            raise IndexError(f"sequence {sequence} of {len(self)}")
        at = sequence % len(self)
        return self.tokens[self._starts[at] : self._starts[at + 1]]

    def document(self, number: int) -> Int32s:
        """Tokens of a document, as a view; each sequence ends in </s>."""
        first, last = self.index.documents[number], self.index.documents[number + 1]
        return self.tokens[self._starts[first] : self._starts[last]]


def check_size(index: TokenIndex, size: int, name: str) -> None:
    """Refuse a `.bin` file that does not fit its index.

    Raises:
        DamagedFileError: it has another size in bytes.
    """
    if size != index.tokens * TOKEN.itemsize:
        raise DamagedFileError(
            f"{name} is damaged: it has {size} bytes, its index speaks of {index.tokens * TOKEN.itemsize}. "
            "Delete it and run cc100 encode again: it will be made anew."
        )
