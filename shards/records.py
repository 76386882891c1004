"""Data model: paragraph ids, fates, statuses, and the Arrow schemas of every Parquet file (docs/formats.md)."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

FORMAT_VERSION = 1

ORDINAL_BITS = 40
"""A paragraph id is `file_index << ORDINAL_BITS | ordinal`."""

PAGE_STATUSES = ("kept", "below_threshold", "not_selected", "no_text")
"""Status of a page; its position in this tuple is the code in arrays."""
STATUS_KEPT, STATUS_BELOW_THRESHOLD, STATUS_NOT_SELECTED, STATUS_NO_TEXT = range(4)

PARAGRAPH_FATES = ("empty", "page_rejected", "exact_duplicate", "near_duplicate", "kept")
"""Fate of a paragraph, in order of precedence; its position in this tuple is the code in arrays."""
FATE_EMPTY, FATE_PAGE_REJECTED, FATE_EXACT_DUPLICATE, FATE_NEAR_DUPLICATE, FATE_KEPT = range(5)

UInt64s = npt.NDArray[np.uint64]

_TIMESTAMP = pa.timestamp("us", tz="UTC")

DOCUMENTS = pa.schema(
    [
        ("record_id", pa.string()),
        ("url", pa.string()),
        ("date", _TIMESTAMP),
        ("first_paragraph", pa.uint64()),
        ("paragraphs", pa.list_(pa.string())),
    ]
)
LANGUAGES = pa.schema([("language", pa.string()), ("score", pa.float32()), ("status", pa.string())])
SHARDS = pa.schema(
    [
        ("record_id", pa.string()),
        ("url", pa.string()),
        ("date", _TIMESTAMP),
        ("score", pa.float32()),
        ("paragraph_ids", pa.list_(pa.uint64())),
        ("paragraphs", pa.list_(pa.string())),
    ]
)
REMOVED = pa.schema([("paragraph_id", pa.uint64()), ("keeper_id", pa.uint64()), ("jaccard", pa.float32())])


def paragraph_ids(file_index: int, ordinals: npt.NDArray[np.integer]) -> UInt64s:
    """Ids of paragraphs of one file.

    Args:
        file_index: position of the file in the sorted list of inputs.
        ordinals: positions of the paragraphs in the file, any integer type, shape [n].

    Returns:
        uint64[n].
    """
    return np.uint64(file_index << ORDINAL_BITS) | ordinals.astype(np.uint64)


def file_of(ids: UInt64s) -> npt.NDArray[np.int64]:
    """File indexes of paragraph ids: int64[n]."""
    return (ids >> np.uint64(ORDINAL_BITS)).astype(np.int64)


def ordinal_of(ids: UInt64s) -> npt.NDArray[np.int64]:
    """Positions of paragraphs in their files: int64[n]."""
    return (ids & np.uint64((1 << ORDINAL_BITS) - 1)).astype(np.int64)
