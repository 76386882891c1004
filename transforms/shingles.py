"""Shingles of paragraphs as 64-bit hashes, straight from UTF-8 bytes.

The shingles of a paragraph are the sets of `shingle_length` consecutive words (separated by white space as in
`str.split`) or, where more than half of the code points that are not white space belong to scripts written without
spaces, of `shingle_length` consecutive code points after removal of white space. Nothing else is normalised.

A shingle's hash is a polynomial of the 64-bit hashes of its words or code points, so that a paragraph costs one step
per word whatever the length of a shingle, passed through a mixer that also separates words from code points.
Words are not hashed with XXH64, whose byte-wise tail makes it half as fast on words.

All buffers must be valid UTF-8, with paragraphs that begin and end between two code points; this is not checked.
"""

import dataclasses

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cc100.transforms.hashing import mix64
from cc100.transforms.intrinsics import frozen, load64, trailing_zeros, word_at
from cc100.transforms.unicode_tables import is_white_space

UNSPACED_RANGES = (
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3134F),  # Han
    (0x3040, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9D),  # Kana
    (0x0E00, 0x0E7F), (0x0E80, 0x0EFF), (0x0F00, 0x0FFF),  # Thai, Lao, Tibetan
    (0x1000, 0x109F), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F),  # Myanmar
    (0x1780, 0x17FF), (0x19E0, 0x19FF),  # Khmer
)  # fmt: skip
"""First and last code point of the scripts that are written without spaces (Unicode blocks)."""

_UNSPACED_END = max(last for _, last in UNSPACED_RANGES) + 1
_MULTIPLIER = np.uint64(0xD1342543DE82EF95)  # odd, 5 modulo 8: powers differ in all but the lowest bits
_WORD_LENGTH_STEP = np.uint64(0x9E3779B97F4A7C15)
_CODE_POINT_OFFSET = np.uint64(0xA0761D6478BD642F)
_CODE_POINT_SHINGLE = np.uint64(0xE7037ED1A0B428DB)
_CLASSIFIED_AT_ONCE = 256
_LOW_BITS = np.uint64(0x0101010101010101)
_HIGH_BITS = np.uint64(0x8080808080808080)


def _unspaced_bits() -> NDArray[np.uint64]:
    """Bit c % 64 of word c // 64 tells whether code point c is in `UNSPACED_RANGES`."""
    flags = np.zeros((_UNSPACED_END + 63) // 64 * 64, np.bool_)
    for low, high in UNSPACED_RANGES:
        flags[low : high + 1] = True
    return np.packbits(flags, bitorder="little").view("<u8").astype(np.uint64)


_UNSPACED = _unspaced_bits()


@dataclasses.dataclass(frozen=True)
class ShingleSets:
    """Shingle sets of n paragraphs, one after another.

    Attributes:
        offsets: int64[n + 1]; the set of paragraph i is `hashes[offsets[i]:offsets[i + 1]]`.
        hashes: uint64[offsets[n]], ascending and distinct in every paragraph.
    """

    offsets: NDArray[np.int64]
    hashes: NDArray[np.uint64]


def shingle_sets(
    text: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64], shingle_length: int = 5
) -> ShingleSets:
    """Shingle sets of paragraphs.

    Args:
        text: uint8[b], valid UTF-8.
        starts: int64[n], first byte of every paragraph in `text`.
        ends: int64[n], one past its last byte.
        shingle_length: words or code points in a shingle, at least 1.

    Returns:
        The sets; empty for a paragraph of fewer than `shingle_length` words or code points.

    Raises:
        ValueError: a span reaches out of `text` or ends before it starts, or `shingle_length` is below 1.
    """
    offsets, hashes = _shingle_sets(*checked_spans(text, starts, ends), checked_length(shingle_length))
    return ShingleSets(offsets, hashes)


def checked_spans(
    text: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Spans as the kernels take them, once they are known to lie in the text.

    Raises:
        ValueError: a span reaches out of `text` or ends before it starts, or the numbers of starts and ends differ.
    """
    text, starts, ends = frozen(text, np.uint8), frozen(starts, np.int64), frozen(ends, np.int64)
    if len(starts) != len(ends):
        raise ValueError(f"{len(starts)} starts but {len(ends)} ends")
    if len(starts) and (starts.min() < 0 or ends.max() > len(text) or (ends < starts).any()):
        raise ValueError(f"a paragraph reaches out of the text of {len(text)} bytes or ends before it starts")
    return text, starts, ends


def checked_length(shingle_length: int) -> int:
    """The same number.

    Raises:
        ValueError: it is below 1.
    """
    if shingle_length < 1:
        raise ValueError(f"a shingle of {shingle_length} words, expected at least 1")
    return shingle_length


@njit(cache=True, nogil=True)
def _shingle_sets(
    text: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64], length: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    classes, tokens, points = shingle_buffers(starts, ends)
    offsets = np.zeros(len(starts) + 1, np.int64)
    hashes = np.empty(max(1024, len(text) // 8), np.uint64)
    for row in range(len(starts)):
        count = shingle_hashes(text, starts[row], ends[row], length, classes, tokens, points)
        total = offsets[row]
        if total + count > len(hashes):
            longer = np.empty(max(2 * len(hashes), total + count), np.uint64)
            longer[:total] = hashes[:total]
            hashes = longer
        tokens[:count].sort()
        for i in range(count):
            if i == 0 or tokens[i] != tokens[i - 1]:
                hashes[total] = tokens[i]
                total += 1
        offsets[row + 1] = total
    return offsets, hashes[: offsets[-1]].copy()


@njit(cache=True, nogil=True)
def shingle_buffers(
    starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.uint64], NDArray[np.uint32]]:
    """Room for the bytes' classes, the words and the code points of the longest paragraph, for `shingle_hashes`."""
    longest = 0
    for row in range(len(starts)):
        longest = max(longest, ends[row] - starts[row])
    classes = np.zeros(longest + _CLASSIFIED_AT_ONCE + 8, np.uint8)
    return classes, np.empty(longest // 2 + 1, np.uint64), np.empty(longest + 1, np.uint32)


@njit(cache=True, nogil=True)
def shingle_hashes(
    text: NDArray[np.uint8],
    begin: int,
    end: int,
    length: int,
    classes: NDArray[np.uint8],
    tokens: NDArray[np.uint64],
    points: NDArray[np.uint32],
) -> int:
    """Hashes of one paragraph's shingles, in order and with repetitions.

    Args:
        text: uint8[b].
        begin: first byte of the paragraph.
        end: one past its last byte.
        length: words or code points in a shingle.
        classes: uint8, from `shingle_buffers`; overwritten.
        tokens: uint64, from `shingle_buffers`; receives the hashes.
        points: uint32, from `shingle_buffers`; overwritten.

    Returns:
        Number of shingles.
    """
    _classify(text, begin, end, classes)
    count, may_be_unspaced = _words(text, classes, begin, end, tokens)
    if may_be_unspaced:
        solid, unspaced = _code_points(text, begin, end, points)
        if 2 * unspaced > solid:  # then most code points have three bytes, and they fit in `tokens`
            for i in range(solid):
                tokens[i] = mix64(np.uint64(points[i]) + _CODE_POINT_OFFSET)
            shingles: int = _roll(tokens, solid, length, _CODE_POINT_SHINGLE)
            return shingles
    shingles = _roll(tokens, count, length, np.uint64(0))
    return shingles


@njit(cache=True, nogil=True)
def _classify(text: NDArray[np.uint8], begin: int, end: int, classes: NDArray[np.uint8]) -> None:
    """What the splitter must know of every byte of a paragraph, so that it can look at eight at once.

    128 where a white-space code point may begin, 1 where a code point of three or four bytes begins. Where the text
    goes on, so does this, up to a whole number of vectors: the bytes left over would cost more than all others.
    """
    size = (end - begin + _CLASSIFIED_AT_ONCE - 1) // _CLASSIFIED_AT_ONCE * _CLASSIFIED_AT_ONCE
    for i in range(min(size, len(text) - begin)):
        byte = text[np.uint64(begin + i)]
        may_be_space = (byte <= 0x20) | (byte == 0xC2) | (np.uint8(byte - 0xE1) <= 2)
        is_long = np.uint8(1) if byte >= 0xE0 else np.uint8(0)
        classes[i] = (np.uint8(128) if may_be_space else np.uint8(0)) | is_long


@njit(cache=True, nogil=True)
def _words(
    text: NDArray[np.uint8], classes: NDArray[np.uint8], begin: int, end: int, tokens: NDArray[np.uint64]
) -> tuple[int, bool]:
    """Hashes of a paragraph's words: their number, and whether its code points have to be looked at one by one."""
    count, solid_bytes, long_points = 0, 0, np.int64(0)
    word = begin
    for block in range(begin, end, 8):
        marks = load64(classes, block - begin)
        if end - block < 8:
            marks &= (np.uint64(1) << np.uint64(8 * (end - block))) - np.uint64(1)
        long_points += np.int64(((marks & _LOW_BITS) * _LOW_BITS) >> np.uint64(56))
        marks &= _HIGH_BITS
        while marks != 0:
            at = block + (trailing_zeros(marks) >> 3)
            marks &= marks - np.uint64(1)
            size = 1 if text[np.uint64(at)] == 0x20 else _white_space_at(text, at)
            if size:
                if at > word:
                    tokens[np.uint64(count)] = _hash_word(text, word, at)
                    solid_bytes += at - word
                    count += 1
                word = at + size
    if end > word:
        tokens[count] = _hash_word(text, word, end)
        solid_bytes += end - word
        count += 1
    # Only code points of three or four bytes are unspaced. With l of these, s bytes are at least l + (s - 4 l) / 2 code
    # points, of which more than half would have to be unspaced: 2 l > s / 2 - l.
    return count, bool(6 * long_points > solid_bytes)


@njit(cache=True, nogil=True)
def _white_space_at(text: NDArray[np.uint8], at: int) -> int:
    """Bytes of the white-space code point that begins at a byte of class 128; 0 where it is another code point."""
    byte = np.int64(text[at])
    if byte <= 0x20:
        return 1 if is_white_space(byte) else 0
    point, size = _code_point(text, at)
    return size if is_white_space(point) else 0


@njit(cache=True, nogil=True)
def _code_point(text: NDArray[np.uint8], at: int) -> tuple[np.int64, int]:
    """The code point that begins at a byte, and its length in bytes."""
    index = np.uint64(at)  # an unsigned index is never taken from the end
    byte = np.int64(text[index])
    if byte < 0x80:
        return byte, 1
    second = np.int64(text[index + np.uint64(1)]) & 0x3F
    if byte < 0xE0:
        return (byte & 0x1F) << 6 | second, 2
    third = np.int64(text[index + np.uint64(2)]) & 0x3F
    if byte < 0xF0:
        return (byte & 0x0F) << 12 | second << 6 | third, 3
    return (byte & 0x07) << 18 | second << 12 | third << 6 | (np.int64(text[index + np.uint64(3)]) & 0x3F), 4


@njit(cache=True, nogil=True)
def _code_points(text: NDArray[np.uint8], begin: int, end: int, points: NDArray[np.uint32]) -> tuple[int, np.int64]:
    """Code points of a paragraph without white space: their number, and how many of them are unspaced."""
    count, unspaced = 0, np.int64(0)
    at = begin
    while at < end:
        point, size = _code_point(text, at)
        at += size
        if not is_white_space(point):
            points[np.uint64(count)] = point
            if point < _UNSPACED_END:
                unspaced += np.int64(_UNSPACED[np.uint64(point >> 6)] >> np.uint64(point & 63)) & 1
            count += 1
    return count, unspaced


@njit(cache=True, nogil=True)
def _hash_word(text: NDArray[np.uint8], begin: int, end: int) -> np.uint64:
    """Hash of the bytes and the length of a word: words of one length up to eight bytes never collide."""
    size = end - begin
    hashed: np.uint64 = mix64(np.uint64(size) * _WORD_LENGTH_STEP)
    if size < 8:
        beyond = np.uint64(64 - 8 * size)
        hashed = mix64(hashed ^ ((word_at(text, begin, len(text)) << beyond) >> beyond))
        return hashed
    at = begin
    while at + 8 < end:
        hashed = mix64(hashed ^ load64(text, at))
        at += 8
    hashed = mix64(hashed ^ load64(text, end - 8))  # the last eight bytes, some of them for the second time
    return hashed


@njit(cache=True, nogil=True)
def _roll(tokens: NDArray[np.uint64], count: int, length: int, domain: np.uint64) -> int:
    """Replaces `tokens[:count]` by the hashes of `length` consecutive ones; returns the number of these."""
    shingles = count - length + 1
    if shingles <= 0:
        return 0
    hashed, leaving = np.uint64(0), np.uint64(1)
    for i in range(length):
        hashed = hashed * _MULTIPLIER + tokens[i]
        leaving *= _MULTIPLIER
    for i in range(shingles - 1):
        first = tokens[i]
        tokens[i] = mix64(hashed ^ domain)
        hashed = hashed * _MULTIPLIER + (tokens[i + length] - first * leaving)
    tokens[shingles - 1] = mix64(hashed ^ domain)
    return shingles
