"""Shingle sets against sets of strings in plain Python."""

import itertools

import numpy as np
import plain
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cc100.transforms.shingles import UNSPACED_RANGES, ShingleSets, shingle_sets
from cc100.transforms.unicode_tables import WHITE_SPACE

WORD = 2**64 - 1

# White space, its neighbours, what shares its first bytes, and letters of one to four bytes.
SPACES = [chr(c) for c in WHITE_SPACE]
NEIGHBOURS = list(
    "\0\x08\x0e\x1b!\x7f\x84\x86\x9f\xa1\u167f\u1681\u180e\u1fff\u200b\u2027\u202e\u2030\u205e\u2060\u2fff\u3001\ufeff"
)
LETTERS = list(
    "aé\u07ff\u0800\u0900अก\u0fff\u1000ა\u1780ẑ…、あア㐀中\U0001f600\U00020000\U0003134f\U00031350\U0010ffff"
)
TEXTS = st.lists(st.sampled_from(SPACES + NEIGHBOURS + 3 * LETTERS), max_size=60).map("".join)
SENTENCES = st.lists(
    st.sampled_from(["a", "bc", "of", "слово", "sevenly", "eightful", "ninetyone", "x" * 23, "中文"]), max_size=30
)


def spans(paragraphs: list[str], before: bytes = b"", after: bytes = b"") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    encoded = [text.encode() for text in paragraphs]
    ends = len(before) + np.cumsum([len(text) for text in encoded], dtype=np.int64)
    starts = ends - np.array([len(text) for text in encoded], np.int64)
    return np.frombuffer(before + b"".join(encoded) + after, np.uint8), starts, ends


def as_sets(sets: ShingleSets) -> list[set[int]]:
    bounds = sets.offsets.tolist()
    return [set(sets.hashes[a:b].tolist()) for a, b in itertools.pairwise(bounds)]


def mixed(x: int) -> int:
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & WORD
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & WORD
    return x ^ (x >> 31)


def hash_word(word: bytes) -> int:
    """What `shingles` documents as the hash of a word, in plain Python."""
    hashed = mixed(len(word) * 0x9E3779B97F4A7C15 & WORD)
    blocks = [word[i : i + 8] for i in range(0, len(word), 8)]
    if len(word) > 8:
        blocks[-1] = word[-8:]
    for block in blocks:
        hashed = mixed(hashed ^ int.from_bytes(block, "little"))
    return hashed


def hash_shingle(shingle: str) -> int:
    """Hash of a shingle as `plain.shingles` gives it: words with single spaces between, or code points."""
    if " " in shingle:
        tokens, domain = [hash_word(word.encode()) for word in shingle.split(" ")], 0
    else:
        tokens, domain = [mixed(ord(c) + 0xA0761D6478BD642F & WORD) for c in shingle], 0xE7037ED1A0B428DB
    total = 0
    for token in tokens:
        total = (total * 0xD1342543DE82EF95 + token) & WORD
    return mixed(total ^ domain)


def check(paragraphs: list[str], length: int, before: bytes = b"", after: bytes = b"") -> None:
    sets = shingle_sets(*spans(paragraphs, before, after), length)
    for i, text in enumerate(paragraphs):
        expected = sorted({hash_shingle(shingle) for shingle in plain.shingles(text, length)})
        assert sets.hashes[sets.offsets[i] : sets.offsets[i + 1]].tolist() == expected, text
    assert len(sets.hashes) == sets.offsets[-1]


@given(st.lists(TEXTS, max_size=6), st.integers(2, 7))
def test_any_text(paragraphs, length):
    check(paragraphs, length)


@given(st.lists(SENTENCES.map(" ".join), max_size=6), st.integers(2, 7))
def test_words_inside_a_larger_text(paragraphs, length):
    check(paragraphs, length, before=b"x", after=b" yz\xe3\x80\x80")


@given(st.lists(SENTENCES.map(" ".join), min_size=2, max_size=8))
def test_intersections_are_those_of_string_sets(paragraphs):
    hashed = as_sets(shingle_sets(*spans(paragraphs)))
    strings = [plain.shingles(text) for text in paragraphs]
    for i in range(len(paragraphs)):
        for k in range(i):
            assert len(hashed[i] & hashed[k]) == len(strings[i] & strings[k])


@given(st.integers(0, 300), st.sampled_from(["a", "я", "中", "\U00020000"]), st.integers(0, 20))
def test_lengths_around_blocks_and_vectors(size, letter, shift):
    check([letter * shift, " ".join([letter * 3] * size), letter * size, (letter + " ") * size], 5)


def test_order_and_domain():
    sets = as_sets(shingle_sets(*spans(["a b", "b a", "中文", "中 文", "ab b", "a bb", "a\0 b", "a b\0"]), 2))
    assert all(len(one) == 1 for one in sets)
    assert len(set.union(*sets)) == 7  # white space is no part of the shingles of unspaced text
    assert sets[2] == sets[3]


def test_white_space_is_that_of_split():
    points = [c for c in range(0x33000) if not 0xD800 <= c < 0xE000]
    sets = shingle_sets(*spans([f"a{chr(c)}b" for c in points]), 2)
    separating = {c for c, size in zip(points, np.diff(sets.offsets).tolist(), strict=True) if size}
    assert separating == {c for c in points if chr(c).isspace()} == set(WHITE_SPACE)


def test_unspaced_scripts():
    points = [c for c in range(0x33000) if not 0xD800 <= c < 0xE000 and c not in WHITE_SPACE]
    sets = shingle_sets(*spans([chr(c) * 3 for c in points]), 2)
    unspaced = [c for c, size in zip(points, np.diff(sets.offsets).tolist(), strict=True) if size]
    assert unspaced == sorted(c for low, high in UNSPACED_RANGES for c in range(low, high + 1))
    assert unspaced == [c for c in points if any(low <= c <= high for low, high in plain.UNSPACED)]


@pytest.mark.parametrize(
    "text", ["中文字 abc", "中文 ab c", "中文字\u3000abcd", "中文字字 a…b", "ก ข ค a b c", "ก ข ค ง a b c"]
)
def test_more_than_half_unspaced(text):
    check([text], 2)


def test_repetitions_and_long_paragraphs():
    numbers = np.random.default_rng(1).integers(0, 3000, 20_000)
    check(["a b c d e " * 5000, " ".join(map(str, numbers.tolist())), "", " \u3000", "a b c d"], 5)


def test_no_paragraphs():
    sets = shingle_sets(np.empty(0, np.uint8), np.empty(0, np.int64), np.empty(0, np.int64))
    assert sets.offsets.tolist() == [0]
    assert len(sets.hashes) == 0


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (0, 6), (3, 2)])
def test_spans_out_of_the_text(start, end):
    with pytest.raises(ValueError, match="reaches out"):
        shingle_sets(np.zeros(5, np.uint8), np.array([start]), np.array([end]))


def test_wrong_arguments():
    text = np.zeros(5, np.uint8)
    with pytest.raises(ValueError, match="1 starts but 2 ends"):
        shingle_sets(text, np.array([0]), np.array([1, 2]))
    with pytest.raises(ValueError, match="at least 1"):
        shingle_sets(text, np.array([0]), np.array([1]), 0)


def test_real_paragraphs(shared_data):
    paragraphs = pq.read_table(shared_data / "truth" / "paragraph_sample.parquet")["text"].to_pylist()[::3]
    sets = shingle_sets(*spans(paragraphs))
    strings = [plain.shingles(text) for text in paragraphs]
    assert np.diff(sets.offsets).tolist() == [len(one) for one in strings]
    distinct = set().union(*strings)
    assert len(np.unique(sets.hashes)) == len(distinct)  # no two of some 10^5 shingles collide
