"""NFC and counts over Arrow's buffers: equal to `unicodedata` and `str.split` on whatever text there may be."""

import gzip
import itertools
import re
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cc100.shards.errors import ConfigurationError
from cc100.tokenizer import text as module
from cc100.tokenizer.text import UNICODE_VERSION, Lines, TextCounts, nfc, normalise

# Marks that Unicode 15.0 and 15.1 added; in Python 3.12 they are marks, in version 14.0 they are unassigned.
ADDED = [0x10EFD, 0x10EFE, 0x10EFF, 0x11F41, 0x11F42, 0x1E08F, 0x1E4EC, 0x1E4ED, 0x1E4EE, 0x1E4EF]
AWKWARD = (
    "aAeEoOuUiycCdDsSzZ"  # Latin starters with many composites
    "\u0300\u0301\u0302\u0303\u0306\u0307\u0308\u0309\u030a\u030c\u031b\u0323\u0327\u0328\u0331\u0338\u0345"
    "éêëếệôốơớợưữạậäǟǖåáçḑḍ̇"  # precomposed, some with further composites
    "\u0340\u0341\u0343\u0344\u0374\u037e\u0387\u2126\u212a\u212b\u2000\u2001\u2adc"  # never in NFC
    "\u0958\u09dc\u0a33\u0f43\u0f73\u0f75\u0f81\ufb1d\ufb1f\ufb2a\ufb4e\U0001d15e\U0001d1bb"  # excluded from composition
    "\u09c7\u09be\u09d7\u09bc\u0995\u09a1\u0bc6\u0bc7\u0bbe\u0bd7\u0b95\u0d46\u0d3e\u0d57\u0cbf\u0cd5\u0cc6\u0cc2\u0dd9\u0dcf"
    "\u0928\u093c\u0930\u0933\u094d\u0951\u0c46\u0c56\u1025\u102e\u1b05\u1b35"
    "\u1100\u1112\u1161\u1175\u11a7\u11a8\u11c2\u11c3\uac00\uac01\ud788\ud7a3\ud7b0\ua960\u1176"  # jamo and syllables
    "\u0627\u0653\u0654\u0655\u0648\u064a\u064b\u0650\u0651\u0652\u0670\u06d5\u06c1\u0622\u0623"  # Arabic
    "\u05d0\u05b0\u05b7\u05b8\u05bc\u05bf\u05c1\u05c2\u05e9"  # Hebrew
    "\u0f71\u0f72\u0f74\u0f80\u0e38\u0e48\u302a\u302b\u3099\u309a\u304b\u3046\u30cf\uff76\uff9e"
    "\uf900\ufa0e\ufa10\u2f00\U0002f800\U0002fa1d\U0002fa20\u4e00"  # CJK, compatibility too
    "\U00011099\U000110ba\U00011131\U00011127\U00011347\U0001133e\U000114b9\U000114ba\U00011935\U00011930"
    "\U0001f600\U0010ffff\ufdd0\ufeff\x00\x1c\x85\xa0\u1680\u2028\u200b\u202f\u205f\u3000 \t\n"
) + "".join(map(chr, ADDED))  # fmt: skip
TEXT = st.one_of(
    st.text(st.sampled_from(AWKWARD), max_size=25),
    st.text(st.one_of(st.sampled_from(AWKWARD), st.characters(codec="utf-8")), max_size=12),
    st.builds(lambda starter, marks: starter + "".join(marks), st.sampled_from(AWKWARD), st.lists(
        st.sampled_from("\u0301\u0323\u031b\u0327\u0338\u0345\u0302\u05b0\u064b\u0650\u3099\u09bc\u094d\u0f71\u0344"), max_size=40
    )),
)  # fmt: skip


def plain_nfc(text: str) -> str:
    """NFC of Unicode 14.0 in any later Python: what was added since is taken for characters of no kind."""
    pieces, piece = [], ""
    for char in text:
        if ord(char) in ADDED:
            pieces += [unicodedata.normalize("NFC", piece), char]
            piece = ""
        else:
            piece += char
    return "".join([*pieces, unicodedata.normalize("NFC", piece)])


def plain_counts(texts) -> TextCounts:
    return TextCounts(
        sum(len(text.encode()) for text in texts), sum(map(len, texts)), sum(len(text.split()) for text in texts)
    )


def check(texts, array=None) -> None:
    lines, counts = nfc(pa.array(texts, pa.string()) if array is None else array)
    wanted = [plain_nfc(text) for text in texts]
    assert [line.decode() for line in lines.to_list()] == wanted
    assert len(lines) == len(texts)
    assert counts == plain_counts(wanted)


def characters(end):
    return [chr(code) for code in range(end) if not 0xD800 <= code < 0xE000]


@given(st.lists(TEXT, max_size=6))
def test_equal_to_unicodedata(texts):
    check(texts)


@given(TEXT)
def test_one_paragraph(text):
    assert normalise(text) == plain_nfc(text)
    assert normalise(normalise(text)) == normalise(text)


@given(st.lists(TEXT, max_size=8), st.integers(0, 8), st.integers(0, 8))
def test_slices(texts, begin, length):
    whole = pa.array(["\u0301ab", *texts, "e\u0301"], pa.string())
    check(whole.slice(begin, length).to_pylist(), whole.slice(begin, length))


@given(st.lists(st.lists(TEXT, max_size=3), min_size=2, max_size=4))
def test_paragraphs_of_some_pages(pages):
    """What `flatten` gives of a slice of a list array starts in the middle of the buffers."""
    array = pa.array(pages, pa.list_(pa.string()))[1:].flatten()
    check([text for page in pages[1:] for text in page], array)


@pytest.mark.parametrize(
    "context",
    ["a{}", "{}\u0301", "e{}\u0323", "\u0323{}\u0301", "\u1100{}", "{}\u1161\u11a8", "\u0995\u09c7{}", "ê{} {}\u0338"],
)  # fmt: skip
def test_every_code_point_in_context(context):
    check([context.replace("{}", char) for char in characters(0x30000)])


def test_every_code_point():
    check(characters(0x110000))


def test_every_pair_that_composes():
    """All canonical pairs, as they are, with a mark between them, and after another starter."""
    pairs = []
    for code in range(0x30000):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            pairs.append(tuple(chr(int(part, 16)) for part in parts))
    assert len(pairs) > 900
    for context in ("{}{}", "{}\u0334{}", "{}\u0345{}", "x{}{}y", "{}{}{}", "\u0301{} {}"):
        check([context.format(first, second, first) for first, second in pairs])


def test_jamo():
    syllables = range(0x1100, 0x1113), range(0x1161, 0x1177), [None, *range(0x11A7, 0x11C4)]
    check(["".join(chr(code) for code in parts if code) for parts in itertools.product(*syllables)])


def test_only_text_that_may_change_is_normalised(monkeypatch):
    """Else the pass over the bytes would be of no use."""
    seen = []
    monkeypatch.setattr(module, "normalise", lambda text: seen.append(text) or plain_nfc(text))
    untouched = ["plain", "déjà vu", "한국어", "Tiếng Việt", "हिन्दी", "שָׁלוֹם", "مَرْحَبًا", "日本語", "q\u0301", "ガ"]
    check([plain_nfc(text) for text in untouched])
    assert seen == []
    check(["e\u0301", *untouched[:1], "\u2126"])
    assert seen == ["e\u0301", "\u2126"]


@pytest.mark.parametrize("code", ADDED)
def test_marks_of_later_versions_are_left_alone(code):
    """In Unicode 15.1 a mark of class 220 would go before one of class 230; in 14.0 each is a starter of its own."""
    char = chr(code)
    for text in (f"a\u0301{char}", f"a{char}\u0323\u0301", f"\u0301{char}\u0323", f"e{char}\u0301", char * 3):
        assert nfc(pa.array([text]))[0].to_list() == [plain_nfc(text).encode()]
        assert nfc(pa.array([text]))[0].to_list()[0].decode().count(char) == text.count(char)
    assert normalise(f"q{char}\u0301\u0323{char}") == f"q{char}\u0323\u0301{char}"


def test_list_of_marks_of_later_versions():
    """All that later data knows and 14.0 does not, among characters that NFC touches."""
    listed = re.compile(f"[{module._ADDED}]")
    assert [code for code in range(0x110000) if listed.match(chr(code))] == ADDED
    if unicodedata.unidata_version.startswith("14."):
        assert all(unicodedata.category(chr(code)) == "Cn" for code in ADDED)
    elif unicodedata.unidata_version.startswith("15."):
        assert all(unicodedata.combining(chr(code)) for code in ADDED)


def test_no_text():
    for array, wanted in (
        (pa.array([], pa.string()), []),
        (pa.array(["", ""]), [b"", b""]),
        (pa.array(["", "a b"])[:1], [b""]),
    ):
        lines, counts = nfc(array)
        assert (lines.to_list(), counts) == (wanted, TextCounts())


@given(st.lists(st.text(max_size=5), max_size=8), st.integers(0, 8), st.integers(0, 8))
def test_lines(texts, begin, length):
    wanted = [text.encode("utf-8", "replace") for text in texts]
    lines = Lines.of(wanted)
    assert lines.to_list() == wanted
    assert lines.sizes.tolist() == [len(line) for line in wanted]
    part = Lines.of_arrow(pa.array(wanted, pa.binary())[begin : begin + length])
    assert part.to_list() == wanted[begin : begin + length]
    assert len(part) == len(wanted[begin : begin + length])


def test_text_in_nfc_is_not_copied():
    array = pa.array(["one", "déjà", ""])
    assert np.shares_memory(nfc(array)[0].data, np.frombuffer(array.buffers()[2], np.uint8))


def test_a_paragraph_of_many_marks():
    """Marks in the worst order, thousands on one letter."""
    check(["e" + "\u0301\u0323\u0334" * 3000 + " e"])


def test_older_unicode_data_is_refused(monkeypatch):
    monkeypatch.setattr(module.unicodedata, "unidata_version", "13.0.0")
    module._tables.cache_clear()
    try:
        with pytest.raises(ConfigurationError, match=rf"Unicode 13.0.0; NFC of Unicode {UNICODE_VERSION} is needed"):
            nfc(pa.array(["a"]))
    finally:
        module._tables.cache_clear()


def test_real_text(shared_data):
    """One crawl file, as it is and taken apart to NFD."""
    path = sorted((shared_data / "wet" / "crawl").glob("*.wet.gz"))[0]
    lines = gzip.decompress(path.read_bytes()).decode(errors="replace").split("\n")[:120_000]
    check(lines)
    check([unicodedata.normalize("NFD", line) for line in lines[::5]])
