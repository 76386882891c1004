"""Token arrays: golden bytes of Megatron's writer, damage by name, a mapped pair."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cc100.shards.errors import DamagedFileError
from cc100.shards.token_arrays import TokenArrays, TokenIndex, read_index

# What megatron-core 0.16.1 writes for documents of 1 and 2 sequences with 4, 3 and 3 int32 tokens.
GOLDEN = bytes.fromhex(
    "4d4d494449445800000100000000000000040300000000000000030000000000000004000000030000000300000000000000000000001000000000000000"
    "1c00000000000000000000000000000001000000000000000300000000000000"
)


def index_of(documents):
    """Index of documents, each a list of lengths."""
    lengths = [length for document in documents for length in document]
    ends = np.cumsum([0] + [len(document) for document in documents], dtype=np.int64)
    return TokenIndex(np.array(lengths, np.int32), ends)


def test_bytes_are_those_of_megatron():
    index = index_of([[4], [3, 3]])
    assert index.to_bytes() == GOLDEN
    assert index.tokens == 10


@given(st.lists(st.lists(st.integers(1, 2**31 - 1), min_size=1), min_size=1))
def test_index_comes_back(documents):
    index = index_of(documents)
    back = read_index(index.to_bytes(), "x.idx")
    assert np.array_equal(back.lengths, index.lengths)
    assert np.array_equal(back.documents, index.documents)
    assert back.tokens == sum(sum(document) for document in documents)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:20], "fewer than its header"),
        (lambda data: data[:-1], "has 93 bytes, not the 94"),
        (lambda data: b"TNTIDX\0\0\0" + data[9:], "MMIDIDX"),
        (lambda data: data[:17] + b"\x09" + data[18:], "type of tokens is 9"),
        (lambda data: data[:34] + b"\0\0\0\0" + data[38:], "without tokens"),
        (lambda data: data[:54] + b"\1" + data[55:], "do not follow"),
        (lambda data: data[:-8] + b"\2" + data[-7:], "do not rise"),
    ],
)
def test_damage_is_named(change, message):
    with pytest.raises(DamagedFileError, match=message) as caught:
        read_index(change(GOLDEN), "tokens/de/train-00000.idx")
    assert "tokens/de/train-00000.idx" in str(caught.value)


def test_a_pair_on_disk(tmp_path):
    prefix = str(tmp_path / "train-00000")
    (tmp_path / "train-00000.idx").write_bytes(GOLDEN)
    (tmp_path / "train-00000.bin").write_bytes(np.arange(10, dtype="<i4").tobytes())
    pair = TokenArrays(prefix)
    assert [pair[i].tolist() for i in range(len(pair))] == [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert pair[-1].tolist() == [7, 8, 9]
    assert pair.document(1).tolist() == [4, 5, 6, 7, 8, 9]
    with pytest.raises(IndexError):
        pair[3]


@pytest.mark.parametrize("size", [0, 36, 44])
def test_a_bin_of_another_size_is_refused(tmp_path, size):
    (tmp_path / "a.idx").write_bytes(GOLDEN)
    (tmp_path / "a.bin").write_bytes(bytes(size))
    with pytest.raises(DamagedFileError, match=f"it has {size} bytes, its index speaks of 40"):
        TokenArrays(str(tmp_path / "a"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DamagedFileError, match=r"nothing\.idx"):
        TokenArrays(str(tmp_path / "nothing"))
