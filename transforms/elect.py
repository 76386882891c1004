"""Elect: among the copies of a form on kept pages, the one with the smallest id stays.

Inside a file the file decides. Only forms that Mark found in several files are sent once more, now by the files that hold an
accepted copy; each file gets back the numbers of the forms that a smaller file keeps.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt

from cc100.shards import layout
from cc100.shards.array_file import ArrayFile, ArrayWriter, pack, unpack
from cc100.shards.records import FATE_EXACT_DUPLICATE, FATE_KEPT, STATUS_KEPT
from cc100.transforms.exact import NO_FORM, elect_in_file
from cc100.transforms.grouping import LATER_COPY, group_runs
from cc100.transforms.job import (
    DIGEST_RANGES,
    DIGESTS,
    Cut,
    Job,
    JobReference,
    Outcome,
    WriteGroups,
    do_once,
    unit_name,
)
from cc100.transforms.mark import (
    FormNumbers,
    bucket_ranges,
    open_digests,
    read_form_numbers,
    read_marks,
    write_form_numbers,
)
from cc100.transforms.pages import page_languages, page_paragraphs

STEP = "elect"
STEP_IN_FILE = "elect_in_file"

Array = npt.NDArray[Any]


class Elect(beam.PTransform):
    """Elect one copy of every form: file index -> digests of elected forms -> lost elections of its block -> block.

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
        """File index -> (bucket, elected digests) -> (block, lost form numbers) -> block."""
        return (
            files
            | "ElectInFile" >> beam.ParDo(_ElectInFile(self._job, self._ranges))
            | "GroupByBucket" >> beam.GroupByKey()
            | "CompareFiles" >> beam.ParDo(_CompareElected(self._job))
            | "GroupByBlock" >> beam.GroupByKey()
            | "WriteElections" >> WriteGroups(self._job, STEP, DIGESTS, self._cut, self._part, write_elections)
        )


class _ElectInFile(beam.DoFn):
    def __init__(self, job: JobReference, ranges: list[tuple[int, int]]) -> None:
        self._job, self._ranges = job, ranges

    def process(self, element: int) -> Iterator[tuple[int, bytes]]:
        job = self._job.load()
        do_once(job, STEP_IN_FILE, unit_name(element), lambda: write_fates(job, element))
        buckets = len(self._ranges)
        seed = job.block_of(element) % buckets
        forms = contested_forms(job, element)
        with open_digests(job.storage, element) as file:
            digests = file.read("digests")[forms]
        borders = _range_borders(digests, self._ranges)
        scope = job.inputs[element].exact_scope
        for bucket, (begin, end) in enumerate(borders):
            if end > begin or bucket == seed:
                header = np.array([element], np.uint64)
                blob = pack({"header": header, "forms": forms[begin:end], "digests": digests[begin:end]})
                yield scope * buckets + bucket, blob


def _range_borders(digests: Array, ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    shift = np.uint64(65 - DIGEST_RANGES.bit_length())
    high = (digests >> shift).astype(np.int64)
    lows = np.searchsorted(high, [low for low, _ in ranges])
    ends = np.searchsorted(high, [end for _, end in ranges])
    return list(zip(lows.tolist(), ends.tolist(), strict=True))


def write_fates(job: Job, file_index: int) -> Outcome:
    """Decide what the file's own pages decide, and store it: array `fate`, uint8[n]."""
    name = layout.fates(file_index)
    _, status = page_languages(job.storage, file_index)
    counts = page_paragraphs(job.storage, file_index)
    accepted = np.repeat(status == STATUS_KEPT, counts)
    with open_digests(job.storage, file_index) as file:
        form, distinct = file.read("form"), file.length("digests")
    fate = elect_in_file(form, accepted, distinct)
    if job.settings.exact.mode == "drop-all":
        fate = drop_repeated(fate, form, distinct, read_marks(job, file_index))
    with job.storage.create(name) as out:
        writer = ArrayWriter(out)
        writer.add("fate", fate)
        writer.close()
    return Outcome({name: out.stored})


def drop_repeated(fate: Array, form: Array, distinct: int, marks: FormNumbers) -> Array:
    """Mode drop-all: elected copies of forms that occur more than once in the input become duplicates."""
    repeated = np.bincount(form[form != NO_FORM], minlength=distinct) > 1
    repeated[marks.firsts] = True
    repeated[marks.laters] = True
    elected = np.flatnonzero(fate == FATE_KEPT)
    fate[elected[repeated[form[elected]]]] = FATE_EXACT_DUPLICATE
    return fate


def contested_forms(job: Job, file_index: int) -> Array:
    """Numbers of the forms that other files hold too and that this file elected a copy of: uint32[k], ascending."""
    if job.settings.exact.mode == "drop-all":
        return np.empty(0, np.uint32)
    marks = read_marks(job, file_index)
    shared = np.concatenate([marks.firsts, marks.laters])
    with open_digests(job.storage, file_index) as file:
        form, distinct = file.read("form"), file.length("digests")
    elected = np.zeros(distinct, bool)
    elected[form[read_own_fates(job, file_index) == FATE_KEPT]] = True
    return np.sort(shared[elected[shared]])


class _CompareElected(beam.DoFn):
    def __init__(self, job: JobReference) -> None:
        self._job = job

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[tuple[int, bytes]]:
        job = self._job.load()
        sent = sorted((unpack(value) for value in element[1]), key=lambda arrays: int(arrays["header"][0]))
        lengths = [len(arrays["digests"]) for arrays in sent]
        sources = np.repeat(np.arange(len(sent), dtype=np.int64), lengths)
        codes = group_runs(np.concatenate([arrays["digests"] for arrays in sent]), sources)
        nothing = np.empty(0, np.uint32)
        for arrays, end, length in zip(sent, np.cumsum(lengths), lengths, strict=True):
            file_index = int(arrays["header"][0])
            lost = arrays["forms"][codes[end - length : end] == LATER_COPY]
            yield job.block_of(file_index), FormNumbers(file_index, nothing, lost).pack()


def write_elections(job: Job, block: int, part: int, values: Iterable[bytes]) -> Outcome:
    """Store a block's lost elections of one pass."""
    return write_form_numbers(job, block, layout.elections(block, part), values)


def read_own_fates(job: Job, file_index: int) -> Array:
    """Fates as the file alone decided them: uint8[n]."""
    name = layout.fates(file_index)
    with job.storage.open(name) as stream:
        return ArrayFile(stream, job.storage.uri(name)).read("fate")


def read_fates(job: Job, file_index: int) -> Array:
    """Fates of a file's paragraphs after exact deduplication; FATE_KEPT for the elected ones: uint8[n]."""
    fate = read_own_fates(job, file_index).copy()
    names = [layout.elections(job.block_of(file_index), part) for part in range(job.cut(DIGESTS).passes)]
    lost = read_form_numbers(job.storage, names, file_index).laters
    if len(lost):
        with open_digests(job.storage, file_index) as file:
            form, distinct = file.read("form"), file.length("digests")
        is_lost = np.zeros(distinct, bool)
        is_lost[lost] = True
        elected = np.flatnonzero(fate == FATE_KEPT)
        fate[elected[is_lost[form[elected]]]] = FATE_EXACT_DUPLICATE
    return fate
