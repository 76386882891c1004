"""Parquet as this project writes and reads it: zstd, page checksums, nothing that depends on time or machine."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cc100.shards.array_file import Writable
from cc100.shards.errors import DamagedFileError

_TEXT_COLUMNS = ("paragraphs", "paragraphs.list.element")


def writer(stream: Writable, schema: pa.Schema, *, zstd_level: int) -> pq.ParquetWriter:
    """Writer of a Parquet file into an open binary stream.

    Text is stored plainly (a dictionary of paragraphs only costs time: they are distinct); statistics are kept for the
    columns by which readers skip row groups.
    """
    dictionary = [name for name in ("language", "status") if name in schema.names]
    statistics = [
        name
        for name in ("first_paragraph", "paragraph_id", "paragraph_ids.list.element")
        if name.split(".")[0] in schema.names
    ]
    delta = {"paragraph_ids.list.element": "DELTA_BINARY_PACKED"} if "paragraph_ids" in schema.names else None
    return pq.ParquetWriter(
        stream,
        schema,
        version="2.6",
        compression="zstd",
        compression_level=zstd_level,
        use_dictionary=dictionary or False,
        write_statistics=statistics or False,
        column_encoding=delta,
        data_page_size=1 << 20,
        write_page_checksum=True,
    )


def batches(
    source: Any, name: str, columns: list[str] | None = None, command: str = "the same command"
) -> Iterator[pa.Table]:
    """Row groups of a Parquet file, one table each, every column in one chunk.

    Args:
        source: anything that pyarrow opens (an open random-access file).
        name: path of the file, for messages.
        columns: names of the columns to read; None: all.
        command: what makes a file that was deleted anew, for messages.

    Raises:
        DamagedFileError: the file cannot be read.
    """
    try:
        file = pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=False)
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, columns=columns, use_threads=False).combine_chunks()
    except (pa.ArrowException, OSError) as error:
        raise DamagedFileError(
            f"{name} cannot be read: {str(error).splitlines()[0]}. Delete it and run {command} again: it will be made anew."
        ) from error
