"""A fastText model as the tables that `language_kernel` reads."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cc100.transforms.fasttext_dictionary import Dictionary, make_dictionary
from cc100.transforms.fasttext_model import END_OF_LINE, FastTextModel, QuantisedMatrix
from cc100.transforms.intrinsics import frozen

LONGEST_NGRAM = 32  # characters; the kernel's limit for maxn
_ROW_ALIGNMENT = 64  # bytes; a row of 16 values is then one cache line


class KernelModel(NamedTuple):
    """Tables of a model; all arrays read-only, so that every model has the same Numba type.

    A row id is the number of a word, or `words` + the bucket of an n-gram; `words` + `bucket` is one without a row.

    Attributes:
        dictionary: Words and labels.
        words: Number of words in the dictionary.
        bucket: Number of hash buckets.
        minn: Shortest n-gram, in characters.
        maxn: Longest n-gram, in characters, at most `LONGEST_NGRAM`.
        magic: uint64, floor(2^shift / bucket), below 2^32: division by multiplication.
        shift: uint64.
        kept: uint64[], bitmap over row ids: those with a row.
        before: uint32[], number of bits before each word of `kept`.
        rows: float32[rows * dim], in order of row id.
        end_of_line: Number of the word `</s>`, whose row comes last on every page; not below `words`: there is none.
    """

    dictionary: Dictionary
    words: int
    bucket: int
    minn: int
    maxn: int
    magic: np.uint64
    shift: np.uint64
    kept: npt.NDArray[np.uint64]
    before: npt.NDArray[np.uint32]
    rows: npt.NDArray[np.float32]
    end_of_line: int


def kernel_model(model: FastTextModel) -> KernelModel:
    """Tables of a supervised model without word n-grams."""
    words = model.entries[: model.words]
    bits = max(model.bucket, 1).bit_length()
    has_row, rows = _rows(model)
    kept = np.packbits(has_row, bitorder="little").view("<u8")
    before = np.cumsum(np.bitwise_count(kept), dtype=np.uint32) - np.bitwise_count(kept)
    return KernelModel(
        dictionary=make_dictionary(model.entries, model.words),
        words=model.words,
        bucket=model.bucket,
        minn=model.minn,
        maxn=model.maxn,
        magic=np.uint64((1 << 30 + bits) // max(model.bucket, 1)),
        shift=np.uint64(30 + bits),
        kept=frozen(kept, np.uint64),
        before=frozen(before, np.uint32),
        rows=frozen(rows.reshape(-1), np.float32),
        end_of_line=words.index(END_OF_LINE) if END_OF_LINE in words else model.words,
    )


def _rows(model: FastTextModel) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Which row ids have a row, uint8[a multiple of 64], and the rows in order of id; dense ones are not copied."""
    has_row = np.zeros(-(-(model.words + model.bucket + 1) // 64) * 64, np.uint8)
    has_row[: model.words + model.bucket] = 1
    if not isinstance(model.input, QuantisedMatrix):
        return has_row, model.input
    rows = model.input.expand()
    if model.kept is not None:
        # The last of several entries for one bucket counts; one that no hash reaches does not.
        row_of = {bucket: row for bucket, row in model.kept.tolist() if bucket < model.bucket}
        buckets = sorted(row_of)
        has_row[model.words :] = 0
        has_row[[model.words + bucket for bucket in buckets]] = 1
        rows = rows[[*range(model.words), *(model.words + row_of[bucket] for bucket in buckets)]]
    return has_row, _aligned(rows)


def _aligned(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    buffer = np.empty(rows.nbytes + _ROW_ALIGNMENT, np.uint8)
    skip = -buffer.ctypes.data % _ROW_ALIGNMENT
    copy = buffer[skip : skip + rows.nbytes].view(np.float32).reshape(rows.shape)
    copy[:] = rows
    return copy
