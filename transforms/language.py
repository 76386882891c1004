"""Language: the language of every page, from the text that occurs first on it -> languages/."""

from collections import Counter
from functools import lru_cache
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cc100.shards import layout, parquet
from cc100.shards.errors import ConfigurationError
from cc100.shards.records import (
    LANGUAGES,
    PAGE_STATUSES,
    STATUS_BELOW_THRESHOLD,
    STATUS_KEPT,
    STATUS_NO_TEXT,
    STATUS_NOT_SELECTED,
)
from cc100.transforms.documents import read_documents
from cc100.transforms.exact import NO_FORM
from cc100.transforms.job import DoUnits, Job, JobReference, Model, Outcome
from cc100.transforms.language_model import LanguageModel, default_model_path
from cc100.transforms.mark import open_digests, read_marks

STEP = "language"

SHORT_PAGE_BYTES = 200
"""A page whose first-occurrence paragraphs have fewer bytes than this is judged by all its paragraphs."""

Array = npt.NDArray[Any]


class IdentifyLanguage(beam.PTransform):
    """Identify the language of pages: file index -> documents/, marks -> languages/ -> file index."""

    def __init__(self, job: JobReference) -> None:
        super().__init__()
        self._job = job

    def expand(self, files: beam.PCollection[int]) -> beam.PCollection[int]:
        """File index -> file index, when its languages are complete."""
        return files | "IdentifyFile" >> DoUnits(self._job, STEP, identify_file)


def load_model(model: Model) -> LanguageModel:
    """The model, loaded once per process.

    Raises:
        ConfigurationError: the file is another one than the run began with.
    """
    return _load_model(model.path, model.sha256)


@lru_cache(maxsize=1)
def _load_model(path: str, sha256: str) -> LanguageModel:
    path = path or default_model_path()
    loaded = LanguageModel.load(path)
    if loaded.sha256 != sha256:
        raise ConfigurationError(
            f"language.model {path} has changed: SHA-256 {loaded.sha256}, the run began with {sha256}. "
            "Put the old file back, or choose another --output."
        )
    return loaded


def identify_file(job: Job, file_index: int) -> Outcome:
    """Read one file's pages and write their verdicts."""
    model = load_model(job.model)
    is_first, has_text = first_paragraphs(job, file_index)
    selected = selected_labels(model.labels, job.settings.language.languages)
    name = layout.languages(file_index)
    counts: Counter[str] = Counter()
    read_bytes = 0
    with job.storage.create(name) as out:
        with parquet.writer(out, LANGUAGES, zstd_level=job.settings.documents.zstd_level) as writer:
            for batch in read_documents(job.storage, file_index):
                sizes = batch.ends - batch.starts
                chosen = choose_paragraphs(
                    sizes, batch.page_offsets, is_first[batch.ordinals], has_text[batch.ordinals]
                )
                offsets = np.searchsorted(chosen, batch.page_offsets)
                labels, scores = model.predict(batch.text, batch.starts[chosen], batch.ends[chosen], offsets)
                labels[np.diff(offsets) == 0] = -1  # fastText would judge even the end of an empty line
                status = page_status(labels, scores, selected, job.settings.language.threshold)
                writer.write_table(languages_table(labels, scores, status, model.labels), row_group_size=len(labels))
                counts.update(PAGE_STATUSES[code] for code in status.tolist())
                read_bytes += int(sizes[chosen].sum())
    return Outcome({name: out.stored}, {"pages_by_status": dict(counts), "bytes_read_by_model": read_bytes})


def first_paragraphs(job: Job, file_index: int) -> tuple[Array, Array]:
    """Which paragraphs of a file are the first of their form in the whole scope, and which carry text: bool[n] each."""
    later = read_marks(job, file_index).laters
    with open_digests(job.storage, file_index) as file:
        first, form = file.read("first"), file.read("form")
    is_first = np.zeros(len(form), bool)
    is_first[np.delete(first, later)] = True
    return is_first, form != NO_FORM


def choose_paragraphs(sizes: Array, page_offsets: Array, is_first: Array, has_text: Array) -> Array:
    """Paragraphs that the model reads: a page's first occurrences, or all with text where those are too short.

    Args:
        sizes: int64[n], bytes of the paragraphs.
        page_offsets: int64[p + 1].
        is_first: bool[n], first of its form in the whole scope.
        has_text: bool[n], the normalised form is not empty.

    Returns:
        int64[k], positions of the chosen paragraphs, ascending.
    """
    sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.where(is_first, sizes, 0))])
    enough = np.diff(sums[page_offsets]) >= SHORT_PAGE_BYTES
    by_first = np.repeat(enough, np.diff(page_offsets))
    return np.flatnonzero(np.where(by_first, is_first, has_text))


def selected_labels(labels: list[str], wanted: tuple[str, ...]) -> Array:
    """Which labels of the model are to be kept: bool[labels].

    Raises:
        ConfigurationError: a wanted language is no label of the model.
    """
    unknown = sorted(set(wanted) - set(labels))
    if unknown:
        raise ConfigurationError(
            f"language.languages names {', '.join(unknown)}, which the model does not know; it knows {', '.join(sorted(labels))}"
        )
    return np.array([not wanted or label in wanted for label in labels], bool)


def page_status(labels: Array, scores: Array, selected: Array, threshold: float) -> Array:
    """Status codes of pages: uint8[p].

    Args:
        labels: int32[p], label numbers, -1 where the page has no text.
        scores: float32[p].
        selected: bool[labels].
        threshold: score from which a page is kept.
    """
    status = np.where(selected[labels], STATUS_KEPT, STATUS_NOT_SELECTED)
    status = np.where(scores.astype(np.float64) >= threshold, status, STATUS_BELOW_THRESHOLD)
    return np.where(labels < 0, STATUS_NO_TEXT, status).astype(np.uint8)


def languages_table(labels: Array, scores: Array, status: Array, names: list[str]) -> pa.Table:
    """Rows of languages/."""
    known = pa.array(labels >= 0)
    language = pa.array(names, pa.string()).take(pa.array(labels, mask=labels < 0))
    score = pa.array(scores, pa.float32(), mask=np.asarray(~known.to_numpy(zero_copy_only=False)))
    statuses = pa.array(PAGE_STATUSES, pa.string()).take(pa.array(status))
    return pa.Table.from_arrays([language, score, statuses], schema=LANGUAGES)
