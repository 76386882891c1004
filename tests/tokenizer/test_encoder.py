"""Sequences: the ids of SentencePiece in XLM-R's numbering, each with its </s>."""

import functools
import hashlib

import numpy as np
import pytest
import tiny_tokenizer
from hypothesis import given
from hypothesis import strategies as st

from cc100.tokenizer import encoder as module
from cc100.tokenizer.encoder import BOS, EOS, EXTRA_IDS, LINES_PER_CALL, PAD, UNK, Encoder, sentencepiece_version

LINES = st.lists(
    st.one_of(
        st.text("abcé дवあ한<s>/ \t\n\u3000", max_size=30),
        st.text(st.characters(codec="utf-8"), max_size=12),
        st.sampled_from(["", " ", "\u200b", "<s>", "</s>", "<pad>", "<unk>", "<mask>", "\u2581", "\U0001f600\U0001f600", "ab\x00c"]),
    ),
    max_size=12,
)  # fmt: skip


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(tiny_tokenizer.tiny_model())


@functools.cache
def processor():
    return tiny_tokenizer.processor(tiny_tokenizer.tiny_model())


def plain(line: str) -> list[int]:
    """One sequence, piece by piece."""
    ids = processor().encode(line)
    return [UNK if number == 0 else number + 1 for number in ids] + [EOS]


@given(lines=LINES)
def test_equal_to_sentencepiece(encoder, lines):
    tokens, lengths = encoder.encode([line.encode() for line in lines])
    assert tokens.dtype == lengths.dtype == np.int32
    wanted = [plain(line) for line in lines]
    assert lengths.tolist() == [len(one) for one in wanted]
    assert tokens.tolist() == [token for one in wanted for token in one]


@given(lines=LINES)
def test_no_special_id_comes_from_text(encoder, lines):
    """A literal "<s>" is text, and so is "<mask>"; </s> ends a sequence and is nowhere else."""
    tokens, lengths = encoder.encode([line.encode() for line in lines])
    assert not np.isin(tokens, [BOS, PAD, encoder.vocab_size - 1]).any()
    assert np.flatnonzero(tokens == EOS).tolist() == (np.cumsum(lengths) - 1).tolist()


@given(lines=LINES)
def test_has_unknown(encoder, lines):
    found = encoder.has_unknown([line.encode() for line in lines])
    assert found.dtype == np.bool_
    assert found.tolist() == [UNK in plain(line) for line in lines]


def test_batches_do_not_show(encoder, monkeypatch):
    lines = [line.encode() for line in tiny_tokenizer.text(2 * LINES_PER_CALL + 5, seed=3)]
    lines[LINES_PER_CALL - 1 : LINES_PER_CALL + 1] = [b"", "\U0001f600".encode()]
    tokens, lengths = encoder.encode(lines)
    unknown = encoder.has_unknown(lines)
    monkeypatch.setattr(module, "LINES_PER_CALL", 1000)
    again, lengths_again = encoder.encode(lines)
    assert len(lengths) == len(lines)
    assert np.array_equal(tokens, again)
    assert np.array_equal(lengths, lengths_again)
    ends = np.cumsum(lengths)
    for row in range(0, len(lines), 997):
        assert tokens[ends[row] - lengths[row] : ends[row]].tolist() == plain(lines[row].decode())
    assert unknown[LINES_PER_CALL]
    assert np.array_equal(unknown, encoder.has_unknown(lines))


def test_no_lines(encoder):
    tokens, lengths = encoder.encode([])
    assert (len(tokens), len(lengths)) == (0, 0)
    assert tokens.dtype == lengths.dtype == np.int32
    assert len(encoder.has_unknown([])) == 0


@pytest.mark.parametrize("line", ["", " ", "\ufeff", "\t\u3000 "])
def test_text_of_which_nothing_is_left(encoder, line):
    """Normalisation can take everything away; the sequence is there nevertheless, for its paragraph."""
    tokens, lengths = encoder.encode([b"abc", line.encode(), b"abc"])
    assert lengths[1] == 1
    assert tokens[lengths[0]] == EOS
    assert not encoder.has_unknown([line.encode()])[0]


def test_numbering(encoder):
    """XLM-R: <s> 0, <pad> 1, </s> 2, <unk> 3, piece i at i + 1, <mask> last."""
    assert [processor().piece_to_id(piece) for piece in ("<unk>", "<s>", "</s>")] == [0, 1, 2]
    assert encoder.pieces == processor().vocab_size() == 600
    assert encoder.vocab_size == 600 + EXTRA_IDS
    assert encoder._ids.tolist() == [UNK, BOS, EOS, *range(4, 601)]
    assert encoder.sha256 == hashlib.sha256(tiny_tokenizer.tiny_model()).hexdigest()
    assert sentencepiece_version().count(".") >= 2
