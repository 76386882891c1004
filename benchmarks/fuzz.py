"""Damaged crawl files by the thousand: the reader must neither fail nor hang, nor lose a record that is intact.

    python benchmarks/fuzz.py --mutants 20000 [--seed N] [--json FILE] [FILE ...]

From each crawl file (default: the bundled WET files) come the first records, stored in five ways: a gzip member for each record,
all in one member, a zstd frame for each, plain, and as members inside a gzip file. A mutant changes the bytes of one record or
member: bits, ranges that are deleted, doubled, zeroed, replaced by noise or by another file's bytes, numbers in a header, an
end that is cut. It is read to its end, pages are extracted, and then:

- nothing was raised, and reading took less than `LIMIT_S`;
- records in other members (plain: other records) than the damaged one are there, and are what they were; where all are in one
  member, those that end before the damage are (they state their digests: without one, nothing proves them);
- what is missing is named in a reject;
- memory stays bounded: the largest size of the process is reported.
"""

import argparse
import dataclasses
import gzip
import io
import itertools
import json
import pathlib
import random
import re
import resource
import sys
import time
import zlib
from collections.abc import Callable

import zstandard

from cc100.transforms.html import extract_pages
from cc100.transforms.settings import HtmlSettings
from cc100.transforms.warc import Record, Reject, read_records

BUNDLED = pathlib.Path(__file__).resolve().parent.parent / "examples" / "crawl"
LIMIT_S = 5.0
RECORDS = 6
MAX_RECORD_BYTES = 1 << 22
HTML = HtmlSettings(max_bytes=1 << 22)


@dataclasses.dataclass(frozen=True)
class Stored:
    """Records as they are stored.

    Attributes:
        packing: how.
        parts: stored bytes, of one record each; or of all.
        records: what an intact reader finds, per part.
    """

    packing: str
    parts: list[bytes]
    records: list[list[tuple[str, bytes]]]


def raw_records(path: pathlib.Path, count: int = RECORDS) -> list[bytes]:
    """The first records of a file of gzip members, or of a plain one, with header and end."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        found = []
        while data and len(found) < count:
            decoder = zlib.decompressobj(31)
            found.append(decoder.decompress(data))
            data = decoder.unused_data
        return found
    begins = [match.start() for match in re.finditer(rb"^WARC/1\.\d\r\nWARC-Type", data, re.MULTILINE)][: count + 1]
    return [data[begin:end] for begin, end in itertools.pairwise(begins)]


def read(stored: bytes) -> tuple[list[Record], list[Reject]]:
    rejects: list[Reject] = []
    records = list(read_records(io.BytesIO(stored), max_record_bytes=MAX_RECORD_BYTES, on_reject=rejects.append))
    list(extract_pages(records, HTML, rejects.append, lambda reason: None))
    return records, rejects


def contents(records: list[Record]) -> list[tuple[str, bytes]]:
    return [(record.record_id, record.payload) for record in records]


def packings(raw: list[bytes]) -> list[Stored]:
    one_by_one = [contents(read(record)[0]) for record in raw]
    members = [gzip.compress(record, mtime=0) for record in raw]
    compressor = zstandard.ZstdCompressor(write_checksum=True)
    frames = [compressor.compress(record) for record in raw]
    return [
        Stored("members", members, one_by_one),
        Stored("frames", frames, one_by_one),
        Stored("plain", raw, one_by_one),
        Stored("one member", [gzip.compress(b"".join(raw), mtime=0)], [list(itertools.chain(*one_by_one))]),
        Stored("twice", [gzip.compress(b"".join(members), mtime=0)], [list(itertools.chain(*one_by_one))]),
    ]


Mutation = Callable[[random.Random, bytearray, bytes], None]


def _span(draw: random.Random, data: bytearray) -> slice:
    begin = draw.randrange(len(data))
    return slice(begin, min(len(data), begin + draw.choice((1, 2, 8, 64, 512, 4096))))


def flip(draw: random.Random, data: bytearray, other: bytes) -> None:
    for _ in range(draw.choice((1, 1, 4, 32))):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def delete(draw: random.Random, data: bytearray, other: bytes) -> None:
    del data[_span(draw, data)]


def double(draw: random.Random, data: bytearray, other: bytes) -> None:
    span = _span(draw, data)
    data[span.start : span.start] = data[span]


def zero(draw: random.Random, data: bytearray, other: bytes) -> None:
    span = _span(draw, data)
    data[span] = bytes(span.stop - span.start)


def noise(draw: random.Random, data: bytearray, other: bytes) -> None:
    span = _span(draw, data)
    data[span] = draw.randbytes(draw.choice((0, 1, 16, 1000, 20_000)))


def splice(draw: random.Random, data: bytearray, other: bytes) -> None:
    span, begin = _span(draw, data), draw.randrange(len(other))
    data[span] = other[begin : begin + draw.choice((8, 100, 1000))]


def number(draw: random.Random, data: bytearray, other: bytes) -> None:
    """Another number in a header: lengths above all."""
    places = list(re.finditer(rb"(?i)(?:length|chunked)?[:=] ?(\d+)", bytes(data[:2000])))
    if not places:
        flip(draw, data, other)
        return
    place = draw.choice(places)
    value = draw.choice((0, 1, -1, int(place[1][:15]) + draw.choice((-100, -1, 1, 57, 10**6)), 10**14, 10**30))
    data[place.start(1) : place.end(1)] = str(value).encode()


def cut(draw: random.Random, data: bytearray, other: bytes) -> None:
    del data[draw.randrange(len(data)) :]


MUTATIONS: tuple[Mutation, ...] = (flip, delete, double, zero, noise, splice, number, cut)


class Fuzzer:
    """Makes mutants of files and judges how they are read.

    Args:
        paths: crawl files.
    """

    def __init__(self, paths: list[pathlib.Path]) -> None:
        self._stored = [stored for path in paths for stored in packings(raw_records(path))]
        self._noise = b"".join(part for stored in self._stored[:5] for part in stored.parts)

    def judge(self, seed: int) -> list[str]:
        """What is wrong with how the mutant of a seed is read."""
        draw = random.Random(seed)
        stored = draw.choice(self._stored)
        victim = draw.randrange(len(stored.parts))
        data, mutation = bytearray(stored.parts[victim]), draw.choice(MUTATIONS)
        mutation(draw, data, self._noise)
        mutant = b"".join([*stored.parts[:victim], bytes(data), *stored.parts[victim + 1 :]])
        name = f"mutant {seed} ({stored.packing}, {mutation.__name__})"
        begin = time.monotonic()
        try:
            records, rejects = read(mutant)
        except Exception as error:
            return [f"{name}: {type(error).__name__}: {error}"]
        faults = []
        if time.monotonic() - begin > LIMIT_S:
            faults.append(f"{name}: took {time.monotonic() - begin:.1f} s")
        found = contents(records)
        intact = [content for k, part in enumerate(stored.records) if k != victim for content in part]
        if stored.packing == "plain" and victim == 0 and not (b"WARC/1.0\r\n" in data or data.endswith(b"\n")):
            intact = [content for part in stored.records[2:] for content in part]  # the first header must begin a line
        if len(stored.parts) == 1:
            intact = self._before(stored, bytes(data))
        missing = [content for content in intact if content not in found]
        if missing:
            faults.append(f"{name}: {len(missing)} intact records are missing")
        everything = [content for part in stored.records for content in part]
        if any(content not in found for content in everything) and not rejects:
            if all(record_id in [other for other, _ in found] for record_id, _ in everything):
                return faults  # a record is there with other bytes: it has no checksum around it
            if stored.packing == "plain":
                return faults  # its type or id was changed, which nothing in the file can tell
            faults.append(f"{name}: something is missing, and nothing was named")
        return faults

    def _before(self, stored: Stored, data: bytes) -> list[tuple[str, bytes]]:
        """Records of a single member that end before the first changed byte, with a margin for what a decoder holds back."""
        old = stored.parts[0]
        same = next((k for k, (a, b) in enumerate(zip(old, data, strict=False)) if a != b), min(len(old), len(data)))
        try:
            prefix = zlib.decompressobj(31).decompress(old[: max(0, same - 8)])
            if stored.packing == "twice":
                prefix = b"".join(_whole_members(prefix))
        except zlib.error:
            return []
        return [content for content in stored.records[0] if content[1] + b"\r\n\r\nWARC/" in prefix]


def _whole_members(data: bytes) -> list[bytes]:
    found = []
    while data:
        decoder = zlib.decompressobj(31)
        text = decoder.decompress(data)
        if not decoder.eof:
            break
        found.append(text)
        data = decoder.unused_data
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=pathlib.Path, default=sorted(BUNDLED.glob("*.gz")))
    parser.add_argument("--mutants", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    fuzzer = Fuzzer([path for path in options.files if ".paths" not in path.name])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin, faults, slowest = time.process_time(), [], 0.0
    for seed in range(options.seed, options.seed + options.mutants):
        start = time.process_time()
        faults += fuzzer.judge(seed)
        slowest = max(slowest, time.process_time() - start)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = {
        "files": [path.name for path in options.files],
        "mutants": options.mutants,
        "seed": options.seed,
        "faults": len(faults),
        "slowest_s": round(slowest, 3),
        "cpu_s": round(time.process_time() - begin, 1),
        "peak_mib": {"before": before // 1024, "after": after // 1024},
    }
    for fault in faults[:50]:
        print(fault)
    print(json.dumps(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
