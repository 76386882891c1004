"""Unicode 14.0 for the text kernels, whatever version the running Python has.

`unicode_14.tsv` beside this module holds what normalisation needs of the Unicode Character Database 14.0 (Python 3.11):
lower-case mappings and decimal digits. `python -m cc100.transforms.unicode_tables` writes it again. White space, the
code points of `str.isspace`, `str.split` and `str.strip`, has been the same since Unicode 6.3 and stands in the code.
"""

import dataclasses
import functools
import importlib.resources
import sys
import unicodedata
from collections.abc import Iterable, Iterator

import numpy as np
from numba import njit
from numpy.typing import NDArray

UNICODE_VERSION = "14.0.0"

# Bidirectional class WS, B or S, or category Zs: what CPython's _PyUnicode_IsWhitespace knows.
WHITE_SPACE = (*range(0x09, 0x0E), *range(0x1C, 0x21), 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B),
               0x2028, 0x2029, 0x202F, 0x205F, 0x3000)  # fmt: skip

# The punctuation that cc_net removes (text_normalizer.py, UNICODE_PUNCT).
MARKS = "，。、„”“«»」「《》´∶：？！（）；–—．～’…━〈〉【】％►"

_TSV = "unicode_14.tsv"
_COVERED = 0x20000  # every code point from here on is its own normal form, which the loader checks
_BLOCK_BITS = 6  # the continuation byte that ends a code point's UTF-8 is the position in its block


@dataclasses.dataclass(frozen=True)
class NormalForms:
    """Two-stage table from a code point to the UTF-8 of its normal form, read-only.

    A code point below 0x800 has the entry `entries[c]`. One below 0x20000 has the entry
    `entries[64 * blocks[c >> 6] + (c & 63)]`, or is its own normal form where `blocks[c >> 6]` is 0. All others are
    their own normal form.

    Attributes:
        blocks: uint8[2048], number of the block of entries for 64 code points.
        entries: uint32[64 k], UTF-8 of the normal form, first byte lowest, padded with zero bytes: the number of bytes
            that are not zero is its length. 0 where the code point is removed.
    """

    blocks: NDArray[np.uint8]
    entries: NDArray[np.uint32]


@dataclasses.dataclass(frozen=True)
class _Run:
    """Code points `first`, `first + step`, ..., `last`, and the difference to their lower-case mappings."""

    first: int
    last: int
    step: int
    difference: int

    @property
    def code_points(self) -> slice:
        return slice(self.first, self.last + 1, self.step)


# --- The file ---------------------------------------------------------------------------------------------------------


def _lower(code_point: int) -> int:
    """Simple lower-case mapping; U+0130 is the only one for which `str.lower` gives two code points."""
    return ord("i") if code_point == 0x130 else ord(chr(code_point).lower())


def _runs(differences: Iterable[tuple[int, int]]) -> Iterator[_Run]:
    """Joins (code point, difference), in order, to runs of step 1 or 2 with the same difference."""
    run: _Run | None = None
    for code_point, difference in differences:
        if run is not None and difference == run.difference:
            step = code_point - run.last
            if step == run.step or (run.first == run.last and step <= 2):
                run = _Run(run.first, code_point, step, difference)
                continue
        if run is not None:
            yield run
        run = _Run(code_point, code_point, 1, difference)
    if run is not None:
        yield run


def generate() -> str:
    """Text of `unicode_14.tsv`, from the running Python's `unicodedata`.

    Returns:
        A comment of two lines, then a row for each run of code points: kind (`lower` or `digit`), first and last code
        point (hexadecimal), step, and for `lower` the difference to the lower-case mapping (decimal), separated by
        tabs. In order of kind and first code point.

    Raises:
        RuntimeError: `unicodedata` is not of version 14.0.0.
    """
    if unicodedata.unidata_version != UNICODE_VERSION:
        raise RuntimeError(f"this Python knows Unicode {unicodedata.unidata_version}, {UNICODE_VERSION} is needed")
    code_points = range(sys.maxunicode + 1)
    lower = ((c, _lower(c) - c) for c in code_points if _lower(c) != c)
    digits = ((c, 0) for c in code_points if unicodedata.category(chr(c)) == "Nd")
    lines = [
        f"# Unicode {UNICODE_VERSION}: simple lower-case mappings (U+0130 to U+0069) and decimal digits (Nd)",
        "# kind, first, last, step, difference",
        *(f"lower\t{r.first:04X}\t{r.last:04X}\t{r.step}\t{r.difference}" for r in _runs(lower)),
        *(f"digit\t{r.first:04X}\t{r.last:04X}\t{r.step}" for r in _runs(digits)),
    ]
    return "\n".join(lines) + "\n"


def _read_runs() -> dict[str, list[_Run]]:
    """Rows of the shipped file by kind."""
    runs: dict[str, list[_Run]] = {"lower": [], "digit": []}
    text = importlib.resources.files(__package__).joinpath(_TSV).read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line.startswith("#"):
            kind, first, last, step, *difference = line.split("\t")
            runs[kind].append(_Run(int(first, 16), int(last, 16), int(step), int(difference[0]) if difference else 0))
    return runs


# --- Tables -----------------------------------------------------------------------------------------------------------


@functools.cache
def normal_code_points() -> NDArray[np.uint32]:
    """Normal form of every code point below 0x20000; from there on, every code point is its own.

    Returns:
        uint32[0x20000], read-only: the lower-case mapping, or U+0030 where that is a decimal digit, or 0 where that is
        a control character (U+0000 to U+001F, U+007F to U+009F) or one of `MARKS`, which are removed.
    """
    runs = _read_runs()
    if max(run.last for kind in runs.values() for run in kind) >= _COVERED:
        raise ValueError(f"{_TSV} has code points from {_COVERED:#x} on, which the tables do not cover")
    lower = np.arange(_COVERED, dtype=np.int64)
    for run in runs["lower"]:
        lower[run.code_points] += run.difference
    own = np.arange(_COVERED, dtype=np.uint32)
    for run in runs["digit"]:
        own[run.code_points] = ord("0")
    own[:0x20] = 0
    own[0x7F:0xA0] = 0
    own[[ord(mark) for mark in MARKS]] = 0
    normal = own[lower]
    normal.flags.writeable = False
    return normal


def _utf8_words(code_points: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """UTF-8 of code points, first byte lowest, padded with zero bytes; uint32[n] to uint32[n]."""
    c = code_points
    last = 0x80 | (c & 0x3F)
    second = 0x80 | (c >> 6 & 0x3F)
    third = 0x80 | (c >> 12 & 0x3F)
    two = (0xC0 | c >> 6) | last << 8
    three = (0xE0 | c >> 12) | second << 8 | last << 16
    four = (0xF0 | c >> 18) | third << 8 | second << 16 | last << 24
    words: NDArray[np.uint32] = np.select([c < 0x80, c < 0x800, c < 0x10000], [c, two, three], four).astype(np.uint32)
    return words


@functools.cache
def normal_forms() -> NormalForms:
    """Table of normal forms for the kernels, made once in a process (a few milliseconds)."""
    normal = normal_code_points().reshape(-1, 1 << _BLOCK_BITS)
    own = np.arange(_COVERED, dtype=np.uint32).reshape(normal.shape)
    stored = (normal != own).any(axis=1)
    stored[: 0x800 >> _BLOCK_BITS] = True
    numbers = np.where(stored, np.cumsum(stored) - 1, 0)
    table = NormalForms(numbers.astype(np.uint8), _utf8_words(normal[stored].ravel()))
    if numbers.max() > np.iinfo(np.uint8).max:
        raise ValueError(f"{_TSV} needs more than 256 blocks of {1 << _BLOCK_BITS} code points")
    table.blocks.flags.writeable = False
    table.entries.flags.writeable = False
    return table


# --- White space in UTF-8 ---------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def is_white_space(code_point: int) -> bool:
    """True for the 29 code points of `WHITE_SPACE`; for compiled code.

    Args:
        code_point: int64.
    """
    if code_point <= 0xA0:
        return (
            code_point == 0x20
            or (0x09 <= code_point <= 0x0D)
            or (0x1C <= code_point <= 0x1F)
            or code_point == 0x85
            or code_point == 0xA0
        )
    if code_point < 0x2000:
        return code_point == 0x1680
    return (
        code_point <= 0x200A
        or code_point == 0x2028
        or code_point == 0x2029
        or code_point == 0x202F
        or code_point == 0x205F
        or code_point == 0x3000
    )


@njit(cache=True, nogil=True)
def skip_white_space(data: NDArray[np.uint8], begin: int, end: int) -> int:
    """Position of the first code point that is not white space; for compiled code.

    Args:
        data: uint8[b]. The range may hold any bytes: what is not UTF-8 is not white space.
        begin: int64, first byte, at which a code point begins.
        end: int64, one past the last byte.

    Returns:
        int64, `end` where all is white space.
    """
    at = begin
    while at < end:
        lead = data[at]
        if lead < 0x80:
            if not is_white_space(lead):
                break
            at += 1
        elif lead == 0xC2:
            if at + 1 >= end or not (data[at + 1] == 0x85 or data[at + 1] == 0xA0):
                break
            at += 2
        elif 0xE1 <= lead <= 0xE3:
            if at + 2 >= end or (data[at + 1] & 0xC0) != 0x80 or (data[at + 2] & 0xC0) != 0x80:
                break
            if not is_white_space((lead & 0xF) << 12 | (data[at + 1] & 0x3F) << 6 | (data[at + 2] & 0x3F)):
                break
            at += 3
        else:
            break
    return at


@njit(cache=True, nogil=True)
def trim_white_space(data: NDArray[np.uint8], begin: int, end: int) -> int:
    """End of the range without the white space at its end; for compiled code.

    Args:
        data: uint8[b], of which the range is valid UTF-8.
        begin: int64, first byte.
        end: int64, one past the last byte.

    Returns:
        int64, one past the last code point that is not white space; `begin` where all is white space.
    """
    at = end
    while at > begin:
        last = data[at - 1]
        if last < 0x80:
            if not is_white_space(last):
                break
            at -= 1
        elif at - 2 >= begin and data[at - 2] == 0xC2:
            if not (last == 0x85 or last == 0xA0):
                break
            at -= 2
        elif at - 3 >= begin and 0xE1 <= data[at - 3] <= 0xE3:
            if not is_white_space((data[at - 3] & 0xF) << 12 | (data[at - 2] & 0x3F) << 6 | (last & 0x3F)):
                break
            at -= 3
        else:
            break
    return at


if __name__ == "__main__":
    path = importlib.resources.files(__package__).joinpath(_TSV)
    with importlib.resources.as_file(path) as file:
        file.write_text(generate(), encoding="utf-8")
