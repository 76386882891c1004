"""Extract: crawl file -> documents/, rejects/ and the digests of its normalised forms."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, cast

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cc100.shards import layout, parquet
from cc100.shards.array_file import ArrayWriter
from cc100.shards.records import DOCUMENTS, paragraph_ids
from cc100.transforms.exact import number_forms, range_index
from cc100.transforms.html import extract_pages
from cc100.transforms.http_file import FetchError
from cc100.transforms.job import DIGEST_RANGES, DoUnits, Job, JobReference, Outcome, SpreadUnits
from cc100.transforms.normalisation import digest_paragraphs
from cc100.transforms.paragraphs import Paragraphs, split_pages, string_array
from cc100.transforms.remote import fetch, is_remote
from cc100.transforms.storage import open_stream
from cc100.transforms.warc import Record, Reject, read_records

STEP = "extract"

Array = npt.NDArray[Any]


class Extract(beam.PTransform):
    """Read crawl files: file index -> documents/, rejects/, digests -> file index.

    Args:
        job: reference of the job.
        lanes: how many files are read at once at most; 0: as many as there are workers.
    """

    def __init__(self, job: JobReference, lanes: int = 0) -> None:
        super().__init__()
        self._job, self._lanes = job, lanes

    def expand(self, files: beam.PCollection[int]) -> beam.PCollection[int]:
        """File index -> file index, when its documents are complete."""
        if self._lanes:
            files = files | "Lanes" >> SpreadUnits(self._lanes)
        return files | "ExtractFile" >> DoUnits(self._job, STEP, extract_file)


def count_lanes(job: Job) -> int:
    """Lanes that keep the job at `remote.max_connections`; 0 where nothing is read over a network."""
    return job.settings.remote.max_connections if any(is_remote(entry.uri) for entry in job.inputs) else 0


def extract_file(job: Job, file_index: int) -> Outcome:
    """Read one crawl file; one that cannot be fetched leaves empty files and the reason."""
    uri = job.inputs[file_index].uri
    if not is_remote(uri):
        with open_stream(uri) as stream:
            return _extract_stream(job, file_index, stream)
    try:
        return fetch(uri, job.settings.remote, lambda stream: _extract_stream(job, file_index, stream), _doubt)
    except FetchError as error:
        outcome = _extract_stream(job, file_index, None)
        return Outcome(outcome.files, outcome.figures | {"quarantined": error.reason})


def _doubt(outcome: Outcome) -> str:
    """Why a file that was fetched may not be as it lies there."""
    rejects = outcome.figures["rejects_by_reason"]
    if "no_records" in rejects:
        return "not_warc"
    return "early_end" if "truncated_member" in rejects or "record_truncated" in rejects else ""


class _Counted:
    """A stream that counts what is read."""

    def __init__(self, stream: BinaryIO | None) -> None:
        self._stream = stream
        self.bytes = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size) if self._stream else b""
        self.bytes += len(data)
        return data


def _extract_stream(job: Job, file_index: int, stream: BinaryIO | None) -> Outcome:
    """Write the files of one crawl file, row group by row group; those of an empty one where there is no stream."""
    rejects: list[Reject] = []
    skips: list[str] = []
    digests: list[Array] = []
    pages = paragraphs = text_bytes = 0
    settings = job.settings.input
    documents = layout.documents(file_index)
    counted = _Counted(stream)
    records: Iterable[Record] = ()
    if stream is not None:
        records = read_records(
            cast(BinaryIO, counted),
            max_record_bytes=settings.max_record_bytes,
            on_reject=rejects.append,
            verify_digests=settings.verify_digests,
        )
    records = extract_pages(records, job.settings.html, rejects.append, skips.append)
    with job.storage.create(documents) as out:
        with parquet.writer(out, DOCUMENTS, zstd_level=job.settings.documents.zstd_level) as writer:
            for group in group_records(records, job.settings.documents.row_group_bytes):
                split = split_group(group)
                writer.write_table(documents_table(group, split, file_index, paragraphs), row_group_size=len(group))
                offsets = split.offsets.astype(np.int64)
                digests.append(digest_paragraphs(split.text, offsets[:-1], offsets[1:]))
                pages, paragraphs = pages + len(group), paragraphs + len(offsets) - 1
                text_bytes += int(offsets[-1])
    files = {documents: out.stored}
    files[layout.digests(file_index)] = _write_digests(job, file_index, digests)
    if rejects:
        files[layout.rejects(file_index)] = job.storage.write(layout.rejects(file_index), rejects_jsonl(rejects))
    figures = {
        "bytes": counted.bytes,
        "pages": pages,
        "paragraphs": paragraphs,
        "text_bytes": text_bytes,
        "rejects": len(rejects),
        "rejects_by_reason": dict(Counter(reject.reason for reject in rejects)),
        "skipped": dict(sorted(Counter(skips).items())),
        "quarantined": None,
    }
    return Outcome(files, figures)


def group_records(records: Iterable[Record], group_bytes: int) -> Iterator[list[Record]]:
    """Cut a file's records into groups of about `group_bytes` of blocks; a record is never cut."""
    group: list[Record] = []
    size = 0
    for record in records:
        group.append(record)
        size += len(record.payload)
        if size >= group_bytes:
            yield group
            group, size = [], 0
    if group:
        yield group


def split_group(group: list[Record]) -> Paragraphs:
    """Paragraphs of a group of records."""
    blocks = np.frombuffer(b"".join([record.payload for record in group]), np.uint8)
    ends = np.cumsum([len(record.payload) for record in group], dtype=np.int64)
    return split_pages(blocks, np.concatenate([np.zeros(1, np.int64), ends]))


def documents_table(group: list[Record], split: Paragraphs, file_index: int, first_ordinal: int) -> pa.Table:
    """Rows of documents/ of a group of records whose first paragraph has the ordinal `first_ordinal`."""
    first = paragraph_ids(file_index, split.page_paragraphs[:-1].astype(np.int64) + first_ordinal)
    columns = [
        pa.array([record.record_id for record in group], pa.string()),
        pa.array([record.url for record in group], pa.string()),
        pa.array([record.date_us for record in group], pa.int64()).cast(DOCUMENTS.field("date").type),
        pa.array(first),
        string_array(split),
    ]
    return pa.Table.from_arrays(columns, schema=DOCUMENTS)


def rejects_jsonl(rejects: list[Reject]) -> bytes:
    """One JSON object a line, in order of offset."""
    ordered = sorted(rejects, key=lambda reject: reject.offset)
    lines = [json.dumps(reject._asdict(), ensure_ascii=False, sort_keys=True) + "\n" for reject in ordered]
    return "".join(lines).encode("utf-8", "replace")


def _write_digests(job: Job, file_index: int, digests: list[Array]) -> Any:
    forms = number_forms(np.concatenate(digests) if digests else np.empty(0, np.uint64))
    with job.storage.create(layout.digests(file_index)) as out:
        writer = ArrayWriter(out)
        for field in dataclasses.fields(forms):
            writer.add(field.name, getattr(forms, field.name))
        writer.add("ranges", range_index(forms.digests, DIGEST_RANGES))
        writer.close()
    return out.stored
