"""Sample: the paragraphs of each part on which the tokenizer is trained, and afterwards how many of them it covers.

What is taken depends on ids, rates and seed alone (tokenizer/sampling.py). A part's sample is an Arrow file of NFC text with the
number of copies of each paragraph, in the order of the part, so that reading the parts in order feeds the trainer the same
sentences on every runner.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from cc100.shards import layout
from cc100.shards.corpus import ShardPart
from cc100.shards.errors import DamagedFileError
from cc100.shards.records import UInt64s
from cc100.tokenizer.encoder import Encoder
from cc100.tokenizer.sampling import copies
from cc100.tokenizer.text import Lines, nfc
from cc100.transforms.job import Outcome, limit_threads
from cc100.transforms.paragraphs import text_bytes
from cc100.transforms.shard_parts import check_part, read_part
from cc100.transforms.storage import Storage

TOKENIZER, BASELINE = "tokenizer", "baseline"
"""What a model is trained for: the corpus's tokenizer, or another one to compare it with."""

RESERVED = "\u2585".encode()
"""SentencePiece drops every sentence with this character, silently."""

SAMPLE = pa.schema([("text", pa.binary()), ("copies", pa.int32())])


@dataclasses.dataclass(frozen=True)
class SampleJob:
    """What the steps of the sample need; read from `run/<work>/run.json`.

    Attributes:
        storage: the output folder.
        work: what the model is trained for.
        parts: parts of the corpus, by language and part.
        rates: average copies of a paragraph, by language.
        seed: of the draw.
        max_bytes: longest paragraph, in bytes of NFC.
    """

    storage: Storage
    work: str
    parts: tuple[ShardPart, ...]
    rates: dict[str, float]
    seed: int
    max_bytes: int


def load_sample_job(storage: Storage) -> SampleJob:
    """Read the state of the tokenizer's training."""
    return _load(storage, TOKENIZER)


def load_baseline_job(storage: Storage) -> SampleJob:
    """Read the state of the baseline's training."""
    return _load(storage, BASELINE)


def _load(storage: Storage, work: str) -> SampleJob:
    content = storage.read_json(layout.training_state(work))["job"]
    return SampleJob(storage, **content | {"parts": tuple(ShardPart(**entry) for entry in content["parts"])})


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What was taken of some paragraphs.

    Attributes:
        lines: NFC text of the paragraphs taken.
        copies: copies of each, int32[len(lines)].
        too_long: copies left out because the text is too long.
        reserved: copies left out because SentencePiece would drop the text.
    """

    lines: list[bytes]
    copies: Any
    too_long: int
    reserved: int


def draw(ids: UInt64s, text: pa.StringArray, rate: float, seed: int, max_bytes: int) -> Drawn:
    """The sample of some paragraphs.

    Args:
        ids: uint64[n].
        text: string[n].
        rate: average copies of a paragraph.
        seed: of the draw.
        max_bytes: longest paragraph, in bytes of NFC.
    """
    times = copies(ids, rate, seed)
    taken = np.flatnonzero(times)
    lines = nfc(text.take(pa.array(taken)))[0].to_list()
    times = times[taken]
    long = np.array([len(line) > max_bytes for line in lines], np.bool_)
    held_back = np.array([RESERVED in line for line in lines], np.bool_) & ~long
    good = ~(long | held_back)
    return Drawn(
        [line for line, is_good in zip(lines, good.tolist(), strict=True) if is_good],
        times[good],
        int(times[long].sum()),
        int(times[held_back].sum()),
    )


def sample_part(job: SampleJob, number: int) -> Outcome:
    """Draw the sample of one part into its file."""
    part = job.parts[number]
    check_part(job.storage, part)
    figures = dict.fromkeys(("paragraphs", "bytes", "sampled_paragraphs", "sampled_bytes", "too_long", "reserved"), 0)
    name = layout.sample(job.work, part.language, part.part)
    options = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)
    with job.storage.create(name) as out, pa.ipc.new_file(out, SAMPLE, options=options) as writer:
        for group in read_part(job.storage, part, ["paragraph_ids", "paragraphs"]):
            ids, text = group["paragraph_ids"].flatten(), group["paragraphs"].flatten()
            drawn = draw(ids.to_numpy(), text, job.rates[part.language], job.seed, job.max_bytes)
            writer.write_batch(pa.record_batch([pa.array(drawn.lines, pa.binary()), pa.array(drawn.copies)], SAMPLE))
            sizes = np.array([len(line) for line in drawn.lines], np.int64)
            figures["paragraphs"] += len(text)
            figures["bytes"] += text_bytes(text)
            figures["sampled_paragraphs"] += int(drawn.copies.sum())
            figures["sampled_bytes"] += int((sizes * drawn.copies).sum())
            figures["too_long"] += drawn.too_long
            figures["reserved"] += drawn.reserved
    return Outcome({name: out.stored}, figures | {"language": part.language})


def read_sample(job: SampleJob, part: ShardPart) -> Iterator[pa.RecordBatch]:
    """The sample of one part, batch by batch, with the columns of SAMPLE."""
    storage, name = job.storage, layout.sample(job.work, part.language, part.part)
    with storage.open_arrow(name) as source:
        try:
            reader = pa.ipc.open_file(source)
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)
        except (pa.ArrowException, OSError) as error:
            raise DamagedFileError(
                f"{storage.uri(name)} is damaged: {str(error).splitlines()[0]}. Delete it and run the same command again: "
                "it will be made anew."
            ) from error


def cover_part(job: SampleJob, number: int) -> Outcome:
    """Count the sampled paragraphs of one part that the trained model encodes without an unknown piece."""
    part, encoder = job.parts[number], load_trained(job.storage.root, job.work)
    covered = 0
    for batch in read_sample(job, part):
        unknown = encoder.has_unknown(Lines.of_arrow(batch["text"]))
        covered += int(batch["copies"].to_numpy()[~unknown].sum())
    return Outcome({}, {"language": part.language, "covered": covered})


@functools.lru_cache(maxsize=1)
def load_trained(root: str, work: str) -> Encoder:
    """The model that was trained and has not been put into its place yet, once per process."""
    return Encoder(Storage(root).read(layout.trained_model(work)))


def preload() -> None:
    """Load what worker processes need once, before they are forked."""
    limit_threads()
    nfc(pa.array(["a"]))
