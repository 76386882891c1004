"""How the work is cut: blocks of files, and the passes and buckets of every shuffle, from stored sizes and the memory of a worker.

A shuffle is cut when what it will carry lies in durable files, by their size. Where the cut must be known before anything is read
(bundles for Spark, the question whether a run can succeed), it follows from upper estimates, measured on WET with the line statistics
of genuine crawls. Nothing here changes a byte of the result.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from cc100.shards import layout
from cc100.shards.errors import ConfigurationError
from cc100.shards.settings import MIB
from cc100.transforms.job import BANDS, COMPONENTS, DIGEST_RANGES, DIGESTS, Cut, InputFile, Job, Outcome, Plan
from cc100.transforms.settings import CorpusSettings

LOCAL_COPIES = 4
"""FnApiRunner holds about four times what one shuffle carries."""

JVM_COPIES = 6
"""Of a local master of Spark, whose heap is the memory of a worker: with four it was nearly full."""

_TASK_COPIES = 4
"""An executor holds what a task sends about twice, beside what it holds anyway."""

_PARTITION_SHARE = 8
"""A partition of Spark carries at most this part of a worker's memory."""

_MOST_PARTITIONS = 10_000
_MOST_BUCKET_BYTES = 16 * MIB
_BUCKET_SHARE = 64
"""A bucket has at most this part of a worker's memory: its values, and the arrays that are made of them."""

_TEXT_PER_STORED_BYTE = {True: 3.0, False: 1.0}
"""Bytes of text per stored byte of a compressed and of a plain file of text."""

_TEXT_PER_HTML_BYTE = 1.0
"""The same of a compressed file of HTML, by its name; .22 was measured for main content, all text is some three times that."""

_DIGEST_PAYLOAD = 0.12
"""Bytes of digests that a file sends, per byte of text: 15,000 distinct lines of 8 bytes per MB."""

_DIGEST_SHARE = 0.5
"""Part of the bytes of `run/digests/` that the digests are; the rest says which paragraph has which."""

_BAND_ENTRY_BYTES = 12
_SIGNED_PARAGRAPHS_PER_MB = 4_500
_CANDIDATES_PER_MB = 1_000
_CANDIDATE_BYTES = 600
_JOIN_BYTES_PER_CANDIDATE = 64

_FORM_NUMBER_BYTES = 4
_BLOCK_BYTES = 64 * MIB
_MOST_BLOCK_FILES = 128
_BLOCKS = 1024


@dataclasses.dataclass(frozen=True)
class Payload:
    """What a shuffle carries, in bytes.

    Attributes:
        total: altogether.
        file: of the input file that sends most.
        scope: of the scope, or group of files, that sends most; scopes share no key.
    """

    total: float
    file: float
    scope: float

    @classmethod
    def of(cls, sizes: Sequence[float], scopes: Sequence[int]) -> "Payload":
        """From the bytes that every file sends, and the scope that it belongs to."""
        by_scope: dict[int, float] = {}
        for size, scope in zip(sizes, scopes, strict=True):
            by_scope[scope] = by_scope.get(scope, 0.0) + size
        return cls(sum(sizes), max(sizes, default=0.0), max(by_scope.values(), default=0.0))


def make_plan(inputs: tuple[InputFile, ...], settings: CorpusSettings) -> Plan:
    """Cut the input into blocks, so that the form numbers of a block's files are no large value even if every form is repeated."""
    by_number = min(_MOST_BLOCK_FILES, _ceil(len(inputs) / _BLOCKS))
    numbers = text_estimate(inputs) * _DIGEST_PAYLOAD * _FORM_NUMBER_BYTES / 8 / max(len(inputs), 1)
    by_size = int(_BLOCK_BYTES / max(numbers, 1.0))
    return Plan(block_files=settings.runner.block_files or max(1, min(by_number, by_size)))


def check_memory(job: Job) -> None:
    """Refuse, before anything is read, what would end for want of memory.

    Raises:
        ConfigurationError: the union-find over the candidates, or the values of one key, would not fit.
    """
    _check_join(job)
    memory = job.settings.runner.memory_per_worker
    needed = _TASK_COPIES * estimate_payload(job, DIGESTS).scope / DIGEST_RANGES
    if needed > memory:
        remedy = "exact.scope to per-crawl, or " if job.settings.exact.scope != "per-crawl" else ""
        raise ConfigurationError(
            f"the digests of about {text_estimate(job.inputs) / 1e9:.0f} GB of text come in {DIGEST_RANGES} ranges; one needs up to "
            f"{needed / 2**30:.1f} GiB in one process, runner.memory_per_worker allows {memory / 2**30:.1f} GiB. "
            f"Set {remedy}runner.memory_per_worker to what a worker has, or build the corpus in several runs"
        )


def _check_join(job: Job) -> None:
    near, memory, files = job.settings.near, job.settings.runner.memory_per_worker, len(job.inputs)
    share = min(1.0, near.group_files / files) if near.group_files else 1.0
    text = text_estimate(job.inputs) * share
    needed = text / 1e6 * _CANDIDATES_PER_MB * _JOIN_BYTES_PER_CANDIDATE
    if near.mode != "none" and needed > memory:
        fitting = int(files * share * memory / needed)
        raise ConfigurationError(
            f"joining the near-duplicate candidates of about {text / 1e9:.0f} GB of text needs some {needed / 2**30:.1f} GiB "
            f"in one process, runner.memory_per_worker allows {memory / 2**30:.1f} GiB. "
            f"Set near.group_files to {max(fitting, 1)} or less, or give the worker more memory"
        )


# --- Payloads -------------------------------------------------------------------------------------------------------


def text_estimate(inputs: tuple[InputFile, ...]) -> float:
    """Estimated bytes of text of the input."""
    return sum(_text_per_byte(entry.uri.lower()) * entry.bytes for entry in inputs)


def _text_per_byte(name: str) -> float:
    if name.endswith((".warc.gz", ".warc.zst")):
        return _TEXT_PER_HTML_BYTE
    return _TEXT_PER_STORED_BYTE[name.endswith((".gz", ".zst"))]


def estimate_payload(job: Job, shuffle: str) -> Payload:
    """What a shuffle will carry, from the stored sizes of the inputs."""
    bands = job.settings.near.bands
    per_byte = {
        DIGESTS: _DIGEST_PAYLOAD,
        BANDS: _SIGNED_PARAGRAPHS_PER_MB * bands * _BAND_ENTRY_BYTES / 1e6,
        COMPONENTS: _CANDIDATES_PER_MB * (_CANDIDATE_BYTES + 8 * bands) / 1e6,
    }[shuffle]
    sizes = [_text_per_byte(entry.uri.lower()) * entry.bytes * per_byte for entry in job.inputs]
    return Payload.of(sizes, _scopes(job, shuffle))


def measure_payload(job: Job, shuffle: str, outcomes: Mapping[str, Outcome]) -> Payload:
    """What a shuffle will carry, from the files that it reads.

    Args:
        job: the job.
        shuffle: which one.
        outcomes: of the step that wrote those files, by unit: extract, sign or shingle.
    """
    name_of = {DIGESTS: layout.digests, BANDS: layout.bands, COMPONENTS: layout.shingled}[shuffle]
    share = _DIGEST_SHARE if shuffle == DIGESTS else 1.0
    sizes = [0.0] * len(job.inputs)
    for unit, outcome in outcomes.items():
        sizes[int(unit)] = share * outcome.files[name_of(int(unit))].bytes
    return Payload.of(sizes, _scopes(job, shuffle))


def _scopes(job: Job, shuffle: str) -> list[int]:
    if shuffle == DIGESTS:
        return [entry.exact_scope for entry in job.inputs]
    return [job.near_group_of(index) if shuffle == BANDS else 0 for index in range(len(job.inputs))]


# --- Cuts -----------------------------------------------------------------------------------------------------------


def cut_shuffle(payload: Payload, settings: CorpusSettings, copies: int = 0) -> Cut:
    """Cut a shuffle.

    Args:
        payload: what it carries.
        settings: settings of the runner.
        copies: how many times one process holds a whole pass, as with the local runner; 0: it is spread, and a task holds what one
            file sends and what one partition receives.
    """
    runner = settings.runner
    held = payload.total * copies if copies else payload.file * _TASK_COPIES
    spread = _MOST_PARTITIONS * runner.memory_per_worker / _PARTITION_SHARE
    passes = max(_ceil(held / runner.memory_per_worker), _ceil(payload.total / spread))
    passes = runner.passes or min(passes, DIGEST_RANGES)
    bucket_bytes = min(_MOST_BUCKET_BYTES, runner.memory_per_worker / _BUCKET_SHARE)
    return Cut(passes, runner.buckets or min(_ceil(payload.scope / passes / bucket_bytes), DIGEST_RANGES))


def count_partitions(job: Job) -> int:
    """Partitions of a shuffle that is spread, by the estimates: so many that a task of an executor fits into its memory."""
    most = max(estimate_payload(job, shuffle).total for shuffle in job.shuffles)
    return min(_MOST_PARTITIONS, _ceil(most * _PARTITION_SHARE / job.settings.runner.memory_per_worker))


def _ceil(value: float) -> int:
    return max(1, int(-(-value // 1)))
