"""A fastText model as the tables that `language_kernel` reads."""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from cc100.transforms.fasttext_model import LABEL_PREFIX, FastTextModel, QuantisedMatrix

LONGEST_NGRAM = 32  # characters; the kernel's limit for maxn
KEY_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio
_ROW_ALIGNMENT = 64  # bytes; a row of 16 values is then one cache line
_MAX_TABLE_LOAD = 0.46  # of the cuckoo table; insertion begins to fail at 0.5
_MAX_KICKS = 500

Bytes: TypeAlias = npt.NDArray[np.uint8]
Positions: TypeAlias = npt.NDArray[np.int64]


class KernelModel(NamedTuple):
    """Tables of a model; all arrays read-only, so that every model has the same Numba type.

    Attributes:
        words: Number of words in the dictionary.
        bucket: Number of hash buckets.
        minn: Shortest n-gram, in characters.
        maxn: Longest n-gram, in characters, at most `LONGEST_NGRAM`.
        magic: uint64, floor(2^shift / bucket), below 2^32: division by multiplication.
        shift: uint64.
        kept: uint64[], bitmap over ids: those with a row.
        before: uint32[], number of bits before each word of `kept`.
        rows: float32[rows * dim], in order of id.
        slots: int32[2^k], k <= 32: cuckoo hash table of the dictionary, two places for an entry (the low and the high
            half of its key, modulo 2^k); empty: number of entries.
        keys: uint64[entries + 1], see `_word_key`; the last one, of an entry of no bytes, is 0.
        blob: uint8[], the dictionary's entries one after another: words, then labels.
        offsets: int64[entries + 2], where they start in `blob`.
        longest: Bytes of the longest entry.
        special: uint8[256], 1 for the first bytes of tokens that may be no words.
        end_of_line: Number of the word `</s>`, whose row comes last on every page; not below `words`: there is none.
    """

    words: int
    bucket: int
    minn: int
    maxn: int
    magic: np.uint64
    shift: np.uint64
    kept: npt.NDArray[np.uint64]
    before: npt.NDArray[np.uint32]
    rows: npt.NDArray[np.float32]
    slots: npt.NDArray[np.int32]
    keys: npt.NDArray[np.uint64]
    blob: Bytes
    offsets: Positions
    longest: int
    special: Bytes
    end_of_line: int
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    output: npt.NDArray[np.float32]


def kernel_model(model: FastTextModel) -> KernelModel:
    """Tables of a supervised model with hierarchical softmax and without word n-grams."""
    slots, keys, blob, offsets = _word_table(model.entries)
    kept, before, rows = _row_table(model)
    left, right = huffman_tree(model.counts[model.words :].tolist())
    special = np.zeros(256, np.uint8)
    special[[entry[0] for entry in (*_label_entries(model), LABEL_PREFIX, b"</s>") if entry]] = 1
    words = model.entries[: model.words]
    bits = max(model.bucket, 1).bit_length()
    output = model.output.expand() if isinstance(model.output, QuantisedMatrix) else model.output
    tables = KernelModel(
        words=model.words,
        bucket=model.bucket,
        minn=model.minn,
        maxn=model.maxn,
        magic=np.uint64((1 << 30 + bits) // max(model.bucket, 1)),
        shift=np.uint64(30 + bits),
        kept=kept,
        before=before,
        rows=rows,
        slots=slots,
        keys=keys,
        blob=blob,
        offsets=offsets,
        longest=int(np.diff(offsets).max()),
        special=special,
        end_of_line=words.index(b"</s>") if b"</s>" in words else model.words,
        left=left,
        right=right,
        output=output,
    )
    return tables._replace(
        **{name: _read_only(array, array.dtype) for name, array in tables._asdict().items() if np.ndim(array)}
    )





def _row_table(
    model: FastTextModel,
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    """Bitmap of the ids with a row, the number of bits before each of its words, and the rows in order of id."""
    buckets = np.arange(model.bucket if model.maxn > 0 else 0)
    order: npt.NDArray[np.int64] | None = None
    if model.kept is not None:
        # The last of several entries for one bucket counts; those that no hash reaches do not.
        last = dict(model.kept[model.kept[:, 0] < model.bucket].tolist())
        buckets = np.array(sorted(last), np.int64)
        order = np.array([*range(model.words), *(model.words + last[bucket] for bucket in buckets.tolist())], np.int64)
    has_row = np.zeros(-(-(model.words + model.bucket + 1) // 64) * 64, np.uint8)
    has_row[: model.words] = 1
    has_row[model.words + buckets] = 1
    kept = np.packbits(has_row, bitorder="little").view("<u8").astype(np.uint64)
    before = np.cumsum(np.bitwise_count(kept), dtype=np.uint32) - np.bitwise_count(kept)
    if not isinstance(model.input, QuantisedMatrix):
        return kept, before, model.input.reshape(-1)
    expanded = model.input.expand()
    rows = _aligned(len(expanded) if order is None else len(order), model.input.shape[1])
    rows[:] = expanded if order is None else expanded[order]
    return kept, before, rows.reshape(-1)


def _word_table(
    entries: list[bytes],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint64], npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Cuckoo hash table of the dictionary (Pagh and Rodler 2004), the keys, the entries' bytes and their offsets."""
    blob = np.frombuffer(b"".join(entries) or b"\0", np.uint8)
    offsets = np.zeros(len(entries) + 2, np.int64)
    np.cumsum([len(entry) for entry in entries], out=offsets[1:-1])
    offsets[-1] = offsets[-2]
    keys = np.append(_word_keys(blob, offsets), np.uint64(0))
    numbers = {entry: number for number, entry in reversed(list(enumerate(entries)))}  # the first of equal entries
    bits = 4
    while len(numbers) > _MAX_TABLE_LOAD * (1 << bits):
        bits += 1
    while (slots := _cuckoo_table(keys.tolist(), list(numbers.values()), bits)) is None:
        bits += 1
    return np.array(slots, np.int32), keys, blob, offsets


def _cuckoo_table(keys: list[int], numbers: list[int], bits: int) -> list[int] | None:
    """Table of 2^bits places with every number in one of the two that its key names; None: it did not come about."""
    empty, mask = len(keys) - 1, (1 << bits) - 1
    slots = [empty] * (1 << bits)
    for number in numbers:
        place = keys[number] & mask
        for _ in range(_MAX_KICKS):
            number, slots[place] = slots[place], number
            if number == empty:
                break
            low, high = keys[number] & mask, keys[number] >> 32 & mask
            place = high if place == low else low
        else:
            return None
    return slots


def _word_keys(blob: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Keys of all entries but the last, empty one: `_word_key` over arrays."""
    starts, sizes = offsets[:-2], np.diff(offsets)[:-1]
    keys = np.zeros(len(starts), np.uint64)
    for at in range(0, int(sizes.max(initial=0)), 8):
        live = np.flatnonzero(sizes > at)
        place = at + np.arange(8)
        chunk = blob[np.minimum(starts[live, None] + place, len(blob) - 1)] * (place < sizes[live, None])
        key = keys[live] ^ chunk.astype(np.uint8).view("<u8")[:, 0]
        key = (key ^ key >> np.uint64(32)) * KEY_FACTOR
        keys[live] = key ^ key >> np.uint64(29)
    return keys


def _aligned(rows: int, columns: int) -> npt.NDArray[np.float32]:
    buffer = np.empty(rows * columns * 4 + _ROW_ALIGNMENT, np.uint8)
    skip = -buffer.ctypes.data % _ROW_ALIGNMENT
    return buffer[skip : skip + rows * columns * 4].view(np.float32).reshape(rows, columns)


def read_only(array: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The array as Numba sees all inputs: contiguous and read-only, so that one compiled version fits."""
    view = np.ascontiguousarray(array, dtype).view()
    view.flags.writeable = False
    return view
