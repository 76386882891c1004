"""fastText's inference over Arrow buffers, up to the hidden vector: pages of UTF-8 in, no object per page.

It repeats `Dictionary::getLine` and `Model::computeHidden` of fastText 0.9.2 (src/dictionary.cc, src/model.cc in
https://github.com/facebookresearch/fastText) for models without word n-grams: the same rows are added in the same order
in float32, so that the vector comes out bit for bit the same. Only the way there differs:

1. Words are decoded into a block of codes, one uint32 per character: its UTF-8 bytes, the first one lowest. Code 0 is
   the boundary between two words; it stands for both the closing `>` of one and the opening `<` of the next.
2. The hashes of all n-grams of a block are computed at once, one n-gram length after another, by loops without
   branches, which the compiler turns into vector instructions.
3. A bitmap tells which n-grams (and words) have a row; the ids that do are written one after another, without
   branches. The number of a row is the number of bits before its own.
4. The rows are added up, eight at a time.

Arithmetic on uint32 is cast back after every step, because Numba widens it to 64 bits.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from cc100.transforms.fasttext_dictionary import (
    STOP,
    WORD,
    Bytes,
    Integer,
    Keys,
    Positions,
    equal,
    find_key,
    is_separator,
    kernel_part,
    token_kind,
    word_key,
)
from cc100.transforms.language_tables import LONGEST_NGRAM, KernelModel

BLOCK = 2048  # codes
_PADDING = 2 * LONGEST_NGRAM
_FNV_BASIS = np.uint32(2166136261)
_FNV_PRIME = np.uint32(16777619)
_OPEN, _CLOSE = np.uint32(0x3C), np.uint32(0x3E)  # < and >
_I32, _I64 = np.int32, np.int64
_U8, _U32, _U64, _F32 = np.uint8, np.uint32, np.uint64, np.float32
_Codes: TypeAlias = npt.NDArray[np.uint32]
_Floats: TypeAlias = npt.NDArray[np.float32]


class _Block(NamedTuple):
    """Work space: the codes of a run of words and what is computed from them, all reused from block to block."""

    codes: _Codes
    hashes: _Codes
    broken: _Codes  # 1: an n-gram that is or crosses a boundary
    ids: _Codes  # [n-gram lengths, codes]
    found: _Codes  # ids with a row, then the numbers of the rows
    word_keys: Keys
    word_places: Positions  # of the code before the word's opening boundary
    word_starts: Positions  # in the text
    word_sizes: Positions
    hidden: _Floats  # sum of rows


@kernel_part
def _decode(text: Bytes, start: Integer, end: Integer, codes: _Codes, used: Integer) -> tuple[np.int64, np.int64]:
    """Appends the codes of characters until the word or the block ends; returns where it stopped in text and codes."""
    while start < end and used < BLOCK:
        code = _U32(text[_U64(start)])
        start += 1
        if code >= _U32(0x80):
            shift = _U32(8)
            while start < end and shift < _U32(32) and text[_U64(start)] & _U8(0xC0) == _U8(0x80):
                code |= _U32(_U32(text[_U64(start)]) << shift)
                shift = _U32(shift + _U32(8))
                start += 1
        codes[_U64(used)] = code
        used += 1
    return _I64(start), _I64(used)


# --- n-grams of a block ---------------------------------------------------------------------------------------------


@kernel_part
def _extend(hashes: _Codes, codes: _Codes, bracket: np.uint32, count: Integer) -> None:
    """Appends to n-gram i the character codes[i], or the bracket for a boundary.

    FNV-1a over one to four bytes, each sign-extended to 32 bits as fastText does it.
    """
    for i in range(count):
        code = _I32(codes[i] if codes[i] != _U32(0) else bracket)
        value = _U32((hashes[i] ^ _U32(_I32(_I32(code << _I32(24)) >> _I32(24)))) * _FNV_PRIME)
        byte = _U32(_I32(_I32(code << _I32(16)) >> _I32(24)))
        longer = _U32((value ^ byte) * _FNV_PRIME)
        value = longer if byte != _U32(0) else value
        byte = _U32(_I32(_I32(code << _I32(8)) >> _I32(24)))
        longer = _U32((value ^ byte) * _FNV_PRIME)
        value = longer if byte != _U32(0) else value
        byte = _U32(_I32(code >> _I32(24)))
        longer = _U32((value ^ byte) * _FNV_PRIME)
        hashes[i] = longer if byte != _U32(0) else value


@kernel_part
def _mark_pairs(broken: _Codes, codes: _Codes, following: _Codes, count: Integer) -> None:
    for i in range(count):
        broken[i] = _U32(1) if codes[i] | following[i] == _U32(0) else _U32(0)


@kernel_part
def _mark_zeros(broken: _Codes, codes: _Codes, count: Integer) -> None:
    for i in range(count):
        broken[i] = _U32(1) if codes[i] == _U32(0) else broken[i]


@kernel_part
def _mark_broken(broken: _Codes, codes: _Codes, length: int, count: Integer) -> None:
    """An n-gram may begin and end with a boundary, but neither consist of boundaries nor have one inside."""
    if length == 2:
        _mark_pairs(broken, codes, codes[1:], count)
        return
    if length == 1 or length == 3:
        broken[:count] = _U32(0)
    _mark_zeros(broken, codes[max(length - 2, 0) :], count)


@kernel_part
def _bucket_ids(model: KernelModel, block: _Block, ids: _Codes, count: Integer) -> None:
    """words + hash % bucket, or the id without a row; the quotient is at first exact or one too small."""
    words, bucket, magic, shift = _U32(model.words), _U32(model.bucket), model.magic, model.shift
    hashes, broken = block.hashes, block.broken
    for i in range(count):
        quotient = _U32(_U64(hashes[i]) * magic >> shift)
        rest = _U32(hashes[i] - _U32(quotient * bucket))
        less = _U32(rest - bucket)
        rest = less if rest >= bucket else rest
        ids[i] = _U32((bucket if broken[i] != _U32(0) else rest) + words)


@kernel_part
def _hash_ngrams(model: KernelModel, block: _Block, count: Integer) -> int:
    """Fills `ids` for the n-grams that start at the first `count` codes; returns the number of lengths."""
    longest = max(model.maxn, 3)
    shortest = min(max(model.minn, 1), longest)
    block.hashes[:count] = _FNV_BASIS
    for length in range(1, longest + 1):
        bracket = _OPEN if length == 1 else _CLOSE
        _extend(block.hashes, block.codes[length - 1 :], bracket, count)
        if length >= min(shortest, 3):  # the lengths from 3 on build on each other
            _mark_broken(block.broken, block.codes, length, count)
        if length >= shortest:
            if model.minn <= length <= model.maxn:
                _bucket_ids(model, block, block.ids[length - shortest], count)
            else:
                block.ids[length - shortest, :count] = _U32(model.words + model.bucket)
    return longest - shortest + 1


@kernel_part
def _look_up_words(model: KernelModel, block: _Block, text: Bytes, words: Integer, last_ids: _Codes) -> None:
    """Puts the ids of words before those of their n-grams. Up to eight bytes the key says it all.

    No n-gram of three or more characters starts with the code before a word's opening boundary, so that the place of
    the longest one is free.
    """
    dictionary, no_row = model.dictionary, model.words + model.bucket
    for i in range(words):
        size = block.word_sizes[i]
        entry = find_key(dictionary.slots, dictionary.keys, dictionary.offsets, block.word_keys[i], size)
        row_id = entry if entry < model.words else no_row
        if (
            size > 8
            and row_id != no_row
            and not equal(text, block.word_starts[i], size, dictionary.blob, dictionary.offsets[entry])
        ):
            row_id = no_row
        last_ids[_U64(block.word_places[i])] = _U32(row_id)


# --- Rows -----------------------------------------------------------------------------------------------------------


@kernel_part
def _has_row(kept: Keys, row_id: np.uint32) -> np.uint64:
    return kept[_U64(row_id) >> _U64(6)] >> (_U64(row_id) & _U64(63)) & _U64(1)


@kernel_part
def _keep_ids(kept: Keys, ids: _Codes, lengths: int, count: Integer, found: _Codes) -> np.int64:
    """Writes the ids with a row one after another, by start, then length; returns their number.

    Every id is written, and the next one over it where it has no row: that takes no branch. The first three lengths are
    written out because a loop over them takes twice the time.
    """
    first, second, third = ids[0], ids[1], ids[2]
    used = _U64(0)
    for i in range(count):
        found[used] = first[i]
        used += _has_row(kept, first[i])
        found[used] = second[i]
        used += _has_row(kept, second[i])
        found[used] = third[i]
        used += _has_row(kept, third[i])
        for length in range(3, lengths):
            row_id = ids[_U64(length), _U64(i)]
            found[used] = row_id
            used += _has_row(kept, row_id)
    return _I64(used)


@kernel_part
def _count_bits(value: np.uint64) -> np.uint64:
    """Number of bits that are set; the compiler knows this form and makes one instruction of it."""
    value = value - (value >> _U64(1) & _U64(0x5555555555555555))
    value = (value & _U64(0x3333333333333333)) + (value >> _U64(2) & _U64(0x3333333333333333))
    value = value + (value >> _U64(4)) & _U64(0x0F0F0F0F0F0F0F0F)
    return value * _U64(0x0101010101010101) >> _U64(56)


@kernel_part
def _number_rows(model: KernelModel, found: _Codes, count: Integer) -> None:
    """Replaces ids by the numbers of their rows."""
    for i in range(count):
        row_id = _U64(found[i])
        word = row_id >> _U64(6)
        lower = model.kept[word] & ((_U64(1) << (row_id & _U64(63))) - _U64(1))
        found[i] = _U32(model.before[word] + _U32(_count_bits(lower)))


@kernel_part
def _add_rows(rows: _Floats, numbers: _Codes, count: Integer, hidden: _Floats) -> None:
    """Adds rows to `hidden` one after another; eight to a loop, in the same order, to spare loop overhead."""
    dim = _U64(len(hidden))
    whole = count - count % 8
    for first in range(0, whole, 8):
        i = _U64(first)
        a, b = _U64(numbers[i]) * dim, _U64(numbers[i + _U64(1)]) * dim
        c, d = _U64(numbers[i + _U64(2)]) * dim, _U64(numbers[i + _U64(3)]) * dim
        e, f = _U64(numbers[i + _U64(4)]) * dim, _U64(numbers[i + _U64(5)]) * dim
        g, h = _U64(numbers[i + _U64(6)]) * dim, _U64(numbers[i + _U64(7)]) * dim
        for k in range(dim):
            four = (((hidden[k] + rows[a + k]) + rows[b + k]) + rows[c + k]) + rows[d + k]
            hidden[k] = (((four + rows[e + k]) + rows[f + k]) + rows[g + k]) + rows[h + k]
    for last in range(whole, count):
        at = _U64(numbers[last]) * dim
        for k in range(dim):
            hidden[k] += rows[at + k]


@kernel_part
def _add_block(model: KernelModel, block: _Block, text: Bytes, count: Integer, words: Integer) -> np.int64:
    """Adds the rows of the n-grams that start at the first `count` codes, and of the words; returns their number."""
    lengths = _hash_ngrams(model, block, count)
    _look_up_words(model, block, text, words, block.ids[lengths - 1])
    rows = _keep_ids(model.kept, block.ids, lengths, count, block.found)
    _number_rows(model, block.found, rows)
    _add_rows(model.rows, block.found, rows, block.hidden)
    return rows


# --- Pages ----------------------------------------------------------------------------------------------------------


@kernel_part
def _make_block(model: KernelModel, dim: int) -> _Block:
    size = BLOCK + _PADDING
    lengths = max(model.maxn, 3)
    ids = np.zeros((lengths, size), np.uint32)
    ids[:] = _U32(model.words + model.bucket)
    return _Block(
        np.zeros(size, np.uint32),
        np.zeros(size, np.uint32),
        np.zeros(size, np.uint32),
        ids,
        np.zeros(lengths * size, np.uint32),
        np.zeros(BLOCK, np.uint64),
        np.zeros(BLOCK, np.int64),
        np.zeros(BLOCK, np.int64),
        np.zeros(BLOCK, np.int64),
        np.zeros(dim, np.float32),
    )


@kernel_part
def _sum_page(model: KernelModel, block: _Block, text: Bytes, starts: Positions, ends: Positions) -> np.int64:
    """Adds up the rows of a page in `block.hidden`; returns their number.

    A block begins with two boundaries: the first one is the place before the first word. Words that do not fit begin a
    new block; only a longer word than a block goes through it piece by piece, each with the codes that its last n-grams
    need from the next one.
    """
    overlap = max(model.maxn, 3) - 1
    block.hidden[:] = _F32(0)
    block.codes[:2] = _U32(0)
    used, words, rows, stopped = _I64(2), _I64(0), _I64(0), False  # typed, or Numba compiles for literals first
    for paragraph in range(len(starts)):
        at, end = starts[paragraph], ends[paragraph]
        while at < end and not stopped:
            if is_separator(text[_U64(at)]):
                at += 1
                continue
            start = at
            while at < end and not is_separator(text[_U64(at)]):
                at += 1
            size = at - start
            key = word_key(text, start, at) if size <= model.dictionary.longest else _U64(0)
            if model.dictionary.special[text[_U64(start)]] != _U8(0):
                kind = token_kind(model.dictionary, key, text, start, size)
                stopped = kind == STOP
                if kind != WORD:
                    continue
            if used + size >= BLOCK and used > 2:
                block.codes[used : used + overlap] = _U32(0)
                rows += _add_block(model, block, text, used, words)
                block.codes[:2] = _U32(0)
                used, words = _I64(2), _I64(0)
            block.word_keys[words], block.word_places[words] = key, used - 2
            block.word_starts[words], block.word_sizes[words] = start, size
            words += 1
            start, used = _decode(text, start, at, block.codes, used)
            while start < at:
                rows += _add_block(model, block, text, used - overlap, words)
                words = _I64(0)
                for k in range(overlap):
                    block.codes[_U64(k)] = block.codes[_U64(used - overlap + k)]
                start, used = _decode(text, start, at, block.codes, overlap)
            block.codes[_U64(used)] = _U32(0)
            used += 1
    block.codes[used : used + overlap] = _U32(0)
    rows += _add_block(model, block, text, used, words)
    if model.end_of_line < model.words:
        block.found[0] = _U32(model.end_of_line)
        _add_rows(model.rows, block.found, _I64(1), block.hidden)
        rows += 1
    return rows


@njit(cache=True, nogil=True, error_model="numpy")
def hidden_vectors(
    model: KernelModel,
    text: Bytes,
    starts: Positions,
    ends: Positions,
    page_offsets: Positions,
    out_hidden: _Floats,
    out_rows: Positions,
) -> None:
    """Mean of the rows of every page, which has the paragraphs page_offsets[i] to page_offsets[i + 1].

    A page's result depends on its own bytes alone.

    Args:
        model: The model's tables.
        text: uint8[], valid UTF-8 within every paragraph; read-only like all other inputs.
        starts: int64[k], byte at which each paragraph starts.
        ends: int64[k], byte after its last one.
        page_offsets: int64[p + 1], ascending.
        out_hidden: float32[p, dim], receives the vectors.
        out_rows: int64[p], receives the numbers of rows: 0 where the model knows nothing of a page.
    """
    block = _make_block(model, out_hidden.shape[1])
    for page in range(len(page_offsets) - 1):
        first, last = page_offsets[page], page_offsets[page + 1]
        rows = _sum_page(model, block, text, starts[first:last], ends[first:last])
        out_rows[page] = rows
        factor = _F32(1.0 / rows) if rows > 0 else _F32(0)
        for k in range(len(block.hidden)):
            out_hidden[page, k] = block.hidden[k] * factor
