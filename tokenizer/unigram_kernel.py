"""SentencePiece's unigram segmentation over buffers: paragraphs of UTF-8 in, ids out, no object per paragraph.

It repeats `Normalizer::Normalize`, `unigram::Model::EncodeOptimized` and `SentencePieceProcessor::EncodeOptimized` of SentencePiece
0.2.3 (src/normalizer.cc, unigram_model.cc, sentencepiece_processor.cc in https://github.com/google/sentencepiece): the same ids for every
paragraph. Only the way there differs:

1. A paragraph falls into words, which begin with U+2581; no piece has one elsewhere, so every path goes through the places between.
2. A short word's ids are kept in a cache, one line of it a word. They hold wherever SentencePiece's sums in float32 cannot turn a
   comparison of two paths around: the smallest difference that was seen says up to which sum before the word. Docs: decision 0006.
3. All other words are segmented in place, with the sums in float32 that SentencePiece has there, added in its order.
"""

import numpy as np
from numba import njit

from cc100.tokenizer.kernels import Bytes, Floats, Int32s, Int64s, Integer, Keys, kernel_part
from cc100.tokenizer.unigram_rules import normalise
from cc100.tokenizer.unigram_tables import UnigramTables
from cc100.tokenizer.unigram_words import (
    HIGHEST_EXPONENT,
    LONGEST_WORD,
    Space,
    decode,
    segment_anywhere,
    segment_exactly,
    write_path,
)

LINE_WORDS = 8
"""uint64 of a cache line: four for the bytes of a word; the others hold, as int32, a head and the word's ids."""
MOST_IDS = 7
"""Ids of a word that is remembered."""
_U64, _I64, _F32 = np.uint64, np.int64, np.float32


@kernel_part
def _load(words: Keys, at: Integer, rest: Integer) -> np.uint64:
    """Eight bytes of the text; those from the `rest`-th on are 0."""
    place, shift = _U64(at) >> _U64(3), (_U64(at) & _U64(7)) << _U64(3)
    word = words[place] >> shift | words[place + _U64(1)] << _U64(1) << (_U64(63) - shift)
    if rest >= 8:
        return word
    if rest <= 0:
        return _U64(0)
    return word & ((_U64(1) << _U64(8 * rest)) - _U64(1))


@kernel_part
def _mix(hashed: np.uint64, word: np.uint64) -> np.uint64:
    product = (hashed ^ word) * _U64(0x9E3779B97F4A7C15)
    return product ^ product >> _U64(29)


@kernel_part
def _fill(model: UnigramTables, space: Space, start: Integer, end: Integer, cache_ids: Int32s, head: Integer) -> None:
    """Segment a word and write its head and ids into a cache line.

    The head: bytes of the word after U+2581 and one, << 24; exponent << 8; number of ids. The ids hold where no sum of scores reaches
    2^exponent; exponent 0: nowhere.
    """
    count = decode(space, start, end)
    margin = segment_anywhere(model, space, count)
    exponent, wanted = _I64(0), 2.0**-23
    # An addition whose result is below 2^e is off by 2^(e - 25) at most; twice that is asked for.
    while exponent < HIGHEST_EXPONENT and margin > wanted:
        exponent += 1
        wanted *= 2.0
    steps, place = _I64(0), count
    while place > 0:
        place = _I64(space.back[_U64(place)])
        steps += 1
    if steps > MOST_IDS:
        exponent, steps = _I64(0), _I64(0)
    cache_ids[_U64(head)] = (end - start) << 24 | exponent << 8 | steps
    place = count
    for k in range(steps, 0, -1):
        cache_ids[_U64(head + k)] = space.ids[_U64(place)]
        place = _I64(space.back[_U64(place)])


@kernel_part
def _key(words: Keys, start: Integer, end: Integer) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Bytes of a word of at most LONGEST_WORD bytes after U+2581."""
    at, size = start + 1, end - start - 1
    a = _load(words, at, size)
    b = _load(words, at + 8, size - 8) if size > 8 else _U64(0)
    c = _load(words, at + 16, size - 16) if size > 16 else _U64(0)
    d = _load(words, at + 24, size - 24) if size > 24 else _U64(0)
    return a, b, c, d


@kernel_part
def _hash_words(space: Space, words: Integer, cache: Keys) -> np.uint64:
    """Fill `lines` with the cache line of every short word.

    The lines are touched here, where one load does not wait for another; what is returned is of no use but to make that happen.
    """
    mask = _U64(len(cache) // LINE_WORDS - 1)
    touched = _U64(0)
    for word in range(words):
        start, end = space.starts[_U64(word)], space.starts[_U64(word + 1)]
        if end - start - 1 <= LONGEST_WORD:
            a, b, c, d = _key(space.words, start, end)
            hashed = _mix(_mix(a, _U64(end - start)), b)
            if end - start - 1 > 16:
                hashed = _mix(_mix(hashed, c), d)
            line = hashed >> _U64(20) & mask
            space.lines[_U64(word)] = line
            touched ^= cache[line * _U64(LINE_WORDS)]
    return touched


@kernel_part
def _look_up(
    model: UnigramTables, space: Space, start: Integer, end: Integer, line: np.uint64, cache: Keys, cache_ids: Int32s
) -> np.int64:  # fmt: skip
    """Place of the head of a word's line in `cache_ids`.

    A word is in one of two neighbouring lines; a new one takes the first, whose word moves to the second.
    """
    a, b, c, d = _key(space.words, start, end)
    for other in range(2):
        k = (line ^ _U64(other)) * _U64(LINE_WORDS)
        if ((cache[k] ^ a) | (cache[k + _U64(1)] ^ b) | (cache[k + _U64(2)] ^ c) | (cache[k + _U64(3)] ^ d)) == _U64(
            0
        ) and cache_ids[k * _U64(2) + _U64(8)] >> 24 == end - start:
            return _I64(k * _U64(2) + _U64(8))
    k, other_k = line * _U64(LINE_WORDS), (line ^ _U64(1)) * _U64(LINE_WORDS)
    for i in range(LINE_WORDS):
        cache[other_k + _U64(i)] = cache[k + _U64(i)]
    cache[k], cache[k + _U64(1)], cache[k + _U64(2)], cache[k + _U64(3)] = a, b, c, d
    head = _I64(k * _U64(2) + _U64(8))
    _fill(model, space, start, end, cache_ids, head)
    return head


# --- Paragraphs -----------------------------------------------------------------------------------------------------


@kernel_part
def _add_scores(scores: Floats, total: np.float32, out: Int32s, begin: Integer, end: Integer) -> np.float32:
    for k in range(begin, end):
        total = _F32(scores[_U64(out[_U64(k)])] + total)
    return total


@kernel_part
def _merge_unknown(out: Int32s, begin: Integer, end: Integer, unknown: Integer) -> np.int64:
    """Make one unknown id of every run of them; returns the new end."""
    runs = _I64(0)
    for k in range(begin + 1, end):
        runs += out[_U64(k)] == unknown and out[_U64(k - 1)] == unknown
    if runs == 0:
        return _I64(end)
    used = _I64(begin + 1)
    for k in range(begin + 1, end):
        if out[_U64(k)] != unknown or out[_U64(used - 1)] != unknown:
            out[_U64(used)] = out[_U64(k)]
            used += 1
    return used


@kernel_part
def _segment(
    model: UnigramTables, space: Space, words: Integer, cache: Keys, cache_ids: Int32s, out: Int32s, begin: Integer
) -> np.int64:
    """Append the ids of a normalised paragraph; returns the number of ids there are then."""
    space.lines[_U64(words)] = _hash_words(space, words, cache)
    used = begin
    known, total = begin, _F32(0)  # SentencePiece's sum after the id before out[known]
    largest = model.largest * 1.01  # more than enough for how rounding lengthens a sum
    beyond = largest * (LONGEST_WORD + 1)
    for word in range(words):
        start, end = space.starts[_U64(word)], space.starts[_U64(word + 1)]
        if end - start - 1 <= LONGEST_WORD:
            head_at = _U64(_look_up(model, space, start, end, space.lines[_U64(word)], cache, cache_ids))
            head = _I64(cache_ids[head_at])
            limit = space.limits[_U64(head >> 8 & 0xFF)]
            if limit > abs(total) + largest * (used - known) + beyond:
                for k in range(MOST_IDS):
                    out[_U64(used + k)] = cache_ids[head_at + _U64(k + 1)]
                used += head & 0xFF
                continue
            total = _add_scores(model.scores, total, out, known, used)
            known = used
            if limit > abs(total) + beyond:
                for k in range(MOST_IDS):
                    out[_U64(used + k)] = cache_ids[head_at + _U64(k + 1)]
                used += head & 0xFF
                continue
        total = _add_scores(model.scores, total, out, known, used)
        count = decode(space, start, end)
        total = segment_exactly(model, space, count, total)
        used = write_path(space, count, out, used)
        known = used
    return _merge_unknown(out, begin, used, _I64(model.unknown))


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def encode_paragraphs(
    model: UnigramTables,
    data: Bytes,
    offsets: Int64s,
    space: Space,
    spare: int,
    cache: Keys,
    cache_ids: Int32s,
    out: Int32s,
    lengths: Int32s,
) -> np.int64:
    """Ids of paragraphs, each with </s> at its end.

    Args:
        model: the model's tables.
        data: uint8[], valid UTF-8 within every paragraph; read-only, as `offsets`.
        offsets: int64[n + 1], where the paragraphs begin, and the end of the last.
        spare: bytes that normalisation may add to a paragraph.
        cache: uint64[LINE_WORDS * 2^k], k > 0; zeros at first, afterwards what an earlier call with the same model left there. Results
            do not depend on it.
        cache_ids: int32[2 * LINE_WORDS * 2^k], the same memory.
        out: int32[], for the ids; written.
        lengths: int32[n], ids of each paragraph; written.

    Returns:
        Number of ids; -1 if `spare` or `out` are too small. `most_ids` ids are enough, with the spare bytes of every paragraph.
    """
    used = _I64(0)
    for row in range(len(lengths)):
        first = used
        words = normalise(model.rules, data, offsets[row], offsets[row + 1], space.text, space.starts, _I64(spare))
        if words < 0 or used + space.starts[words] + MOST_IDS + 2 > len(out):
            return _I64(-1)
        used = _segment(model, space, words, cache, cache_ids, out, first)
        out[_U64(used)] = model.end
        used += 1
        lengths[row] = used - first
    return used
