"""A SentencePiece unigram model as the tables that `unigram_kernel` reads.

Pieces become a trie over code points. A node's children are a small open-addressing table of their own, so that a step is one or two
adjacent loads. Rules of normalisation stay the double array that the model carries; a table by code point says where it must be asked.
"""

import functools
import struct
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from numba import njit

from cc100.tokenizer.model_proto import ModelType, PieceType, parse_model

SPACE = 0x20
"""U+2581 inside the kernel: normalised text of the models taken here has no U+0020."""
WORD_BREAK = 0x2581
CHARACTER_BITS = 21
CHARACTER_MASK = (1 << CHARACTER_BITS) - 1
LONGEST_RULE = 1000
"""Bytes of the left side of a rule; with a longer one the model is left to SentencePiece."""
UNKNOWN_PENALTY = np.float32(10)
"""A character that no piece covers scores this much less than the worst piece (`kUnkPenalty` of SentencePiece)."""

Bytes: TypeAlias = npt.NDArray[np.uint8]
Words: TypeAlias = npt.NDArray[np.uint32]
Int32s: TypeAlias = npt.NDArray[np.int32]
Int64s: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float32]
_Function = TypeVar("_Function", bound=Callable[..., Any])
_U32, _U64, _I32, _I64 = np.uint32, np.uint64, np.int32, np.int64


def kernel_part(function: _Function) -> _Function:
    """A function that is compiled into kernels only, and so needs neither a Python interface nor a cache entry.

    Without Numba's run time: counting references to the arrays of a tuple took more than half of the time.
    """
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "forceinline": True}
    return njit(nogil=True, error_model="numpy", _nrt=False, **options)(function)


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
        actions: int32[c] by code point: bit 0, a rule for several characters begins with it, or it is U+2581; bit 1, a rule of its own;
            from bit 2, where in `strings` its result begins.
        follows: uint8[256], 1 for first bytes of what can be second in a rule for several characters.
        plain: uint8[256], 1 for ASCII that no rule begins with, unless with what follows one.
        darts: uint32[], double array (https://github.com/s-yata/darts-clone) of rules by UTF-8.
        strings: uint8[], results of rules, each ended by NUL.
        growth: bytes that one byte can become, at most.
    """

    slots: Words
    root_bits: int
    scores: Floats
    unknown: int
    end: int
    most_arcs: int
    largest: float
    actions: Int32s
    follows: Bytes
    plain: Bytes
    darts: Words
    strings: Bytes
    growth: int


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
    rules = _rules(message.normalizer_spec.precompiled_charsmap)
    scores = np.zeros(int(ids.max()) + 1, np.float32)
    scores[ids] = [piece.score for piece in pieces]
    if rules is None or not np.isfinite(scores).all():
        return None
    scores[ids[0]] = scores[ids[3:]].min() - UNKNOWN_PENALTY
    characters = np.frombuffer("".join(texts[3:]).encode("utf-32-le"), np.int32).copy()
    characters[characters == WORD_BREAK] = SPACE
    offsets = np.cumsum([0, *map(len, texts[3:])])
    slots, root_bits, most_pieces = _make_trie(read_only(characters), read_only(offsets), read_only(ids[3:]))
    largest = float(np.abs(scores).max())
    return UnigramTables(
        read_only(slots), root_bits, read_only(scores), int(ids[0]), int(ids[2]), most_pieces + 1, largest, *rules
    )  # fmt: skip


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Read-only view of a contiguous array: Numba compiles again for arrays that are not."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


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


@functools.lru_cache(maxsize=2)
def _rules(blob: bytes) -> tuple[Int32s, Bytes, Bytes, Words, Bytes, int] | None:
    """`actions`, `follows`, `plain`, `darts`, `strings` and `growth` of a precompiled charsmap; None if it is none that the kernel knows.

    Format: bytes of the double array, uint32; the double array; the strings.
    """
    if len(blob) < 4:
        return None
    (size,) = struct.unpack("<I", blob[:4])
    darts, strings = np.frombuffer(blob, "<u4", size // 4, 4), np.frombuffer(blob, np.uint8, -1, 4 + size)
    if not len(strings) or strings[-1] or chr(WORD_BREAK).encode() in strings.tobytes():
        return None
    actions, follows, figures = np.zeros(0x200000, np.int32), np.zeros(256, np.uint8), np.zeros(2, np.int64)
    _find_rules(read_only(darts), read_only(strings), actions, follows, figures)
    longest_prefixes, growth = figures.tolist()
    if longest_prefixes > 32 or follows[:0x80].any():  # SentencePiece looks at 32 prefixes only; the kernel skips over ASCII
        return None
    if actions[SPACE]:
        return None
    plain = np.zeros(256, np.uint8)
    plain[:0x80] = actions[:0x80] <= 1
    plain[SPACE] = 0
    actions[WORD_BREAK] |= 1
    known = int(np.flatnonzero(actions)[-1]) + 1
    return read_only(actions[:known].copy()), read_only(follows), read_only(plain), read_only(darts), read_only(strings), growth


@kernel_part
def child(darts: Words, node: np.uint32, byte: np.uint32) -> np.uint32:
    """The child of a node of a double array by one byte, or 0; the root is 0 as well."""
    unit = darts[node]
    place = _U32(node ^ _U32(_U32(unit >> _U32(10)) << _U32(_U32(unit & _U32(0x200)) >> _U32(6))) ^ byte)
    if place >= len(darts) or darts[place] & _U32(0x800000FF) != byte:
        return _U32(0)
    return place


@kernel_part
def value(darts: Words, node: np.uint32) -> np.int64:
    """What is stored for the key that ends at a node, or -1."""
    unit = darts[node]
    if unit & _U32(0x100) == _U32(0):
        return _I64(-1)
    place = _U32(node ^ _U32(_U32(unit >> _U32(10)) << _U32(_U32(unit & _U32(0x200)) >> _U32(6))))
    return _I64(darts[place] & _U32(0x7FFFFFFF)) if place < len(darts) else _I64(-1)


@njit(cache=True, nogil=True)
def _find_rules(darts: Words, strings: Bytes, actions: Int32s, follows: Bytes, figures: Int64s) -> None:
    """Walk through all keys of the double array: fill `actions` and `follows`; figures: most values on a path, growth."""
    nodes, labels = np.zeros(LONGEST_RULE + 1, np.uint32), np.zeros(LONGEST_RULE + 1, np.int64)
    codes, left, values = np.zeros_like(labels), np.zeros_like(labels), np.zeros_like(labels)
    figures[1] = 3  # a space becomes U+2581
    depth = 0
    while depth >= 0:
        labels[depth] += 1
        if labels[depth] > 255 or depth == LONGEST_RULE:
            figures[0] = max(figures[0], depth if depth == LONGEST_RULE else 0)
            depth -= 1
            continue
        byte = labels[depth]
        node = child(darts, nodes[depth], _U32(byte))
        if node == 0:
            continue
        if depth > 0 and left[depth] == 0:  # another character after a whole one
            actions[codes[depth]] |= 1
            follows[byte] = 1
        code, rest = codes[depth], left[depth]
        is_single = depth == 0 or rest > 0
        if depth == 0:
            rest = 0 if byte < 0x80 else 1 if byte < 0xE0 else 2 if byte < 0xF0 else 3
            code = byte if byte < 0x80 else byte & (0x3F >> rest)
        elif rest > 0:
            code, rest = code << 6 | byte & 0x3F, rest - 1
        depth += 1
        nodes[depth], labels[depth], codes[depth], left[depth], values[depth] = node, 0, code, rest, values[depth - 1]
        place = value(darts, node)
        if place >= len(strings):
            figures[0] = LONGEST_RULE
        elif place >= 0:
            values[depth] += 1
            size = 0
            while strings[place + size]:
                size += 1
            spaces = 0
            for k in range(size):
                spaces += strings[place + k] == 32
            figures[0] = max(figures[0], values[depth])
            figures[1] = max(figures[1], (size + 2 * spaces + depth - 1) // depth)
            if is_single and rest == 0:
                actions[code] |= 2 | place << 2


@kernel_part
def _spread(code: np.int64) -> np.int64:
    """32 bits; multiplication by 2^32 / golden ratio takes the letters of an alphabet evenly apart."""
    return code * _I64(0x9E3779B1) & _I64(0xFFFFFFFF)


@kernel_part
def home_slot(code: np.int64, bits: np.int64) -> np.int64:
    """Where a child is looked for first in a table of 2^bits slots."""
    return _spread(code) >> (_I64(32) - bits)


@kernel_part
def mask_bit(code: np.int64) -> np.uint32:
    """The bit of a child in its parent's mask: where it is not set, there is no such child, and its table need not be read."""
    return _U32(_U32(1) << _U32(_spread(code) >> _I64(27)))


@kernel_part
def find_child(slots: Words, first: np.int64, bits: np.int64, code: np.int64) -> np.int64:
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
    edges, ends = np.zeros(1 << bits, np.uint64), np.zeros(1 << bits, np.int32)  # hash table: (parent, code point) to node
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
