"""CPU time of encoding beside a bare loop of the sentencepiece library over the same text, in the same process; every id compared.

    python benchmarks/encode.py OUTPUT                                  # a finished output folder with its tokenizer
    python benchmarks/encode.py OUTPUT --model other.model --repeat 3 --json out.json

Takes all paragraphs of the shards, language by language, and gets both sides their input ready-made: one buffer with offsets here, lists of
4,096 bytes objects there, ids out as NumPy arrays. They run in turns on one thread; each figure is the sum over the languages of
the least CPU time (process_time) of `--repeat` runs. Prints one JSON object. Millions of bytes of NFC text are MB.
"""

import argparse
import collections
import json
import os
import pathlib
import platform
import resource
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pyarrow.parquet as pq
import sentencepiece

from cc100.tokenizer.encoder import Encoder, sentencepiece_version
from cc100.tokenizer.folder import EOS, UNK
from cc100.tokenizer.text import Lines, nfc

BATCH = 4096
GROUPS = {
    "Latin": "af az br ca cs cy da de en eo es et eu fi fr ga gl hr hu id is it la lt lv ms nl no pl pt ro sk sl so sq su sv sw tl tr vi",
    "Cyrillic": "be bg kk ky mk mn ru sr tg tt uk",
    "Chinese and Japanese": "ja zh zh-Hans zh-Hant",
    "Thai, Khmer, Lao, Burmese": "km lo my th",
    "Indic": "as bn gu hi kn ml mr ne or pa sa si ta te",
}


def read_lines(output: pathlib.Path) -> dict[str, list[bytes]]:
    """NFC paragraphs of every language."""
    lines: dict[str, list[bytes]] = collections.defaultdict(list)
    for path in sorted(output.glob("shards/language=*/*.parquet")):
        for chunk in pq.read_table(path, columns=["paragraphs"])["paragraphs"].chunks:
            lines[path.parent.name.removeprefix("language=")] += nfc(chunk.flatten())[0].to_list()
    return lines


def cpu_seconds(step: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.process_time()
    result = step()
    return result, time.process_time() - begin


def memory_bytes() -> int:
    """Of this process, at the moment."""
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def bare_loop(processor: sentencepiece.SentencePieceProcessor, batches: list[list[bytes]]) -> list[np.ndarray]:
    found = []
    for batch in batches:
        found += processor.encode(batch, add_eos=True, return_type="numpy", num_threads=1)
    return found


def differences(tokens: np.ndarray, lengths: np.ndarray, found: list[np.ndarray]) -> int:
    """Paragraphs with other ids."""
    pieces = np.concatenate(found)
    theirs = np.where(
        pieces == 0, UNK, np.where(pieces == 2, EOS, pieces + 1)
    )  # <unk> and </s>; no other special comes out
    wanted = np.array([len(ids) for ids in found], np.int32)
    if np.array_equal(lengths, wanted) and np.array_equal(tokens, theirs):
        return 0
    ours = np.split(tokens, np.cumsum(lengths)[:-1])
    return sum(not np.array_equal(a, b) for a, b in zip(ours, np.split(theirs, np.cumsum(wanted)[:-1]), strict=True))


def measure(path: pathlib.Path, lines: dict[str, list[bytes]], repeat: int) -> dict[str, Any]:
    model = path.read_bytes()
    processor, library_load = cpu_seconds(lambda: sentencepiece.SentencePieceProcessor(model_proto=model))
    before = memory_bytes()
    encoder, load = cpu_seconds(lambda: Encoder(model))
    assert encoder.tables is not None, "the kernel does not know this model"
    _, first = cpu_seconds(lambda: encoder.encode(Lines.of([b"first"])))
    group_of = {code: group for group, codes in GROUPS.items() for code in codes.split()}
    sums: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for code, texts in sorted(lines.items()):
        packed, batches = Lines.of(texts), [texts[at : at + BATCH] for at in range(0, len(texts), BATCH)]
        ours, theirs = [], []
        for _ in range(repeat):
            encoder._idle.clear()  # nothing remembered: each run is the first that sees this language
            (tokens, lengths), seconds = cpu_seconds(lambda packed=packed: encoder.encode(packed))
            ours.append(seconds)
            found, seconds = cpu_seconds(lambda batches=batches: bare_loop(processor, batches))
            theirs.append(seconds)
        for group in {"all", group_of.get(code, "other")}:
            sums[group] += collections.Counter(
                paragraphs=len(texts), text_bytes=len(packed.data), tokens=len(tokens), cc100_cpu_s=min(ours),
                sentencepiece_cpu_s=min(theirs), different_paragraphs=differences(tokens, lengths, found),
            )  # fmt: skip
    return {
        "pieces": encoder.pieces,
        "sha256": encoder.sha256,
        "load_cpu_s": {"encoder": load, "of_that_the_library": library_load, "first_call": first},
        "tables_bytes": sum(
            part.nbytes for part in (*encoder.tables, *encoder.tables.rules) if isinstance(part, np.ndarray)
        ),
        "memory_growth_bytes": memory_bytes() - before,
        "text": {group: report(sums[group]) for group in ("all", *GROUPS, "other") if group in sums},
    }


def report(counted: collections.Counter[str]) -> dict[str, Any]:
    ours, theirs, size = counted["cc100_cpu_s"], counted["sentencepiece_cpu_s"], counted["text_bytes"]
    return {
        "paragraphs": counted["paragraphs"],
        "text_bytes": size,
        "tokens": counted["tokens"],
        "different_paragraphs": counted["different_paragraphs"],
        "cc100": {"cpu_s": ours, "mb_per_cpu_s": size / ours / 1e6},
        "sentencepiece": {"cpu_s": theirs, "mb_per_cpu_s": size / theirs / 1e6},
        "times_faster": theirs / ours,
    }


def processor_name() -> str:
    """Name of the processor where the system tells it."""
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument(
        "--model", type=pathlib.Path, action="append", help="default: the tokenizer of OUTPUT; several are allowed"
    )
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=pathlib.Path, help="write the result there as well")
    arguments = parser.parse_args()
    models = arguments.model or [arguments.output / "tokenizer" / "sentencepiece.bpe.model"]
    lines = read_lines(arguments.output)
    Encoder(models[0].read_bytes()).encode(Lines.of([b"compiled"]))
    result = {
        "processor": f"{processor_name()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": {"numpy": np.__version__, "numba": numba.__version__, "sentencepiece": sentencepiece_version()},
        "repeat": arguments.repeat,
        "models": [measure(path, lines, arguments.repeat) for path in models],
    }
    text = json.dumps(result, indent=2) + "\n"
    if arguments.json:
        arguments.json.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
