"""Training: byte for byte the same again, errors that name the numbers, and no trainer left behind."""

import functools
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pyarrow as pa
import pytest
import tiny_tokenizer

from cc100.shards.errors import Cc100Error, ConfigurationError
from cc100.tokenizer import train
from cc100.tokenizer.model_proto import parse_model
from cc100.tokenizer.settings import AUTO, TokenizerSettings
from cc100.tokenizer.train import (
    TooFewPiecesError,
    TooManyCharactersError,
    trainer_options,
    wanted_pieces,
)

SETTINGS = TokenizerSettings(vocab_size=600, seed_pieces=10_000, character_coverage=1.0)
LINES = tiny_tokenizer.text(2000)


def batches(lines, copies=None, rows=700):
    times = np.array([1] * len(lines) if copies is None else copies, np.int32)
    encoded = [line.encode() for line in lines]
    for at in range(0, len(lines), rows):
        yield pa.record_batch(
            [pa.array(encoded[at : at + rows], pa.binary()), pa.array(times[at : at + rows])], names=["text", "copies"]
        )


def trained(lines=LINES, copies=None, rows=700, tell=lambda share, stage: None, **options) -> bytes:
    return train.train(batches(lines, copies, rows), trainer_options(SETTINGS, 600) | options, tell)


@functools.cache
def usual() -> bytes:
    return trained()


@pytest.fixture
def processes(monkeypatch):
    """Trainers that the test started."""
    started = []

    class Watched(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(train.subprocess, "Popen", Watched)
    yield started
    assert all(process.poll() is not None for process in started)


# --- The model --------------------------------------------------------------------------------------------------------


def test_repeatable(processes):
    """The same sentences in the same order: not how they come in batches, nor which process trains."""
    assert trained(rows=33) == trained() == usual()
    assert len({process.pid for process in processes}) >= 2
    assert tiny_tokenizer.processor(usual()).vocab_size() == 600


def test_copies_are_sentences():
    times = [number % 4 for number in range(len(LINES))]
    repeated = [line for line, copies in zip(LINES, times, strict=True) for _ in range(copies)]
    assert trained(copies=times) == trained(repeated) != usual()


def test_text_order_and_threads_make_the_model():
    """So the order is fixed, and the number of threads is the same on every machine."""
    assert len({usual(), trained(LINES[:-100]), trained(LINES[::-1]), trained(num_threads=2)}) == 4


def test_options_stand_in_the_model():
    options = trainer_options(SETTINGS, 600)
    proto = parse_model(usual())
    spec = proto.trainer_spec
    for name in ("vocab_size", "num_threads", "max_sentence_length", "byte_fallback"):
        assert getattr(spec, name) == options[name]
    assert spec.character_coverage == pytest.approx(options["character_coverage"])
    assert proto.normalizer_spec.name == options["normalization_rule_name"] == "nmt_nfkc"
    assert str(pathlib.Path.cwd()).encode() not in usual()


def test_options():
    """What the contract fixes, and what is set."""
    settings = TokenizerSettings(max_bytes=1000, character_coverage=0.9999, seed_pieces=77_000)
    options = trainer_options(settings, 5000)
    fixed = {
        "model_type": "unigram", "num_threads": 16, "input_sentence_size": 0, "byte_fallback": False,
        "unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": -1, "hard_vocab_limit": True,
    }  # fmt: skip
    chosen = {
        "vocab_size": 5000, "max_sentence_length": 1000, "character_coverage": 0.9999, "seed_sentencepiece_size": 77_000,
    }  # fmt: skip
    assert options | fixed | chosen == options
    assert "model_prefix" not in options
    assert "input" not in options


def test_wanted_pieces():
    auto = TokenizerSettings(vocab_size=AUTO)
    assert wanted_pieces(TokenizerSettings(vocab_size=1234), 10**9) == 1234
    assert [wanted_pieces(auto, size) for size in (0, 10**6, 16_384_000, 10**10)] == [1000, 3906, 64_000, 250_000]


# --- What can go wrong --------------------------------------------------------------------------------------------------


def test_too_few_pieces():
    """The largest vocabulary that the message names can be had, one more cannot."""
    with pytest.raises(TooFewPiecesError) as raised:
        trained(vocab_size=5000)
    largest = raised.value.largest
    assert str(raised.value).startswith(
        f"tokenizer.vocab_size = 5000 is too large for this sample: at most {largest} pieces can be made of it. "
        f"Use --set tokenizer.vocab_size={largest} or less"
    )
    assert tiny_tokenizer.processor(trained(vocab_size=largest)).vocab_size() == largest
    with pytest.raises(TooFewPiecesError, match=f"at most {largest} pieces"):
        trained(vocab_size=largest + 1)


def test_too_many_characters():
    with pytest.raises(TooManyCharactersError) as raised:
        trained(vocab_size=100)
    smallest = raised.value.smallest
    assert f"vocab_size = 100 is too small: the sample's characters alone need {smallest} pieces" in str(raised.value)
    assert tiny_tokenizer.processor(trained(vocab_size=smallest)).vocab_size() == smallest
    with pytest.raises(TooManyCharactersError, match=f"need {smallest} pieces"):
        trained(vocab_size=smallest - 1)


def test_refused_options(processes):
    """The trainer goes before it has read; what is still being written to it must not hide its reason."""
    with pytest.raises(ConfigurationError, match=r"SentencePiece refuses to train: .*nonsense"):
        trained(LINES * 100, nonsense=1)


def test_no_sentences(processes):
    with pytest.raises(ConfigurationError, match=r"SentencePiece refuses to train: .*sentences_.empty"):
        trained([])


def test_killed(processes):
    """As the kernel does when memory runs out."""
    with pytest.raises(Cc100Error, match="the trainer was killed, most likely because memory ran out"):
        trained(tell=lambda share, stage: processes[0].kill())


@pytest.mark.parametrize(
    ("code", "last", "message"),
    [
        (-signal.SIGABRT, "terminate called after throwing an instance of 'std::bad_alloc'", "the trainer ran out of memory. Lower"),
        (1, "MemoryError: ", "the trainer ran out of memory. Lower"),
        (-signal.SIGSEGV, "  ", "the trainer ended with code -11: before"),
        (7, "last words", "the trainer ended with code 7: last words"),
    ],
)  # fmt: skip
def test_other_ends(code, last, message):
    assert str(train._explain(code, ["before", last], 600)).startswith(message)


@pytest.mark.parametrize("error", [ValueError("bad batch"), OSError("no such file"), Cc100Error("damaged")])
@pytest.mark.parametrize("before", [0, 2])
def test_sample_that_cannot_be_read(processes, error, before):
    """No model of a part of the sample, whatever the error."""

    def failing():
        for number, batch in enumerate(batches(LINES)):
            if number == before:
                raise error
            yield batch

    with pytest.raises(type(error), match=str(error)):
        train.train(failing(), trainer_options(SETTINGS, 600), lambda share, stage: None)


def test_batches_of_another_kind(processes):
    wrong = [pa.record_batch([pa.array(["a"])], names=["text"])]
    with pytest.raises(pa.ArrowInvalid):
        train.train(wrong, trainer_options(SETTINGS, 600), lambda share, stage: None)


def alive(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


PARENT = """
    import pathlib, sys, time
    import pyarrow as pa
    from cc100.tokenizer import train
    from cc100.tokenizer.settings import TokenizerSettings

    def batches():
        yield pa.record_batch([pa.array([b"a"]), pa.array([1], pa.int32())], names=["text", "copies"])
        print(*pathlib.Path("/proc/self/task").glob("*/children").__next__().read_text().split(), flush=True)
        time.sleep(60)

    train.train(batches(), train.trainer_options(TokenizerSettings(vocab_size=600), 600), print)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_trainer_ends_with_its_parent(number):
    """Only the parent gets the signal; on a terminal both would get Ctrl-C."""
    command = [sys.executable, "-c", textwrap.dedent(PARENT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout is not None
        (trainer,) = map(int, parent.stdout.readline().split())
        assert alive(trainer)
        parent.send_signal(number)
        assert parent.wait(20) == -number
        until = time.monotonic() + 20
        while alive(trainer) and time.monotonic() < until:
            time.sleep(0.02)
        assert not alive(trainer)


# --- Progress -------------------------------------------------------------------------------------------------------------


def test_progress(processes):
    told = []
    trained(tell=lambda share, stage: told.append((share, stage)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.1
    assert 0.95 < shares[-1] <= 1
    assert any("pieces left" in stage for _, stage in told)
