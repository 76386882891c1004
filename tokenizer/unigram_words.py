"""The pieces of one word: every best path from its beginning, with SentencePiece's sums or without them.

Both ways repeat the loop of `unigram::Model::EncodeOptimized` of SentencePiece 0.2.3 (src/unigram_model.cc in
https://github.com/google/sentencepiece): places from left to right, at each the pieces that begin there from short to long, and a new path
takes the place of another one only if its score is greater.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cc100.tokenizer.kernels import Bytes, Floats, Int32s, Int64s, Integer, Keys, code_at, kernel_part
from cc100.tokenizer.unigram_tables import CHARACTER_BITS, UnigramTables, find_child, mask_bit

LONGEST_WORD = 32
"""Bytes of a word that is remembered, without U+2581."""
HIGHEST_EXPONENT = 16
"""Sums are known to be far from RESET below 2^16."""
RESET = np.float32(100000)
"""SentencePiece sets the sum back to 0 where it is farther from 0 (`kScoreResetThreshold`)."""
_U32, _U64, _I64, _F32, _F64 = np.uint32, np.uint64, np.int64, np.float32, np.float64


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
    """Work space for paragraphs that have fewer than `places` - 8 bytes when they are normalised."""
    words = np.empty(places // 8 + 8, np.uint64)
    limits = np.exp2(np.arange(HIGHEST_EXPONENT + 1, dtype=np.float64))
    limits[0] = 0.0
    return Space(
        text=words.view(np.uint8),
        words=words,
        starts=np.empty(places, np.int64),
        lines=np.empty(places, np.uint64),
        codes=np.empty(places, np.int32),
        best=np.empty(places, np.float32),
        exact=np.empty(places, np.float64),
        steps=np.empty(places, np.int32),
        back=np.empty(places, np.int32),
        ids=np.empty(places, np.int32),
        arcs=Arcs(np.empty(most_arcs, np.int64), np.empty(most_arcs, np.int32), np.empty(most_arcs, np.float32)),
        limits=limits,
        inverses=1.0 / np.maximum(np.arange(2 * LONGEST_WORD + 4), 1),
    )


@kernel_part
def decode(space: Space, begin: Integer, end: Integer) -> np.int64:
    """Fill `codes` with a word's characters; returns their number."""
    count, at = _I64(0), begin
    while at < end:
        code, size = code_at(space.text, at)
        space.codes[_U64(count)] = code
        count += 1
        at += size
    return count


@kernel_part
def find_arcs(model: UnigramTables, codes: Int32s, start: Integer, count: Integer, arcs: Arcs) -> np.int64:
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
        unknown = _U64(model.unknown)
        arcs.ends[found], arcs.ids[found], arcs.scores[found] = start + 1, unknown, model.scores[unknown]
        found += _U64(1)
    return _I64(found)


@kernel_part
def write_path(space: Space, count: Integer, out: Int32s, used: Integer) -> np.int64:
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
def segment_exactly(model: UnigramTables, space: Space, count: Integer, before: np.float32) -> np.float32:
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
        for arc in range(find_arcs(model, space.codes, start, count, arcs)):
            end = _U64(arcs.ends[_U64(arc)])
            candidate = _F32(arcs.scores[_U64(arc)] + here)
            furthest = max(furthest, _I64(end))
            if back[end] == -1 or candidate > best[end]:
                best[end], back[end], ids[end] = candidate, start, arcs.ids[_U64(arc)]
    return best[_U64(count)]


@kernel_part
def segment_anywhere(model: UnigramTables, space: Space, count: Integer) -> np.float64:
    """Find the best path by sums of the word alone; returns the smallest difference between two paths to one place.

    Each difference is divided by the number of additions that SentencePiece makes for the two from the word's beginning on.
    """
    best, back, steps, ids, arcs = space.exact, space.back, space.steps, space.ids, space.arcs
    back[: count + 1] = -1
    best[0], steps[0] = 0.0, 0
    margin = _F64(np.inf)
    for start in range(count):
        here, path = best[_U64(start)], steps[_U64(start)] + 1
        for arc in range(find_arcs(model, space.codes, start, count, arcs)):
            end = _U64(arcs.ends[_U64(arc)])
            candidate = _F64(arcs.scores[_U64(arc)]) + here
            if back[end] != -1:
                difference = candidate - best[end]
                margin = min(margin, abs(difference) * space.inverses[_U64(path + steps[end])])
                if difference <= 0:
                    continue
            best[end], back[end], steps[end], ids[end] = candidate, start, path, arcs.ids[_U64(arc)]
    return margin
