"""Tables, hashes and digests against `unicodedata`, `xxhash` and the definition in plain Python."""

import itertools
import pathlib
import sys
import unicodedata

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from cc100.transforms import normalisation as module
from cc100.transforms import unicode_tables
from cc100.transforms.hashing import mix64, xxh64
from cc100.transforms.normalisation import EMPTY_DIGEST, digest_paragraphs
from cc100.transforms.paragraphs import split_pages
from cc100.transforms.unicode_tables import MARKS, WHITE_SPACE, is_white_space, normal_code_points, normal_forms

WORD = 2**64 - 1
CODE_POINTS = [c for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]
unicode_14 = pytest.mark.skipif(
    unicodedata.unidata_version != unicode_tables.UNICODE_VERSION,
    reason=f"compares with unicodedata, which is {unicodedata.unidata_version} here",
)


def normalise_slowly(paragraph: str) -> str:
    normal = []
    for character in paragraph:
        lower = "i" if character == "\u0130" else character.lower()
        digit = "0" if unicodedata.category(lower) == "Nd" else lower
        control = digit <= "\x1f" or "\x7f" <= digit <= "\x9f"
        if not control and digit not in MARKS:
            normal.append(digit)
    return "".join(normal).strip()


def digest_slowly(paragraph: str) -> int:
    normal = normalise_slowly(paragraph)
    return xxhash.xxh64(normal.encode()).intdigest() or 1 if normal else 0


def digests(paragraphs: list[str]) -> list[int]:
    encoded = [paragraph.encode() for paragraph in paragraphs]
    bounds = np.cumsum([0, *map(len, encoded)])
    return digest_paragraphs(np.frombuffer(b"".join(encoded), np.uint8), bounds[:-1], bounds[1:]).tolist()


# --- Tables -----------------------------------------------------------------------------------------------------------


@unicode_14
def test_shipped_file_is_what_the_module_generates() -> None:
    shipped = pathlib.Path(unicode_tables.__file__).with_name("unicode_14.tsv").read_text(encoding="utf-8")
    assert shipped == unicode_tables.generate()


@unicode_14
def test_normal_form_of_every_code_point() -> None:
    table = normal_code_points()
    for code_point in CODE_POINTS:
        expected = normalise_slowly(f"a{chr(code_point)}a")[1:-1]
        normal = int(table[code_point]) if code_point < table.size else code_point
        assert (chr(normal) if normal else "") == expected


def test_entries_are_the_utf8_of_the_normal_code_points() -> None:
    forms, table = normal_forms(), normal_code_points()
    assert len(MARKS) == len(set(MARKS)) == 33
    for code_point in CODE_POINTS[: table.size - 0x800]:
        block = int(forms.blocks[code_point >> 6])
        normal = int(table[code_point])
        if block == 0 and code_point >= 0x800:
            assert normal == code_point
            continue
        entry = int(forms.entries[64 * block + (code_point & 63)])
        assert entry.to_bytes(4, "little").rstrip(b"\0") == (chr(normal).encode() if normal else b"")
        if code_point < 0x800:
            assert entry == forms.entries[code_point]


def test_other_unicode_versions_cannot_generate_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unicodedata, "unidata_version", "15.1.0")
    with pytest.raises(RuntimeError, match=r"Unicode 15\.1\.0, 14\.0\.0 is needed"):
        unicode_tables.generate()


def test_white_space_is_that_of_str() -> None:
    assert [c for c in range(sys.maxunicode + 1) if chr(c).isspace()] == list(WHITE_SPACE)
    assert len(WHITE_SPACE) == 29
    assert [c for c in range(0x3100) if is_white_space(c)] == list(WHITE_SPACE)
    assert not any(is_white_space(c) for c in range(0x3100, sys.maxunicode + 1, 7))


# --- Hashes -----------------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200), cut=st.integers(0, 40), seed=st.integers(0, WORD))
def test_xxh64(data: bytes, cut: int, seed: int) -> None:
    begin = min(cut, len(data))
    expected = xxhash.xxh64(data[begin:], seed).intdigest()
    assert int(xxh64(np.frombuffer(data, np.uint8), begin, len(data), np.uint64(seed))) == expected


def mix64_slowly(x: int) -> int:
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & WORD
    x = (x ^ x >> 27) * 0x94D049BB133111EB & WORD
    return x ^ x >> 31


@settings(deadline=None)
@given(x=st.integers(0, WORD))
def test_mix64(x: int) -> None:
    assert int(mix64(np.uint64(x))) == mix64_slowly(x)


def test_mix64_gives_the_published_sequence_of_splitmix64() -> None:
    states = [1234567 + i * 0x9E3779B97F4A7C15 & WORD for i in range(1, 4)]
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [int(mix64(np.uint64(state))) for state in states] == published


# --- Digests ----------------------------------------------------------------------------------------------------------

INTERESTING = [
    *"\0\t\x1f /09:@AZ[`az~\x7f\x80",
    *MARKS,
    *map(chr, WHITE_SPACE),
    *"\u0130\u0131\u023a\u023e\u03a3\u03c2\u1e9e\u212a\u212b\u2126\u2c62\u0660\u0966\uff10\U00010400\U0001d7ce\U0001e900\U0001fbf0",
    *"\u180e\u200b\ufeff\U00020000\U0010ffff",
    *("word", "EIGHT BY", "2024", "Слово", "ΣΊΣΥΦΟΣ", "漢字", "हिन्दी", "😀"),
]
PARAGRAPH = st.lists(st.sampled_from(INTERESTING) | st.text(max_size=9), max_size=24).map("".join)


@unicode_14
@settings(max_examples=200, deadline=None)
@given(paragraphs=st.lists(PARAGRAPH, max_size=6))
def test_digest_is_xxh64_of_the_normalised_form(paragraphs: list[str]) -> None:
    assert digests(paragraphs) == [digest_slowly(paragraph) for paragraph in paragraphs]


@unicode_14
@pytest.mark.parametrize("phase", range(8))
def test_every_covered_code_point_at_every_place_of_a_word(phase: int) -> None:
    paragraphs = ["." * phase + chr(c) + "A9" for c in CODE_POINTS if c < 0x21000 and c % 8 == phase]
    paragraphs += ["." * phase + text + "Z" for text in INTERESTING]
    assert digests(paragraphs) == [digest_slowly(paragraph) for paragraph in paragraphs]


def test_the_longest_growth() -> None:
    """U+023A becomes one byte longer: two bytes to three."""
    for count in (1, 2, 3, 7, 8, 9, 1_000_000):
        normal = "\u2c65" * count
        assert digests(["\u023a" * count, normal]) == [xxhash.xxh64(normal.encode()).intdigest()] * 2


@pytest.mark.parametrize(
    ("paragraph", "normal"),
    [
        ("Été 2021, 12:30", "été 0000, 00:00"),
        ("\u0130\u0131I", "i\u0131i"),
        ("\u03a3\u03c2", "\u03c3\u03c2"),
        ("« a »", "a"),
        ("…\u00a0a\u2028。", "a"),
        ("a\u0085b\tc\0d", "abcd"),
        ("٣३３𝟛", "0000"),
        ("a — b", "a  b"),
        ("\u212aelvin", "kelvin"),
    ],
)
def test_normalised_forms(paragraph: str, normal: str) -> None:
    assert digests([paragraph]) == [xxhash.xxh64(normal.encode()).intdigest()]


def test_empty_digest_stands_for_empty_normalised_forms_only() -> None:
    empty = ["", " ", "…", "— … —", "\u3000（）\u3000", "\0\x1f\x7f\u0085\u009f", *MARKS, *map(chr, WHITE_SPACE)]
    assert set(digests(empty)) == {EMPTY_DIGEST} == {0}
    assert EMPTY_DIGEST not in digests(["a", ".", "0", "\u200b", "\ufffd", "\u180e"])


def test_a_hash_of_zero_is_not_the_empty_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """No text with XXH64 = 0 is known, so the kernel's Python source runs with a hash that gives 0."""
    monkeypatch.setattr(module, "xxh64", lambda *_: np.uint64(0))
    monkeypatch.setattr(module, "_digest", module._digest.py_func)
    assert digests(["a", "…"]) == [1, EMPTY_DIGEST]


def test_paragraphs_in_any_order_and_overlapping() -> None:
    text = np.frombuffer(b"one TWO", np.uint8)
    found = digest_paragraphs(text, np.array([4, 0, 0, 7], np.int32), np.array([7, 3, 7, 7], np.int32))
    assert found.dtype == np.uint64
    assert found.tolist() == [digest_slowly(text) for text in ("two", "one", "one two", "")]


def test_paragraphs_compile_one_kernel() -> None:
    digests([])
    digest_paragraphs(np.full(9, ord("a"), np.uint8), np.array([0]), np.array([9]))
    assert len(module._digest.signatures) == 1


@pytest.mark.parametrize(("start", "end"), [(-1, 1), (2, 1), (0, 4), (5, 4)])
def test_bad_bounds_are_refused(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="paragraphs end before they start or leave the 3 bytes"):
        digest_paragraphs(np.zeros(3, np.uint8), np.array([start]), np.array([end]))


def test_starts_and_ends_of_different_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="starts"):
        digest_paragraphs(np.zeros(3, np.uint8), np.array([0, 1]), np.array([1]))


def test_bytes_that_are_not_utf8_do_no_harm() -> None:
    blob = np.random.default_rng(0).integers(0, 256, 20_000, np.uint8)
    bounds = np.arange(0, blob.size + 1, 10)
    assert digest_paragraphs(blob, bounds[:-1], bounds[1:]).size == bounds.size - 1


@unicode_14
@pytest.mark.parametrize("pattern", ["wet/crawl/*-00004.warc.wet.gz", "wet/real/whatsinthebox_v1.warc.wet.gz"])
def test_real_paragraphs(shared_data: pathlib.Path, pattern: str) -> None:
    (path,) = shared_data.glob(pattern)
    with path.open("rb") as stream:
        pages = [r.content_stream().read() for r in ArchiveIterator(stream) if r.rec_type == "conversion"][:1000]
    split = split_pages(np.frombuffer(b"".join(pages), np.uint8), np.cumsum([0, *map(len, pages)]))
    found = digest_paragraphs(split.text, split.offsets[:-1], split.offsets[1:]).tolist()
    text = split.text.tobytes()
    bounds = split.offsets.tolist()
    paragraphs = [text[begin:end].decode() for begin, end in itertools.pairwise(bounds)]
    assert found == [digest_slowly(paragraph) for paragraph in paragraphs]
