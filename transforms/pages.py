"""Page columns of documents/ and languages/ as arrays."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from cc100.shards import layout, parquet
from cc100.shards.array_file import ArrayFile
from cc100.shards.records import DOCUMENTS, LANGUAGES, PAGE_STATUSES, ordinal_of
from cc100.transforms.storage import Storage

Array = npt.NDArray[Any]


def _columns(storage: Storage, name: str, columns: list[str], schema: pa.Schema) -> pa.Table:
    with storage.open_arrow(name) as source:
        tables = list(parquet.batches(source, storage.uri(name), columns))
    empty = pa.schema([schema.field(column) for column in columns]).empty_table()
    return pa.concat_tables([empty, *tables]).combine_chunks()


def page_languages(storage: Storage, file_index: int) -> tuple[pa.Table, Array]:
    """Columns `language` and `score` of a file's pages, and their status codes: uint8[p]."""

    table = _columns(storage, layout.languages(file_index), LANGUAGES.names, LANGUAGES)
    status = pa.compute.index_in(table["status"], pa.array(PAGE_STATUSES))
    return table.select(["language", "score"]), np.asarray(status.to_numpy(), np.uint8)


def page_paragraphs(storage: Storage, file_index: int) -> Array:
    """Number of paragraphs of every page of a file: int64[p]."""

    table = _columns(storage, layout.documents(file_index), ["first_paragraph"], DOCUMENTS)
    first = ordinal_of(table["first_paragraph"].to_numpy())
    name = layout.digests(file_index)
    with storage.open(name) as stream:
        total = ArrayFile(stream, storage.uri(name)).length("form")
    return np.diff(first, append=total)
