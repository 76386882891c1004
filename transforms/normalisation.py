"""Digests of paragraphs by which exact duplicates are found.

The normalised form of a paragraph, after cc_net's `text_normalizer.py`: each code point by its simple lower-case
mapping, each decimal digit to 0, without control characters and 33 marks, then stripped as by `str.strip()`. Its digest
is XXH64 of its UTF-8, worked out from Arrow's buffers: the form exists only in a scratch buffer, one at a time.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cc100.transforms.hashing import xxh64
from cc100.transforms.intrinsics import WORD_BYTES, frozen, leading_zeros, store32, store64, trailing_zeros, word_at
from cc100.transforms.unicode_tables import normal_forms, skip_white_space, trim_white_space

EMPTY_DIGEST = 0  # of the paragraphs whose normalised form is empty, and of no others: a hash of 0 becomes 1

_HIGH_BITS = np.uint64(0x8080808080808080)
_TWO_HIGH_BITS = np.uint64(0x8080)
_ONES = np.uint64(0x0101010101010101)
# Added to an ASCII byte, these set its high bit from the named character on.
_FROM_SPACE = np.uint64(0x80 - 0x20) * _ONES
_FROM_DELETE = np.uint64(0x80 - 0x7F) * _ONES
_FROM_0 = np.uint64(0x80 - ord("0")) * _ONES
_AFTER_9 = np.uint64(0x80 - ord("9") - 1) * _ONES
_FROM_A = np.uint64(0x80 - ord("A")) * _ONES
_AFTER_Z = np.uint64(0x80 - ord("Z") - 1) * _ONES


@njit(cache=True, nogil=True)
def _plain_ascii(word: np.uint64) -> int:
    """Number of bytes before the first that is a control character or not ASCII, 0 to 8.

    Sums of a byte that is not ASCII carry into the bytes behind it, which do not count any more.
    """
    kept = (word + _FROM_SPACE) & ~(word + _FROM_DELETE) & ~word & _HIGH_BITS
    plain: int = trailing_zeros(kept ^ _HIGH_BITS) >> 3
    return plain


@njit(cache=True, nogil=True)
def _normal_ascii(word: np.uint64) -> np.uint64:
    """Lower case, and 0 for each digit, in the bytes that `_plain_ascii` counts; the others are undefined."""
    capitals = ((word + _FROM_A) ^ (word + _AFTER_Z)) & _HIGH_BITS
    digits = ((word + _FROM_0) ^ (word + _AFTER_9)) & _HIGH_BITS
    ones = digits >> np.uint64(7)
    return (word | capitals >> np.uint64(2)) & ~((ones << np.uint64(4)) - ones)


@njit(cache=True, nogil=True)
def _utf8_bytes(entry: np.uint32) -> int:
    """Number of bytes of an entry of the table of normal forms."""
    length: int = WORD_BYTES - (leading_zeros(np.uint64(entry)) >> 3)
    return length


@njit(cache=True, nogil=True)
def _normal_form(
    word: np.uint64, blocks: NDArray[np.uint8], entries: NDArray[np.uint32]
) -> tuple[np.uint32, np.int64 | int]:
    """Normal form, as an entry of the table, and bytes of the code point with which `word` begins.

    Any bytes will do: what is not UTF-8 has some form of at most four bytes.
    """
    lead = np.int64(word & np.uint64(0xFF))
    second = np.int64(word >> np.uint64(8) & np.uint64(0x3F))
    if lead < 0xE0:
        is_two = lead >> 7
        return entries[(lead & 0x1F) << 6 | second if is_two else lead], 1 + is_two
    third = np.int64(word >> np.uint64(16) & np.uint64(0x3F))
    if lead < 0xF0:
        block = blocks[(lead & 0x0F) << 6 | second]
        if block == 0:
            return np.uint32(word & np.uint64(0xFFFFFF)), 3
        return entries[np.int64(block) << 6 | third], 3
    number = (lead & 0x07) << 12 | second << 6 | third
    if number >= blocks.size or blocks[number] == 0:
        return np.uint32(word & np.uint64(0xFFFFFFFF)), 4
    return entries[np.int64(blocks[number]) << 6 | np.int64(word >> np.uint64(24) & np.uint64(0x3F))], 4


@njit(cache=True, nogil=True)
def _normalise(
    text: NDArray[np.uint8],
    begin: int,
    end: int,
    blocks: NDArray[np.uint8],
    entries: NDArray[np.uint32],
    scratch: NDArray[np.uint8],
) -> int:
    """Writes the normalised form of `text[begin:end]`, not yet stripped, into `scratch`; returns its bytes.

    A code point's normal form is at most one byte longer than itself (U+023A: 2 to 3), so that `scratch` needs half as
    much again as the paragraph, and a word.
    """
    at = begin
    size = 0
    while at < end:
        word = word_at(text, at, text.size)
        plain = min(_plain_ascii(word), end - at)
        store64(scratch, size, _normal_ascii(word))
        at += plain
        size += plain
        if plain == WORD_BYTES:
            continue
        if at < end and text[at] < 0x80:
            at += 1  # a control character
        while at < end:
            word = word_at(text, at, text.size)
            if not word & _TWO_HIGH_BITS:  # a single space between words stays here
                break
            entry, length = _normal_form(word, blocks, entries)
            store32(scratch, size, entry)
            at += length
            size += _utf8_bytes(entry)
    return size


@njit(cache=True, nogil=True)
def _digest(
    text: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    blocks: NDArray[np.uint8],
    entries: NDArray[np.uint32],
) -> NDArray[np.uint64]:
    longest = 0
    for i in range(starts.size):
        longest = max(longest, ends[i] - starts[i])
    scratch = np.empty(longest + longest // 2 + WORD_BYTES, np.uint8)
    digests = np.empty(starts.size, np.uint64)
    for i in range(starts.size):
        size = _normalise(text, starts[i], ends[i], blocks, entries, scratch)
        begin = skip_white_space(scratch, 0, size)
        end = trim_white_space(scratch, begin, size)
        if begin == end:
            digests[i] = EMPTY_DIGEST
        else:
            digests[i] = max(xxh64(scratch, begin, end, np.uint64(0)), np.uint64(1))
    return digests


def digest_paragraphs(
    text: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """64-bit digests of the normalised forms of paragraphs.

    Args:
        text: uint8[t], valid UTF-8.
        starts: int64[n], first byte of each paragraph.
        ends: int64[n], one past its last byte. Both may be in any order, and paragraphs may overlap.

    Returns:
        uint64[n], `EMPTY_DIGEST` where and only where the normalised form is empty.

    Raises:
        ValueError: a paragraph ends before it starts or leaves the text.
    """
    text = frozen(text, np.uint8)
    starts = frozen(starts, np.int64)
    ends = frozen(ends, np.int64)
    if starts.shape != ends.shape or starts.ndim != 1:
        raise ValueError(f"{starts.shape} starts and {ends.shape} ends of paragraphs")
    if starts.size and (starts.min() < 0 or ends.max() > text.size or (ends < starts).any()):
        raise ValueError(f"paragraphs end before they start or leave the {text.size} bytes of text")
    forms = normal_forms()
    digests: NDArray[np.uint64] = _digest(text, starts, ends, forms.blocks, forms.entries)
    return digests
