"""The kernel's ids are those of the sentencepiece library: awkward text, ties, sums so large that float32 rounds, real text."""

import functools
import gzip
import itertools
import random

import numpy as np
import pytest
import tiny_tokenizer
from hypothesis import given
from hypothesis import strategies as st

from cc100.tokenizer.encoder import Encoder
from cc100.tokenizer.kernels import read_only
from cc100.tokenizer.model_proto import parse_model
from cc100.tokenizer.text import Lines
from cc100.tokenizer.unigram_kernel import LINE_WORDS, MOST_IDS, encode_paragraphs
from cc100.tokenizer.unigram_words import make_space

SPACES = " \t\n\r\u00a0\u2003\u3000\u200b\u2028\x85\u2581"
MAPPED = "ﷺﬁ①㍿ｶﾞ｡Ａ１½¨…\u00ad\ufeff\u0007\x00\x7f™ΩKÅ"
MARKS = "\u0301\u0308\u0327\u3099\u0f71\u0f72\u093c\u05b7\u05bc\u1161\u11a8"
STRANGE = "\u0378\ue000\U0001f600\U000e0001\U0010ffff\uffff"
LETTERS = "".join(tiny_tokenizer.ALPHABETS) + "ABZ"


def expected(model: bytes, lines: list[str]) -> tuple[list[int], list[int]]:
    """Ids in XLM-R's numbering by the library."""
    found = tiny_tokenizer.processor(model).encode(lines, add_eos=True)
    specials = {0: 3, 1: 0, 2: 2}
    return [specials.get(piece, piece + 1) for ids in found for piece in ids], [len(ids) for ids in found]


def check(encoder: Encoder, model: bytes, lines: list[str]) -> None:
    assert encoder.tables is not None, "the kernel is not used"
    tokens, lengths = encoder.encode(Lines.of([line.encode() for line in lines]))
    assert (tokens.dtype, lengths.dtype) == (np.int32, np.int32)
    assert (tokens.tolist(), lengths.tolist()) == expected(model, lines)


def hand_made(pieces: dict[str, float], of: bytes | None = None) -> bytes:
    """A model of these pieces and scores, otherwise like another one."""
    message = parse_model(of or tiny_tokenizer.tiny_model())
    del message.pieces[3:]
    for piece, score in pieces.items():
        message.pieces.add(piece=piece, score=score)
    return message.SerializeToString()


@functools.cache
def encoder_of(model: bytes) -> Encoder:
    return Encoder(model)


@pytest.fixture(scope="module")
def tiny():
    model = tiny_tokenizer.tiny_model()
    return encoder_of(model), model


characters = st.sampled_from(LETTERS + SPACES * 4 + MAPPED + MARKS * 2 + STRANGE)
words = st.sampled_from(
    [word for line in tiny_tokenizer.text(60) for word in line.split()] + ["<s>", "</s>", "<unk>", "<pad>", "<mask>"]
)
awkward = st.lists(st.one_of(characters, words, st.just(" "), st.characters()), max_size=60).map("".join)


@given(st.lists(awkward, max_size=5))
def test_awkward_text(tiny, lines):
    check(*tiny, [line.encode("utf-8", "ignore").decode() for line in lines])


def test_every_code_point_alone_and_between_letters(tiny):
    codes = [chr(code) for code in itertools.chain(range(0xD800), range(0xE000, 0x30000))]
    lines = ["".join(f"{char}a {char}" for char in codes[at : at + 64]) for at in range(0, len(codes), 64)]
    check(*tiny, lines + codes[:0x3400])


def test_every_pair_of_a_letter_and_a_mark(tiny):
    message = parse_model(tiny[1])
    marks = [*MARKS, *map(chr, range(0x300, 0x370)), "\u3099", "\u309a"]
    letters = [
        chr(code) for code in (*range(0x20, 0x250), *range(0x370, 0x460), *range(0x900, 0xA00), *range(0x3040, 0x3100))
    ]
    assert message.normalizer_spec.name == "nmt_nfkc"
    check(*tiny, ["".join(letter + mark for letter in letters) for mark in marks])
    check(
        *tiny,
        [" ".join(letter + first + second for letter in letters) for first, second in itertools.product(MARKS, MARKS)],
    )


def test_words_longer_than_the_cache_takes_and_paragraphs_beyond_the_reset(tiny):
    rng = random.Random(5)
    long_word = "".join(rng.choices("abcdeабвг日本語", k=20_000))
    spaced = " ".join("".join(rng.choices("abcde日本語123", k=rng.randint(1, 40))) for _ in range(30_000))
    unknown = "\U0001f600 x" * 20_000  # the sum passes 100,000 often
    check(*tiny, [long_word, spaced, "", unknown, unknown.replace(" ", ""), "a" * 120_000, "a " * 60_000])


def test_text_that_rules_make_longer(tiny):
    check(*tiny, ["ﷺ", "ﷺ" * 3000, "a ﷺ ½" * 500, "¨" * 5000, "x"])


def test_lengths_around_the_words_of_the_cache(tiny):
    lines = [f"{letter * count} {letter * count}" for count in range(1, 40) for letter in "aбअ日\U0001f600"]
    check(*tiny, lines)


@pytest.mark.parametrize(
    "lines", [[], [""], ["", ""], ["   "], ["a"], ["\u2581"], ["\u200b"], ["\u200b \u200b"], ["\x00"]]
)
def test_next_to_nothing(tiny, lines):
    if lines:
        check(*tiny, lines)
    else:
        assert [len(part) for part in tiny[0].encode(Lines.of([]))] == [0, 0]


# --- Ties -----------------------------------------------------------------------------------------------------------

ALL_TIED = {"".join(pair): -float(len(pair)) for n in (1, 2, 3) for pair in itertools.product("ab", repeat=n)}
ALL_TIED |= {"▁" + piece: score - 1.0 for piece, score in ALL_TIED.items()} | {"▁": -1.0}


@functools.cache
def all_tied() -> bytes:
    return hand_made(ALL_TIED)


ab = st.lists(st.text("ab", max_size=12), max_size=40).map(" ".join)


@given(st.lists(ab, min_size=1, max_size=4))
def test_all_segmentations_tied(lines):
    model = all_tied()
    check(encoder_of(model), model, lines)


def nearly_tied(seed: int) -> dict[str, float]:
    """Sums of pieces and of their parts differ by about what float32 rounds away."""
    rng = random.Random(seed)
    letters = {letter: -rng.uniform(1, 3) for letter in "ab▁"}
    pieces = dict(letters)
    for n in (2, 3, 4):
        for letters_of in itertools.product("ab", repeat=n):
            for head in ("", "▁"):
                piece = head + "".join(letters_of)
                pieces[piece] = sum(letters[letter] for letter in piece) + rng.choice(
                    [-1, 0, 1]
                ) * 10.0 ** -rng.randint(3, 7)
    return pieces


@pytest.mark.parametrize("seed", range(6))
def test_near_ties_that_the_sum_before_turns_around(seed):
    model = hand_made(nearly_tied(seed))
    encoder, rng = Encoder(model), random.Random(seed)
    vocabulary = ["".join(rng.choices("ab", k=rng.randint(1, 9))) for _ in range(60)]
    lines = [" ".join(rng.choices(vocabulary, k=rng.choice([1, 5, 300, 3000]))) for _ in range(40)]
    check(encoder, model, lines)

    processor = tiny_tokenizer.processor(model)
    ways = {word: set() for word in vocabulary}
    for line in lines:
        for word in " ".join(processor.encode(line, out_type=str)).split(" ▁"):
            ways[word.removeprefix("▁").replace(" ", "")].add(word.removeprefix("▁").lstrip())
    assert any(len(way) > 1 for way in ways.values()), (
        "no word was segmented differently behind another text: the test shows nothing"
    )


@pytest.mark.parametrize("between", [" ", ""])
def test_near_ties_behind_a_reset(between):
    """From a sum of 100,000 on SentencePiece counts from 0 again, and differences show that were rounded away before."""
    model, rng = hand_made(nearly_tied(7)), random.Random(7)
    line = between.join("".join(rng.choices("ab", k=rng.randint(1, 9))) for _ in range(40_000))
    check(encoder_of(model), model, [line, line[:1000]])


def test_positive_and_large_scores():
    scores = {"▁": 2.5, "a": 3000.0, "b": -4000.25, "ab": -900.0, "▁ab": 1500.5, "ba": -1000.5, "aba": 1.0}
    model = hand_made(scores)
    rng = random.Random(1)
    check(
        Encoder(model),
        model,
        [" ".join("".join(rng.choices("abc", k=rng.randint(1, 9))) for _ in range(n)) for n in range(0, 400, 7)],
    )


def test_no_piece_for_the_space_alone():
    model = hand_made({"▁a": -1.0, "a": -1.5, "b": -2.0})
    check(Encoder(model), model, ["b b", "x x x", "xa ax", "▁▁▁", "a", "c a c", "cc cc"])


@given(st.lists(st.text("abcde ", max_size=80), min_size=1, max_size=4), st.integers(0, 3))
def test_models_of_little_text(lines, seed):
    model = of_little_text(seed)
    check(encoder_of(model), model, lines)


@functools.cache
def of_little_text(seed: int) -> bytes:
    """A model with many equal scores."""
    rng = random.Random(seed)
    lines = [" ".join("".join(rng.choices("abcde", k=rng.randint(1, 5))) for _ in range(6)) for _ in range(12)]
    return tiny_tokenizer.train(lines, vocab_size=40, hard_vocab_limit=False)


# --- What the kernel must not depend on -----------------------------------------------------------------------------


def test_a_small_cache_gives_the_same(tiny):
    encoder, model = tiny
    tables = encoder.tables
    lines = tiny_tokenizer.text(800, seed=3)
    packed = Lines.of([line.encode() for line in lines])
    cache = np.zeros(2 * LINE_WORDS, np.uint64)
    cache_ids, lengths = cache.view(np.int32), np.zeros(len(lines), np.int32)
    tokens = np.zeros(len(packed.data) + 3 * len(lines) + 100, np.int32)
    space = make_space(int(packed.sizes.max()) + 100, tables.most_arcs)
    for _ in range(2):
        used = encode_paragraphs(
            tables, read_only(packed.data), read_only(packed.offsets), space, 64, cache, cache_ids, tokens, lengths
        )  # fmt: skip
        assert (tokens[:used].tolist(), lengths.tolist()) == expected(model, lines)
    few = tokens[: MOST_IDS + 2].copy()
    assert encode_paragraphs(
        tables, read_only(packed.data), read_only(packed.offsets), space, 64, cache, cache_ids, few, lengths
    ) == -1  # fmt: skip


def test_order_and_batches_do_not_matter(tiny, monkeypatch):
    encoder, model = tiny
    lines = [line.encode() for line in tiny_tokenizer.text(300, seed=4)]
    tokens, lengths = encoder.encode(Lines.of(lines))
    monkeypatch.setattr("cc100.tokenizer.encoder.BATCH_BYTES", 100)
    again, again_lengths = Encoder(model).encode(Lines.of(lines))
    assert (again.tolist(), again_lengths.tolist()) == (tokens.tolist(), lengths.tolist())
    backwards, _ = encoder.encode(Lines.of(lines[::-1]))
    cuts = np.cumsum(lengths)[:-1]
    assert backwards.tolist() == np.concatenate(np.split(tokens, cuts)[::-1]).tolist()


def test_one_specialisation(tiny):
    assert len(encode_paragraphs.signatures) == 1


# --- Real text ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [1000, 8000])
def test_real_text(shared_data, pieces):
    lines = []
    for path in sorted((shared_data / "wet" / "crawl").glob("*.gz"))[1:4]:
        with gzip.open(path, "rt", encoding="utf-8", errors="ignore", newline="\n") as stream:
            lines += [line.rstrip("\n") for line in itertools.islice(stream, 8000)]
    model = tiny_tokenizer.train(
        [line for line in lines[::20] if len(line) < 2000], vocab_size=pieces, character_coverage=0.98, hard_vocab_limit=False
    )  # fmt: skip
    check(Encoder(model), model, lines)
