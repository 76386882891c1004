import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from cc100.shards.array_file import ArrayFile, ArrayWriter, pack, unpack
from cc100.shards.errors import DamagedFileError

DTYPES = st.sampled_from(["u1", "i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f4", "<f8"])
ARRAYS = st.dictionaries(
    st.text(min_size=1, max_size=8), npst.arrays(dtype=DTYPES, shape=st.integers(0, 40)), max_size=5
)


@given(ARRAYS)
def test_packed_arrays_come_back(arrays):
    found = unpack(pack(arrays))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].tobytes() == array.tobytes()


@given(ARRAYS)
def test_packing_is_deterministic(arrays):
    assert pack(arrays, {"b": 1, "a": [2]}) == pack(
        {name: array.copy() for name, array in arrays.items()}, {"a": [2], "b": 1}
    )


@given(npst.arrays(np.uint64, st.integers(0, 30)), st.integers(0, 35), st.integers(0, 35))
def test_ranges_can_be_read(array, begin, end):
    file = ArrayFile(io.BytesIO(pack({"x": np.arange(3, dtype=np.uint8), "a": array}, {"note": "ü"})), "f")
    assert file.attributes == {"note": "ü"}
    assert file.length("a") == len(array)
    assert file.read("a", begin, end).tolist() == array[begin:end].tolist()


def test_strided_arrays_are_stored_as_they_read():
    assert unpack(pack({"a": np.arange(10, dtype=np.int64)[::3]}))["a"].tolist() == [0, 3, 6, 9]


def test_golden_bytes():
    expected = (
        b"CC1A\0\0\0\0\x01\0\x02\0\0\0\0\0"
        b'{"arrays": [["a", "u2", 8, 2]], "attributes": {}}' + (49).to_bytes(8, "little") + b"CC1A"
    )
    assert pack({"a": np.array([1, 2], np.uint16)}) == expected


@pytest.mark.parametrize("cut", [0, 5, 11, 20, 60])
def test_a_cut_file_is_named(cut):
    data = pack({"a": np.arange(4, dtype=np.uint64)})
    with pytest.raises(DamagedFileError, match=r"dir/name\.arrays is damaged"):
        ArrayFile(io.BytesIO(data[:cut]), "dir/name.arrays")


def test_a_missing_array_is_named():
    file = ArrayFile(io.BytesIO(pack({})), "name")
    with pytest.raises(DamagedFileError, match="no array 'a'"):
        file.read("a")


def test_only_flat_numbers_can_be_stored():
    with pytest.raises(ValueError, match="one-dimensional"):
        ArrayWriter(io.BytesIO()).add("a", np.zeros((2, 2)))
