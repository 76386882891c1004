"""CPU time of the near-duplicate kernels, beside datasketch on a sample of the same paragraphs.

    python benchmarks/minhash.py                                   # the bundled crawl
    python benchmarks/minhash.py --repeat 5 crawl/*.warc.wet.gz    # any WET files

Reads the distinct lines of the WET files, runs every kernel `--repeat` times after once to load it, and prints one JSON
object with the least CPU seconds (process_time, one thread) of each step. Millions of text bytes are MB.
"""

import argparse
import importlib.metadata
import json
import pathlib
import platform
import time
from collections.abc import Callable
from typing import Any

import datasketch
import numpy as np
import xxhash
from warcio.archiveiterator import ArchiveIterator

from cc100.transforms.components import connected_components, star_edges
from cc100.transforms.greedy import decide
from cc100.transforms.minhash import NO_KEY, Signer
from cc100.transforms.shingles import shingle_sets

BUNDLED = pathlib.Path(__file__).resolve().parent.parent / "examples" / "crawl"
THRESHOLD = 0.8
MAX_COMPARISONS = 4096


def distinct_lines(paths: list[pathlib.Path]) -> list[str]:
    lines: dict[str, None] = {}
    for path in paths:
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream):
                if record.rec_type == "conversion":
                    text = record.content_stream().read().decode("utf-8", "replace")
                    lines |= dict.fromkeys(line.strip() for line in text.split("\n"))
    return [line for line in lines if line]


def least_cpu(step: Callable[[], Any], repeat: int) -> tuple[Any, float]:
    """What a step returns, and the least CPU seconds of `repeat` runs after a first one."""
    result, seconds = step(), []
    for _ in range(repeat):
        begin = time.process_time()
        result = step()
        seconds.append(time.process_time() - begin)
    return result, min(seconds)


def spans(lines: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    encoded = [line.encode() for line in lines]
    lengths = np.array([len(line) for line in encoded], np.int64)
    ends = np.cumsum(lengths)
    return np.frombuffer(b"".join(encoded), np.uint8), ends - lengths, ends


def ours(lines: list[str], signer: Signer, repeat: int) -> dict[str, Any]:
    """All kernels on paragraphs of one group; the last three see the candidates only."""
    text, starts, ends = spans(lines)
    ids, seeds = np.arange(len(lines), dtype=np.uint64), np.zeros(len(lines), np.uint64)
    signed, sign_seconds = least_cpu(lambda: signer.band_keys(text, starts, ends, seeds), repeat)
    row, band = np.nonzero(signed.keys != NO_KEY)
    keys, nodes = signed.keys[row, band], ids[row]
    edges, star_seconds = least_cpu(lambda: star_edges(keys, nodes), repeat)
    (found, components), component_seconds = least_cpu(lambda: connected_components(edges), repeat)
    order = np.lexsort((found, components))
    rows, components = found[order].astype(np.int64), components[order]
    sets, set_seconds = least_cpu(lambda: shingle_sets(text, starts[rows], ends[rows]), repeat)
    arguments = components, signed.keys[rows], sets.offsets, sets.hashes, THRESHOLD, MAX_COMPARISONS
    decisions, decide_seconds = least_cpu(lambda: decide(*arguments), repeat)
    candidate_bytes = int((ends[rows] - starts[rows]).sum())
    return {
        "band_keys": {"cpu_s": sign_seconds, "mb_per_cpu_s": len(text) / sign_seconds / 1e6},
        "star_edges": {"cpu_s": star_seconds, "entries": len(keys), "entries_per_cpu_s": len(keys) / star_seconds},
        "connected_components": {"cpu_s": component_seconds, "edges": len(edges)},
        "shingle_sets": {"cpu_s": set_seconds, "mb_per_cpu_s": candidate_bytes / set_seconds / 1e6},
        "decide": {"cpu_s": decide_seconds, "candidates": len(rows), "removed": int((decisions.keeper >= 0).sum())},
    }


def with_datasketch(lines: list[str], signer: Signer, repeat: int) -> dict[str, Any]:
    """Shingles of words in plain Python, hashed with XXH32 and sketched by datasketch."""
    sets = []

    def shingle() -> None:
        sets.clear()
        for line in lines:
            words = line.encode().split()
            sets.append({b" ".join(words[i : i + 5]) for i in range(len(words) - 4)})

    first = datasketch.MinHash(signer.bands * signer.rows, seed=signer.seed, hashfunc=xxhash.xxh32_intdigest)

    def sketch() -> None:
        for one in sets:
            copied = first.copy()
            copied.update_batch(one)

    shingle_seconds, sketch_seconds = least_cpu(shingle, repeat)[1], least_cpu(sketch, repeat)[1]
    size = sum(len(line.encode()) for line in lines)
    return {
        "shingle_cpu_s": shingle_seconds,
        "sketch_cpu_s": sketch_seconds,
        "mb_per_cpu_s": size / (shingle_seconds + sketch_seconds) / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=pathlib.Path, default=sorted(BUNDLED.glob("*.warc.wet.gz")))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--sample", type=int, default=20_000, help="paragraphs that datasketch gets")
    arguments = parser.parse_args()
    lines, signer = distinct_lines(arguments.paths), Signer(threshold=THRESHOLD)
    spaced = [line for line in lines if len(line.split()) >= 5]
    sample = spaced[:: max(len(spaced) // arguments.sample, 1)]
    sampled = spans(sample)
    seeds = np.zeros(len(sample), np.uint64)
    same_seconds = least_cpu(lambda: signer.band_keys(*sampled, seeds), arguments.repeat)[1]
    theirs = with_datasketch(sample, signer, 1)
    result = {
        "machine": f"{platform.machine()} {platform.system()}",
        "versions": {name: importlib.metadata.version(name) for name in ("numpy", "numba", "datasketch")},
        "bands": signer.bands,
        "rows": signer.rows,
        "files": len(arguments.paths),
        "paragraphs": len(lines),
        "text_bytes": sum(len(line.encode()) for line in lines),
        "kernels": ours(lines, signer, arguments.repeat),
        "sample": {
            "paragraphs": len(sample),
            "text_bytes": len(sampled[0]),
            "cc100_cpu_s": same_seconds,
            "cc100_mb_per_cpu_s": len(sampled[0]) / same_seconds / 1e6,
            "datasketch": theirs,
            "times_faster": (theirs["shingle_cpu_s"] + theirs["sketch_cpu_s"]) / same_seconds,
        },
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
