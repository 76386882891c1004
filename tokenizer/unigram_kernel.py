"""SentencePiece's unigram segmentation over buffers: paragraphs of UTF-8 in, ids out, no object per paragraph.

It repeats `Normalizer::Normalize`, `unigram::Model::EncodeOptimized` and `SentencePieceProcessor::EncodeOptimized` of SentencePiece
0.2.3 (src/normalizer.cc, unigram_model.cc, sentencepiece_processor.cc in https://github.com/google/sentencepiece): the same ids for every
paragraph. Only the way there differs:

1. A paragraph falls into words, which begin with U+2581; no piece has one elsewhere, so every path goes through the places between.
2. A short word's ids are kept in a cache, one line of it a word. They hold wherever SentencePiece's sums in float32 cannot turn a
   comparison of two paths around: the smallest difference that was seen says up to which sum before the word. Docs: decision 0006.
3. All other words are segmented in place, with the sums in float32 that SentencePiece has there, added in its order.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from cc100.tokenizer.unigram_tables import (
    CHARACTER_BITS,
    SPACE,
    WORD_BREAK,
    Bytes,
    Floats,
    Int32s,
    Int64s,
    UnigramTables,
    child,
    find_child,
    kernel_part,
    mask_bit,
    value,
)

LINE_WORDS = 8
"""uint64 of a cache line: the word's bytes, four; then its ids as int32 in pairs, the first of all replaced by the head."""
LONGEST_WORD = 32
MOST_IDS = 7
RESET = np.float32(100000)
"""SentencePiece sets the sum back to 0 where it is farther from 0 (`kScoreResetThreshold`)."""
_HIGHEST_EXPONENT = 16
_U8, _U32, _U64, _I32, _I64, _F32, _F64 = np.uint8, np.uint32, np.uint64, np.int32, np.int64, np.float32, np.float64

Keys = npt.NDArray[np.uint64]


class Arcs(NamedTuple):
    """Pieces that begin at one place of a word, shortest first: the place where each ends, its id and score."""

    ends: Int64s
    ids: Int32s
    scores: Floats


class Space(NamedTuple):
    """Work space, for the longest paragraph.

    Attributes:
        text: uint8[], normalised paragraph.
        words: uint64[], the same memory.
        starts: int64[], places of U+2581 in it, and its end.
        lines: uint64[], cache line of each word.
        codes: int32[], code points of a word.
        best: float32[], score of the best path to each place between two of them.
        exact: float64[], the same without the sum before the word.
        steps: int32[], pieces of that path.
        back: int32[], where its last piece begins, -1: no path yet.
        ids: int32[], its last piece.
        arcs: the pieces that begin at one place.
        limits: float64[17], 2^exponent; 0 for exponent 0.
        inverses: float64[], 1 / n.
    """

    text: Bytes
    words: Keys
    starts: Int64s
    lines: Keys
    codes: Int32s
    best: Floats
    exact: npt.NDArray[np.float64]
    steps: Int32s
    back: Int32s
    ids: Int32s
    arcs: Arcs
    limits: npt.NDArray[np.float64]
    inverses: npt.NDArray[np.float64]


def make_space(places: int, most_arcs: int) -> Space:
    """Work space for paragraphs of at most `places` bytes, spare ones and a few more included."""
    words = np.empty(places // 8 + 8, np.uint64)
    limits = 2.0 ** np.arange(_HIGHEST_EXPONENT + 1)
    limits[0] = 0.0
    return Space(
        words.view(np.uint8), words, np.empty(places, np.int64), np.empty(places, np.uint64), np.empty(places, np.int32), np.empty(places, np.float32),
        np.empty(places, np.float64), np.empty(places, np.int32), np.empty(places, np.int32), np.empty(places, np.int32),
        Arcs(np.empty(most_arcs, np.int64), np.empty(most_arcs, np.int32), np.empty(most_arcs, np.float32)), limits,
        1.0 / np.maximum(np.arange(2 * LONGEST_WORD + 4), 1),
    )  # fmt: skip


# --- Normalisation --------------------------------------------------------------------------------------------------


@kernel_part
def _code_at(text: Bytes, at: np.int64) -> tuple[np.int64, np.int64]:
    """Code point and bytes of a character of valid UTF-8."""
    byte = _I64(text[_U64(at)])
    if byte < 0x80:
        return byte, _I64(1)
    second = _I64(text[_U64(at + 1)]) & 0x3F
    if byte < 0xE0:
        return (byte & 0x1F) << 6 | second, _I64(2)
    third = _I64(text[_U64(at + 2)]) & 0x3F
    if byte < 0xF0:
        return (byte & 0x0F) << 12 | second << 6 | third, _I64(3)
    return (byte & 0x07) << 18 | second << 12 | third << 6 | _I64(text[_U64(at + 3)]) & 0x3F, _I64(4)


@kernel_part
def _longest_rule(darts: npt.NDArray[np.uint32], data: Bytes, at: np.int64, end: np.int64) -> tuple[np.int64, np.int64]:
    """Result and bytes of the longest rule that begins at a place; -1, 0: there is none."""
    node, found, size = _U32(0), _I64(-1), _I64(0)
    for k in range(at, end):
        node = child(darts, node, _U32(data[_U64(k)]))
        if node == _U32(0):
            break
        here = value(darts, node)
        if here >= 0:
            found, size = here, k + 1 - at
    return found, size


@kernel_part
def _normalise(
    model: UnigramTables, data: Bytes, begin: np.int64, end: np.int64, text: Bytes, starts: Int64s, spare: np.int64
) -> np.int64:
    """Fill `text` and `starts`; returns the number of words, or -1 if the text grows by more than `spare` bytes and one.

    U+2581 is one byte, SPACE, in `text`, so that only results of rules can be longer than what they replace.
    """
    actions, strings, plain = model.actions, model.strings, model.plain
    known = len(actions)
    text[0], starts[0] = SPACE, 0
    used, words, after_space = _I64(1), _I64(1), True
    at = begin
    while at < end:
        byte = data[_U64(at)]
        while plain[byte] and at + 1 < end:  # most text: ASCII that no rule touches, followed by ASCII
            following = data[_U64(at + 1)]
            if following >= 0x80:
                break
            text[_U64(used)] = byte
            used += 1
            at += 1
            byte = following
            after_space = False
        if byte == SPACE:
            at += 1
            if not after_space:
                text[_U64(used)], starts[_U64(words)] = SPACE, used
                used += 1
                words += 1
                after_space = True
            continue
        code, size = _code_at(data, at)
        action = _I64(actions[_U64(code)]) if code < known else _I64(0)
        rule = action >> 2 if action & 2 else _I64(-1)
        if action & 1:
            if code == WORD_BREAK and rule < 0:
                rule = _I64(-2)
            if at + size < end and model.follows[data[_U64(at + size)]]:
                longer, longer_size = _longest_rule(model.darts, data, at, end)
                if longer_size > size:
                    rule, size = longer, longer_size
        if rule == -1:
            for k in range(size):
                text[_U64(used + k)] = data[_U64(at + k)]
            used += size
            after_space = False
        elif rule == -2:
            text[_U64(used)], starts[_U64(words)] = SPACE, used
            used += 1
            words += 1
            after_space = False
        else:
            byte = strings[_U64(rule)]
            while byte == SPACE and after_space:
                rule += 1
                byte = strings[_U64(rule)]
            while byte:
                if byte == SPACE:
                    starts[_U64(words)] = used
                    words += 1
                text[_U64(used)] = byte
                used += 1
                if used - (at - begin) > spare:
                    return _I64(-1)
                after_space = byte == SPACE
                rule += 1
                byte = strings[_U64(rule)]
        at += size
    while words > 0 and starts[_U64(words - 1)] == used - 1:
        words -= 1
        used -= 1
    starts[_U64(words)] = used
    return words


# --- Segmentation of one word ---------------------------------------------------------------------------------------


@kernel_part
def _decode(space: Space, begin: np.int64, end: np.int64) -> np.int64:
    """Fill `codes` with a word's characters; returns their number."""
    count, at = _I64(0), begin
    while at < end:
        code, size = _code_at(space.text, at)
        space.codes[_U64(count)] = code
        count += 1
        at += size
    return count


@kernel_part
def _find_arcs(model: UnigramTables, codes: Int32s, start: np.int64, count: np.int64, arcs: Arcs) -> np.int64:
    """Fill `arcs` with the pieces that begin at a place; returns their number.

    Where no piece is just the one character, the unknown piece covers it, after the others.
    """
    slots, found, single = model.slots, _U64(0), False
    first, bits = _I64(0), _I64(model.root_bits)
    mask = _U32(0xFFFFFFFF)
    for last in range(start, count):
        code = _I64(codes[_U64(last)])
        if mask & mask_bit(code) == _U32(0):
            break
        slot = find_child(slots, first, bits, code)
        if slot < 0:
            break
        place = _U64(slot) << _U64(2)
        piece = slots[place + _U64(2)]
        if piece != _U32(0):
            arcs.ends[found], arcs.ids[found], arcs.scores[found] = last + 1, piece, model.scores[_U64(piece)]
            found += _U64(1)
            single |= last == start
        first, bits = _I64(slots[place + _U64(1)]), _I64(slots[place] >> _U32(CHARACTER_BITS))
        mask = slots[place + _U64(3)]
    if not single:
        arcs.ends[found], arcs.ids[found], arcs.scores[found] = start + 1, model.unknown, model.scores[_U64(model.unknown)]
        found += _U64(1)
    return _I64(found)


@kernel_part
def _write_path(space: Space, count: np.int64, out: Int32s, used: np.int64) -> np.int64:
    """Append the ids of the path that the arrays `back` and `ids` hold; returns the number of ids there are then."""
    steps, place = _I64(0), count
    while place > 0:
        place = _I64(space.back[_U64(place)])
        steps += 1
    place = count
    for k in range(used + steps - 1, used - 1, -1):
        out[_U64(k)] = space.ids[_U64(place)]
        place = _I64(space.back[_U64(place)])
    return used + steps


@kernel_part
def _segment_exactly(model: UnigramTables, space: Space, count: np.int64, before: np.float32) -> np.float32:
    """Find the best path as SentencePiece does where the sum before the word is `before`; returns the sum after it."""
    best, back, ids, arcs = space.best, space.back, space.ids, space.arcs
    back[: count + 1] = -1
    best[0] = before
    furthest = _I64(0)
    for start in range(count):
        here = best[_U64(start)]
        if here < -RESET or here > RESET:
            offset = here
            for k in range(start, furthest + 1):
                if k == start or back[_U64(k)] != -1:
                    best[_U64(k)] = _F32(best[_U64(k)] - offset)
            here = _F32(0)
        for arc in range(_find_arcs(model, space.codes, start, count, arcs)):
            end = _U64(arcs.ends[_U64(arc)])
            candidate = _F32(arcs.scores[_U64(arc)] + here)
            furthest = max(furthest, _I64(end))
            if back[end] == -1 or candidate > best[end]:
                best[end], back[end], ids[end] = candidate, start, arcs.ids[_U64(arc)]
    return best[_U64(count)]


@kernel_part
def _segment_anywhere(model: UnigramTables, space: Space, count: np.int64) -> np.float64:
    """Find the best path by sums of the word alone; returns the smallest difference between two paths to one place.

    Each difference is divided by the number of additions that SentencePiece makes for the two from the word's beginning on.
    """
    best, back, steps, ids, arcs = space.exact, space.back, space.steps, space.ids, space.arcs
    back[: count + 1] = -1
    best[0], steps[0] = 0.0, 0
    margin = np.inf
    for start in range(count):
        here, path = best[_U64(start)], steps[_U64(start)] + 1
        for arc in range(_find_arcs(model, space.codes, start, count, arcs)):
            end = _U64(arcs.ends[_U64(arc)])
            candidate = _F64(arcs.scores[_U64(arc)]) + here
            if back[end] != -1:
                difference = candidate - best[end]
                margin = min(margin, abs(difference) * space.inverses[_U64(path + steps[end])])
                if difference <= 0:
                    continue
            best[end], back[end], steps[end], ids[end] = candidate, start, path, arcs.ids[_U64(arc)]
    return margin


# --- Cache ----------------------------------------------------------------------------------------------------------


@kernel_part
def _load(words: Keys, at: np.int64, rest: np.int64) -> np.uint64:
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
def _fill(model: UnigramTables, space: Space, start: np.int64, end: np.int64, cache_ids: Int32s, head: np.int64) -> None:
    """Segment a word and write its head and ids into a cache line.

    The head: bytes of the word after U+2581 and one, << 24; exponent << 8; number of ids. The ids hold where no sum of scores reaches
    2^exponent; exponent 0: nowhere.
    """
    count = _decode(space, start, end)
    margin = _segment_anywhere(model, space, count)
    exponent, wanted = _I64(0), 2.0**-23
    # An addition whose result is below 2^e is off by 2^(e - 25) at most; twice that is asked for.
    while exponent < _HIGHEST_EXPONENT and margin > wanted:
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
def _key(words: Keys, start: np.int64, end: np.int64) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Bytes of a word of at most LONGEST_WORD bytes after U+2581."""
    at, size = start + 1, end - start - 1
    a = _load(words, at, size)
    b = _load(words, at + 8, size - 8) if size > 8 else _U64(0)
    c = _load(words, at + 16, size - 16) if size > 16 else _U64(0)
    d = _load(words, at + 24, size - 24) if size > 24 else _U64(0)
    return a, b, c, d


@kernel_part
def _hash_words(space: Space, words: np.int64, cache: Keys) -> np.uint64:
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
    model: UnigramTables, space: Space, start: np.int64, end: np.int64, line: np.uint64, cache: Keys, cache_ids: Int32s
) -> np.int64:  # fmt: skip
    """Place of the head of a word's line in `cache_ids`.

    A word is in one of two neighbouring lines; a new one takes the first, whose word moves to the second.
    """
    a, b, c, d = _key(space.words, start, end)
    for other in range(2):
        k = (line ^ _U64(other)) * _U64(LINE_WORDS)
        if (
            (cache[k] ^ a) | (cache[k + _U64(1)] ^ b) | (cache[k + _U64(2)] ^ c) | (cache[k + _U64(3)] ^ d)
        ) == _U64(0) and cache_ids[k * _U64(2) + _U64(8)] >> 24 == end - start:
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
def _add_scores(scores: Floats, total: np.float32, out: Int32s, begin: np.int64, end: np.int64) -> np.float32:
    for k in range(begin, end):
        total = _F32(scores[_U64(out[_U64(k)])] + total)
    return total


@kernel_part
def _merge_unknown(out: Int32s, begin: np.int64, end: np.int64, unknown: np.int64) -> np.int64:
    """Make one unknown id of every run of them; returns the new end."""
    runs = _I64(0)
    for k in range(begin + 1, end):
        runs += out[_U64(k)] == unknown and out[_U64(k - 1)] == unknown
    if runs == 0:
        return end
    used = begin + 1
    for k in range(begin + 1, end):
        if out[_U64(k)] != unknown or out[_U64(used - 1)] != unknown:
            out[_U64(used)] = out[_U64(k)]
            used += 1
    return used


@kernel_part
def _segment(
    model: UnigramTables, space: Space, words: np.int64, cache: Keys, cache_ids: Int32s, out: Int32s, begin: np.int64
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
        count = _decode(space, start, end)
        total = _segment_exactly(model, space, count, total)
        used = _write_path(space, count, out, used)
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
) -> int:
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
        words = _normalise(model, data, offsets[row], offsets[row + 1], space.text, space.starts, _I64(spare))
        if words < 0 or used + space.starts[words] + MOST_IDS + 2 > len(out):
            return -1
        used = _segment(model, space, words, cache, cache_ids, out, first)
        out[_U64(used)] = model.end
        used += 1
        lengths[row] = used - first
    return used
