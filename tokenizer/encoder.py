"""Paragraphs to token ids in XLM-R's numbering, array to array.

SentencePiece numbers its pieces <unk> 0, <s> 1, </s> 2, then the others; XLM-R (fairseq) has <s> 0, <pad> 1, </s> 2, <unk> 3, piece i at
i + 1, <mask> last. A sequence is the pieces of one paragraph and </s>. A literal "<s>" in text is text: SentencePiece never makes a
control symbol of it.

The ids are those of the sentencepiece library; for models of the usual kind `unigram_kernel` finds them, in half of its time.
"""

import dataclasses
import functools
import hashlib
import importlib.metadata

import numpy as np
import numpy.typing as npt
import sentencepiece

from cc100.shards.token_arrays import Int32s
from cc100.tokenizer.folder import BOS, EOS, UNK
from cc100.tokenizer.kernels import read_only
from cc100.tokenizer.text import Lines
from cc100.tokenizer.unigram_kernel import LINE_WORDS, MOST_IDS, encode_paragraphs
from cc100.tokenizer.unigram_tables import UnigramTables, unigram_tables
from cc100.tokenizer.unigram_words import Space, make_space

EXTRA_IDS = 2
"""Ids beside the pieces: <pad> and <mask>."""

BATCH_BYTES = 1 << 20
"""Text that is encoded at once; a longer paragraph is a batch of its own."""
CACHED_WORDS = 1 << 17
"""Words whose ids a worker remembers, 64 bytes each."""
_SPARE_BYTES = 4096


def sentencepiece_version() -> str:
    """Version of the library; a tie between segmentations may break otherwise in another one."""
    return importlib.metadata.version("sentencepiece")


@dataclasses.dataclass
class _Workshop:
    """What one call of the kernel at a time works in: remembered words, and room for paragraphs of some length."""

    cache: npt.NDArray[np.uint64]
    space: Space
    places: int

    @classmethod
    def empty(cls, tables: UnigramTables) -> "_Workshop":
        return cls(np.zeros(CACHED_WORDS * LINE_WORDS, np.uint64), make_space(0, tables.most_arcs), 0)

    def encode(self, tables: UnigramTables, lines: Lines, growth: int, spare: int) -> tuple[Int32s, Int32s] | None:
        """Tokens and lengths, or None if normalisation makes more than `growth` of a byte or adds more than `spare` to a paragraph."""
        sizes = lines.sizes
        places = int(sizes.max()) + spare + 16
        if self.places < places:
            self.space, self.places = make_space(places, tables.most_arcs), places
        lengths = np.empty(len(lines), np.int32)
        tokens = np.empty(int(sizes.sum()) * growth + 2 * len(lines) + spare + MOST_IDS + 2, np.int32)
        used = encode_paragraphs(
            tables, read_only(lines.data), read_only(lines.offsets), self.space, spare,
            self.cache, self.cache.view(np.int32), tokens, lengths,
        )  # fmt: skip
        return None if used < 0 else (tokens[:used].copy(), lengths)


class Encoder:
    """A SentencePiece model that encodes; may be used by several threads.

    Args:
        model: content of a `.model` file, already known to be one.

    Attributes:
        sha256: fingerprint of the model.
        pieces: number of its pieces.
        tables: what the kernel reads; None: the model is of another kind, and the library encodes.
    """

    def __init__(self, model: bytes) -> None:
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.sha256 = hashlib.sha256(model).hexdigest()
        self.pieces: int = self._processor.vocab_size()
        ids = np.arange(1, self.pieces + 1, dtype=np.int32)
        ids[:3] = UNK, BOS, EOS
        self._ids = ids
        self.tables = unigram_tables(model, ids)
        self._idle: list[_Workshop] = []

    @property
    def vocab_size(self) -> int:
        """Number of ids, with <pad> and <mask>."""
        return self.pieces + EXTRA_IDS

    def encode(self, lines: Lines) -> tuple[Int32s, Int32s]:
        """Sequences of paragraphs.

        Args:
            lines: NFC text.

        Returns:
            Tokens of all sequences, int32[tokens], each ending in </s>; tokens of each sequence, int32[len(lines)].
        """
        encode = self._encode_by_library if self.tables is None else functools.partial(self._encode, self.tables)
        tokens, lengths = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
        begin = 0
        while begin < len(lines):
            end = int(np.searchsorted(lines.offsets, lines.offsets[begin] + BATCH_BYTES, "right")) - 1
            end = min(max(end, begin + 1), len(lines))
            batch_tokens, batch_lengths = encode(Lines(lines.data, lines.offsets[begin : end + 1]))
            tokens.append(batch_tokens)
            lengths.append(batch_lengths)
            begin = end
        return np.concatenate(tokens), np.concatenate(lengths)

    def has_unknown(self, lines: Lines) -> npt.NDArray[np.bool_]:
        """Whether a paragraph has a piece that the model does not know, bool[len(lines)]."""
        tokens, lengths = self.encode(lines)
        starts = np.cumsum(lengths, dtype=np.int64) - lengths
        return np.add.reduceat(tokens == UNK, starts) > 0 if len(lines) else np.zeros(0, np.bool_)

    def _encode_by_library(self, lines: Lines) -> tuple[Int32s, Int32s]:
        arrays = self._processor.encode(lines.to_list(), add_eos=True, return_type="numpy", num_threads=1)
        return self._ids[np.concatenate(arrays)], np.array([len(array) for array in arrays], np.int32)

    def _encode(self, tables: UnigramTables, lines: Lines) -> tuple[Int32s, Int32s]:
        shop = self._idle.pop() if self._idle else _Workshop.empty(tables)  # one thread has it at a time
        found = shop.encode(tables, lines, 1, _SPARE_BYTES)
        if found is None:  # rules made the text much longer: so rare that the batch is simply done again
            found = shop.encode(
                tables, lines, tables.rules.growth, int(lines.sizes.max()) * tables.rules.growth + _SPARE_BYTES
            )
        self._idle.append(shop)
        assert found is not None
        return found
