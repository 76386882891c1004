"""Gather: shards and removed paragraphs, part by part, from the batches of all blocks in their order.

Which batches make a part follows from the indexes of all blocks before anything is written, so that the number of parts in a name
is exact, no part is empty, and ids ascend through the parts of a language by themselves. Memory is one row group.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa

from cc100.shards import layout, parquet
from cc100.shards.array_file import ArrayFile
from cc100.shards.errors import DamagedFileError
from cc100.shards.records import REMOVED, SHARDS
from cc100.transforms.job import Job, JobReference, Outcome, do_once, unit_name
from cc100.transforms.paragraphs import text_bytes

STEP = "gather"

REMOVED_ROWS = 4_000_000
"""Rows of one part of removed/."""


class Gather(beam.PTransform):
    """Write shards: one impulse -> parts -> shards/ and removed/ -> part number."""

    def __init__(self, job: JobReference) -> None:
        super().__init__()
        self._job = job

    def expand(self, root: Any) -> beam.PCollection[int]:
        """Impulse -> (part number, plan of the part) -> part number, when its file is complete."""
        return (
            root
            | "Impulse" >> beam.Impulse()
            | "PlanParts" >> beam.ParDo(_PlanParts(self._job))
            | "SpreadParts" >> beam.GroupByKey()
            | "WritePart" >> beam.ParDo(_WritePart(self._job))
        )


@dataclasses.dataclass(frozen=True)
class Part:
    """One output file: `pieces` are (block, first, end), record batches of shards or rows of removed paragraphs."""

    kind: str
    language: str
    part: int
    parts: int
    pieces: tuple[tuple[int, int, int], ...]

    @property
    def name(self) -> str:
        """Path of the file."""
        naming = layout.shard if self.kind == "shards" else layout.removed
        return naming(self.language, self.part, self.parts)


class _PlanParts(beam.DoFn):
    def __init__(self, job: JobReference) -> None:
        self._job = job

    def process(self, element: bytes) -> Iterator[tuple[int, bytes]]:
        for number, part in enumerate(plan_parts(self._job.load())):
            yield number, json.dumps(dataclasses.asdict(part)).encode()


def plan_parts(job: Job) -> list[Part]:
    """All parts, by kind and language."""
    shards: dict[str, list[tuple[int, int, int, int]]] = {}
    removed: dict[str, list[tuple[int, int, int]]] = {}
    for block in range(job.blocks):
        name = layout.scattered_removed(block)
        with job.storage.open(name) as stream:
            file = ArrayFile(stream, job.storage.uri(name))
            languages = file.attributes["languages"]
            sizes = file.read("batch_text_bytes").tolist()
            for batch, (code, size) in enumerate(zip(file.read("batch_language").tolist(), sizes, strict=True)):
                shards.setdefault(languages[code], []).append((block, batch, batch + 1, size))
            begins = file.read("removed_begins").tolist()
            for code, language in enumerate(file.attributes["removed_languages"]):
                removed.setdefault(language, []).append((block, begins[code], begins[code + 1]))
    parts = []
    for language in sorted(shards):
        cuts = cut_parts([size for *_, size in shards[language]], job.settings.output.shard_bytes)
        for number, (begin, end) in enumerate(cuts):
            pieces = tuple((block, first, last) for block, first, last, _ in shards[language][begin:end])
            parts.append(Part("shards", language, number, len(cuts), pieces))
    for language in sorted(removed):
        rows = cut_rows(removed[language], REMOVED_ROWS)
        parts += [Part("removed", language, number, len(rows), tuple(pieces)) for number, pieces in enumerate(rows)]
    return parts


def cut_parts(sizes: list[int], limit: int) -> list[tuple[int, int]]:
    """Cut a list of sizes into ranges (begin, end) of at most `limit`, save where one piece alone is larger."""
    cuts, total = [0], 0
    for position, size in enumerate(sizes):
        if total + size > limit and position > cuts[-1]:
            cuts.append(position)
            total = 0
        total += size
    return list(zip(cuts, [*cuts[1:], len(sizes)], strict=True)) if sizes else []


def cut_rows(pieces: list[tuple[int, int, int]], limit: int) -> list[list[tuple[int, int, int]]]:
    """Cut row ranges (block, begin, end) into parts of exactly `limit` rows, the last one of the rest."""
    parts: list[list[tuple[int, int, int]]] = [[]]
    room = limit
    for block, begin, end in pieces:
        while begin < end:
            if not room:
                parts.append([])
                room = limit
            taken = min(room, end - begin)
            parts[-1].append((block, begin, begin + taken))
            begin, room = begin + taken, room - taken
    return [part for part in parts if part]


class _WritePart(beam.DoFn):
    def __init__(self, job: JobReference) -> None:
        self._job = job

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[int]:
        number, values = element
        content = json.loads(next(iter(values)))
        part = Part(**{**content, "pieces": tuple(tuple(piece) for piece in content["pieces"])})
        job = self._job.load()
        write = write_shard if part.kind == "shards" else write_removed
        do_once(job, STEP, unit_name(number), lambda: write(job, part))
        yield number


def write_shard(job: Job, part: Part) -> Outcome:
    """Write one part of shards/."""
    figures: dict[str, Any] = {
        "kind": part.kind,
        "language": part.language,
        "pages": 0,
        "paragraphs": 0,
        "text_bytes": 0,
    }
    output = job.settings.output
    with job.storage.create(part.name) as out, parquet.writer(out, SHARDS, zstd_level=output.zstd_level) as writer:
        for table, text_bytes in _row_groups(_read_batches(job, part), output.row_group_bytes):
            writer.write_table(table, row_group_size=table.num_rows)
            figures["pages"] += table.num_rows
            figures["paragraphs"] += sum(len(chunk.flatten()) for chunk in table["paragraphs"].chunks)
            figures["text_bytes"] += text_bytes
    return Outcome({part.name: out.stored}, figures)


def _read_batches(job: Job, part: Part) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Record batches of a part in order, with the bytes of their text."""
    by_block: dict[int, list[int]] = {}
    for block, first, _ in part.pieces:
        by_block.setdefault(block, []).append(first)
    for block, numbers in by_block.items():
        name = layout.scattered(block)
        with job.storage.open_arrow(name) as source:
            try:
                reader = pa.ipc.open_file(source)
                for number in numbers:
                    batch = reader.get_batch(number)
                    yield batch, text_bytes(batch["paragraphs"].flatten())
            except (pa.ArrowException, OSError) as error:
                raise DamagedFileError(
                    f"{job.storage.uri(name)} is damaged: {str(error).splitlines()[0]}. "
                    "Delete it and run the same command again: it will be made anew."
                ) from error


def _row_groups(batches: Iterable[tuple[pa.RecordBatch, int]], limit: int) -> Iterator[tuple[pa.Table, int]]:
    """Join batches until their text has `limit` bytes."""
    waiting: list[pa.RecordBatch] = []
    total = 0
    for batch, size in batches:
        waiting.append(batch)
        total += size
        if total >= limit:
            yield pa.Table.from_batches(waiting, SHARDS), total
            waiting, total = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting, SHARDS), total


def write_removed(job: Job, part: Part) -> Outcome:
    """Write one part of removed/near/."""
    tables = [REMOVED.empty_table()]
    for block, begin, end in part.pieces:
        name = layout.scattered_removed(block)
        with job.storage.open(name) as stream:
            file = ArrayFile(stream, job.storage.uri(name))
            columns = [pa.array(file.read(f"removed_{field}", begin, end)) for field in ("ids", "keepers", "jaccard")]
        tables.append(pa.Table.from_arrays(columns, schema=REMOVED))
    table = pa.concat_tables(tables)
    with job.storage.create(part.name) as out:
        with parquet.writer(out, REMOVED, zstd_level=job.settings.output.zstd_level) as writer:
            writer.write_table(table, row_group_size=table.num_rows)
    return Outcome({part.name: out.stored}, {"kind": part.kind, "language": part.language, "rows": table.num_rows})
