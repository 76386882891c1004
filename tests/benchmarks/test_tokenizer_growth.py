"""The text that the growth of training is measured on: copies that hold the same words but for new ones, and its sizes."""

import collections
import importlib
import itertools
import pathlib
import sys
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
import tiny_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from cc100.tokenizer.scripts import script

sys.path.append(
    str(pathlib.Path(__file__).resolve().parents[2] / "benchmarks")
)  # scripts beside each other, not a package
respell = importlib.import_module("respell")
growth = importlib.import_module("tokenizer_growth")

TEXTS = st.lists(st.text("abcdeé двाकन 12. \n\u3000日", max_size=30), min_size=1, max_size=8)


def counts(texts):
    found = collections.Counter("\n".join(texts))
    array = np.zeros(0x110000, np.int64)
    for char, often in found.items():
        array[ord(char)] = often
    return array


def made(texts, copies, seed=1):
    parts = respell.grow({code: pa.array(lines, pa.string()) for code, lines in texts.items()}, copies, seed)
    return [(code, copy, text.to_pylist()) for code, copy, text in parts]


@settings(max_examples=30)
@given(TEXTS, st.integers(1, 5))
def test_letters_change_places_with_their_like(texts, copy):
    groups = respell.letter_groups(counts(texts))
    table = respell.permutation(groups, 1, copy)
    assert np.array_equal(np.sort(table), np.arange(0x110000))
    for char in set("".join(texts)):
        other = chr(table[ord(char)])
        assert script(other) == script(char)
        assert unicodedata.category(other) == unicodedata.category(char)
        assert (other in "aeé") == (char in "aeé")
    assert all(len(group) <= respell.NEIGHBOURS for group in groups)


@settings(max_examples=30)
@given(TEXTS, st.integers(1, 4))
def test_copies(texts, copies):
    """Words that come twice stay as they are; of the others each stays or becomes what the copy's permutation makes of it."""
    first, *rest = made({"xx": texts}, copies)
    assert first == ("xx", 0, texts)
    assert [copy for _, copy, _ in rest] == list(range(1, copies + 1))
    often = collections.Counter(word for text in texts for word in text.split())
    groups = respell.letter_groups(counts(texts))
    for _, copy, copied in rest:
        table = respell.permutation(groups, 1, copy)
        for text, other in zip(texts, copied, strict=True):
            words, left = text.split(), other.split()
            assert len(words) == len(left)
            for word in words:
                new = "".join(chr(table[ord(char)]) for char in word)
                fits = [word, new] if often[word] == 1 else [word]
                left.remove(next(one for one in fits if one in left))
            assert left == []


def test_first_copy_has_new_words_at_the_rate_of_the_text():
    texts = tiny_tokenizer.text(500) + [f"once{number:04d}" for number in range(2000)]
    (_, _, real), *copies = made({"xx": texts}, 6)
    once = len(respell.split_words(pa.array(texts)).once)
    seen, added = {word for text in real for word in text.split()}, []
    for _, _, text in copies:
        words = {word for line in text for word in line.split()}
        added.append(len(words - seen))
        seen |= words
    assert added[0] > 0.95 * once
    for copy, (one, other) in enumerate(itertools.pairwise(added), 1):
        assert other == pytest.approx(one * ((copy + 1) / copy) ** (respell.GROWTH - 1), rel=0.1)
    assert growth.distinct_words([pa.array(text) for _, _, text in [("", 0, real), *copies]]) == len(seen)


def test_the_same_again_and_by_language():
    texts = {"b": tiny_tokenizer.text(20, 1), "a": tiny_tokenizer.text(20, 2)}
    one = made(texts, 2)
    assert one == made(texts, 2) != made(texts, 2, seed=5)
    assert [(code, copy) for code, copy, _ in one] == [(code, copy) for code in "ab" for copy in range(3)]


@pytest.mark.parametrize("share", [0.3, 1.0, 1.5, 3.2])
def test_sizes(share, tmp_path):
    lines = tiny_tokenizer.text(4000)
    whole = sum(len(line.encode()) for line in lines)
    rng = np.random.default_rng(0)
    corpus = {"xx": (pa.array(lines), rng.random(len(lines)))}
    size = growth.write_sample(corpus, share * whole / growth.MEGABYTE, tmp_path / "sample.arrow")
    assert size["bytes"] == pytest.approx(share * whole, rel=0.05)
    with pa.ipc.open_file(tmp_path / "sample.arrow") as reader:
        table = reader.read_all()
    assert sum(map(len, table["text"].to_pylist())) == size["bytes"]
    assert len(table) == size["paragraphs"] == sum(table["copies"].to_pylist())


def test_a_training(tmp_path):
    path = tmp_path / "sample.arrow"
    lines = tiny_tokenizer.text(2000)
    growth.write_sample({"xx": (pa.array(lines), np.zeros(len(lines)))}, 0.2, path)
    chosen = growth.TokenizerSettings(vocab_size=600, seed_pieces=10_000, character_coverage=1.0)
    found = growth.measure(path, chosen, 600)
    assert tiny_tokenizer.processor(path.with_suffix(".model").read_bytes()).vocab_size() == 600
    assert found["cpu_seconds"] > 0
    assert 0 < found["two_core_seconds"] <= found["cpu_seconds"]
    assert found["peak_memory_bytes"] > 30e6
    assert next(line for _, line in found["log"]).startswith("Loaded all")
    times = [at for at, _ in found["log"]]
    assert times == sorted(times)
    assert times[-1] <= found["wall_seconds"]
