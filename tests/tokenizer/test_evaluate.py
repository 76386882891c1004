"""Measures of a model, against counts made one text at a time."""

import io

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_tokenizer import processor, text, tiny_model, train

from cc100.shards.errors import InputError
from cc100.tokenizer import evaluate as module
from cc100.tokenizer.evaluate import (
    PieceCounts,
    Tax,
    count_text,
    encoded_lengths,
    evaluate,
    read_parallel,
    tokenization_tax,
)

MODEL = processor(tiny_model())


def plain(model, paragraphs):
    """The counts, one piece at a time."""
    encoded = [model.encode(paragraph, out_type=str) for paragraph in paragraphs]
    unknown = [sum(model.piece_to_id(piece) == 0 for piece in pieces) for pieces in encoded]
    return PieceCounts(
        paragraphs=len(paragraphs),
        covered=sum(not count for count in unknown),
        words=len(" \n ".join(paragraphs).split()),
        characters=sum(1 for paragraph in paragraphs for _ in paragraph),
        bytes=len("".join(paragraphs).encode()),
        pieces=sum(len(pieces) for pieces in encoded),
        unknown=sum(unknown),
    )


# --- Counts -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.text("abcéжक日 ▁\t\xa0ﬁ㍿Ωʘ😀\0", max_size=12), max_size=12), st.integers(1, 5))
def test_counts(paragraphs, batch):
    old, module.BATCH = module.BATCH, batch
    try:
        assert count_text(MODEL, paragraphs) == plain(MODEL, paragraphs)
    finally:
        module.BATCH = old


def test_more_than_one_batch():
    paragraphs = text(module.BATCH + 10)
    assert count_text(MODEL, paragraphs) == plain(MODEL, paragraphs)


def test_arrow_arrays():
    paragraphs = [*text(30), "", "ʘʘ ʘ"]
    expected = plain(MODEL, paragraphs)
    array = pa.array(["left out", *paragraphs])[1:]
    for form in (array, pa.chunked_array([array[:7], array[7:]]), array.cast(pa.large_string())):
        assert count_text(MODEL, form) == expected
    assert expected.unknown > 0
    assert expected.covered < expected.paragraphs


def test_counts_add_up():
    lines = text(50)
    assert count_text(MODEL, lines[:20]) + count_text(MODEL, lines[20:]) == count_text(MODEL, lines)
    assert count_text(MODEL, []) == PieceCounts()


def test_rates():
    rates = PieceCounts(paragraphs=4, covered=3, words=10, characters=50, bytes=100, pieces=20, unknown=1).rates()
    assert rates == {
        "pieces_per_word": 2.0,
        "pieces_per_character": 0.4,
        "pieces_per_byte": 0.2,
        "unknown_rate": 0.05,
        "coverage": 0.75,
    }
    assert set(PieceCounts().rates().values()) == {0.0}


def test_lengths_of_texts_without_pieces():
    lengths, unknown = encoded_lengths(MODEL, [b"", "ʘ".encode(), b"", b"abc", b""])
    assert lengths.tolist() == [0, 2, 0, len(MODEL.encode("abc")), 0]
    assert unknown.tolist() == [0, 1, 0, 0, 0]
    assert [part.tolist() for part in encoded_lengths(MODEL, [])] == [[], []]


# --- A whole model ----------------------------------------------------------------------------------------------------


def test_evaluate():
    lines = text(60)
    quality = evaluate(MODEL, [("xx", lines[:10]), ("en", lines[10:40]), ("xx", pa.array(lines[40:]))])
    assert list(quality.languages) == ["en", "xx"]
    assert quality.languages["xx"] == plain(MODEL, lines[:10] + lines[40:])
    assert quality.pieces == 600
    assert sum(quality.scripts.values()) == 597
    assert {"Latin", "Cyrillic", "Devanagari", "Han", "Common"} <= set(quality.scripts)
    assert "Other" not in quality.scripts
    assert quality.tax == {}


def test_a_model_of_one_script():
    model = processor(train([line for line in ("abc def", "fed cba", "bad cafe") for _ in range(9)], vocab_size=12))
    assert evaluate(model, []).scripts == {"Latin": 8, "Common": 1}


# --- Parallel text ----------------------------------------------------------------------------------------------------


def parallel(content, name="texts.tsv"):
    return read_parallel(io.BytesIO(content), name)


def test_parallel_text():
    content = '\ufeffen\tfr\txx\r\nabc\tcafe\u0301\t\r\n \tx y \t"q"\r\n'.encode()
    assert parallel(content) == {"en": ["abc", ""], "fr": ["café", "x y"], "xx": ["", '"q"']}
    assert parallel(b"en") == {"en": []}
    assert parallel(b"en\n\n") == {"en": [""]}
    assert parallel("en\na\u2028b\x0bc\n".encode()) == {"en": ["a\u2028b\x0bc"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must name every language once"),
        (b"en\ten\na\tb\n", "must name every language once, not 'en, en'"),
        (b"en\t\na\tb\n", "must name every language once"),
        (b"fr\tde\na\tb\n", "no column 'en'"),
        (b"en\tfr\na\tb\nonly one\n", "line 3 has 1 fields, the header 2"),
        (b"en\tfr\na\tb\n\n", "line 3 has 1 fields"),
        (b"en\tfr\na\t\xff\n", r"not UTF-8 \(byte 8\)"),
    ],
)
def test_files_that_are_no_parallel_text(content, message):
    with pytest.raises(InputError, match=f"^texts.tsv.*{message}") as raised:
        parallel(content)
    assert "\n" not in str(raised.value)


def test_tax():
    texts = {"en": ["abc", "abc def", "", "x"], "xx": ["ʘ ʘ ʘ", "", "abc", "abc abc abc"], "yy": ["", "", "z", ""]}
    lengths = {code: [len(MODEL.encode(line)) for line in lines] for code, lines in texts.items()}
    tax = tokenization_tax(MODEL, texts)
    assert tax == {
        "en": Tax(3, sum(lengths["en"]), sum(lengths["en"])),
        "xx": Tax(2, lengths["xx"][0] + lengths["xx"][3], lengths["en"][0] + lengths["en"][3]),
        "yy": Tax(0, 0, 0),
    }
    assert (tax["en"].ratio, tax["yy"].ratio) == (1.0, None)
    assert tax["xx"].ratio == tax["xx"].pieces / tax["xx"].reference_pieces > 1
    assert evaluate(MODEL, [], texts).tax == tax
