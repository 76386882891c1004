"""Encode: the parts of the shards -> token arrays, a pair of files for each part and split.

Pages and paragraphs keep the order of their part. A page is in the validation split by a hash of its record id, whatever else is in
the corpus. Memory is one row group with its tokens.
"""

import contextlib
import dataclasses
import functools
import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cc100.shards import layout
from cc100.shards.corpus import ShardPart
from cc100.shards.errors import DamagedFileError
from cc100.shards.token_arrays import TOKEN, Int32s, TokenIndex
from cc100.tokenizer.encoder import Encoder
from cc100.tokenizer.folder import UNK
from cc100.tokenizer.text import TextCounts, nfc
from cc100.transforms.job import Outcome, limit_threads
from cc100.transforms.shard_parts import check_part, read_part
from cc100.transforms.storage import Storage, StoredFile

STEP = "encode"


@dataclasses.dataclass(frozen=True)
class EncodeJob:
    """What the step needs; read from `run/tokens/run.json`.

    Attributes:
        storage: the output folder.
        parts: parts of the corpus that are encoded.
        model_sha256: fingerprint of the tokenizer's model.
        valid_fractions: share of the pages that is set aside for validation, by language.
    """

    storage: Storage
    parts: tuple[ShardPart, ...]
    model_sha256: str
    valid_fractions: dict[str, float]


def load_encode_job(storage: Storage) -> EncodeJob:
    """Read `run/tokens/run.json`."""
    content = storage.read_json(layout.TOKENS_STATE)["job"]
    return EncodeJob(storage, **content | {"parts": tuple(ShardPart(**entry) for entry in content["parts"])})


def valid_pages(record_ids: list[str], fraction: float) -> npt.NDArray[np.bool_]:
    """Which pages are in the validation split, bool[n].

    The 53 high bits of the first 8 bytes (big-endian) of SHA-256(record id), as a number in [0, 1), are below the fraction.
    """
    if not fraction:
        return np.zeros(len(record_ids), np.bool_)
    heads = b"".join(hashlib.sha256(record_id.encode()).digest()[:8] for record_id in record_ids)
    numbers = (np.frombuffer(heads, ">u8") >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return numbers < fraction


class _Split:
    """One pair in the making: tokens go to the file as they come, lengths wait for the index."""

    def __init__(self, storage: Storage, prefix: str, stack: contextlib.ExitStack) -> None:
        self._storage, self._prefix, self._stack = storage, prefix, stack
        self._stream: Any = None
        self._lengths: list[Int32s] = []
        self._pages: list[npt.NDArray[np.int64]] = []

    def add(self, tokens: Int32s, lengths: Int32s, page_paragraphs: npt.NDArray[np.int64]) -> None:
        """Append whole pages.

        Args:
            tokens: of all sequences, int32[tokens].
            lengths: tokens of each sequence, int32[s].
            page_paragraphs: sequences of each page, int64[p].
        """
        if not len(page_paragraphs):
            return
        if self._stream is None:
            self._stream = self._stack.enter_context(self._storage.create(f"{self._prefix}.bin"))
        self._stream.write(np.ascontiguousarray(tokens, TOKEN).data)
        self._lengths.append(lengths)
        self._pages.append(page_paragraphs)

    def finish(self) -> tuple[dict[str, StoredFile], dict[str, int]]:
        """Write the index, when the `.bin` file is complete; files and counts of the pair."""
        if self._stream is None:
            return {}, {"documents": 0, "sequences": 0, "tokens": 0}
        lengths, pages = np.concatenate(self._lengths), np.concatenate(self._pages)
        index = TokenIndex(lengths, np.concatenate([[0], np.cumsum(pages)]))
        stored = self._storage.write(f"{self._prefix}.idx", index.to_bytes())
        counts = {"documents": len(pages), "sequences": len(lengths), "tokens": index.tokens}
        return {f"{self._prefix}.bin": self._stream.stored, f"{self._prefix}.idx": stored}, counts


def encode_part(job: EncodeJob, number: int) -> Outcome:
    """Encode one part into its pairs."""
    part, encoder = job.parts[number], load_encoder(job.storage.root, job.model_sha256)
    check_part(job.storage, part)
    text, unknown = TextCounts(), 0
    with contextlib.ExitStack() as stack:
        train, valid = (
            _Split(job.storage, layout.tokens(part.language, split, part.part), stack) for split in layout.SPLITS
        )
        for group in read_part(job.storage, part, ["record_id", "paragraphs"]):
            lines, counts = nfc(group["paragraphs"].flatten())
            tokens, lengths = encoder.encode(lines)
            text += counts
            unknown += int(np.count_nonzero(tokens == UNK))
            is_valid = valid_pages(group["record_id"].to_pylist(), job.valid_fractions[part.language])
            pages = np.diff(page_offsets(group["paragraphs"]))
            for split, wanted in ((train, ~is_valid), (valid, is_valid)):
                split.add(*select_pages(tokens, lengths, pages, wanted))
    outcome = Outcome({}, {"language": part.language, "unknown": unknown, **dataclasses.asdict(text)})
    for name, split in zip(layout.SPLITS, (train, valid), strict=True):
        files, counted = split.finish()
        outcome.files.update(files)
        outcome.figures[name] = counted
    return outcome


def page_offsets(paragraphs: pa.ListArray) -> npt.NDArray[np.int64]:
    """Paragraph at which each page begins, and their number: int64[pages + 1]."""
    return np.asarray(paragraphs.offsets.to_numpy(), np.int64)


def select_pages(
    tokens: Int32s, lengths: Int32s, pages: npt.NDArray[np.int64], wanted: npt.NDArray[np.bool_]
) -> tuple[Int32s, Int32s, npt.NDArray[np.int64]]:
    """Some of the pages, in order.

    Args:
        tokens: of all sequences, int32[tokens].
        lengths: tokens of each sequence, int32[s].
        pages: sequences of each page, int64[p].
        wanted: bool[p].

    Returns:
        Their tokens, lengths and pages; views where all are wanted.
    """
    if wanted.all():
        return tokens, lengths, pages
    sequences = np.repeat(wanted, pages)
    return tokens[np.repeat(sequences, lengths)], lengths[sequences], pages[wanted]


@functools.lru_cache(maxsize=1)
def load_encoder(root: str, model_sha256: str) -> Encoder:
    """The tokenizer of an output folder, once per process.

    Raises:
        DamagedFileError: the model was changed since the job began.
    """
    storage = Storage(root)
    encoder = Encoder(storage.read(layout.MODEL))
    if encoder.sha256 != model_sha256:
        raise DamagedFileError(
            f"{storage.uri(layout.MODEL)} was changed while its tokens were made: SHA-256 {encoder.sha256[:12]}..., "
            f"not {model_sha256[:12]}... Run cc100 encode again"
        )
    return encoder


def preload(root: str, model_sha256: str) -> None:
    """Load what worker processes need once, before they are forked."""
    limit_threads()
    encoder = load_encoder(root, model_sha256)
    encoder.encode(nfc(pa.array(["a"]))[0])
