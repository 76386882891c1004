"""Scatter: the kept paragraphs of a block of files, grouped by language, in one Arrow IPC file with an index.

A batch holds the pages of one language out of one row group of documents/, so that its content does not depend on how
files were put into blocks. The index beside it says where every language's batches and removed paragraphs are.
"""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cc100.shards import layout
from cc100.shards.array_file import ArrayWriter
from cc100.shards.records import (
    FATE_KEPT,
    FATE_NEAR_DUPLICATE,
    PARAGRAPH_FATES,
    SHARDS,
    STATUS_KEPT,
    paragraph_ids,
)
from cc100.transforms.decide import near_duplicates_of, read_decisions
from cc100.transforms.documents import DocumentBatch, read_documents
from cc100.transforms.elect import read_fates
from cc100.transforms.job import DoUnits, Job, JobReference, Outcome
from cc100.transforms.pages import page_languages, page_paragraphs

STEP = "scatter"

Array = npt.NDArray[Any]


class Scatter(beam.PTransform):
    """Regroup kept text by language through files: block -> documents/, fates, decisions -> batches by language -> block."""

    def __init__(self, job: JobReference) -> None:
        super().__init__()
        self._job = job

    def expand(self, blocks: beam.PCollection[int]) -> beam.PCollection[int]:
        """Block -> block, when its batches are complete."""
        return blocks | "ScatterBlock" >> DoUnits(self._job, STEP, scatter_block)


@dataclasses.dataclass
class _Index:
    """What the batches of a block hold; batch k is record batch k of the IPC file."""

    languages: list[str] = dataclasses.field(default_factory=list)
    rows: dict[str, list[int]] = dataclasses.field(
        default_factory=lambda: {"language": [], "pages": [], "paragraphs": [], "text_bytes": []}
    )

    def add(self, language: str, pages: int, paragraphs: int, text_bytes: int) -> None:
        if language not in self.languages:
            self.languages.append(language)
        values = (self.languages.index(language), pages, paragraphs, text_bytes)
        for column, value in zip(self.rows.values(), values, strict=True):
            column.append(value)


def scatter_block(job: Job, block: int) -> Outcome:
    """Write a block's batches, its index, and the fates of all its paragraphs as figures."""
    decisions = read_decisions(job, block)
    index, fates = _Index(), {}
    removed_language: list[Array] = []
    name, index_name = layout.scattered(block), layout.scattered_removed(block)
    with job.storage.create(name) as out, pa.ipc.new_file(pa.PythonFile(out, mode="w"), SHARDS) as writer:
        for file_index in job.files_of(block):
            file = _File(job, file_index, near_duplicates_of(decisions, file_index))
            fates[str(file_index)] = file.figures()
            removed_language.append(file.removed_languages())
            for batch in read_documents(job.storage, file_index, ("record_id", "url", "date")):
                for language, rows, text_bytes in file.kept_batches(batch):
                    index.add(language, rows.num_rows, len(rows["paragraphs"].flatten()), text_bytes)
                    writer.write_batch(rows)
    stored = {name: out.stored}
    with job.storage.create(index_name) as out:
        _write_index(ArrayWriter(out), index, decisions, np.concatenate(removed_language))
    stored[index_name] = out.stored
    return Outcome(stored, {"fates": fates})


def _write_index(writer: ArrayWriter, index: _Index, decisions: dict[str, Array], removed: Array) -> None:
    """Arrays of the batches and, ordered by language and id, of the removed paragraphs."""
    for field, column in index.rows.items():
        writer.add(f"batch_{field}", np.array(column, np.int64))
    names = sorted(set(removed.tolist()))
    codes = np.searchsorted(np.array(names), removed) if names else np.empty(0, np.int64)
    order = np.argsort(codes, kind="stable")
    for field, values in decisions.items():
        writer.add(f"removed_{field}", values[order])
    begins = np.searchsorted(codes[order], np.arange(len(names) + 1))
    writer.add("removed_begins", begins.astype(np.int64))
    writer.close({"languages": index.languages, "removed_languages": names})


class _File:
    """Languages of the pages and final fates of the paragraphs of one file."""

    def __init__(self, job: Job, file_index: int, near: Array) -> None:
        self._file_index, self._near = file_index, near
        columns, self._status = page_languages(job.storage, file_index)
        self._scores = columns["score"].combine_chunks()
        encoded = columns["language"].combine_chunks().dictionary_encode()
        self._names = encoded.dictionary.to_pylist()
        self._codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        self._page_of = np.repeat(np.arange(len(self._status)), page_paragraphs(job.storage, file_index))
        self._fate = read_fates(job, file_index)
        self._fate[near] = FATE_NEAR_DUPLICATE

    def removed_languages(self) -> Array:
        """Language of every removed near duplicate of the file, as text."""
        codes = self._codes[self._page_of[self._near]]
        return np.array(self._names, dtype=str)[codes] if len(codes) else np.empty(0, dtype="<U1")

    def figures(self) -> dict[str, Any]:
        """Paragraphs by fate, of the file and per language of its kept pages."""
        total = np.bincount(self._fate, minlength=len(PARAGRAPH_FATES))
        on_kept = np.flatnonzero((self._status == STATUS_KEPT)[self._page_of])
        codes = self._codes[self._page_of[on_kept]]
        table = np.zeros((len(self._names), len(PARAGRAPH_FATES)), np.int64)
        np.add.at(table, (codes, self._fate[on_kept]), 1)
        kept_pages = Counter(self._codes[self._status == STATUS_KEPT].tolist())
        languages = {self._names[code]: table[code].tolist() for code in sorted(kept_pages)}
        return {"paragraphs": total.tolist(), "languages": languages}

    def kept_batches(self, batch: DocumentBatch) -> Iterator[tuple[str, pa.RecordBatch, int]]:
        """Kept rows of a batch, one record batch per language, by code point of the language; text bytes of each."""
        kept = np.flatnonzero(self._fate[batch.ordinals] == FATE_KEPT)
        if not len(kept):
            return
        codes = self._codes[batch.pages][batch.page_of()[kept]]
        alphabet = sorted(range(len(self._names)), key=lambda code: self._names[code])
        rank = np.empty(len(alphabet), np.int64)
        rank[alphabet] = np.arange(len(alphabet))
        order = np.argsort(rank[codes], kind="stable")
        ordered = rank[codes][order]
        borders = np.flatnonzero(np.diff(ordered, prepend=-1, append=-2))
        for begin, end in itertools.pairwise(borders):
            chosen = kept[order[begin:end]]
            yield self._names[alphabet[ordered[begin]]], self._rows(batch, chosen), _text_bytes(batch, chosen)

    def _rows(self, batch: DocumentBatch, chosen: Array) -> pa.RecordBatch:
        """Rows of the pages of the chosen paragraphs (ascending positions in the batch)."""
        pages = batch.page_of()[chosen]
        begins = np.flatnonzero(np.diff(pages, prepend=-1))
        offsets = pa.array(np.append(begins, len(chosen)).astype(np.int32))
        rows = pa.array(pages[begins])
        ids = paragraph_ids(self._file_index, chosen + batch.first_ordinal)
        texts = batch.table["paragraphs"].chunk(0).flatten().take(pa.array(chosen))
        columns = [batch.table[name].chunk(0).take(rows) for name in ("record_id", "url", "date")]
        columns.append(self._scores.take(pc.add(rows, batch.first_page)))
        columns.append(pa.ListArray.from_arrays(offsets, pa.array(ids), type=SHARDS.field("paragraph_ids").type))
        columns.append(pa.ListArray.from_arrays(offsets, texts, type=SHARDS.field("paragraphs").type))
        return pa.RecordBatch.from_arrays(columns, schema=SHARDS)


def _text_bytes(batch: DocumentBatch, chosen: Array) -> int:
    return int((batch.ends[chosen] - batch.starts[chosen]).sum())
