"""Paragraphs to token ids in XLM-R's numbering, array to array.

SentencePiece numbers its pieces <unk> 0, <s> 1, </s> 2, then the others; XLM-R (fairseq) has <s> 0, <pad> 1, </s> 2, <unk> 3, piece i at
i + 1, <mask> last. A sequence is the pieces of one paragraph and </s>. A literal "<s>" in text is text: SentencePiece never makes a
control symbol of it.
"""

import hashlib
import importlib.metadata

import numpy as np
import numpy.typing as npt
import sentencepiece

from cc100.shards.token_arrays import Int32s

BOS, PAD, EOS, UNK = 0, 1, 2, 3
"""Ids of XLM-R."""
EXTRA_IDS = 2
"""Ids beside the pieces: <pad> and <mask>."""

LINES_PER_CALL = 4096


def sentencepiece_version() -> str:
    """Version of the library; a tie between segmentations may break otherwise in another one."""
    return importlib.metadata.version("sentencepiece")


class Encoder:
    """A SentencePiece model that encodes.

    Args:
        model: content of a `.model` file, already known to be one.

    Attributes:
        sha256: fingerprint of the model.
        pieces: number of its pieces.
    """

    def __init__(self, model: bytes) -> None:
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.sha256 = hashlib.sha256(model).hexdigest()
        self.pieces: int = self._processor.vocab_size()
        ids = np.arange(1, self.pieces + 1, dtype=np.int32)
        ids[:3] = UNK, BOS, EOS
        self._ids = ids

    @property
    def vocab_size(self) -> int:
        """Number of ids, with <pad> and <mask>."""
        return self.pieces + EXTRA_IDS

    def encode(self, lines: list[bytes]) -> tuple[Int32s, Int32s]:
        """Sequences of paragraphs.

        Args:
            lines: NFC text as UTF-8.

        Returns:
            Tokens of all sequences, int32[tokens], each ending in </s>; tokens of each sequence, int32[len(lines)].
        """
        tokens: list[npt.NDArray[np.int32]] = []
        lengths = np.empty(len(lines), np.int32)
        for begin in range(0, len(lines), LINES_PER_CALL):
            batch = lines[begin : begin + LINES_PER_CALL]
            arrays = self._processor.encode(batch, add_eos=True, return_type="numpy", num_threads=1)
            lengths[begin : begin + len(batch)] = [len(array) for array in arrays]
            tokens.append(self._ids[np.concatenate(arrays)])
        return (np.concatenate(tokens) if tokens else np.zeros(0, np.int32)), lengths

    def has_unknown(self, lines: list[bytes]) -> npt.NDArray[np.bool_]:
        """Whether a paragraph has a piece that the model does not know, bool[len(lines)]."""
        tokens, lengths = self.encode(lines)
        starts = np.cumsum(lengths, dtype=np.int64) - lengths
        return np.add.reduceat(tokens == UNK, starts) > 0 if len(lines) else np.zeros(0, np.bool_)
