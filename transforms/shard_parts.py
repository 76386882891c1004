"""The parts of a finished corpus as units of later stages: checked against the manifest, read row group by row group."""

from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa

from cc100.shards import parquet
from cc100.shards.corpus import ShardPart
from cc100.shards.errors import DamagedFileError
from cc100.transforms.job import DoUnits, JobReference, Outcome, SpreadUnits
from cc100.transforms.storage import Storage


class DoParts(beam.PTransform):
    """A map-only step over the parts of a job: impulse -> part numbers -> durable files -> part numbers.

    How many parts there are is read at run time: the graph is the same for every corpus.

    Args:
        job: reference of a job with `parts`.
        step: name of the step.
        work: module-level function from job and part number to the outcome; not called for units that are done.
    """

    def __init__(self, job: JobReference, step: str, work: Callable[[Any, int], Outcome]) -> None:
        super().__init__()
        self._job, self._step, self._work = job, step, work

    def expand(self, root: Any) -> beam.PCollection[int]:
        """Impulse -> part number, when its files are complete."""
        return (
            root
            | "Impulse" >> beam.Impulse()
            | "NumberParts" >> beam.ParDo(_NumberParts(self._job))
            | "SpreadParts" >> SpreadUnits()
            | "DoParts" >> DoUnits(self._job, self._step, self._work)
        )


class _NumberParts(beam.DoFn):
    def __init__(self, job: JobReference) -> None:
        self._job = job

    def process(self, element: bytes) -> Iterator[int]:
        yield from range(len(self._job.load().parts))


def check_part(storage: Storage, part: ShardPart) -> None:
    """Read a part and compare its size and SHA-256 with the corpus's manifest: a small cost beside all that is done with it.

    Raises:
        DamagedFileError: it is another file.
    """
    found = storage.fingerprint(part.name)
    if (found.bytes, found.sha256) != (part.bytes, part.sha256):
        raise DamagedFileError(
            f"{storage.uri(part.name)} is not the file that manifest.json lists: {found.bytes} bytes, "
            f"SHA-256 {found.sha256[:12]}..., not {part.bytes}, {part.sha256[:12]}... Restore it, or build the corpus anew"
        )


def read_part(storage: Storage, part: ShardPart, columns: list[str]) -> Iterator[dict[str, pa.Array]]:
    """Columns of the row groups of a part.

    Raises:
        DamagedFileError: it cannot be read.
    """
    with storage.open_arrow(part.name) as source:
        for table in parquet.batches(source, storage.uri(part.name), columns):
            yield {name: table[name].chunk(0) for name in columns}
