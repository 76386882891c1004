"""fastText's dictionary: what counts as a word of a text, and which number it has.

The rules are those of `Dictionary::readWord`, `getLine` and `find` in https://github.com/facebookresearch/fastText,
src/dictionary.cc (0.9.2). Functions marked `kernel_part` are compiled into the kernels that call them; Numba's cache
looks at a kernel's own file only, so a kernel must be compiled again after a change here.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from numba import njit

from cc100.transforms.fasttext_model import END_OF_LINE, LABEL_PREFIX
from cc100.transforms.intrinsics import frozen, word_at

WORD, SKIP, STOP = 0, 1, 2  # kinds of tokens
_SEPARATORS = np.uint64(1 | 0b11111 << 9 | 1 << 32)  # bits of NUL, \t, \n, \v, \f, \r and the space
_KEY_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio
_MAX_LOAD = 0.46  # of the hash table; insertion begins to fail at 0.5
_MAX_KICKS = 500
_STOP_BYTES = np.frombuffer(END_OF_LINE, np.uint8)
_PREFIX = np.frombuffer(LABEL_PREFIX, np.uint8)

Bytes: TypeAlias = npt.NDArray[np.uint8]
Keys: TypeAlias = npt.NDArray[np.uint64]
Positions: TypeAlias = npt.NDArray[np.int64]
Integer: TypeAlias = int | np.int64
_Function = TypeVar("_Function", bound=Callable[..., Any])
_I64, _U8, _U64 = np.int64, np.uint8, np.uint64


class Dictionary(NamedTuple):
    """Hash table of words and labels; all arrays read-only, so that every model has the same Numba type.

    Attributes:
        words: Number of words; the labels come after them.
        longest: Bytes of the longest entry.
        slots: int32[2^k], k <= 32: cuckoo hash table (Pagh and Rodler 2004). An entry is in one of two places, the low
            or the high half of its key modulo 2^k; empty: number of entries.
        keys: uint64[entries + 1], see `word_key`; the last one, of an entry of no bytes, is 0.
        blob: uint8[], the entries one after another.
        offsets: int64[entries + 2], where they start in `blob`.
        special: uint8[256], 1 for the first bytes of tokens that may be something else than words.
    """

    words: int
    longest: int
    slots: npt.NDArray[np.int32]
    keys: Keys
    blob: Bytes
    offsets: Positions
    special: Bytes


def make_dictionary(entries: list[bytes], words: int) -> Dictionary:
    """Dictionary of a model's entries, `words` words and then the labels."""
    blob = np.frombuffer(b"".join(entries) or b"\0", np.uint8)
    offsets = np.zeros(len(entries) + 2, np.int64)
    np.cumsum([len(entry) for entry in entries], out=offsets[1:-1])
    offsets[-1] = offsets[-2]
    keys = np.append(_word_keys(blob, offsets), np.uint64(0))
    numbers = {entry: number for number, entry in reversed(list(enumerate(entries)))}  # the first of equal entries
    bits = 4
    while len(numbers) > _MAX_LOAD * (1 << bits):
        bits += 1
    while (slots := _cuckoo_table(keys.tolist(), list(numbers.values()), bits)) is None:
        bits += 1
    special = np.zeros(256, np.uint8)
    special[[entry[0] for entry in (*entries[words:], LABEL_PREFIX, END_OF_LINE) if entry]] = 1
    return Dictionary(
        words=words,
        longest=max(map(len, entries)),
        slots=frozen(slots, np.int32),
        keys=frozen(keys, np.uint64),
        blob=frozen(blob, np.uint8),
        offsets=frozen(offsets, np.int64),
        special=frozen(special, np.uint8),
    )


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


def _word_keys(blob: Bytes, offsets: Positions) -> Keys:
    """Keys of all entries but the last, empty one: `word_key` over arrays."""
    starts, sizes = offsets[:-2], np.diff(offsets)[:-1]
    keys = np.zeros(len(starts), np.uint64)
    for at in range(0, int(sizes.max(initial=0)), 8):
        live = np.flatnonzero(sizes > at)
        place = at + np.arange(8)
        chunk = blob[np.minimum(starts[live, None] + place, len(blob) - 1)] * (place < sizes[live, None])
        key = keys[live] ^ chunk.astype(np.uint8).view("<u8")[:, 0]
        key = (key ^ key >> np.uint64(32)) * _KEY_FACTOR
        keys[live] = key ^ key >> np.uint64(29)
    return keys


def kernel_part(function: _Function) -> _Function:
    """A function that is compiled into kernels only, and so needs neither a Python interface nor a cache entry."""
    return njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)


@kernel_part
def is_separator(byte: np.uint8) -> np.bool_:
    """Whether a byte ends a word."""
    return byte <= _U8(32) and (_SEPARATORS >> _U64(byte)) & _U64(1) != _U64(0)


@kernel_part
def _load_word(text: Bytes, at: Integer, end: Integer) -> np.uint64:
    """The next eight bytes of a word; zeros after its end."""
    value = _U64(word_at(text, at, len(text)))
    return value & ((_U64(1) << _U64(8 * (end - at))) - _U64(1)) if end - at < 8 else value


@kernel_part
def word_key(text: Bytes, start: Integer, end: Integer) -> np.uint64:
    """64-bit hash of a word. Words of up to eight bytes have different keys, none of them 0."""
    key = _U64(0)
    for at in range(start, end, 8):
        key ^= _load_word(text, at, end)
        key = (key ^ key >> _U64(32)) * _KEY_FACTOR
        key ^= key >> _U64(29)
    return key


@kernel_part
def equal(text: Bytes, start: Integer, size: Integer, other: Bytes, at: Integer) -> np.bool_:
    """Whether text[start : start + size] and other[at : at + size] are the same bytes."""
    same = np.bool_(True)
    for k in range(0, size, 8):
        same &= _load_word(text, start + k, start + size) == _load_word(other, at + k, at + size)
    return same


@kernel_part
def find_key(slots: npt.NDArray[np.int32], keys: Keys, offsets: Positions, key: np.uint64, size: Integer) -> np.int64:
    """Number of the entry of this key and size, or the number of entries; takes no branch."""
    mask = _U64(len(slots) - 1)
    first = _U64(slots[key & mask])
    second = _U64(slots[key >> _U64(32) & mask])
    entry = first if keys[first] == key else second
    found = (keys[entry] == key) & (offsets[entry + _U64(1)] - offsets[entry] == size)
    return _I64(entry if found else _U64(len(keys) - 1))


@kernel_part
def token_kind(dictionary: Dictionary, key: np.uint64, text: Bytes, start: Integer, size: Integer) -> int:
    """What a token is: a word, a label (passed over) or the end of the line."""
    if size == len(_STOP_BYTES) and equal(text, start, size, _STOP_BYTES, _I64(0)):
        return STOP
    entry = find_key(dictionary.slots, dictionary.keys, dictionary.offsets, key, size)
    if entry < len(dictionary.keys) - 1 and equal(text, start, size, dictionary.blob, dictionary.offsets[entry]):
        return WORD if entry < dictionary.words else SKIP
    prefix = len(_PREFIX)
    return SKIP if size >= prefix and equal(text, start, prefix, _PREFIX, _I64(0)) else WORD
