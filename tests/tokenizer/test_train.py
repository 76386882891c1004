"""Training: byte for byte the same again, errors that name the numbers, and no trainer left behind."""

import functools
import json
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
    LogReader,
    TooFewPiecesError,
    TooManyCharactersError,
    estimate,
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
    import pathlib, signal, sys, time
    import pyarrow as pa
    from cc100.tokenizer import train
    from cc100.tokenizer.settings import TokenizerSettings

    def batches():
        yield pa.record_batch([pa.array([b"a"]), pa.array([1], pa.int32())], names=["text", "copies"])
        print(*pathlib.Path("/proc/self/task").glob("*/children").__next__().read_text().split(), flush=True)
        time.sleep(600)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
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
        assert parent.wait(60) == -number
        until = time.monotonic() + 60
        while alive(trainer) and time.monotonic() < until:
            time.sleep(0.02)
        assert not alive(trainer)


# --- Estimate -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(repository):
    return json.loads((repository / "benchmarks" / "results" / "tokenizer_growth.json").read_text())["runs"]


def test_estimate_against_measured_runs(runs):
    """Every training of the benchmark is within a quarter of what would have been foretold."""
    assert {run["megabytes"] for run in runs} >= {25, 50, 100, 200}
    for run in runs:
        expected = estimate(run["bytes"], run["pieces"], run["seed_pieces"])
        assert expected.memory_bytes == pytest.approx(run["peak_memory_bytes"], rel=0.25), run
        assert expected.cpu_seconds == pytest.approx(run["cpu_seconds"], rel=0.25), run


def test_estimate_grows():
    """With the sample, with a smaller vocabulary (more rounds of pruning); and what is not known is guessed upwards."""
    sizes = [10**6, 10**7, 10**8, 10**9, 2 * 10**9]
    by_size = [estimate(size, 250_000, 1_000_000) for size in sizes]
    assert [e.cpu_seconds for e in by_size] == sorted(e.cpu_seconds for e in by_size)
    assert [e.memory_bytes for e in by_size] == sorted(e.memory_bytes for e in by_size)
    by_pieces = [estimate(10**8, pieces, 1_000_000).cpu_seconds for pieces in (250_000, 64_000, 8000)]
    assert by_pieces == sorted(by_pieces)
    assert all(e.seconds < e.cpu_seconds for e in by_size)


MEASURED = """
    import json, resource, sys
    import pyarrow as pa
    from cc100.tokenizer import train

    lines = sys.stdin.buffer.read().split(b"\\n")
    batch = pa.record_batch([pa.array(lines), pa.array([1] * len(lines), pa.int32())], names=["text", "copies"])
    train.train([batch], json.loads(sys.argv[1]), lambda share, stage: None)
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss in KiB")
def test_estimate_of_memory_in_a_real_training():
    """The trainer of a small sample takes no more than is foretold, and no less than a third of it: most is the start."""
    text = "\n".join(tiny_tokenizer.text(20_000)).encode()
    command = [sys.executable, "-c", textwrap.dedent(MEASURED), json.dumps(trainer_options(SETTINGS, 600))]
    peak = int(subprocess.run(command, input=text, stdout=subprocess.PIPE, check=True).stdout)
    assert peak <= estimate(len(text), 600, 10_000).memory_bytes <= 3 * peak


# --- Progress -------------------------------------------------------------------------------------------------------------


def test_progress(processes):
    told = []
    trained(tell=lambda share, stage: told.append((share, stage)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.1
    assert 0.95 < shares[-1] <= 1
    assert any("pieces left" in stage for _, stage in told)


def log_of(vocab_size, round_seconds, pieces=400_000, with_times=True):
    """A log in the trainer's form: 100 s up to EM, then rounds, each a tenth shorter, until the vocabulary is reached."""
    written, now = [], 1_700_000_000.0

    def say(seconds, text):
        nonlocal now
        now += seconds
        written.append((now - 1_700_000_000, f"I0000 00:00:{now:.6f}    2036 {text}" if with_times else text))

    say(0, "sentencepiece_trainer.cc:149] Starts training with :")
    written.append((0, "trainer_spec {"))
    say(2, "trainer_interface.cc:446] Loaded all 105862 sentences")
    say(8, "unigram_model_trainer.cc:327] Extracting seed sentencepieces (libsais_omp, 16 threads)")
    say(70, "unigram_model_trainer.cc:514] Initialized 1005192 seed pieces")
    say(20, "unigram_model_trainer.cc:854] Using 612090 sentences for EM training")
    while True:
        for number in range(2):
            say(
                round_seconds / 2,
                f"unigram_model_trainer.cc:903] EM sub_iter={number} size={pieces} obj=18.9 num_tokens=76 bytes/tok=6.3",
            )
        if pieces * 0.75 <= 1.1 * vocab_size:
            break
        pieces, round_seconds = int(pieces * 0.75), 0.9 * round_seconds
    say(
        0.4 * round_seconds,
        "unigram_model_trainer.cc:775] PruneUnreachableSentencePieces pruned 0 unreachable pieces out of 8800",
    )
    return written


@pytest.mark.parametrize("vocab_size", [8000, 64_000, 250_000, 600_000])
@pytest.mark.parametrize("round_seconds", [10, 70, 200])
@pytest.mark.parametrize("with_times", [True, False])
def test_time_left(vocab_size, round_seconds, with_times):
    """After the first round of EM the share that is done is off by at most 15 % of the whole."""
    lines = log_of(vocab_size, round_seconds, with_times=with_times)
    reader, shares, whole = LogReader(vocab_size), [], lines[-1][0]
    for at, line in lines:
        told = reader.read(line)
        assert told == any(mark in line for mark in ("Loaded", "Extracting", "Initialized", "EM", "Prune"))
        shares.append(reader.fraction)
        if "sub_iter" in line and at >= 100 + round_seconds and (with_times or round_seconds == 70):
            assert reader.fraction == pytest.approx(at / whole, abs=0.15)
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == 0.99
    assert reader.stage == "saving"


def test_lines_that_say_nothing():
    reader = LogReader(8000)
    assert not any(
        map(
            reader.read, ["", "trainer_spec {", "W0000 00:00:1.5 1 trainer_interface.cc:419] Found too long line", "EM"]
        )
    )
    assert (reader.fraction, reader.stage) == (0, "reading the sample")


@pytest.mark.parametrize("where", ["growth", "quality"])
def test_time_left_in_measured_logs(repository, where):
    """In the benchmarks' trainings of more than a minute the share that is done is off by at most a quarter of the whole.

    Other work ran beside them at times, and made some stages longer than others.
    """
    runs = json.loads((repository / "benchmarks" / "results" / f"tokenizer_{where}.json").read_text())
    for run in runs.get("runs") or runs["models"].values():
        reader, last = LogReader(run.get("pieces", runs.get("pieces"))), 0.0
        reader.read("I0000 00:00:1700000000.000000 1 sentencepiece_trainer.cc:149] Starts training with :")
        for at, text in run["log"]:
            if reader.read(f"I0000 00:00:{1_700_000_000 + at:.6f}    2036 unigram_model_trainer.cc:1] {text}"):
                assert last <= reader.fraction
                if run["wall_seconds"] > 60:
                    assert reader.fraction == pytest.approx(at / run["wall_seconds"], abs=0.25)
                last = reader.fraction
        assert last == 0.99
