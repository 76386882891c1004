"""The table of scripts, against the property Script as the `regex` package has it."""

import unicodedata

import pytest

from cc100.tokenizer.scripts import COMMON, OTHER, _table, majority_script, script, script_counts
from cc100.transforms.unicode_tables import UNICODE_VERSION


@pytest.mark.skipif(
    unicodedata.unidata_version != UNICODE_VERSION,
    reason=f"compares with unicodedata, which is {unicodedata.unidata_version} here",
)
def test_every_letter():
    regex = pytest.importorskip("regex")
    long_names = {"Canadian": "Canadian_Aboriginal", "Meetei": "Meetei_Mayek", "Ol-Chiki": "Ol_Chiki"}
    names = sorted(set(_table()[2]) - {COMMON})
    patterns = {name: regex.compile(rf"\p{{Script={long_names.get(name, name)}}}") for name in names}
    shared = regex.compile(r"[\p{Script=Common}\p{Script=Inherited}]")
    letters = "".join(chr(c) for c in range(0x110000) if unicodedata.category(chr(c))[0] in "LM")
    expected = dict.fromkeys(letters, OTHER) | dict.fromkeys(shared.findall(letters), COMMON)
    for name, pattern in patterns.items():
        expected |= dict.fromkeys(pattern.findall(letters), name)
    marks_of_all = {c for c in letters if unicodedata.category(c)[0] == "M" and expected[c] == COMMON}
    wrong = {f"{ord(c):04X}": (script(c), expected[c]) for c in letters if script(c) != expected[c]}
    assert {code: pair for code, pair in wrong.items() if chr(int(code, 16)) not in marks_of_all} == {}
    assert set(wrong.values()) <= {(OTHER, COMMON)}


def test_ranges_do_not_overlap():
    firsts, lasts, _ = _table()
    assert all(first <= last for first, last in zip(firsts, lasts, strict=True))
    assert all(last < first for last, first in zip(lasts, firsts[1:], strict=False))


@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        ("▁the", "Latin"), ("▁", COMMON), ("", COMMON), ("2024", COMMON), ("...", COMMON), ("мир", "Cyrillic"),
        ("ab日本語", "Han"), ("日a", "Han"), ("a日", "Latin"), ("カタ", "Katakana"), ("食べる", "Hiragana"), ("हिन्दी", "Devanagari"),
        ("𐎀", OTHER), ("é\u0301\u0302", "Latin"), ("3-й", "Cyrillic"), ("ー", COMMON),
    ],
)  # fmt: skip
def test_majority(piece, expected):
    assert majority_script(piece) == expected


def test_counts_are_ordered():
    assert list(script_counts(["b", "я", "a", "ж", "1", "α"]).items()) == [
        ("Cyrillic", 2), ("Latin", 2), (COMMON, 1), ("Greek", 1),
    ]  # fmt: skip
