"""From the bytes of pages to their paragraphs, in Arrow's layout.

A paragraph is a non-empty line: a page is decoded as UTF-8, every maximal ill-formed subpart becomes U+FFFD (as in
`bytes.decode("utf-8", "replace")`), it is split at LF, and each line is stripped as by `str.strip()`. One pass over the
bytes, a word at a time, validates, splits, strips and copies; no Python string is made.
"""

import dataclasses

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from cc100.transforms.intrinsics import WORD_BYTES, frozen, store32, store64, trailing_zeros, word_at
from cc100.transforms.unicode_tables import skip_white_space, trim_white_space

MAX_TEXT_BYTES = 2**31 - 1

_HIGH_BITS = np.uint64(0x8080808080808080)
_LOW_BITS = np.uint64(0x0101010101010101)
_LINE_FEEDS = np.uint64(0x0A0A0A0A0A0A0A0A)
_LF = 0x0A
# Shifts, and bytes repeated in a word, as uint64: Numba makes a float of uint64 with a signed integer.
_1, _2, _3, _8, _16, _48, _56 = (np.uint64(bits) for bits in (1, 2, 3, 8, 16, 48, 56))
_0D, _0F, _1E, _7E, _7F = (np.uint64(byte) * _LOW_BITS for byte in (0x0D, 0x0F, 0x1E, 0x7E, 0x7F))
_REPLACEMENT = np.uint32(0xBDBFEF)  # U+FFFD in UTF-8, first byte lowest
_REPLACEMENT_BYTES = 3


@dataclasses.dataclass(frozen=True)
class Paragraphs:
    """Paragraphs of consecutive pages. The arrays may be views of larger ones, and read-only.

    Attributes:
        text: uint8[t], UTF-8 of all paragraphs without separators.
        offsets: int32[n + 1], paragraph i is `text[offsets[i]:offsets[i + 1]]`; `offsets[0]` is 0.
        page_paragraphs: int32[p + 1], page j has the paragraphs `page_paragraphs[j]` to `page_paragraphs[j + 1] - 1`;
            `page_paragraphs[0]` is 0.
    """

    text: NDArray[np.uint8]
    offsets: NDArray[np.int32]
    page_paragraphs: NDArray[np.int32]


# --- Splitting --------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _sequence_bytes(data: NDArray[np.uint8], at: int, end: int) -> int:
    """Number of bytes of the UTF-8 sequence that begins at `at` with a byte from 0x80 on.

    Negative where it is ill-formed: minus the number of bytes of its maximal subpart (Unicode 14.0, section 3.9,
    table 3-7), at least 1.
    """
    lead = data[at]
    if lead < 0xC2 or lead > 0xF4:
        return -1
    length = 2 if lead < 0xE0 else (3 if lead < 0xF0 else 4)
    low, high = 0x80, 0xBF  # of the second byte: no overlong forms, surrogates, code points above U+10FFFF
    if lead == 0xE0:
        low = 0xA0
    elif lead == 0xED:
        high = 0x9F
    elif lead == 0xF0:
        low = 0x90
    elif lead == 0xF4:
        high = 0x8F
    for i in range(1, length):
        if at + i >= end or data[at + i] < low or data[at + i] > high:
            return -i
        low, high = 0x80, 0xBF
    return length


@njit(cache=True, nogil=True)
def _count_lines(blocks: NDArray[np.uint8]) -> int:
    lines = 0
    for i in range(blocks.size):
        lines += blocks[i] == _LF
    return lines


@njit(cache=True, nogil=True)
def _check_word(
    word: np.uint64, due: np.uint64, due_high: np.uint64, due_low: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Validates eight bytes at once as sequences of up to three bytes, which may go on in the next word.

    All values are masks of the high bits of bytes. `due` are the continuation bytes that the word before leaves to this
    one; `due_high` and `due_low` those of them that must lie in A0 to BF (after E0) and in 80 to 9F (after ED).

    Returns the bytes at which something is wrong, or which begin a sequence of four, and the three masks for the next
    word.
    """
    high = word & _HIGH_BITS
    bit_6 = word << _1 & _HIGH_BITS
    bit_5 = word << _2 & _HIGH_BITS
    bit_4 = word << _3 & _HIGH_BITS
    lead = high & bit_6
    lead_3 = lead & bit_5
    wrong = (high & ~bit_6) ^ (lead << _8 | lead_3 << _16 | due)
    wrong |= lead_3 & bit_4
    wrong |= lead & ~bit_5 & ~((word & _1E) + _7E)  # C0 and C1
    after_e0 = lead_3 & ~((word & _0F) + _7F)
    after_ed = lead_3 & ~(((word ^ _0D) & _0F) + _7F)
    wrong |= (after_e0 << _8 | due_high) & ~bit_5
    wrong |= (after_ed << _8 | due_low) & bit_5
    return wrong, lead >> _56 | lead_3 >> _48, after_e0 >> _56, after_ed >> _56


@njit(cache=True, nogil=True)
def _copy_sequence(blocks: NDArray[np.uint8], at: int, end: int, text: NDArray[np.uint8], size: int) -> tuple[int, int]:
    """Copies one code point, or U+FFFD for one ill-formed subpart; as `_copy_line`."""
    length = 1 if blocks[at] < 0x80 else _sequence_bytes(blocks, at, end)
    if length > 0:
        for i in range(length):
            text[size + i] = blocks[at + i]
        return at + length, size + length
    at -= length
    if size + _REPLACEMENT_BYTES + blocks.size - at + WORD_BYTES > text.size:
        return at, -1
    store32(text, size, _REPLACEMENT)
    return at, size + _REPLACEMENT_BYTES


@njit(cache=True, nogil=True)
def _copy_line(blocks: NDArray[np.uint8], at: int, end: int, text: NDArray[np.uint8], size: int) -> tuple[int, int]:
    """Copies bytes up to the next line feed, or to `end`, behind the `size` bytes of `text`, as valid UTF-8.

    Returns the position of the line feed, or `end`, and the new size; -1 where `text` is too small. What is still to be
    read and one word always have room behind what has been written, so that words can be copied as a whole.
    """
    none = np.uint64(0)
    due, due_high, due_low = none, none, none
    while at < end or due:
        word = word_at(blocks, at, end)
        feeds = word ^ _LINE_FEEDS
        feeds = (feeds - _LOW_BITS) & ~feeds & _HIGH_BITS  # the lowest bit set is exact
        wrong, next_due, next_high, next_low = none, none, none, none
        if word & _HIGH_BITS or due:
            wrong, next_due, next_high, next_low = _check_word(word, due, due_high, due_low)
        if wrong & (feeds ^ (feeds - _1)):  # up to the first line feed
            if due:  # back to where the sequence begins
                back = 1 if blocks[at - 1] >= 0xC0 else 2
                at -= back
                size -= back
            at, size = _copy_sequence(blocks, at, end, text, size)
            if size < 0:
                break
            due, due_high, due_low = none, none, none
            continue
        store64(text, size, word)
        if feeds:
            plain = trailing_zeros(feeds) >> 3
            return at + plain, size + plain
        plain = min(WORD_BYTES, end - at)
        at += plain
        size += plain
        due, due_high, due_low = next_due, next_high, next_low
    return at, size


@njit(cache=True, nogil=True)
def _split(
    blocks: NDArray[np.uint8], page_offsets: NDArray[np.int64], capacity: int
) -> tuple[int, NDArray[np.uint8], NDArray[np.int32], NDArray[np.int32]]:
    """Bytes of text (-1 where it needs more than `capacity`), and the three arrays of `Paragraphs`, the text uncut.

    `capacity` is at least 8 more than the bytes of the blocks.
    """
    pages = page_offsets.size - 1
    text = np.empty(capacity, np.uint8)
    offsets = np.empty(_count_lines(blocks) + pages + 1, np.int32)
    page_paragraphs = np.empty(pages + 1, np.int32)
    offsets[0] = 0
    page_paragraphs[0] = 0
    paragraphs = 0
    size = 0
    for page in range(pages):
        end = page_offsets[page + 1]
        at = skip_white_space(blocks, page_offsets[page], end)  # line feeds too
        while at < end:
            begin = size
            at, size = _copy_line(blocks, at, end, text, size)
            if size < 0:
                return size, text, offsets, page_paragraphs
            size = trim_white_space(text, begin, size)
            if size > begin:
                paragraphs += 1
                offsets[paragraphs] = size
            at = skip_white_space(blocks, at, end)
        page_paragraphs[page + 1] = paragraphs
    return size, text, offsets[: paragraphs + 1], page_paragraphs


def split_pages(blocks: NDArray[np.uint8], page_offsets: NDArray[np.int64]) -> Paragraphs:
    """Paragraphs of consecutive pages.

    Args:
        blocks: uint8[b], the bytes of the pages, at most 2^31 - 1.
        page_offsets: int64[p + 1], page j is `blocks[page_offsets[j]:page_offsets[j + 1]]`.

    Returns:
        The paragraphs of the p pages in order. The text is valid UTF-8; no paragraph is empty, a page may have none.

    Raises:
        ValueError: the page offsets fall or leave the blocks, or the bytes or their text exceed 2^31 - 1.
    """
    blocks = frozen(blocks, np.uint8)
    page_offsets = frozen(page_offsets, np.int64)
    if blocks.size > MAX_TEXT_BYTES:
        raise ValueError(f"pages of {blocks.size} bytes in one call, at most {MAX_TEXT_BYTES} are possible")
    _check_offsets(page_offsets, blocks.size)
    capacity = blocks.size + blocks.size // 16 + 64
    size, text, offsets, page_paragraphs = _split(blocks, page_offsets, capacity)
    if size < 0:  # much that is not UTF-8: each of those bytes may become three
        capacity = _REPLACEMENT_BYTES * blocks.size + 64
        size, text, offsets, page_paragraphs = _split(blocks, page_offsets, capacity)
    if size > MAX_TEXT_BYTES:
        raise ValueError(f"the pages' text has {size} bytes, at most {MAX_TEXT_BYTES} are possible")
    return Paragraphs(text[:size], offsets, page_paragraphs)


def _check_offsets(offsets: NDArray[np.int64], size: int) -> None:
    """ValueError unless the offsets rise inside an array of `size` bytes: the kernels do not check."""
    if offsets.ndim != 1 or offsets.size == 0:
        raise ValueError("page offsets are one more than the pages")
    if offsets[0] < 0 or offsets[-1] > size or (np.diff(offsets) < 0).any():
        raise ValueError(f"page offsets fall or leave the {size} bytes of the pages")


# --- Arrow ------------------------------------------------------------------------------------------------------------


def string_array(paragraphs: Paragraphs) -> pa.ListArray:
    """Arrow array of the paragraphs, over the same memory.

    Args:
        paragraphs: n paragraphs of p pages.

    Returns:
        list<string>[p], without nulls; it keeps the arrays of `paragraphs` alive.
    """
    values = pa.StringArray.from_buffers(
        paragraphs.offsets.size - 1, pa.py_buffer(paragraphs.offsets), pa.py_buffer(paragraphs.text)
    )
    return pa.ListArray.from_arrays(pa.array(paragraphs.page_paragraphs), values)


def text_buffers(list_array: pa.ListArray) -> Paragraphs:
    """Inverse of `string_array`, for any array of that type.

    Args:
        list_array: list<string>[p], which may be a slice.

    Returns:
        The paragraphs of the p pages. The text is a view of Arrow's memory, and so are the offsets unless the array is
        a slice.

    Raises:
        TypeError: the array is not a list<string>.
        ValueError: a list or a string is null.
    """
    if not pa.types.is_list(list_array.type) or not pa.types.is_string(list_array.type.value_type):
        raise TypeError(f"list<string> expected, not {list_array.type}")
    page_paragraphs = list_array.offsets.to_numpy() if len(list_array) else np.zeros(1, np.int32)
    strings = list_array.values.slice(page_paragraphs[0], page_paragraphs[-1] - page_paragraphs[0])
    if list_array.null_count or strings.null_count:
        raise ValueError("a page or a paragraph is null")
    offsets = np.zeros(1, np.int32)
    text = np.zeros(0, np.uint8)
    if len(strings):
        _, offset_buffer, data_buffer = strings.buffers()
        offsets = np.frombuffer(offset_buffer, np.int32, len(strings) + 1, strings.offset * offsets.itemsize)
        if data_buffer is not None:
            text = np.frombuffer(data_buffer, np.uint8)[offsets[0] : offsets[-1]]
    return Paragraphs(text, _from_zero(offsets), _from_zero(page_paragraphs))


def text_bytes(text: pa.StringArray) -> int:
    """UTF-8 bytes of an array, which may be a slice."""
    offsets = np.frombuffer(text.buffers()[1], np.int32)[text.offset : text.offset + len(text) + 1]
    return int(offsets[-1] - offsets[0]) if len(offsets) else 0


def _from_zero(offsets: NDArray[np.int32]) -> NDArray[np.int32]:
    """The offsets relative to the first one."""
    return offsets - offsets[0] if offsets[0] else offsets
