"""Sequences: the ids of SentencePiece in XLM-R's numbering, each with its </s>."""

import concurrent.futures
import functools
import hashlib

import numpy as np
import pytest
import tiny_tokenizer
from hypothesis import given
from hypothesis import strategies as st

from cc100.tokenizer import encoder as module
from cc100.tokenizer.encoder import EXTRA_IDS, Encoder, sentencepiece_version
from cc100.tokenizer.folder import BOS, EOS, PAD, UNK
from cc100.tokenizer.text import Lines

LINES = st.lists(
    st.one_of(
        st.text("abcé дवあ한<s>/ \t\n\u3000", max_size=30),
        st.text(st.characters(codec="utf-8"), max_size=12),
        st.sampled_from(["", " ", "\u200b", "<s>", "</s>", "<pad>", "<unk>", "<mask>", "\u2581", "\U0001f600\U0001f600", "ab\x00c"]),
    ),
    max_size=12,
)  # fmt: skip


@pytest.fixture(scope="module", params=["kernel", "library"])
def encoder(request) -> Encoder:
    """Both ways to the ids: this model is one that the kernel knows."""
    made = Encoder(tiny_tokenizer.tiny_model())
    assert made.tables is not None
    if request.param == "library":
        made.tables = None
    return made


@functools.cache
def processor():
    return tiny_tokenizer.processor(tiny_tokenizer.tiny_model())


def pack(lines: list[str]) -> Lines:
    return Lines.of([line.encode() for line in lines])


def plain(line: str) -> list[int]:
    """One sequence, piece by piece."""
    ids = processor().encode(line)
    return [UNK if number == 0 else number + 1 for number in ids] + [EOS]


@given(lines=LINES)
def test_equal_to_sentencepiece(encoder, lines):
    tokens, lengths = encoder.encode(pack(lines))
    assert tokens.dtype == lengths.dtype == np.int32
    wanted = [plain(line) for line in lines]
    assert lengths.tolist() == [len(one) for one in wanted]
    assert tokens.tolist() == [token for one in wanted for token in one]


@given(lines=LINES)
def test_no_special_id_comes_from_text(encoder, lines):
    """A literal "<s>" is text, and so is "<mask>"; </s> ends a sequence and is nowhere else."""
    tokens, lengths = encoder.encode(pack(lines))
    assert not np.isin(tokens, [BOS, PAD, encoder.vocab_size - 1]).any()
    assert np.flatnonzero(tokens == EOS).tolist() == (np.cumsum(lengths) - 1).tolist()


@given(lines=LINES)
def test_has_unknown(encoder, lines):
    found = encoder.has_unknown(pack(lines))
    assert found.dtype == np.bool_
    assert found.tolist() == [UNK in plain(line) for line in lines]


def test_batches_do_not_show(encoder, monkeypatch):
    lines = tiny_tokenizer.text(1000, seed=3)
    lines[500:502] = ["", "\U0001f600"]
    tokens, lengths = encoder.encode(pack(lines))
    unknown = encoder.has_unknown(pack(lines))
    ends = np.cumsum(lengths)
    assert [tokens[end - length : end].tolist() for end, length in zip(ends, lengths, strict=True)] == list(
        map(plain, lines)
    )
    assert unknown[501]
    for batch_bytes in (1, 100, 5000):
        monkeypatch.setattr(module, "BATCH_BYTES", batch_bytes)
        again, lengths_again = encoder.encode(pack(lines))
        assert np.array_equal(tokens, again)
        assert np.array_equal(lengths, lengths_again)
        assert np.array_equal(unknown, encoder.has_unknown(pack(lines)))


def test_threads(encoder):
    """One encoder, several threads at once, each with its own cache."""
    parts = [pack(tiny_tokenizer.text(400, seed=seed)) for seed in range(4)]
    wanted = [encoder.encode(part)[0].tolist() for part in parts]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            assert [tokens.tolist() for tokens, _ in pool.map(encoder.encode, parts)] == wanted


def test_no_lines(encoder):
    tokens, lengths = encoder.encode(pack([]))
    assert (len(tokens), len(lengths)) == (0, 0)
    assert tokens.dtype == lengths.dtype == np.int32
    assert len(encoder.has_unknown(pack([]))) == 0


@pytest.mark.parametrize("line", ["", " ", "\ufeff", "\t\u3000 "])
def test_text_of_which_nothing_is_left(encoder, line):
    """Normalisation can take everything away; the sequence is there nevertheless, for its paragraph."""
    tokens, lengths = encoder.encode(pack(["abc", line, "abc"]))
    assert lengths[1] == 1
    assert tokens[lengths[0]] == EOS
    assert not encoder.has_unknown(pack([line]))[0]


OTHER_KINDS = {
    "bpe": {"model_type": "bpe"},
    "byte fallback": {"byte_fallback": True, "vocab_size": 900},
    "user symbols": {"user_defined_symbols": ["<s1>", "дв"]},
    "control symbols": {"control_symbols": ["<c>"]},
    "no dummy prefix": {"add_dummy_prefix": False},
    "all white space": {"remove_extra_whitespaces": False},
    "space at the end": {"treat_whitespace_as_suffix": True},
    "pieces of several words": {"split_by_whitespace": False},
    "no normalisation": {"normalization_rule_name": "identity"},
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_models_that_the_kernel_does_not_know(kind):
    """They are left to the library."""
    model = tiny_tokenizer.train(tiny_tokenizer.text(1500) + ["one two three"] * 500, **OTHER_KINDS[kind])
    encoder, lines = Encoder(model), [*tiny_tokenizer.text(50, seed=1), "  a  дв <s1> \U0001f600 <c> ", ""]
    assert encoder.tables is None
    tokens, lengths = encoder.encode(pack(lines))
    found = tiny_tokenizer.processor(model).encode(lines, add_eos=True)
    assert lengths.tolist() == list(map(len, found))
    assert tokens.tolist() == [{0: UNK, 1: BOS, 2: EOS}.get(piece, piece + 1) for ids in found for piece in ids]


@pytest.mark.parametrize("rules", ["nfkc", "nfkc_cf", "nmt_nfkc_cf"])
def test_other_rules_of_normalisation(rules):
    model = tiny_tokenizer.train(tiny_tokenizer.text(1500), normalization_rule_name=rules)
    encoder, processor = Encoder(model), tiny_tokenizer.processor(model)
    assert encoder.tables is not None
    lines = ["".join(f"{chr(code)}A {chr(code)}e\u0301" for code in range(at, at + 50)) for at in range(0, 0xD7D0, 50)]
    tokens, lengths = encoder.encode(pack(lines))
    found = processor.encode(lines, add_eos=True)
    assert lengths.tolist() == list(map(len, found))
    assert tokens.tolist() == [{0: UNK, 2: EOS}.get(piece, piece + 1) for ids in found for piece in ids]


def test_numbering(encoder):
    """XLM-R: <s> 0, <pad> 1, </s> 2, <unk> 3, piece i at i + 1, <mask> last."""
    assert [processor().piece_to_id(piece) for piece in ("<unk>", "<s>", "</s>")] == [0, 1, 2]
    assert encoder.pieces == processor().vocab_size() == 600
    assert encoder.vocab_size == 600 + EXTRA_IDS
    assert encoder._ids.tolist() == [UNK, BOS, EOS, *range(4, 601)]
    assert encoder.sha256 == hashlib.sha256(tiny_tokenizer.tiny_model()).hexdigest()
    assert sentencepiece_version().count(".") >= 2
