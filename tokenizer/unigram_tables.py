"""A SentencePiece unigram model as the tables that `unigram_kernel` reads.

Pieces become a trie over code points. A node's children are a small open-addressing table of their own, so that a step is one or two
adjacent loads, and most children that do not exist cost none.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from cc100.tokenizer.kernels import Floats, Int32s, Int64s, Integer, Words, kernel_part, read_only
from cc100.tokenizer.model_proto import ModelType, PieceType, parse_model
from cc100.tokenizer.unigram_rules import SPACE, WORD_BREAK, Rules, read_rules

CHARACTER_BITS = 21
CHARACTER_MASK = (1 << CHARACTER_BITS) - 1
UNKNOWN_PENALTY = np.float32(10)
"""A character that no piece covers scores this much less than the worst piece (`kUnkPenalty` of SentencePiece)."""

_U32, _U64, _I64 = np.uint32, np.uint64, np.int64


class UnigramTables(NamedTuple):
    """Tables of a model; all arrays read-only, so that every model has the same Numba type.

    Attributes:
        slots: uint32[4 s], four words for a slot of a children table: code point, and from bit 21 log2 of the slots of its own
            children's table (0 for an empty slot); first slot of that table; id of the piece that ends here, 0 for none; bits of
            `mask_bit` of the children.
        root_bits: log2 of the slots of the root's table, which begins at slot 0.
        scores: float32[ids], by id; that of the unknown piece is what an unknown character costs.
        unknown: id of the unknown piece.
        end: id of </s>.
        most_arcs: pieces that can begin at one place, at most, and one.
        largest: at least the absolute value of every score.
        rules: of normalisation.
    """

    slots: Words
    root_bits: int
    scores: Floats
    unknown: int
    end: int
    most_arcs: int
    largest: float
    rules: Rules


def unigram_tables(model: bytes, ids: Int32s) -> UnigramTables | None:
    """Tables of a model, or None if it has something that the kernel does not know or SentencePiece refuses.

    Args:
        model: content of a `.model` file.
        ids: int32[pieces], id of every piece in the output, at least 1.

    The kernel knows unigram models with the specials <unk>, <s> and </s> as their first pieces and normal pieces after them, no byte
    fallback, a space before the text, spaces escaped and runs of them made one, and pieces with U+2581 at their beginning only.
    """
    try:
        message = parse_model(model)
        pieces, texts = message.pieces, [piece.piece for piece in message.pieces]
    except ValueError:  # no UTF-8, which SentencePiece may not mind
        return None
    if not (_is_known(message) and len(set(texts)) == len(texts) and all(map(_is_plain, texts[3:]))):
        return None
    rules = read_rules(message.normalizer_spec.precompiled_charsmap)
    scores = np.zeros(int(ids.max()) + 1, np.float32)
    scores[ids] = [piece.score for piece in pieces]
    if rules is None or not np.isfinite(scores).all():
        return None
    scores[ids[0]] = scores[ids[3:]].min() - UNKNOWN_PENALTY
    characters = np.frombuffer("".join(texts[3:]).encode("utf-32-le"), np.int32).copy()
    characters[characters == WORD_BREAK] = SPACE
    offsets = np.cumsum([0, *map(len, texts[3:])])
    slots, root_bits, most_pieces = _make_trie(read_only(characters), read_only(offsets), read_only(ids[3:]))
    return UnigramTables(
        slots=read_only(slots),
        root_bits=root_bits,
        scores=read_only(scores),
        unknown=int(ids[0]),
        end=int(ids[2]),
        most_arcs=most_pieces + 1,
        largest=float(np.abs(scores).max()),
        rules=rules,
    )


def _is_known(message: Any) -> bool:
    types = [piece.type for piece in message.pieces]
    normalizer, trainer = message.normalizer_spec, message.trainer_spec
    return (
        trainer.model_type == ModelType.UNIGRAM
        and not trainer.byte_fallback
        and not trainer.treat_whitespace_as_suffix
        and normalizer.add_dummy_prefix
        and normalizer.remove_extra_whitespaces
        and normalizer.escape_whitespaces
        and len(types) > 3
        and types[:3] == [PieceType.UNKNOWN, PieceType.CONTROL, PieceType.CONTROL]
        and set(types[3:]) == {PieceType.NORMAL}
    )


def _is_plain(piece: str) -> bool:
    return bool(piece) and chr(WORD_BREAK) not in piece[1:] and chr(SPACE) not in piece and "\0" not in piece


@kernel_part
def _spread(code: Integer) -> np.int64:
    """32 bits; multiplication by 2^32 / golden ratio takes the letters of an alphabet evenly apart."""
    return code * _I64(0x9E3779B1) & _I64(0xFFFFFFFF)


@kernel_part
def home_slot(code: Integer, bits: Integer) -> np.int64:
    """Where a child is looked for first in a table of 2^bits slots."""
    return _spread(code) >> (_I64(32) - bits)


@kernel_part
def mask_bit(code: Integer) -> np.uint32:
    """The bit of a child in its parent's mask: where it is not set, there is no such child, and its table need not be read."""
    return _U32(_U32(1) << _U32(_spread(code) >> _I64(27)))


@kernel_part
def find_child(slots: Words, first: Integer, bits: Integer, code: Integer) -> np.int64:
    """Slot of a child in a children table, or -1."""
    mask = (_I64(1) << bits) - 1
    at = home_slot(code, bits)
    while True:
        word = slots[_U64((first + at) * 4)]
        if word == _U32(0):
            return _I64(-1)
        if _I64(word) & CHARACTER_MASK == code:
            return first + at
        at = (at + 1) & mask


@njit(cache=True, nogil=True)
def _make_trie(characters: Int32s, offsets: Int64s, ids: Int32s) -> tuple[Words, int, int]:
    """`slots` and `root_bits` of pieces given as code points, one after another; the most pieces on one path.

    Nodes are numbered in the order of the pieces, so that frequent ones are neighbours.
    """
    parents, codes = np.zeros(len(characters) + 1, np.int32), np.zeros(len(characters) + 1, np.int32)
    node_ids, children = np.zeros(len(characters) + 1, np.int32), np.zeros(len(characters) + 1, np.int64)
    nodes = _collect_nodes(characters, offsets, ids, parents, codes, node_ids, children)
    bits, firsts, used = np.zeros(nodes, np.int64), np.zeros(nodes, np.int64), 0
    for node in range(nodes):
        if children[node] or node == 0:
            while (1 << bits[node]) * 2 < children[node] * 3 or (1 << bits[node]) <= children[node]:
                bits[node] += 1  # a third of the slots stay empty, and one at least
            firsts[node] = used
            used += 1 << bits[node]
    slots, places, pieces = np.zeros(4 * used, np.uint32), np.zeros(nodes, np.int64), np.zeros(nodes, np.int64)
    for node in range(1, nodes):
        parent, code = parents[node], _I64(codes[node])
        at = home_slot(code, bits[parent])
        while slots[(firsts[parent] + at) * 4]:
            at = (at + 1) & ((1 << bits[parent]) - 1)
        place = (firsts[parent] + at) * 4
        slots[place] = _U32(code | bits[node] << CHARACTER_BITS)
        slots[place + 1] = _U32(firsts[node])
        slots[place + 2] = _U32(node_ids[node])
        slots[places[parent] + 3] |= mask_bit(code) if parent else _U32(0)
        places[node], pieces[node] = place, pieces[parent] + (node_ids[node] != 0)
    return slots, int(bits[0]), int(pieces.max())


@njit(nogil=True)
def _collect_nodes(
    characters: Int32s, offsets: Int64s, ids: Int32s, parents: Int32s, codes: Int32s, node_ids: Int32s, children: Int64s
) -> int:  # fmt: skip
    """Fill in for every node its parent, last code point, id and number of children; returns the number of nodes, with the root."""
    bits = 4
    while (1 << bits) < 2 * len(characters):
        bits += 1
    edges, ends = (
        np.zeros(1 << bits, np.uint64),
        np.zeros(1 << bits, np.int32),
    )  # hash table: (parent, code point) to node
    nodes, mask = 1, _U64((1 << bits) - 1)
    for row in range(len(ids)):
        node = 0
        for k in range(offsets[row], offsets[row + 1]):
            key = _U64(node) << _U64(CHARACTER_BITS) | _U64(characters[k])
            at = (key * _U64(0x9E3779B97F4A7C15) >> _U64(24)) & mask
            while edges[at] != 0 and edges[at] != key:
                at = (at + _U64(1)) & mask
            if edges[at] == 0:
                edges[at], ends[at] = key, nodes
                parents[nodes], codes[nodes] = node, characters[k]
                children[node] += 1
                nodes += 1
            node = ends[at]
        node_ids[node] = ids[row]
    return nodes
