"""Settings of the tokenizer's sample and training, and of the token arrays."""

import dataclasses

from cc100.shards.settings import require, setting

AUTO = "auto"
MOST_PIECES = 250_000


@dataclasses.dataclass(frozen=True)
class TokenizerSettings:
    """The tokenizer: which text it is trained on, and how. Read by `cc100 tokenizer`."""

    vocab_size: int | str = setting(
        MOST_PIECES,
        "pieces, or auto",
        "size of the vocabulary; auto: a piece per 256 bytes of the sample, at most 250000, and no more than the sample yields",
        "that of XLM-R",
    )
    alpha: float = setting(
        0.3,
        "exponent, 0 to 1",
        "smoothing of the languages' shares: q = p^alpha / sum p^alpha",
        "that of XLM-R; 1 = as they are",
    )
    sample_paragraphs: int = setting(
        5_000_000,
        "paragraphs",
        "size of the sample; a language short of text gives all it has, the others keep their proportions",
        "some 1 to 1.5 GB; by the estimate of docs/tokenizer.md at most 27 minutes on two cores and 11 GB of memory",
    )
    max_repeats: int = setting(
        1, "copies", "how often a paragraph of a small language may be taken at most", "1 = nothing is repeated"
    )
    max_bytes: int = setting(
        16_384,
        "bytes",
        "a longer paragraph is left out of the sample and counted as too_long",
        "the trainer's max_sentence_length, beyond which it would drop it silently",
    )
    seed: int = setting(0, "number", "which paragraphs are drawn", "any")
    character_coverage: float = setting(
        0.9995,
        "share, 0.98 to 1",
        "share of the sample's characters that the vocabulary must hold; the rarest others become <unk>",
        "SentencePiece's own; for Chinese, Japanese and Korean 0.99995 is better (docs/tokenizer.md)",
    )
    seed_pieces: int = setting(
        1_000_000,
        "pieces",
        "frequent substrings from which the trainer starts pruning (seed_sentencepiece_size)",
        "SentencePiece's own, four times XLM-R's vocabulary; more costs time and memory",
    )
    model: str | None = setting(
        None,
        "path",
        "an existing SentencePiece model, or a folder with sentencepiece.bpe.model, used as it is in place of training",
        "for arrays in the ids of XLM-R's released model, or of an earlier corpus",
    )

    def __post_init__(self) -> None:
        require(
            self.vocab_size == AUTO or (isinstance(self.vocab_size, int) and 100 <= self.vocab_size <= 2_000_000),
            "tokenizer.vocab_size",
            self.vocab_size,
            "100 to 2000000, or auto",
        )
        require(0 <= self.alpha <= 1, "tokenizer.alpha", self.alpha, "0 to 1")
        require(self.sample_paragraphs >= 1, "tokenizer.sample_paragraphs", self.sample_paragraphs, "at least 1")
        require(1 <= self.max_repeats <= 1000, "tokenizer.max_repeats", self.max_repeats, "1 to 1000")
        require(64 <= self.max_bytes <= 1 << 20, "tokenizer.max_bytes", self.max_bytes, "64 to 1048576")
        require(0 <= self.seed < 1 << 63, "tokenizer.seed", self.seed, "0 to 2^63 - 1")
        require(
            0.98 <= self.character_coverage <= 1,
            "tokenizer.character_coverage",
            self.character_coverage,
            "0.98 to 1",
        )
        require(
            10_000 <= self.seed_pieces <= 50_000_000, "tokenizer.seed_pieces", self.seed_pieces, "10000 to 50000000"
        )


@dataclasses.dataclass(frozen=True)
class TokensSettings:
    """The token arrays. Read by `cc100 encode`."""

    languages: tuple[str, ...] = setting(
        (), "labels", "languages to encode; empty: all of the corpus", "a trainer of few languages needs no others"
    )
    alpha: float | None = setting(
        None,
        "exponent, 0 to 1",
        "smoothing of the probabilities in the arrays' manifest; null: that of the tokenizer's sample, or 0.3 where it had none",
        "XLM-R uses one alpha for both",
    )
    valid_fraction: float = setting(
        0.001,
        "share, 0 to 0.5",
        "share of the pages that is set aside for validation, by a hash of the record id",
        "a page stays on its side whatever else is in the corpus",
    )
    valid_min_pages: int = setting(
        100, "pages", "a language with fewer pages has no validation split", "its few pages are worth more in training"
    )

    def __post_init__(self) -> None:
        require(
            all(isinstance(x, str) and x for x in self.languages),
            "tokens.languages",
            self.languages,
            "a list of labels",
        )
        object.__setattr__(self, "languages", tuple(sorted(set(self.languages))))
        require(self.alpha is None or 0 <= self.alpha <= 1, "tokens.alpha", self.alpha, "0 to 1, or null")
        require(0 <= self.valid_fraction < 0.5, "tokens.valid_fraction", self.valid_fraction, "0 to below 0.5")
        require(self.valid_min_pages >= 0, "tokens.valid_min_pages", self.valid_min_pages, "0 or more")
