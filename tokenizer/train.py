"""Training of the SentencePiece unigram model: options with their reasons, an estimate beforehand, progress from the trainer's log.

SentencePiece 0.2.3 makes its model of the sentences, their order, the options and the number of threads, and of nothing else. So
sentences come in a fixed order, threads are 16 on every machine, the trainer samples nothing itself (its own sampling differs from run to
run), and neither input nor output is a file, whose path would stand in the model.
"""

import dataclasses
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa

from cc100.shards.errors import Cc100Error, ConfigurationError, InputError
from cc100.tokenizer.settings import AUTO, MOST_PIECES, TokenizerSettings
from cc100.tokenizer.trainer_process import EXIT_REFUSED

THREADS = 16
"""On every machine: another number gives another model."""
SHRINKING_FACTOR = 0.75
BYTES_PER_PIECE = 256
FEWEST_PIECES = 1000
_LOG_LINES = 40


def trainer_options(settings: TokenizerSettings, vocab_size: int) -> dict[str, Any]:
    """All options that the trainer is given; they stand in the tokenizer's manifest."""
    return {
        "model_type": "unigram",
        "vocab_size": vocab_size,
        "character_coverage": settings.character_coverage,
        "num_threads": THREADS,
        "input_sentence_size": 0,
        "max_sentence_length": settings.max_bytes,
        "seed_sentencepiece_size": settings.seed_pieces,
        "shrinking_factor": SHRINKING_FACTOR,
        "num_sub_iterations": 2,
        "max_sentencepiece_length": 16,
        "normalization_rule_name": "nmt_nfkc",
        "add_dummy_prefix": True,
        "remove_extra_whitespaces": True,
        "split_by_unicode_script": True,
        "split_by_number": True,
        "split_by_whitespace": True,
        "byte_fallback": False,
        "hard_vocab_limit": True,
        "unk_id": 0,
        "bos_id": 1,
        "eos_id": 2,
        "pad_id": -1,
    }


def wanted_pieces(settings: TokenizerSettings, sampled_bytes: int) -> int:
    """Size of the vocabulary to try first: as set, or a piece per 256 bytes of the sample."""
    if settings.vocab_size != AUTO:
        return int(settings.vocab_size)
    return max(FEWEST_PIECES, min(MOST_PIECES, sampled_bytes // BYTES_PER_PIECE))


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a training will take: seconds on two cores, and bytes of memory."""

    seconds: float
    memory_bytes: int


# Least squares over benchmarks/results/tokenizer_growth.json, rounded up; a test compares them with it.
_SECONDS = (8.0, 0.55, 0.10)
_MEMORY = (0.4e9, 9.0, 500.0)


def estimate(sampled_bytes: int, vocab_size: int, seed_pieces: int) -> Estimate:
    """Time and memory of a training, from runs on samples of 25 to 400 MB.

    Args:
        sampled_bytes: bytes of the sample.
        vocab_size: pieces wanted.
        seed_pieces: pieces from which the trainer starts.
    """
    megabytes = sampled_bytes / 1e6
    rounds = pruning_rounds(seed_pieces, vocab_size)
    return Estimate(
        _SECONDS[0] + megabytes * (_SECONDS[1] + _SECONDS[2] * rounds),
        int(_MEMORY[0] + _MEMORY[1] * sampled_bytes + _MEMORY[2] * min(seed_pieces, sampled_bytes)),
    )


def pruning_rounds(seed_pieces: int, vocab_size: int) -> int:
    """Rounds of EM and pruning until 1.1 times the vocabulary is left."""
    return max(1, math.ceil(math.log(max(seed_pieces / (1.1 * vocab_size), 1.0), 1 / SHRINKING_FACTOR)))


class LogReader:
    """What the trainer's log says about how far it is.

    Args:
        vocab_size: pieces wanted.
    """

    _SEEDS, _EM = 0.35, 0.60  # shares of the time: up to the seeds, in rounds of EM; measured on 25 to 400 MB
    _STAGES = (
        ("Loaded all", 0.04, "normalising"),
        ("Extracting seed", 0.08, "finding frequent substrings"),
        ("Initialized", 0.38, "splitting into words"),
        ("for EM training", 0.40, "EM"),
        ("PruneUnreachable", 0.99, "saving"),
    )
    _ROUND = re.compile(r"EM sub_iter=\d+ size=(\d+)")

    def __init__(self, vocab_size: int) -> None:
        self._goal = 1.1 * vocab_size
        self._seeds: int | None = None
        self.fraction = 0.0
        self.stage = "reading the sample"

    def read(self, line: str) -> bool:
        """Take in a line; True if the state changed."""
        found = self._ROUND.search(line)
        if found:
            size = int(found[1])
            self._seeds = self._seeds or size
            span = math.log(max(self._seeds / self._goal, 1.0001))
            done = min(1.0, math.log(max(self._seeds / size, 1.0)) / span)
            self._set(0.40 + 0.58 * done, f"EM, {size:,} pieces left")
            return True
        for mark, fraction, stage in self._STAGES:
            if mark in line:
                self._set(fraction, stage)
                return True
        return False

    def _set(self, fraction: float, stage: str) -> None:
        self.fraction, self.stage = max(self.fraction, fraction), stage


class TooFewPiecesError(InputError):
    """The sample yields fewer pieces than wanted.

    Attributes:
        largest: the largest possible vocabulary.
    """

    def __init__(self, wanted: int, largest: int) -> None:
        super().__init__(
            f"tokenizer.vocab_size = {wanted} is too large for this sample: at most {largest} pieces can be made of it. "
            f"Use --set tokenizer.vocab_size={largest} or less, --set tokenizer.vocab_size=auto, or more text"
        )
        self.largest = largest


class TooManyCharactersError(InputError):
    """The vocabulary is smaller than the alphabet.

    Attributes:
        smallest: the smallest possible vocabulary.
    """

    def __init__(self, wanted: int, smallest: int) -> None:
        super().__init__(
            f"tokenizer.vocab_size = {wanted} is too small: the sample's characters alone need {smallest} pieces. "
            f"Use --set tokenizer.vocab_size={smallest + 1000} or more, --set tokenizer.vocab_size=auto, or lower "
            "tokenizer.character_coverage"
        )
        self.smallest = smallest


def train(
    batches: Iterable[pa.RecordBatch], options: dict[str, Any], on_progress: Callable[[float, str], None]
) -> bytes:
    """Train a model in a process of its own.

    Args:
        batches: (text binary, copies int32), in the fixed order.
        options: of `trainer_options`.
        on_progress: called with the share that is done and what the trainer is at.

    Returns:
        Content of the `.model` file.

    Raises:
        TooFewPiecesError, TooManyCharactersError: the vocabulary does not fit the sample.
        Cc100Error: the trainer failed, or was killed.
    """
    command = [sys.executable, "-m", "cc100.tokenizer.trainer_process", json.dumps(options)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    log: list[str] = []
    progress = LogReader(options["vocab_size"])
    reader = threading.Thread(target=_follow, args=(process.stderr, log, progress, on_progress), daemon=True)
    feeder = _Feeder(process, batches)
    try:
        reader.start()
        feeder.start()
        assert process.stdout is not None
        with process.stdout:
            model = process.stdout.read()
        feeder.join()
        reader.join()
        code = process.wait()
    except BaseException:  # Ctrl-C above all
        process.kill()
        process.wait()
        raise
    if feeder.error is not None:
        raise feeder.error
    if code:
        raise _explain(code, log, options["vocab_size"])
    return model


class _Feeder(threading.Thread):
    """Writes the sample to the trainer while its output is being waited for."""

    def __init__(self, process: "subprocess.Popen[bytes]", batches: Iterable[pa.RecordBatch]) -> None:
        super().__init__(daemon=True)
        self._process, self._batches = process, batches
        self.error: Exception | None = None

    def run(self) -> None:
        """Write all batches; a trainer that has ended explains itself by its exit code."""
        assert self._process.stdin is not None
        schema = pa.schema([("text", pa.binary()), ("copies", pa.int32())])
        try:
            with self._process.stdin as sink, pa.ipc.new_stream(sink, schema) as writer:
                for batch in self._read():
                    writer.write_batch(batch)
        except OSError:
            pass
        except Exception as error:
            self._fail(error)

    def _read(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._batches
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """End the trainer before the stream ends: it would take what it has got for the whole sample."""
        self.error = error
        self._process.kill()


def _follow(stream: Any, log: list[str], reader: LogReader, on_progress: Callable[[float, str], None]) -> None:
    with stream:
        for raw in stream:
            line = raw.decode(errors="replace").rstrip()
            log.append(line)
            del log[:-_LOG_LINES]
            if reader.read(line):
                on_progress(reader.fraction, reader.stage)


def _explain(code: int, log: list[str], wanted: int) -> Cc100Error:
    """What a trainer that failed has to say."""
    text = "\n".join(log)
    out_of_memory = "bad_alloc" in text or "MemoryError" in text
    if code == -signal.SIGKILL or out_of_memory:
        cause = "ran out of memory" if out_of_memory else "was killed, most likely because memory ran out"
        return Cc100Error(
            f"the trainer {cause}. Lower tokenizer.sample_paragraphs or tokenizer.seed_pieces, or use a machine with more memory; "
            "the sample is kept"
        )
    if found := re.search(r"Vocabulary size too high \(\d+\)\. Please set it to a value <= (\d+)", text):
        return TooFewPiecesError(wanted, int(found[1]))
    if found := re.search(r"Vocabulary size is smaller than required_chars\. \d+ vs (\d+)", text):
        return TooManyCharactersError(wanted, int(found[1]))
    last = next((line for line in reversed(log) if line.strip()), f"exit code {code}")
    if code == EXIT_REFUSED:
        return ConfigurationError(f"SentencePiece refuses to train: {last}")
    return Cc100Error(f"the trainer ended with code {code}: {last}")


def memory_of_machine() -> int | None:
    """Bytes of memory of this machine; None where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
