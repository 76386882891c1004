"""SentencePiece's normalisation of text, from the rules that a model carries.

It repeats `Normalizer::Normalize` of SentencePiece 0.2.3 (src/normalizer.cc in https://github.com/google/sentencepiece) for models with a
space before the text, spaces escaped as U+2581 and runs of them made one. At every place the longest rule counts. The rules stay the double
array that the model carries; a table by code point says what is to be done with a character alone, and where the array must be asked.
"""

import functools
import struct
from typing import NamedTuple

import numpy as np
from numba import njit

from cc100.tokenizer.kernels import Bytes, Int32s, Int64s, Integer, Words, code_at, kernel_part, read_only

SPACE = 0x20
"""U+2581 inside the kernel: normalised text of these models has no U+0020."""
WORD_BREAK = 0x2581
LONGEST_RULE = 1000
"""Bytes of the left side of a rule; with a longer one the model is left to SentencePiece."""
MOST_PREFIXES = 32
"""Rules that begin each other; SentencePiece looks at no more (`kMaxTrieResultsSize`)."""
_U32, _U64, _I64 = np.uint32, np.uint64, np.int64


class Rules(NamedTuple):
    """Rules of normalisation; all arrays read-only.

    Attributes:
        actions: int32[c] by code point: bit 0, a rule for several characters begins with it, or it is U+2581; bit 1, a rule of its own;
            from bit 2, where in `strings` its result begins.
        follows: uint8[256], 1 for first bytes of what can be second in a rule for several characters; none is ASCII.
        plain: uint8[256], 1 for ASCII that no rule begins with, unless with what follows one; not for the space.
        darts: uint32[], double array (https://github.com/s-yata/darts-clone) of rules by UTF-8.
        strings: uint8[], results of rules, each ended by NUL.
        growth: bytes that one byte can become, at most.
    """

    actions: Int32s
    follows: Bytes
    plain: Bytes
    darts: Words
    strings: Bytes
    growth: int


@functools.lru_cache(maxsize=2)
def read_rules(blob: bytes) -> Rules | None:
    """Rules of a precompiled charsmap, or None if the kernel does not know their kind.

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
    if longest_prefixes > MOST_PREFIXES or follows[:0x80].any():
        return None
    if actions[SPACE]:
        return None
    plain = np.zeros(256, np.uint8)
    plain[:0x80] = actions[:0x80] <= 1
    plain[SPACE] = 0
    actions[WORD_BREAK] |= 1
    known = int(np.flatnonzero(actions)[-1]) + 1
    return Rules(
        actions=read_only(actions[:known].copy()),
        follows=read_only(follows),
        plain=read_only(plain),
        darts=read_only(darts),
        strings=read_only(strings),
        growth=growth,
    )


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
def _longest_rule(darts: Words, data: Bytes, at: Integer, end: Integer) -> tuple[np.int64, np.int64]:
    """Result and bytes of the longest rule that begins at a place; -1, 0: there is none."""
    node, found, size = _U32(0), _I64(-1), _I64(0)
    for k in range(at, end):
        node = child(darts, node, _U32(data[_U64(k)]))
        if node == _U32(0):
            break
        here = value(darts, node)
        if here >= 0:
            found, size = here, _I64(k + 1 - at)
    return found, size


@kernel_part
def normalise(
    rules: Rules, data: Bytes, begin: Integer, end: Integer, text: Bytes, starts: Int64s, spare: Integer
) -> np.int64:
    """Fill `text` and `starts`; returns the number of words, or -1 if the text grows by more than `spare` bytes and one.

    U+2581 is one byte, SPACE, in `text`, so that only results of rules can be longer than what they replace.
    """
    actions, strings, plain = rules.actions, rules.strings, rules.plain
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
        code, size = code_at(data, at)
        action = _I64(actions[_U64(code)]) if code < known else _I64(0)
        rule = action >> 2 if action & 2 else _I64(-1)
        if action & 1:
            if code == WORD_BREAK and rule < 0:
                rule = _I64(-2)
            if at + size < end and rules.follows[data[_U64(at + size)]]:
                longer, longer_size = _longest_rule(rules.darts, data, at, end)
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
