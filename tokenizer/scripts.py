"""Unicode scripts of pieces, for the report on a vocabulary.

The table below gives the scripts of the languages of CC-100, and some more, as ranges of code points; only letters and
marks inside a range count. It agrees with the property Script (Unicode Standard Annex 24) on every letter of Unicode
14.0, which a test checks. It stands here because Python's `unicodedata` does not know scripts.
"""

import bisect
import collections
import functools
import unicodedata
from collections.abc import Iterable

COMMON = "Common"  # digits, punctuation, symbols, the space mark: what all scripts share
OTHER = "Other"  # letters of scripts that are not in the table

_RANGES = """
    Adlam 1E900-1E94B; Arabic 0610-061A 0620-063F 0641-064A 0656-065F 066E-066F 0671-06FF 0750-077F 0870-08FF
        FB50-FDFB FE70-FEFC 1EE00-1EEBB;
    Armenian 0531-0588 FB13-FB17; Balinese 1B00-1B73; Bengali 0980-09FE; Bopomofo 02EA-02EB 3105-312F 31A0-31BF;
    Buginese 1A00-1A1B; Canadian 1401-167F 18B0-18F5 11AB0-11ABF; Chakma 11100-11147; Cham AA00-AA4D;
    Cherokee 13A0-13FD AB70-ABBF; Coptic 03E2-03EF 2C80-2CF3;
    Cyrillic 0400-0484 0487-052F 1C80-1C88 1D2B-1D2B 1D78-1D78 2DE0-2DFF A640-A69F FE2E-FE2F;
    Devanagari 0900-0950 0955-097F A8E0-A8FF; Ethiopic 1200-135F 1380-138F 2D80-2DDE AB01-AB2E 1E7E0-1E7FE;
    Georgian 10A0-10FA 10FC-10FF 1C90-1CBF 2D00-2D2D; Glagolitic 2C00-2C5F 1E000-1E02A; Gothic 10330-10349;
    Greek 0370-0373 0376-03E1 03F0-03FF 1D26-1D2A 1D5D-1D61 1D66-1D6A 1DBF-1DBF 1F00-1FFC 2126-2126 AB65-AB65
        1D242-1D244;
    Gujarati 0A81-0AFF; Gurmukhi 0A01-0A75; Han 3005-3005 303B-303B 3400-9FFF F900-FAD9 16FE3-16FE3 16FF0-16FF1 20000-3134A;
    Hangul 1100-11FF 302E-302F 3131-318E A960-A97C AC00-D7FB FFA0-FFDC; Hebrew 0591-05F2 FB1D-FB4F;
    Hiragana 3041-3096 309D-309F 1B001-1B11F 1B150-1B152; Javanese A980-A9CE A9D0-A9DF; Kannada 0C80-0CF2;
    Katakana 30A1-30FA 30FD-30FF 31F0-31FF FF66-FF6F FF71-FF9D 1AFF0-1B000 1B120-1B122 1B164-1B167;
    Khmer 1780-17DD; Lao 0E81-0EDF;
    Latin 0041-00AA 00BA-02B8 02E0-02E4 1D00-1D25 1D2C-1D5C 1D62-1D65 1D6B-1D77 1D79-1DBE 1E00-1EFF 2071-209C
        212A-212B 2132-2132 214E-2188 2C60-2C7F A722-A787 A78B-A7FF AB30-AB5A AB5C-AB64 AB66-AB69 FB00-FB06
        FF21-FF5A 10780-107BA 1DF00-1DF1E;
    Lisu A4D0-A4FD 11FB0-11FB0; Malayalam 0D00-0D7F; Meetei AAE0-AAF6 ABC0-ABED; Mongolian 180B-18AA;
    Myanmar 1000-109D A9E0-A9FE AA60-AA7F; Nko 07CA-07FD; Ogham 1681-169A; Ol-Chiki 1C5A-1C7D; Oriya 0B01-0B71;
    Runic 16A0-16F8; Sinhala 0D81-0DF3; Sundanese 1B80-1BBF; Syriac 0710-074F 0860-086A; Tagalog 1700-171F;
    Tamil 0B82-0BD7; Telugu 0C00-0C63; Thaana 0780-07B1; Thai 0E01-0E4E; Tibetan 0F00-0FC6; Tifinagh 2D30-2D7F;
    Vai A500-A62B; Yi A000-A48C;
    Common 00B5-00B5 02B9-02DF 02E5-02E9 02EC-036F 0374-0374 0485-0486 0640-0640 064B-0655 0670-0670 0951-0954
        1AB0-1ACE 1CD0-1CFA 1DC0-1DFF 20D0-20F0 2102-2125 2128-2129 212C-2131 2133-214D 302A-302D 3006-3006
        3031-3035 303C-303C 3099-309C 30FC-30FC 2E2F-2E2F A700-A721 A788-A78A A9CF-A9CF AB5B-AB5B FE00-FE0F FE20-FE2D FF70-FF70
        FF9E-FF9F 1BCA0-1BCA3 1D165-1D1AD 1D400-1D7FF E0100-E01EF
"""


@functools.cache
def _table() -> tuple[list[int], list[int], list[str]]:
    """First and last code points of the ranges, ascending, and the script of each."""
    rows = []
    for entry in _RANGES.split(";"):
        name, *ranges = entry.split()
        for first, last in (part.split("-") for part in ranges):
            rows.append((int(first, 16), int(last, 16), name))
    firsts, lasts, names = zip(*sorted(rows), strict=True)
    return list(firsts), list(lasts), list(names)


@functools.cache
def script(character: str) -> str:
    """Script of one character: of the table, `COMMON` for what is neither letter nor mark, `OTHER` for other letters."""
    if unicodedata.category(character)[0] not in "LM":
        return COMMON
    firsts, lasts, names = _table()
    row = bisect.bisect_right(firsts, ord(character)) - 1
    return names[row] if row >= 0 and ord(character) <= lasts[row] else OTHER


def majority_script(piece: str) -> str:
    """Script of most letters and marks of a piece, the first of equals; `COMMON` if it has none."""
    found = collections.Counter(name for name in map(script, piece) if name != COMMON)
    return found.most_common(1)[0][0] if found else COMMON


def script_counts(pieces: Iterable[str]) -> dict[str, int]:
    """Pieces of each majority script, most frequent first, then by name."""
    counts = collections.Counter(map(majority_script, pieces))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
