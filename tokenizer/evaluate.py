"""How well a SentencePiece model serves each language: fertility, unknown pieces, tax on parallel text, scripts.

Fertility is pieces per word, with words as `str.split` gives them (Ács 2019; Rust et al. 2021). Where words are not
written apart, as in Chinese, Japanese, Thai, Khmer and Lao, read pieces per character instead. The tokenization tax is
the number of pieces of a text over that of the same text in English (Petrov et al. 2023 call it the premium).
"""

import dataclasses
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sentencepiece import SentencePieceProcessor

from cc100.shards.errors import InputError
from cc100.tokenizer.scripts import script_counts

BATCH = 4096  # paragraphs encoded at once
REFERENCE = "en"

Paragraphs: TypeAlias = Sequence[str] | pa.Array | pa.ChunkedArray


@dataclasses.dataclass(frozen=True)
class PieceCounts:
    """A text and its pieces; a sum of counts is the count of both texts.

    Attributes:
        paragraphs: number of paragraphs.
        covered: paragraphs without an unknown piece.
        words: parts between white space.
        characters: code points.
        bytes: of UTF-8.
        pieces: without `<s>` and `</s>`.
        unknown: unknown pieces; SentencePiece makes one of a run of unknown characters.
    """

    paragraphs: int = 0
    covered: int = 0
    words: int = 0
    characters: int = 0
    bytes: int = 0
    pieces: int = 0
    unknown: int = 0

    def __add__(self, other: "PieceCounts") -> "PieceCounts":
        return PieceCounts(*map(sum, zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))

    def rates(self) -> dict[str, float]:
        """pieces_per_word, pieces_per_character, pieces_per_byte, unknown_rate and coverage; 0 where there is no text."""
        return {
            "pieces_per_word": self.pieces / max(self.words, 1),
            "pieces_per_character": self.pieces / max(self.characters, 1),
            "pieces_per_byte": self.pieces / max(self.bytes, 1),
            "unknown_rate": self.unknown / max(self.pieces, 1),
            "coverage": self.covered / max(self.paragraphs, 1),
        }


@dataclasses.dataclass(frozen=True)
class Tax:
    """Parallel text in a language and in the reference language.

    Attributes:
        segments: rows that have text in both.
        pieces: of the language.
        reference_pieces: of the reference language, in the same rows.
    """

    segments: int
    pieces: int
    reference_pieces: int

    @property
    def ratio(self) -> float | None:
        """Pieces over reference pieces; None where no row has both."""
        return quotient(self.pieces, self.reference_pieces)


@dataclasses.dataclass(frozen=True)
class Quality:
    """What a model does to texts.

    Attributes:
        pieces: size of the model.
        scripts: number of its pieces, special ones left out, by majority script, most frequent first.
        languages: counts of each language, by code.
        tax: tax of each language of the parallel text, by code; empty without such text.
    """

    pieces: int
    scripts: Mapping[str, int]
    languages: Mapping[str, PieceCounts]
    tax: Mapping[str, Tax]


def quotient(number: float | None, by: float | None) -> float | None:
    """The quotient of two measures; None where one is missing or the divisor is 0."""
    return number / by if number is not None and by else None


def evaluate(
    processor: SentencePieceProcessor,
    texts: Iterable[tuple[str, Paragraphs]],
    parallel: Mapping[str, Sequence[str]] | None = None,
) -> Quality:
    """Encode texts and count.

    Args:
        processor: the model.
        texts: (language, NFC paragraphs); a language may come several times, in parts of any size.
        parallel: of `read_parallel`.
    """
    languages: dict[str, PieceCounts] = {}
    for code, paragraphs in texts:
        languages[code] = languages.get(code, PieceCounts()) + count_text(processor, paragraphs)
    ordinary = [number for number in range(processor.vocab_size()) if not _is_special(processor, number)]
    return Quality(
        pieces=processor.vocab_size(),
        scripts=script_counts(processor.id_to_piece(ordinary)),
        languages=dict(sorted(languages.items())),
        tax=tokenization_tax(processor, parallel) if parallel else {},
    )


def _is_special(processor: SentencePieceProcessor, number: int) -> bool:
    return processor.is_unknown(number) or processor.is_control(number)


def count_text(processor: SentencePieceProcessor, paragraphs: Paragraphs) -> PieceCounts:
    """Counts of NFC paragraphs.

    Args:
        processor: the model.
        paragraphs: strings, or an Arrow array of strings without nulls.
    """
    total = PieceCounts()
    for start in range(0, len(paragraphs), BATCH):
        batch = paragraphs[start : start + BATCH]
        texts: list[str] = batch.to_pylist() if hasattr(batch, "to_pylist") else list(batch)
        stored = [text.encode() for text in texts]
        lengths, unknown = encoded_lengths(processor, stored)
        total += PieceCounts(
            paragraphs=len(texts),
            covered=int(np.count_nonzero(unknown == 0)),
            words=sum(len(text.split()) for text in texts),
            characters=sum(map(len, texts)),
            bytes=sum(map(len, stored)),
            pieces=int(lengths.sum()),
            unknown=int(unknown.sum()),
        )
    return total


def encoded_lengths(
    processor: SentencePieceProcessor, texts: list[bytes]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pieces and unknown pieces of each text, both int64[n]; texts are UTF-8."""
    encoded = processor.encode(texts, return_type="numpy", num_threads=1)
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    ids = np.concatenate([*encoded, np.empty(0, np.int32)])
    before = np.concatenate([[0], np.cumsum(ids == processor.unk_id(), dtype=np.int64)])
    ends = np.cumsum(lengths)
    return lengths, before[ends] - before[ends - lengths]


# --- Parallel text ----------------------------------------------------------------------------------------------------


def read_parallel(stream: BinaryIO, name: str) -> dict[str, list[str]]:
    """Aligned segments of each language, NFC.

    The file is UTF-8, tab-separated, without quoting: a header of language codes, then one segment a line in every
    language, empty where a language lacks it.

    Args:
        stream: the open file.
        name: how messages call it.

    Raises:
        InputError: it is no such file, or lacks English.
    """
    try:
        lines = stream.read().decode("utf-8-sig").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 (byte {error.start}): parallel text must be a UTF-8 TSV file") from error
    codes, *rows = (line.removesuffix("\r").split("\t") for line in lines)
    if len(set(codes)) != len(codes) or "" in codes:
        raise InputError(f"{name}: the header must name every language once, not {', '.join(codes)!r}")
    if REFERENCE not in codes:
        raise InputError(f"{name}: no column {REFERENCE!r} in the header, with which the others are compared")
    for number, row in enumerate(rows, 2):
        if len(row) != len(codes):
            raise InputError(f"{name}: line {number} has {len(row)} fields, the header {len(codes)}")
    return {
        code: [unicodedata.normalize("NFC", row[place].strip()) for row in rows] for place, code in enumerate(codes)
    }


def tokenization_tax(processor: SentencePieceProcessor, parallel: Mapping[str, Sequence[str]]) -> dict[str, Tax]:
    """Tax of each language, by code; that of English is 1. Rows that are empty in one of the two do not count."""
    lengths = {code: _all_lengths(processor, segments) for code, segments in parallel.items()}
    present = {code: np.array([bool(text) for text in segments], bool) for code, segments in parallel.items()}
    tax = {}
    for code in sorted(parallel):
        both = present[code] & present[REFERENCE]
        pieces, reference_pieces = int(lengths[code][both].sum()), int(lengths[REFERENCE][both].sum())
        tax[code] = Tax(int(np.count_nonzero(both)), pieces, reference_pieces)
    return tax


def _all_lengths(processor: SentencePieceProcessor, segments: Sequence[str]) -> npt.NDArray[np.int64]:
    parts = [
        encoded_lengths(processor, [text.encode() for text in segments[start : start + BATCH]])[0]
        for start in range(0, len(segments), BATCH)
    ]
    return np.concatenate([np.empty(0, np.int64), *parts])
