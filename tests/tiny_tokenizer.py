"""Small SentencePiece models, trained in the test from seeded text; needs nothing but sentencepiece."""

import functools
import io
import random
import unicodedata
from typing import Any

import sentencepiece

ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyz", "éèüßçñøåœ", "абвгдежзиклмн", "αβγδεζηθικ", "अआइईउकखगघ", "あいうえおかきく", "カキクケコ",
    "日本語中文漢字", "한국어가나다", "กขคงจ", "ابتثج", "אבגדה", "0123456789", ".,;:!?()<>/",
)  # fmt: skip


def text(lines: int, seed: int = 0) -> list[str]:
    """NFC lines of 3 to 15 made-up words in many scripts, some words much more frequent than others."""
    rng = random.Random(seed)
    words = []
    for alphabet in ALPHABETS:
        words += ["".join(rng.choices(alphabet, k=rng.randint(1, 7))) for _ in range(60)]
    weights = [1 / (1 + rng.randrange(200)) for _ in words]
    made = (" ".join(rng.choices(words, weights, k=rng.randint(3, 15))) for _ in range(lines))
    return [unicodedata.normalize("NFC", line) for line in made]


def train(lines: list[str], **options: Any) -> bytes:
    """A model as the project trains it, of 600 pieces unless the options say otherwise."""
    written = io.BytesIO()
    defaults = {
        "vocab_size": 600, "model_type": "unigram", "num_threads": 2, "max_sentence_length": 16384,
        "character_coverage": 1.0, "minloglevel": 2,
    }  # fmt: skip
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=written, **{**defaults, **options}
    )
    return written.getvalue()


@functools.cache
def tiny_model() -> bytes:
    """The model that most tests share."""
    return train(text(3000))


def processor(model: bytes) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_proto=model)
