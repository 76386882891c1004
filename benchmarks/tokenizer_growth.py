"""What training the tokenizer costs as the sample grows: CPU seconds, wall seconds, peak memory.

    python benchmarks/tokenizer_growth.py --corpus DIR --work DIR --json FILE [--megabytes 25 50 100 200 400] [--pieces 250000]
        [--seed-pieces 1000000] [--repeat 1]
    python benchmarks/tokenizer_growth.py --json FILE [--fit] [--plot FILE ...]

DIR is a finished output folder of `cc100 corpus`. A sample of M MB (10^6 bytes) is its paragraphs, as many as `uniform(id)` < M / (all)
gives; where M is more than the corpus has, all of them and copies of them with new words (respell.py). The sample is written to WORK
first, then a process of its own trains on it by `cc100.tokenizer.train.train` with the options of `trainer_options`. Measured are that
process and the trainer below it: CPU seconds of both; wall seconds; what these would be on two idle cores, from the CPU seconds of each
thread; peak resident memory of the trainer (`ru_maxrss`); when the trainer reached which stage; and the load of the machine before and
after. Where other work ran beside, wall seconds mean little.

Runs are appended to the JSON file; those that it has already are not repeated unless --repeat asks for more of them. Linux only.
"""

import argparse
import datetime
import hashlib
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from respell import distinct_words, grow

from cc100.pipeline.stage import open_corpus
from cc100.tokenizer import train as training
from cc100.tokenizer.sampling import uniform
from cc100.tokenizer.settings import TokenizerSettings
from cc100.tokenizer.text import nfc
from cc100.transforms.sample import RESERVED, SAMPLE
from cc100.transforms.shard_parts import read_part
from cc100.transforms.storage import Storage

MEGABYTE = 1e6
ROWS = 20_000  # of a batch
SEED = 1
MAX_BYTES = TokenizerSettings().max_bytes
REAL_SIZES = (6.25, 12.5, 25, 50)

Array = npt.NDArray[Any]
Corpus = dict[str, tuple[pa.StringArray, Array]]


# --- Samples --------------------------------------------------------------------------------------------------------


def read_corpus_text(folder: str) -> Corpus:
    """NFC paragraphs that the trainer would take, and a number in [0, 1) for each, by language."""
    storage = Storage(folder)
    found: dict[str, tuple[list[bytes], list[Array]]] = {}
    for part in open_corpus(storage).parts:
        texts, numbers = found.setdefault(part.language, ([], []))
        for group in read_part(storage, part, ["paragraph_ids", "paragraphs"]):
            lines = nfc(group["paragraphs"].flatten())[0].to_list()
            drawn = uniform(group["paragraph_ids"].flatten().to_numpy(), SEED)
            good = np.array([len(line) <= MAX_BYTES and RESERVED not in line for line in lines], np.bool_)
            texts += [line for line, is_good in zip(lines, good.tolist(), strict=True) if is_good]
            numbers.append(drawn[good])
    return {
        code: (pa.array(texts, pa.binary()).cast(pa.string()), np.concatenate(numbers))
        for code, (texts, numbers) in found.items()
    }


def text_bytes(text: pa.StringArray) -> int:
    """UTF-8 bytes of an array."""
    return int(np.diff(np.frombuffer(text.buffers()[1], np.int32)[text.offset : text.offset + len(text) + 1]).sum())


def sample(corpus: Corpus, megabytes: float) -> Iterator[pa.StringArray]:
    """Paragraphs of about so many MB, by language and copy."""
    total = sum(text_bytes(text) for text, _ in corpus.values()) / MEGABYTE
    copies = int(np.ceil(megabytes / total)) - 1
    last = megabytes / total - copies  # share of the last copy
    for code, copy, text in grow({code: text for code, (text, _) in corpus.items()}, copies, SEED):
        yield text.filter(pa.array(corpus[code][1] < last)) if copy == copies else text


def write_sample(corpus: Corpus, megabytes: float, path: pathlib.Path) -> dict[str, Any]:
    """Write a sample as the trainer's input; its size."""
    parts = [text for text in sample(corpus, megabytes) if len(text)]
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SAMPLE, options=_zstd()) as writer:
        for text in parts:
            table = pa.table([text.cast(pa.binary()), np.ones(len(text), np.int32)], SAMPLE)
            writer.write_table(table, max_chunksize=ROWS)
    return {
        "bytes": sum(map(text_bytes, parts)),
        "paragraphs": sum(map(len, parts)),
        "distinct_words": distinct_words(parts),
    }


def _zstd() -> pa.ipc.IpcWriteOptions:
    return pa.ipc.IpcWriteOptions(compression="zstd")


# --- Measuring ------------------------------------------------------------------------------------------------------


class TimedReader(training.LogReader):
    """Notes when the trainer said what."""

    lines: list[tuple[float, str]] = []  # noqa: RUF012 (one training per process)

    def read(self, line: str) -> bool:
        """Take in a line."""
        self.lines.append((time.monotonic(), line))
        return super().read(line)


class TwoCoreClock(threading.Thread):
    """How long the trainer would take on two cores of its own, from the CPU seconds of its threads, beside whatever else runs.

    In every interval at least as long as the busiest thread was running, and at least half as long as all threads together.
    """

    def __init__(self, interval_s: float = 0.2) -> None:
        super().__init__(daemon=True)
        self._interval_s, self._stopped = interval_s, threading.Event()
        self.seconds = 0.0

    def run(self) -> None:
        """Watch the only child of this process, from its start to its end."""
        before: dict[str, float] = {}
        while not self._stopped.wait(self._interval_s):
            now = self._cpu_seconds()
            spent = {name: value - before.get(name, 0.0) for name, value in now.items()}
            self.seconds += max([spent.pop("all", 0.0) / 2, *spent.values(), 0.0])
            before = now or before

    def stop(self) -> float:
        """Seconds on two cores."""
        self._stopped.set()
        self.join()
        return self.seconds

    @staticmethod
    def _cpu_seconds() -> dict[str, float]:
        """CPU seconds of the trainer ("all") and of each of its threads; empty where it is not running."""
        try:
            (child,) = pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            files = {"all": pathlib.Path(f"/proc/{child}/stat")}
            files |= {folder.name: folder / "stat" for folder in pathlib.Path(f"/proc/{child}/task").iterdir()}
            fields = {name: path.read_text().rpartition(")")[2].split() for name, path in files.items()}
        except (OSError, ValueError):
            return {}
        return {name: (int(row[11]) + int(row[12])) / os.sysconf("SC_CLK_TCK") for name, row in fields.items()}


def train_once(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Train on a sample, by way of this process, and say what it cost; the model goes beside the sample."""

    def batches() -> Iterator[pa.RecordBatch]:
        with pa.memory_map(path) as source:
            reader = pa.ipc.open_file(source)
            yield from (reader.get_batch(number) for number in range(reader.num_record_batches))

    training.LogReader = TimedReader  # type: ignore[misc]
    begin, before = time.monotonic(), _cpu_seconds(resource.RUSAGE_SELF)
    clock = TwoCoreClock()
    clock.start()
    model = training.train(batches(), options, lambda share, stage: None)
    wall = time.monotonic() - begin
    pathlib.Path(path).with_suffix(".model").write_bytes(model)
    cpu = _cpu_seconds(resource.RUSAGE_CHILDREN) + _cpu_seconds(resource.RUSAGE_SELF) - before
    kept = ("Loaded all", "Alphabet", "Extracting", "[Chunk", "Initialized", "Tokenizing", "Done! ", "EM", "Prune")
    return {
        "wall_seconds": round(wall, 2),
        "cpu_seconds": round(cpu, 2),
        "two_core_seconds": round(clock.stop(), 2),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
        "model_bytes": len(model),
        "model_sha256": hashlib.sha256(model).hexdigest(),
        "log": [
            [round(at - begin, 2), line.partition("] ")[2] or line]
            for at, line in TimedReader.lines
            if any(mark in line for mark in kept)
        ],
    }


def _cpu_seconds(whose: int) -> float:
    usage = resource.getrusage(whose)
    return usage.ru_utime + usage.ru_stime


def measure(path: pathlib.Path, settings: TokenizerSettings, pieces: int) -> dict[str, Any]:
    """Train in a process of its own."""
    options = training.trainer_options(settings, pieces)
    command = [sys.executable, __file__, "--train", str(path), json.dumps(options)]
    before, started = os.getloadavg()[0], datetime.datetime.now(datetime.UTC)
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    load = {"load_before": round(before, 2), "load_after": round(os.getloadavg()[0], 2)}
    return {**json.loads(done.stdout), **load, "started": started.isoformat(timespec="seconds")}


def real_growth(corpus: Corpus) -> dict[str, Any]:
    """Distinct words of samples of the real text, and the exponent of Heaps' law between the last two."""
    total = sum(text_bytes(text) for text, _ in corpus.values()) / MEGABYTE
    points = []
    for megabytes in [size for size in REAL_SIZES if size < total] + [total]:
        parts = list(sample(corpus, megabytes))
        points.append([sum(map(text_bytes, parts)), distinct_words(parts)])
    (bytes_1, words_1), (bytes_2, words_2) = points[-2:]
    exponent = np.log(words_2 / words_1) / np.log(bytes_2 / bytes_1)
    return {"points": points, "heaps_exponent": round(float(exponent), 3)}


def fit(runs: list[dict[str, Any]]) -> None:
    """Print the constants of `estimate` that have the least squares of relative errors."""
    size = np.array([run["bytes"] for run in runs], float)
    rounds = [
        training.pruning_rounds(
            training.pieces_of_first_round(run["bytes"], run["seed_pieces"]), training.PRUNED_TO * run["pieces"]
        )
        for run in runs
    ]
    one = np.ones(len(runs))
    for name, key, columns in (
        ("CPU seconds", "cpu_seconds", [size / MEGABYTE, (size / MEGABYTE) ** training.WORD_GROWTH * rounds]),
        ("memory", "peak_memory_bytes", [one, size, np.minimum(size, training.CHUNK_BYTES)]),
    ):
        measured = np.array([run[key] for run in runs])
        weighted = np.stack(columns, 1) / measured[:, None]
        constants, _, rank, _ = np.linalg.lstsq(weighted, one, rcond=None)
        errors = weighted @ constants - 1
        print(f"{name}: {', '.join(f'{value:.4g}' for value in constants)} (rank {rank}), off by", np.round(errors, 3))


def plot(report: dict[str, Any], files: list[pathlib.Path]) -> None:
    """Draw CPU seconds and memory against the size of the sample, and the estimate."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams |= {"svg.hashsalt": "cc100", "svg.fonttype": "path", "font.size": 9}
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
    usual = TokenizerSettings().seed_pieces
    series = sorted({(run["seed_pieces"] != usual, -run["pieces"], run["seed_pieces"]) for run in report["runs"]})
    smooth = np.linspace(1, max(run["bytes"] for run in report["runs"]), 200)
    for (unusual, less_pieces, seeds), colour in zip(
        series, ("#0072B2", "#D55E00", "#009E73", "#CC79A7"), strict=False
    ):
        runs = [run for run in report["runs"] if (-run["pieces"], run["seed_pieces"]) == (less_pieces, seeds)]
        sizes = [run["bytes"] / MEGABYTE for run in runs]
        points = [run["cpu_seconds"] / 60 for run in runs], [run["peak_memory_bytes"] / 1e9 for run in runs]
        expected = [training.estimate(int(size), -less_pieces, seeds) for size in smooth]
        lines = [e.cpu_seconds / 60 for e in expected], [e.memory_bytes / 1e9 for e in expected]
        name = f"{-less_pieces:,} pieces" + f" from {seeds:,}" * unusual
        for axis, values, line in zip(axes, points, lines, strict=True):
            axis.plot(sizes, values, "o", color=colour, markersize=5, label=name)
            axis.plot(smooth / MEGABYTE, line, color=colour, linewidth=1)
    titles = ("CPU time", "CPU minutes"), ("Memory", "peak of the trainer, GB")
    for axis, (title, label) in zip(axes, titles, strict=True):
        axis.set(title=title, xlabel="sample, MB", ylabel=label, xlim=(0, None), ylim=(0, None))
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False, title="points: measured, lines: estimate", loc="upper left", alignment="left")
    for file in files:
        figure.savefig(file, dpi=110, metadata={"Date": None} if file.suffix == ".svg" else None)
    pyplot.close(figure)


def main() -> None:
    if sys.argv[1:2] == ["--train"]:
        print(json.dumps(train_once(sys.argv[2], json.loads(sys.argv[3]))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus")
    parser.add_argument("--work", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path, required=True)
    parser.add_argument("--megabytes", type=float, nargs="+", default=[25, 50, 100, 200, 400])
    parser.add_argument("--pieces", type=int, nargs="+", default=[250_000])
    parser.add_argument("--seed-pieces", type=int, default=TokenizerSettings().seed_pieces)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--plot", type=pathlib.Path, nargs="+", default=[])
    parser.add_argument("--fit", action="store_true", help="print the constants of tokenizer.train.estimate")
    arguments = parser.parse_args()
    if arguments.corpus:
        measure_all(arguments)
    report = json.loads(arguments.json.read_text())
    if arguments.plot:
        plot(report, arguments.plot)
    if arguments.fit:
        fit(report["runs"])


def measure_all(arguments: argparse.Namespace) -> None:
    """Add the runs that are wanted to the report."""
    corpus = read_corpus_text(arguments.corpus)
    report: dict[str, Any] = json.loads(arguments.json.read_text()) if arguments.json.exists() else {"runs": []}
    report = {**machine(), "real_text": real_growth(corpus), "runs": report["runs"]}
    for megabytes in arguments.megabytes:
        path, size = arguments.work / "sample.arrow", None
        for pieces in arguments.pieces:
            key = {"megabytes": megabytes, "pieces": pieces, "seed_pieces": arguments.seed_pieces}
            while sum(all(run[name] == key[name] for name in key) for run in report["runs"]) < arguments.repeat:
                size = size or write_sample(corpus, megabytes, path)
                settings = TokenizerSettings(vocab_size=pieces, seed_pieces=arguments.seed_pieces)
                run = {**key, **size, **measure(path, settings, pieces)}
                report["runs"].append(run)
                report["runs"].sort(
                    key=lambda run: (run["seed_pieces"], run["pieces"], run["megabytes"], run["started"])
                )
                arguments.json.write_text(json.dumps(report, indent=1) + "\n")
                print({name: value for name, value in run.items() if name != "log"}, flush=True)
        path.unlink(missing_ok=True)
        path.with_suffix(".model").unlink(missing_ok=True)


def machine() -> dict[str, Any]:
    """What ran the benchmark."""
    processor = next(
        line.partition(": ")[2]
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    )
    return {
        "processor": processor,
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "sentencepiece": version("sentencepiece"),
    }


if __name__ == "__main__":
    main()
