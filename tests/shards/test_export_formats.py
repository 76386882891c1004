"""Indexes for other readers: layouts as documented, cuts and weights by slow twins."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cc100.shards.export_formats import (
    blend,
    blend_arguments,
    datatrove_index,
    datatrove_metadata,
    fairseq_index,
    litdata_cuts,
    litdata_header,
    litdata_index,
)
from cc100.shards.token_arrays import TokenIndex

DOCUMENTS = st.lists(st.lists(st.integers(1, 1000), min_size=1, max_size=5), min_size=1, max_size=8)


def index_of(documents):
    lengths = [length for document in documents for length in document]
    return TokenIndex(
        np.array(lengths, np.int32), np.cumsum([0] + [len(document) for document in documents], dtype=np.int64)
    )


def test_index_of_fairseq():
    data = fairseq_index(np.array([4, 3, 3], np.int32))
    assert data == b"MMIDIDX\0\0" + struct.pack("<QBQ3i3q", 1, 4, 3, 4, 3, 3, 0, 16, 28)


@given(DOCUMENTS)
def test_documents_end_where_datatrove_says(documents):
    ends = np.frombuffer(datatrove_index(index_of(documents)), "<u8").tolist()
    assert ends == [sum(map(sum, documents[: number + 1])) for number in range(len(documents))]


@pytest.mark.parametrize(
    ("tokens", "text"),
    [(7, "7.00 T"), (950, "950 T"), (1000, "1.00 kT"), (12345, "12.3 kT"), (560_123_456_789, "560 GT")],
)
def test_metadata_of_datatrove(tokens, text):
    assert datatrove_metadata("name", tokens) == f"name|4\n{tokens}\n{text}".encode()


@given(DOCUMENTS, st.integers(4, 8000))
def test_chunks_of_litdata_are_cut_between_sequences(documents, max_bytes):
    index = index_of(documents)
    expected, begin, at = [], 0, 0
    for length in index.lengths.tolist():
        if at > begin and (at + length - begin) * 4 > max_bytes:
            expected.append((begin, at))
            begin = at
        at += length
    assert litdata_cuts(index, max_bytes) == [*expected, (begin, at)]


def test_chunk_of_litdata():
    assert litdata_header(10) == struct.pack("<3I", 1, 12, 52)
    assert litdata_header((1 << 30) - 4) == struct.pack("<3I", 1, 12, (1 << 32) - 4)
    with pytest.raises(ValueError, match="4 GiB"):
        litdata_header((1 << 30) - 3)
    index = json.loads(litdata_index({"chunk-0-0.bin": 10, "chunk-0-1.bin": 2}, "v"))
    assert [chunk["chunk_bytes"] for chunk in index["chunks"]] == [52, 20]
    assert index["chunks"][0] == {"filename": "chunk-0-0.bin", "dim": 10, "chunk_size": 1, "chunk_bytes": 52}
    assert index["config"]["data_format"] == ["no_header_numpy:2"]


MANIFEST = {
    "languages": {"de": {"probability": 0.6}, "sw": {"probability": 0.3}, "zh/x": {"probability": 0.1}},
    "files": {
        "de/train-00001.bin": {"bytes": 300},
        "de/train-00000.bin": {"bytes": 100},
        "de/train-00000.idx": {"bytes": 9},
        "de/valid-00001.bin": {"bytes": 8},
        "sw/train-00000.bin": {"bytes": 40},
        "zh%2Fx/train-00000.bin": {"bytes": 4},
    },
}


def test_blend_divides_a_language_among_its_parts():
    assert blend(MANIFEST) == [
        ("de/train-00000", pytest.approx(0.15)),
        ("de/train-00001", pytest.approx(0.45)),
        ("sw/train-00000", pytest.approx(0.3)),
        ("zh%2Fx/train-00000", pytest.approx(0.1)),
    ]
    assert blend(MANIFEST, "valid") == [("de/valid-00001", 1.0)]
    assert blend(MANIFEST, "train", ["zh/x", "sw"]) == [
        ("sw/train-00000", pytest.approx(0.75)),
        ("zh%2Fx/train-00000", pytest.approx(0.25)),
    ]


def test_blend_on_the_command_line():
    assert blend_arguments([("de/train-00000", 0.1 + 0.2)], "/data/tokens/") == ["0.3", "/data/tokens/de/train-00000"]
