"""CPU time of language identification, beside the fasttext module on the same pages in the same process.

    python benchmarks/language_id.py                                   # the bundled crawl
    python benchmarks/language_id.py --repeat 9 --json out.json crawl/*.warc.wet.gz

Reads the pages of the WET files and identifies them twice over: whole, and with only the first occurrence of every line
(as `cc100 corpus` does). Both sides get their input ready-made, paragraphs as spans of bytes and pages as strings, and
run in turns; each figure is the least CPU time (process_time, one thread) of `--repeat` runs after a first one. Prints one
JSON object. Millions of bytes of paragraphs are MB.
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import platform
import time
from collections.abc import Callable
from typing import Any

import fasttext
import numpy as np
from warcio.archiveiterator import ArchiveIterator

from cc100.transforms.language_model import LanguageModel, default_model_path

BUNDLED = pathlib.Path(__file__).resolve().parent.parent / "examples" / "crawl"


def read_pages(paths: list[pathlib.Path]) -> list[list[str]]:
    """Non-empty lines of every page."""
    pages = []
    for path in paths:
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream):
                if record.rec_type == "conversion":
                    text = record.content_stream().read().decode("utf-8", "replace")
                    pages.append([line for line in map(str.strip, text.split("\n")) if line])
    return pages


def first_occurrences(pages: list[list[str]]) -> list[list[str]]:
    seen: set[str] = set()
    return [[line for line in page if not (line in seen or seen.add(line))] for page in pages]


def columns(pages: list[list[str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    lines = [line.encode() for page in pages for line in page]
    sizes = np.array([len(line) for line in lines], np.int64)
    ends = np.cumsum(sizes)
    offsets = np.concatenate([[0], np.cumsum([len(page) for page in pages])]).astype(np.int64)
    return np.frombuffer(b"".join(lines), np.uint8), ends - sizes, ends, offsets


def cpu_seconds(step: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.process_time()
    result = step()
    return result, time.process_time() - begin


def compare(model: LanguageModel, module: Any, pages: list[list[str]], repeat: int) -> dict[str, Any]:
    spans, strings = columns(pages), [" ".join(page) + "\n" for page in pages]
    ours, theirs = [], []
    for _ in range(repeat + 1):
        (labels, scores), seconds = cpu_seconds(lambda: model.predict(*spans))
        ours.append(seconds)
        answers, seconds = cpu_seconds(lambda: [module.predict(string, 1, 0.0, "strict") for string in strings])
        theirs.append(seconds)
    names = [model.labels[label] if label >= 0 else None for label in labels]
    expected = [answer[0][1].removeprefix("__label__") if answer else None for answer in answers]
    expected_scores = np.array([answer[0][0] if answer else 0.0 for answer in answers], np.float32)
    size = len(spans[0])
    return {
        "pages": len(pages),
        "text_bytes": size,
        "cc100": {"cpu_s": min(ours[1:]), "mb_per_cpu_s": size / min(ours[1:]) / 1e6},
        "fasttext": {"cpu_s": min(theirs[1:]), "mb_per_cpu_s": size / min(theirs[1:]) / 1e6},
        "times_faster": min(theirs[1:]) / min(ours[1:]),
        "different_labels": sum(name != label for name, label in zip(names, expected, strict=True)),
        "largest_score_difference": float(np.abs(scores - expected_scores).max(initial=0)),
        "equal_scores": int((scores == expected_scores).sum()),
    }


def processor() -> str:
    """Name of the processor where the system tells it."""
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=pathlib.Path, default=sorted(BUNDLED.glob("*.warc.wet.gz")))
    parser.add_argument("--model", default=default_model_path())
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=pathlib.Path, help="write the result there as well")
    arguments = parser.parse_args()
    model, load_seconds = cpu_seconds(lambda: LanguageModel.load(arguments.model))
    _, first_seconds = cpu_seconds(lambda: model.predict(*columns([["first"]])))
    module = fasttext.load_model(arguments.model).f
    pages = read_pages(arguments.paths)
    result = {
        "processor": f"{processor()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": {name: importlib.metadata.version(name) for name in ("numpy", "numba", "fasttext-predict")},
        "model": {"name": model.name, "sha256": model.sha256},
        "files": len(arguments.paths),
        "load_cpu_s": load_seconds,
        "first_call_cpu_s": first_seconds,
        "whole_pages": compare(model, module, pages, arguments.repeat),
        "first_occurrences": compare(model, module, first_occurrences(pages), arguments.repeat),
    }
    text = json.dumps(result, indent=2) + "\n"
    if arguments.json:
        arguments.json.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
