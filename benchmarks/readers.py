"""Readers of crawl files beside each other: how fast they read sound files, and what they make of damaged ones.

    python benchmarks/readers.py --wet FILE [FILE ...] --warc FILE [FILE ...] [--damaged DIR] [--json FILE]

Speed: MB (10^6 bytes) of record blocks per CPU-second, all blocks of `conversion` (WET) or `response` (WARC) records read into
memory, HTTP headers not parsed, no HTML extracted; the best of `ROUNDS` rounds, the readers in turn.

Damaged files: how many such records a reader gives, and the error that ended it. DIR has EXPECTED.tsv with the number of records that
are sound (`records_strict`), and that can be had by looking for headers (`records_lenient`).
"""

import argparse
import csv
import json
import multiprocessing
import pathlib
import platform
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

from fastwarc.warc import ArchiveIterator as FastIterator
from fastwarc.warc import WarcRecordType
from warcio.archiveiterator import ArchiveIterator

from cc100.transforms.warc import Reject, read_records

ROUNDS = 5
TIME_LIMIT_S = 20
KINDS = ("conversion", "response")


def by_warcio(path: pathlib.Path) -> Iterator[bytes]:
    with open(path, "rb") as stream:
        for record in ArchiveIterator(stream, no_record_parse=True):
            if record.rec_type in KINDS:
                yield record.raw_stream.read()


def by_fastwarc(path: pathlib.Path) -> Iterator[bytes]:
    wanted = WarcRecordType.conversion | WarcRecordType.response
    with open(path, "rb") as stream:
        for record in FastIterator(stream, record_types=wanted, parse_http=False):
            yield record.reader.read()


def by_cc100(path: pathlib.Path, rejects: list[Reject] | None = None) -> Iterator[bytes]:
    found = [] if rejects is None else rejects
    with open(path, "rb") as stream:
        for record in read_records(stream, max_record_bytes=1 << 28, on_reject=found.append):
            if record.kind in KINDS:
                yield record.payload


READERS: dict[str, Callable[[pathlib.Path], Iterator[bytes]]] = {
    "warcio": by_warcio,
    "FastWARC": by_fastwarc,
    "cc100": by_cc100,
}


def speed(paths: list[pathlib.Path]) -> dict[str, float]:
    best = dict.fromkeys(READERS, 0.0)
    for _ in range(ROUNDS):
        for name, reader in READERS.items():
            begin = time.process_time()
            size = sum(len(block) for path in paths for block in reader(path))
            best[name] = max(best[name], size / 1e6 / (time.process_time() - begin))
    return {name: round(rate, 1) for name, rate in best.items()}


def _count(name: str, path: pathlib.Path, answer: Any) -> None:
    records, error = 0, ""
    try:
        for _ in READERS[name](path):
            records += 1
    except Exception as found:
        error = type(found).__name__
    answer.put((records, error))


def count(name: str, path: pathlib.Path) -> tuple[int, str]:
    """Records that a reader gives in a process of its own, and how it ended."""
    answer: Any = multiprocessing.Queue()
    process = multiprocessing.Process(target=_count, args=(name, path, answer))
    process.start()
    try:
        found = answer.get(timeout=TIME_LIMIT_S)
    except Exception:
        found = (0, "no answer")
    process.kill()
    process.join()
    return found


def damaged(folder: pathlib.Path) -> list[dict[str, Any]]:
    with open(folder / "EXPECTED.tsv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    result = []
    for row in sorted(rows, key=lambda row: row["file"]):
        path = folder / row["file"]
        rejects: list[Reject] = []
        list(by_cc100(path, rejects))
        result.append(
            {
                "file": row["file"],
                "strict": int(row["records_strict"]),
                "lenient": int(row["records_lenient"]),
                **{name: count(name, path) for name in READERS},
                "rejects": sorted({reject.reason for reject in rejects}),
            }
        )
    return result


def print_table(rows: list[dict[str, Any]]) -> None:
    """Markdown."""
    print("| file | records | warcio | FastWARC | cc100 | named in rejects/ |\n|---|---|---|---|---|---|")
    for row in rows:
        expected = str(row["strict"]) if row["strict"] == row["lenient"] else f"{row['strict']} to {row['lenient']}"
        cells = [f"{records}, {error}" if error else str(records) for records, error in (row[name] for name in READERS)]
        print(f"| `{row['file']}` | {expected} | {' | '.join(cells)} | {', '.join(row['rejects'])} |")


def processor() -> str:
    """The processor's name, where the system tells it."""
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wet", nargs="*", type=pathlib.Path, default=[])
    parser.add_argument("--warc", nargs="*", type=pathlib.Path, default=[])
    parser.add_argument("--damaged", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    result: dict[str, Any] = {
        "processor": processor(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("warcio", "fastwarc", "isal")},
        "files": {"wet": [path.name for path in options.wet], "warc": [path.name for path in options.warc]},
        "mb_per_cpu_s": {kind: speed(paths) for kind, paths in (("wet", options.wet), ("warc", options.warc)) if paths},
    }
    print(json.dumps(result["mb_per_cpu_s"]))
    if options.damaged:
        result["damaged"] = damaged(options.damaged)
        print_table(result["damaged"])
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
