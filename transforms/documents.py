"""Reading documents/ back as the buffers that kernels work on."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cc100.shards import layout, parquet
from cc100.transforms.paragraphs import text_buffers
from cc100.transforms.storage import Storage

Array = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True)
class DocumentBatch:
    """Pages of one row group of documents/.

    Attributes:
        table: the columns that were asked for, each in one chunk.
        text: uint8[bytes], UTF-8 of all paragraphs.
        starts, ends: int64[n], byte span of every paragraph in `text`.
        page_offsets: int64[p + 1], paragraphs of page i are page_offsets[i]..page_offsets[i + 1].
        first_page: position of the first page in the file.
        first_ordinal: ordinal of the first paragraph.
    """

    table: pa.Table
    text: Array
    starts: Array
    ends: Array
    page_offsets: Array
    first_page: int
    first_ordinal: int

    @property
    def pages(self) -> slice:
        """Positions of the pages in the file."""
        return slice(self.first_page, self.first_page + len(self.page_offsets) - 1)

    @property
    def ordinals(self) -> slice:
        """Ordinals of the paragraphs in the file."""
        return slice(self.first_ordinal, self.first_ordinal + len(self.starts))

    def page_of(self) -> Array:
        """Page of every paragraph, counted in the batch: int64[n]."""
        return np.repeat(np.arange(len(self.page_offsets) - 1), np.diff(self.page_offsets))


def read_documents(storage: Storage, file_index: int, columns: tuple[str, ...] = ()) -> Iterator[DocumentBatch]:
    """Batches of one input file in order.

    Args:
        storage: output folder.
        file_index: which input file.
        columns: columns wanted in `table` besides the text.

    Raises:
        DamagedFileError: the file cannot be read.
    """
    name = layout.documents(file_index)
    page = ordinal = 0
    with storage.open_arrow(name) as source:
        for table in parquet.batches(source, storage.uri(name), [*columns, "paragraphs"]):
            paragraphs = text_buffers(table["paragraphs"].chunk(0))
            offsets = paragraphs.offsets.astype(np.int64)
            batch = DocumentBatch(
                table=table,
                text=paragraphs.text,
                starts=offsets[:-1],
                ends=offsets[1:],
                page_offsets=paragraphs.page_paragraphs.astype(np.int64),
                first_page=page,
                first_ordinal=ordinal,
            )
            yield batch
            page, ordinal = page + table.num_rows, ordinal + len(batch.starts)
