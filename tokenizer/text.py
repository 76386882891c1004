"""NFC and counts of text, over Arrow's buffers.

Almost all text of the web is NFC already, so one pass over the bytes finds the paragraphs that need Python's own normalisation: the
quick check of Unicode Standard Annex 15, section 9, with a look at the character before a mark that could compose. The same pass
counts words and characters.
"""

import dataclasses
import functools
import itertools
import re
import unicodedata
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from cc100.shards.errors import ConfigurationError
from cc100.tokenizer.kernels import read_only

UNICODE_VERSION = "14.0.0"
"""NFC of this version is what the arrays hold, whatever Python runs: two Pythons must not give two corpora."""

_SPACE, _NEVER, _MAYBE, _DECOMPOSES = (
    1,
    2,
    4,
    8,
)  # white space of str.split; NFC_QC=No; NFC_QC=Maybe; has a canonical decomposition
_TABLE_SIZE = 0x2FA20  # no code point from here on takes part in normalisation or is white space
_JAMO = (0x1161, 0x11C2)  # vowels and final consonants; they compose by a rule, not by a table
# Marks that Unicode 15.0 and 15.1 added (Python 3.12 and 3.13); version 14.0 takes them for characters that nothing is done with.
_ADDED = "\U00010efd-\U00010eff\U00011f41\U00011f42\U0001e08f\U0001e4ec-\U0001e4ef"
_ADDED_MARKS = re.compile(f"([{_ADDED}])")


@dataclasses.dataclass(frozen=True)
class TextCounts:
    """Sums over some paragraphs: UTF-8 bytes, code points, words (as by `str.split`)."""

    bytes: int = 0
    characters: int = 0
    words: int = 0

    def __add__(self, other: "TextCounts") -> "TextCounts":
        return TextCounts(self.bytes + other.bytes, self.characters + other.characters, self.words + other.words)


@dataclasses.dataclass(frozen=True)
class Lines:
    """Lines of UTF-8 in one buffer.

    Attributes:
        data: uint8[].
        offsets: int64[n + 1], where the lines begin, and the end of the last.
    """

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, lines: list[bytes]) -> "Lines":
        """Lines that are objects."""
        return cls(np.frombuffer(b"".join(lines), np.uint8), np.cumsum([0, *map(len, lines)], dtype=np.int64))

    @classmethod
    def of_arrow(cls, array: pa.BinaryArray | pa.StringArray) -> "Lines":
        """The memory of an array without nulls, which may be a slice."""
        data, offsets = _buffers(array)
        return cls(data, offsets.astype(np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Bytes of each line, int64[n]."""
        return np.diff(self.offsets)

    def to_list(self) -> list[bytes]:
        """The lines as objects."""
        whole = self.data[self.offsets[0] : self.offsets[-1]].tobytes()
        return [whole[begin:end] for begin, end in itertools.pairwise((self.offsets - self.offsets[0]).tolist())]


@dataclasses.dataclass(frozen=True)
class _Tables:
    flags: npt.NDArray[np.uint8]
    combining_class: npt.NDArray[np.uint8]
    pairs: npt.NDArray[np.uint64]


@functools.cache
def _tables() -> _Tables:
    """What the pass needs to know of every code point, from the running Python's Unicode data.

    Raises:
        ConfigurationError: they are older than 14.0.
    """
    if tuple(map(int, unicodedata.unidata_version.split("."))) < (14, 0, 0):
        raise ConfigurationError(
            f"this Python knows Unicode {unicodedata.unidata_version}; NFC of Unicode {UNICODE_VERSION} is needed. Use Python 3.11 or 3.12"
        )
    flags = np.zeros(_TABLE_SIZE, np.uint8)
    classes = np.zeros(_TABLE_SIZE, np.uint8)
    pairs = []
    for code in range(_TABLE_SIZE):
        char = chr(code)
        if char.isspace():
            flags[code] |= _SPACE
        if 0xD800 <= code < 0xE000 or _ADDED_MARKS.match(char):
            continue
        classes[code] = unicodedata.combining(char)
        decomposition = unicodedata.decomposition(char)
        if decomposition and not decomposition.startswith("<"):
            flags[code] |= _DECOMPOSES
            if unicodedata.normalize("NFC", char) != char:
                flags[code] |= _NEVER
            else:
                first, second = (int(digits, 16) for digits in decomposition.split())
                flags[second] |= _MAYBE
                pairs.append(first << 32 | second)
    flags[_JAMO[0] : 0x1176] |= _MAYBE
    flags[0x11A8 : _JAMO[1] + 1] |= _MAYBE
    return _Tables(read_only(flags), read_only(classes), read_only(np.array(sorted(pairs), np.uint64)))


@njit(cache=True, nogil=True)
def _scan(
    text: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    flags: npt.NDArray[np.uint8],
    combining_class: npt.NDArray[np.uint8],
    pairs: npt.NDArray[np.uint64],
    suspect: npt.NDArray[np.bool_],
    words: npt.NDArray[np.int64],
    characters: npt.NDArray[np.int64],
) -> None:
    """Fill in for every paragraph: may it not be NFC, its words, its characters."""
    for row in range(len(offsets) - 1):
        at, end = int(offsets[row]), int(offsets[row + 1])
        count = word_count = 0
        in_word = False
        last_class = starter = 0
        is_suspect = False
        while at < end:
            byte = int(text[at])
            if byte < 0x80:
                code = byte
                at += 1
            elif byte < 0xE0:
                code = (byte & 0x1F) << 6 | int(text[at + 1]) & 0x3F
                at += 2
            elif byte < 0xF0:
                code = (byte & 0x0F) << 12 | (int(text[at + 1]) & 0x3F) << 6 | int(text[at + 2]) & 0x3F
                at += 3
            else:
                code = (byte & 0x07) << 18 | (int(text[at + 1]) & 0x3F) << 12
                code |= (int(text[at + 2]) & 0x3F) << 6 | int(text[at + 3]) & 0x3F
                at += 4
            count += 1
            flag = flags[code] if code < _TABLE_SIZE else 0
            if flag & _SPACE:
                in_word = False
            elif not in_word:
                in_word = True
                word_count += 1
            if code < 0x300:  # below it nothing combines
                last_class, starter = 0, code
                continue
            mark = combining_class[code] if code < _TABLE_SIZE else 0
            if flag & _NEVER or (mark != 0 and mark < last_class):
                is_suspect = True
            elif flag & _MAYBE:
                if _JAMO[0] <= code <= _JAMO[1] or (starter < _TABLE_SIZE and flags[starter] & _DECOMPOSES):
                    is_suspect = True
                else:
                    key = np.uint64(starter << 32 | code)
                    place = np.searchsorted(pairs, key)
                    if place < len(pairs) and pairs[place] == key:
                        is_suspect = True
            last_class = mark
            if mark == 0:
                starter = code
        suspect[row] = is_suspect
        words[row] = word_count
        characters[row] = count


def _buffers(text: pa.StringArray | pa.BinaryArray) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """Bytes and offsets (int32[n + 1]) of an array without nulls."""
    _, offsets, data = text.buffers()
    bounds = np.frombuffer(offsets, np.int32)[text.offset : text.offset + len(text) + 1]
    return np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8), bounds


def _look(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Which rows may not be NFC, and the words and characters of each."""
    tables = _tables()
    rows = len(offsets) - 1
    suspect, words, characters = np.zeros(rows, np.bool_), np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    _scan(
        read_only(data),
        read_only(offsets),
        tables.flags,
        tables.combining_class,
        tables.pairs,
        suspect,
        words,
        characters,
    )
    return suspect, words, characters


def normalise(text: str) -> str:
    """NFC of one paragraph, by Unicode 14.0."""
    return "".join(unicodedata.normalize("NFC", piece) for piece in _ADDED_MARKS.split(text))


def nfc(text: pa.StringArray) -> tuple[Lines, TextCounts]:
    """NFC of paragraphs as UTF-8, and what is in it.

    Args:
        text: string[n] without nulls.

    Returns:
        The memory of `text` where all of it is NFC already.
    """
    if len(text) == 0:
        return Lines.of([]), TextCounts()
    lines = Lines.of_arrow(text)
    suspect, words, characters = _look(lines.data, lines.offsets)
    rows = np.flatnonzero(suspect)
    if len(rows):
        changed = [normalise(text[row].as_py()).encode() for row in rows.tolist()]
        lines = _replace(lines, rows, changed)
        new = Lines.of(changed)
        _, words[rows], characters[rows] = _look(new.data, new.offsets)
    return lines, TextCounts(int(lines.sizes.sum()), int(characters.sum()), int(words.sum()))


def _replace(lines: Lines, rows: npt.NDArray[np.int64], new: list[bytes]) -> Lines:
    """The same lines with others in some rows, in a new buffer."""
    parts: list[Any] = []
    at = lines.offsets[0]
    for row, line in zip(rows.tolist(), new, strict=True):
        parts += [lines.data[at : lines.offsets[row]], line]
        at = lines.offsets[row + 1]
    parts.append(lines.data[at : lines.offsets[-1]])
    sizes = lines.sizes
    sizes[rows] = [len(line) for line in new]
    return Lines(np.frombuffer(b"".join(parts), np.uint8), np.concatenate([[0], np.cumsum(sizes)]))
