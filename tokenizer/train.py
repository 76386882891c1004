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
SUB_ITERATIONS = 2
PRUNED_TO = 1.1
"""SentencePiece prunes until so many times the vocabulary is left, and takes the best of these."""
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
        "num_sub_iterations": SUB_ITERATIONS,
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
    """What a training will take: CPU seconds of all threads, and bytes of memory at the peak."""

    cpu_seconds: float
    memory_bytes: int

    @property
    def seconds(self) -> float:
        """Seconds on two cores that do nothing else."""
        return self.cpu_seconds / _TWO_CORES


# Least squares over benchmarks/results/tokenizer_growth.json (its --fit); a test compares each run with the estimate.
_CPU_SECONDS = (0.354, 0.586)  # per MB; per MB^0.9 and round of EM: distinct words grow more slowly than the text
# Always; per byte; per byte of what lies in one suffix array. The sum of the last two was measured, up to 400 MB; how it divides was not.
_MEMORY = (0.17e9, 3.0, 15.0)
WORD_GROWTH = 0.9
_TWO_CORES = 1.6
CHUNK_BYTES = 430e6
"""Text of one suffix array: 500 MiB as the trainer stores it, a fifth more than the text."""


def estimate(sampled_bytes: int, vocab_size: int, seed_pieces: int) -> Estimate:
    """Time and memory of a training.

    Args:
        sampled_bytes: bytes of the sample.
        vocab_size: pieces wanted.
        seed_pieces: pieces from which the trainer starts.
    """
    megabytes = sampled_bytes / 1e6
    rounds = pruning_rounds(pieces_of_first_round(sampled_bytes, seed_pieces), PRUNED_TO * vocab_size)
    return Estimate(
        _CPU_SECONDS[0] * megabytes + _CPU_SECONDS[1] * megabytes**WORD_GROWTH * rounds,
        int(_MEMORY[0] + _MEMORY[1] * sampled_bytes + _MEMORY[2] * min(sampled_bytes, CHUNK_BYTES)),
    )


def pieces_of_first_round(sampled_bytes: int, seed_pieces: int) -> float:
    """How many pieces the first round of EM leaves; a small sample yields fewer seeds than are wanted."""
    megabytes = max(sampled_bytes, 1) / 1e6
    seeds = min(seed_pieces, 1e6 * (megabytes / 25) ** 0.7)
    return 490_000 * (megabytes / 100) ** 0.21 * (seeds / 1e6) ** 0.64


def pruning_rounds(pieces: float, goal: float) -> float:
    """Rounds of EM, each with a pruning after it, that bring a number of pieces down to the goal; a fraction for a small last one."""
    return 1 + max(math.log(pieces / goal, 1 / SHRINKING_FACTOR), 0.0)


class LogReader:
    """What the trainer's log says about how far it is.

    Before EM its stages take the shares of time that were measured (benchmarks/results/tokenizer_growth.json). From the first round of EM
    on, those that are left are taken to be as long as those that are done, by the times in the log, and a little shorter each; how many
    are left follows from the number of pieces.

    Args:
        vocab_size: pieces wanted.
    """

    _BEFORE_EM = (  # mark in the log, share of the time before EM that has passed, what comes next
        ("Loaded all", 0.02, "normalising"),
        ("Extracting seed", 0.12, "finding frequent substrings"),
        ("Initialized", 0.82, "splitting into words"),
        ("for EM training", 1.0, "EM"),
    )
    _TYPICAL_PIECES = 500_000  # after the first round
    _ROUND_COST = 0.7  # of a round, where all before EM is 1; until the first has ended, and where the log has no times
    _LAST_PRUNING = 0.4  # of a round
    _SHORTER = 0.9  # a round with 0.75 times the pieces
    _TIME = re.compile(r"[A-Z]\d{4} \d\d:\d\d:(\d{5,}\.\d+) ")
    _ITERATION = re.compile(r"EM sub_iter=(\d+) size=(\d+)")

    def __init__(self, vocab_size: int) -> None:
        self._goal = PRUNED_TO * vocab_size
        self._begin: float | None = None
        self._em: float | None = None
        self._done = 0.0  # rounds
        self.fraction = 0.0
        self.stage = "reading the sample"

    def read(self, line: str) -> bool:
        """Take in a line; True if the state changed."""
        found = self._TIME.match(line)
        now = float(found[1]) if found else None
        self._begin = self._begin or now
        if iteration := self._ITERATION.search(line):
            number, size = map(int, iteration.groups())
            self._done += 1 / SUB_ITERATIONS
            left = self._rounds_left(size) + (SUB_ITERATIONS - 1 - number) / SUB_ITERATIONS
            self._set(self._share(now, left), f"EM, {size:,} pieces left")
            return True
        if "PruneUnreachable" in line:
            self._set(0.99, "saving")
            return True
        for mark, share, stage in self._BEFORE_EM:
            if mark in line:
                self._em = now
                rounds = pruning_rounds(self._TYPICAL_PIECES, self._goal)
                self._set(share / (1 + self._ROUND_COST * rounds), stage)
                return True
        return False

    def _rounds_left(self, size: int) -> float:
        """Rounds after the one that leaves so many pieces, the last pruning included."""
        return max(math.ceil(pruning_rounds(size, self._goal)) - 2, 0) + self._LAST_PRUNING

    def _share(self, now: float | None, left: float) -> float:
        """Share of the time that has passed when so many rounds are left."""
        if now is None or self._begin is None or self._em is None:
            passed, round_time = 1 + self._ROUND_COST * self._done, self._ROUND_COST
        else:
            passed, round_time = now - self._begin, (now - self._em) / self._done
        rounds = (1 - self._SHORTER**left) / (1 - self._SHORTER)
        return passed / max(passed + round_time * rounds, 1e-9)

    def _set(self, fraction: float, stage: str) -> None:
        self.fraction, self.stage = max(self.fraction, min(fraction, 0.99)), stage


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
