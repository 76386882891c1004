"""How the work is cut: blocks of files, passes and buckets, from the stored size of the input and the memory of a worker.

The estimates are upper ones, measured on WET with the line statistics of genuine crawls (benchmarks/results); too many passes cost
a little time, too few cost memory. Nothing here changes a byte of the result.
"""

from cc100.shards.errors import ConfigurationError
from cc100.shards.settings import MIB
from cc100.transforms.job import DIGEST_RANGES, InputFile, Plan
from cc100.transforms.settings import CorpusSettings

_RUNNER_COPIES = 4
"""FnApiRunner holds about four times what one shuffle carries."""

_TEXT_PER_STORED_BYTE = {True: 3.0, False: 1.0}
"""Bytes of text per stored byte of a compressed and of a plain file of text."""

_TEXT_PER_HTML_BYTE = 1.0
"""The same of a compressed file of HTML, by its name; .22 was measured for main content, all text is some three times that."""

_DIGEST_PAYLOAD = 0.12
"""Bytes of digests that a file sends, per byte of text: 15,000 distinct lines of 8 bytes per MB."""

_BAND_ENTRY_BYTES = 12
_SIGNED_PARAGRAPHS_PER_MB = 4_500
_CANDIDATES_PER_MB = 1_000
_CANDIDATE_BYTES = 600
_JOIN_BYTES_PER_CANDIDATE = 64

_BUCKET_BYTES = 16 * MIB
_MOST_BLOCK_FILES = 128
_BLOCKS = 1024


def text_estimate(inputs: tuple[InputFile, ...]) -> float:
    """Estimated bytes of text of the input."""
    return sum(_text_per_byte(entry.uri.lower()) * entry.bytes for entry in inputs)


def _text_per_byte(name: str) -> float:
    if name.endswith((".warc.gz", ".warc.zst")):
        return _TEXT_PER_HTML_BYTE
    return _TEXT_PER_STORED_BYTE[name.endswith((".gz", ".zst"))]


def make_plan(inputs: tuple[InputFile, ...], settings: CorpusSettings, is_local: bool = True) -> Plan:
    """Cut the work.

    Args:
        inputs: the input files.
        settings: settings of the runner and of near duplicates.
        is_local: one process holds a whole shuffle; elsewhere it is spread over workers, and one pass does.

    Raises:
        ConfigurationError: the union-find over the candidates would not fit into memory.
    """
    runner, near = settings.runner, settings.near
    text = text_estimate(inputs)
    budget = runner.memory_per_worker / _RUNNER_COPIES
    payloads = {
        "digest": text * _DIGEST_PAYLOAD,
        "band": text / 1e6 * _SIGNED_PARAGRAPHS_PER_MB * near.bands * _BAND_ENTRY_BYTES,
        "component": text / 1e6 * _CANDIDATES_PER_MB * (_CANDIDATE_BYTES + 8 * near.bands),
    }
    _check_join(text, len(inputs), settings)
    passes = {
        name: runner.passes or (_ceil(payload / budget, DIGEST_RANGES) if is_local else 1)
        for name, payload in payloads.items()
    }
    largest = max(payload / passes[name] for name, payload in payloads.items())
    return Plan(
        block_files=runner.block_files or min(_MOST_BLOCK_FILES, _ceil(len(inputs) / _BLOCKS, _MOST_BLOCK_FILES)),
        digest_passes=passes["digest"],
        band_passes=passes["band"],
        component_passes=passes["component"],
        buckets=runner.buckets or _ceil(largest / _BUCKET_BYTES, DIGEST_RANGES),
    )


def _check_join(text: float, files: int, settings: CorpusSettings) -> None:
    group = settings.near.group_files
    share = min(1.0, group / files) if group else 1.0
    needed = text / 1e6 * _CANDIDATES_PER_MB * _JOIN_BYTES_PER_CANDIDATE * share
    if settings.near.mode != "none" and needed > settings.runner.memory_per_worker:
        fitting = int(files * share * settings.runner.memory_per_worker / needed)
        raise ConfigurationError(
            f"joining the near-duplicate candidates of about {text * share / 1e9:.0f} GB of text needs some {needed / 2**30:.1f} GiB "
            f"in one process, runner.memory_per_worker allows {settings.runner.memory_per_worker / 2**30:.1f} GiB. "
            f"Set near.group_files to {max(fitting, 1)} or less, or give the worker more memory"
        )


def _ceil(value: float, most: int) -> int:
    return max(1, min(most, int(-(-value // 1))))
