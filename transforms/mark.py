"""Mark: which normalised forms occur in several files, and which file holds the first copy.

A digest's copies inside one file are known from that file alone; between files the smallest paragraph id is that of the
smallest file index. So only digests travel: each file sends its distinct ones, grouped by range, and gets back the numbers of
those forms that another file holds too, as first of several or later copy.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt

from cc100.shards import layout
from cc100.shards.array_file import ArrayFile, ArrayWriter, pack, unpack
from cc100.transforms.grouping import FIRST_OF_SEVERAL, LATER_COPY, group_runs
from cc100.transforms.job import DIGEST_RANGES, DIGESTS, Cut, Job, JobReference, Outcome, WriteGroups
from cc100.transforms.storage import Storage

STEP = "mark"

Array = npt.NDArray[Any]


class Mark(beam.PTransform):
    """Find forms that occur in several files: file index -> digests -> marks of its block -> block.

    Args:
        job: reference of the job.
        cut: how the shuffle of digests is cut.
        part: which pass this is.
    """

    def __init__(self, job: JobReference, cut: Cut, part: int) -> None:
        super().__init__()
        self._job, self._cut, self._part = job, cut, part
        self._ranges = bucket_ranges(part, cut.passes, cut.buckets)

    def expand(self, files: beam.PCollection[int]) -> beam.PCollection[int]:
        """File index -> (bucket, digests) -> (block, form numbers) -> block, when its marks are complete."""
        return (
            files
            | "SendDigests" >> beam.ParDo(_SendDigests(self._job, self._ranges))
            | "GroupByBucket" >> beam.GroupByKey()
            | "CompareFiles" >> beam.ParDo(_CompareFiles(self._job))
            | "GroupByBlock" >> beam.GroupByKey()
            | "WriteMarks" >> WriteGroups(self._job, STEP, DIGESTS, self._cut, self._part, write_marks)
        )


def bucket_ranges(part: int, passes: int, buckets: int) -> list[tuple[int, int]]:
    """Digest ranges (begin, end) of every bucket of a pass."""
    borders = [DIGEST_RANGES * part // passes, DIGEST_RANGES * (part + 1) // passes]
    count = max(1, min(buckets, borders[1] - borders[0]))
    cuts = [borders[0] + (borders[1] - borders[0]) * k // count for k in range(count + 1)]
    return list(itertools.pairwise(cuts))


class _SendDigests(beam.DoFn):
    """A file's distinct digests, ascending, cut by bucket. Each file sends to its block's seed bucket even nothing."""

    def __init__(self, job: JobReference, ranges: list[tuple[int, int]]) -> None:
        self._job, self._ranges = job, ranges

    def process(self, element: int) -> Iterator[tuple[int, bytes]]:
        job = self._job.load()
        scope = job.inputs[element].exact_scope
        buckets = len(self._ranges)
        seed = job.block_of(element) % buckets
        with open_digests(job.storage, element) as file:
            index = file.read("ranges").astype(np.int64)
            for bucket, (low, high) in enumerate(self._ranges):
                begin, end = int(index[low]), int(index[high])
                if end > begin or bucket == seed:
                    header = np.array([element, begin], np.uint64)
                    yield (
                        scope * buckets + bucket,
                        pack({"header": header, "digests": file.read("digests", begin, end)}),
                    )


class open_digests:  # noqa: N801 - a context manager that is used like a function
    """Open a file's digests for range reads."""

    def __init__(self, storage: Storage, file_index: int) -> None:
        self._name = layout.digests(file_index)
        self._storage, self._stream = storage, storage.open(self._name)

    def __enter__(self) -> ArrayFile:
        return ArrayFile(self._stream.__enter__(), self._storage.uri(self._name))

    def __exit__(self, *error: Any) -> None:
        self._stream.__exit__(*error)


@dataclasses.dataclass(frozen=True)
class FormNumbers:
    """Form numbers of one file: those of which it holds the first copy of several, and those first held elsewhere."""

    file_index: int
    firsts: Array
    laters: Array

    def pack(self) -> bytes:
        """As a value of a shuffle."""
        return pack({"file": np.array([self.file_index], np.uint32), "firsts": self.firsts, "laters": self.laters})

    @staticmethod
    def unpack(blob: bytes) -> "FormNumbers":
        """Inverse of `pack`."""
        arrays = unpack(blob)
        return FormNumbers(int(arrays["file"][0]), arrays["firsts"], arrays["laters"])


class _CompareFiles(beam.DoFn):
    """All files' digests of a bucket -> per file what it shares with others."""

    def __init__(self, job: JobReference) -> None:
        self._job = job

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[tuple[int, bytes]]:
        job = self._job.load()
        for numbers in compare_files(element[1]):
            yield job.block_of(numbers.file_index), numbers.pack()


def compare_files(values: Iterable[bytes]) -> Iterator[FormNumbers]:
    """What each file of a bucket shares with other files; also for files that share nothing.

    Args:
        values: blobs with `header` = [file index, number of the first digest] and `digests`, in any order.
    """
    sent = sorted((unpack(value) for value in values), key=lambda arrays: int(arrays["header"][0]))
    lengths = [len(arrays["digests"]) for arrays in sent]
    digests = np.concatenate([arrays["digests"] for arrays in sent])
    codes = group_runs(digests, np.repeat(np.arange(len(sent), dtype=np.int64), lengths))
    ends = np.cumsum(lengths)
    for arrays, end, length in zip(sent, ends, lengths, strict=True):
        mine = codes[end - length : end]
        file_index, begin = (int(value) for value in arrays["header"])
        firsts, laters = (np.flatnonzero(mine == code) + begin for code in (FIRST_OF_SEVERAL, LATER_COPY))
        yield FormNumbers(file_index, firsts.astype(np.uint32), laters.astype(np.uint32))


def write_marks(job: Job, block: int, part: int, values: Iterable[bytes]) -> Outcome:
    """Store a block's marks of one pass."""
    return write_form_numbers(job, block, layout.marks(block, part), values)


def write_form_numbers(job: Job, block: int, name: str, values: Iterable[bytes]) -> Outcome:
    """Store the form numbers of a block's files, each file's ascending, as arrays `firsts-<file>` and `laters-<file>`."""
    found: dict[int, list[FormNumbers]] = {index: [] for index in job.files_of(block)}
    for value in values:
        numbers = FormNumbers.unpack(value)
        found[numbers.file_index].append(numbers)
    with job.storage.create(name) as out:
        writer = ArrayWriter(out)
        for file_index, parts in found.items():
            for field in ("firsts", "laters"):
                arrays = [getattr(numbers, field) for numbers in parts]
                joined = np.sort(np.concatenate(arrays)) if arrays else np.empty(0, np.uint32)
                writer.add(f"{field}-{file_index}", joined)
        writer.close()
    return Outcome({name: out.stored})


def read_form_numbers(storage: Storage, names: list[str], file_index: int) -> FormNumbers:
    """Form numbers of a file from all passes."""
    firsts, laters = [], []
    for name in names:
        with storage.open(name) as stream:
            file = ArrayFile(stream, storage.uri(name))
            firsts.append(file.read(f"firsts-{file_index}"))
            laters.append(file.read(f"laters-{file_index}"))
    return FormNumbers(file_index, np.concatenate(firsts), np.concatenate(laters))


def read_marks(job: Job, file_index: int) -> FormNumbers:
    """Marks of a file."""
    names = [layout.marks(job.block_of(file_index), part) for part in range(job.cut(DIGESTS).passes)]
    return read_form_numbers(job.storage, names, file_index)
