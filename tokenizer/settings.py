"""Settings of the tokenizer's sample and training."""

import dataclasses

from cc100.shards.settings import require, setting


@dataclasses.dataclass(frozen=True)
class TokenizerSettings:
    """The tokenizer. Refused or accepted today, read by `cc100 tokenizer` when that exists; the corpus job ignores this section."""

    vocab_size: int = setting(250_000, "pieces", "size of the vocabulary", "that of XLM-R")
    alpha: float = setting(
        0.3,
        "exponent, 0 to 1",
        "smoothing of the languages' shares: q = p^alpha / sum p^alpha",
        "that of XLM-R; 1 = as they are",
    )

    def __post_init__(self) -> None:
        require(100 <= self.vocab_size <= 2_000_000, "tokenizer.vocab_size", self.vocab_size, "100 to 2000000")
        require(0 <= self.alpha <= 1, "tokenizer.alpha", self.alpha, "0 to 1")
