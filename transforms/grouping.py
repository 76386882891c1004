"""Grouping of 64-bit keys: which entries are equal, without sorting and without a hash table larger than the cache.

Entries are first split by hash into partitions that fit in the second-level cache; each partition is then grouped with
chains that start at a small table. A key with any number of copies costs the same per copy: only the first entry of a
key is ever linked into a chain.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from cc100.transforms.hashing import mix64

SINGLE = 0
FIRST_OF_SEVERAL = 1
LATER_COPY = 2

MAX_ENTRIES = 2**32 - 1
_PARTITION_ENTRIES = 1 << 14
_MAX_PARTITION_BITS = 11  # more streams than this are slower to write than larger partitions are to group


def read_only(array: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Contiguous read-only view, so that a kernel is compiled once for buffers of Arrow and arrays of NumPy alike.

    Args:
        array: array of any shape.
        dtype: dtype that the kernel expects.

    Returns:
        A view of `array`; a copy where it is not contiguous or of a smaller dtype.

    Raises:
        TypeError: the values do not all fit in `dtype`.
    """
    view = np.ascontiguousarray(np.asarray(array).astype(dtype, casting="safe", copy=False)).view()
    view.flags.writeable = False
    return view


def first_occurrence(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint32]:
    """Finds the first entry with the same key, for every entry.

    Args:
        keys: uint64[m], any values.

    Returns:
        uint32[m]: the smallest `j` with `keys[j] == keys[i]`; `i` itself where the key did not occur before.

    Raises:
        ValueError: more than `MAX_ENTRIES` entries.
    """
    check_entries(len(keys))
    first: npt.NDArray[np.uint32] = first_of_key(read_only(keys, np.uint64))
    return first


def group_runs(digests: npt.NDArray[np.uint64], sources: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Tells for every digest whether other sources have it too, and whether this is the first of them.

    Args:
        digests: uint64[m], the digests of several sources (input files) one after another; a digest occurs at most once
            in a source.
        sources: int64[m], number of the source of every entry, ascending.

    Returns:
        uint8[m]: `SINGLE` (0) where one source only has the digest, `FIRST_OF_SEVERAL` (1) in the smallest source that
        has it, `LATER_COPY` (2) in the others.

    Raises:
        ValueError: the lengths differ, the sources do not ascend, a source has a digest twice, or there are more than
            `MAX_ENTRIES` entries.
    """
    check_entries(len(digests))
    if len(digests) != len(sources):
        raise ValueError(f"{len(digests)} digests but {len(sources)} sources")
    codes, wrong = _group_runs(read_only(digests, np.uint64), read_only(sources, np.int64))
    if wrong >= 0:
        raise ValueError(f"entry {wrong}: its source is out of order or has the digest {digests[wrong]} twice")
    result: npt.NDArray[np.uint8] = codes
    return result


def check_entries(count: int) -> None:
    """Refuses more entries than 32-bit positions can number.

    Raises:
        ValueError: `count` is over `MAX_ENTRIES`.
    """
    if count > MAX_ENTRIES:
        raise ValueError(f"{count} entries in one call, at most {MAX_ENTRIES} can be numbered")


@njit(cache=True, nogil=True)
def first_of_key(keys: np.ndarray) -> np.ndarray:
    """`first_occurrence` for compiled callers, who check the number of entries themselves."""
    bits = 0
    while bits < _MAX_PARTITION_BITS and (_PARTITION_ENTRIES << (bits + 1)) <= len(keys):
        bits += 1
    hashes, positions, bounds = _partition(keys, bits)
    first = np.empty(len(keys), np.uint32)
    largest = np.int64(0)
    for part in range(len(bounds) - 1):
        largest = max(largest, bounds[part + 1] - bounds[part])
    slots = 1
    while slots << bits < len(keys):
        slots *= 2
    shift, mask = np.uint64(32 - bits), np.uint64(slots - 1)
    heads = np.empty(slots, np.uint32)
    following = np.empty(largest, np.uint32)
    for part in range(len(bounds) - 1):
        begin = bounds[part]
        heads[:] = 0  # entries are linked by their number in the partition, from 1; 0 ends a chain
        for entry in range(bounds[part + 1] - begin):
            hashed = hashes[begin + entry]
            slot = (hashed >> shift) & mask
            other = np.int64(heads[slot])
            while other != 0 and hashes[begin + other - 1] != hashed:
                other = np.int64(following[other - 1])
            position = positions[begin + entry]
            if other == 0:
                following[entry] = heads[slot]
                heads[slot] = entry + 1
                first[position] = position
            else:
                first[position] = positions[begin + other - 1]
    return first


@njit(cache=True, nogil=True)
def _partition(keys: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hashes and positions of all entries by the top bits of their hash (stable), and the bounds of the partitions.

    `mix64` is a bijection, so the hashes are equal if and only if the keys are.
    """
    bounds = np.zeros((1 << bits) + 1, np.int64)
    down = np.uint64(63 - bits)  # in two steps, because a shift by 64 is undefined
    for i in range(len(keys)):
        bounds[np.int64((mix64(keys[i]) >> np.uint64(1)) >> down) + 1] += 1
    for part in range(1 << bits):
        bounds[part + 1] += bounds[part]
    cursors = bounds.copy()
    hashes = np.empty(len(keys), np.uint64)
    positions = np.empty(len(keys), np.uint32)
    for i in range(len(keys)):
        hashed = mix64(keys[i])
        part = np.int64((hashed >> np.uint64(1)) >> down)
        cursor = cursors[part]
        hashes[cursor] = hashed
        positions[cursor] = i
        cursors[part] = cursor + 1
    return hashes, positions, bounds


@njit(cache=True, nogil=True)
def _group_runs(digests: np.ndarray, sources: np.ndarray) -> tuple[np.ndarray, int]:
    """Codes of `group_runs`, and the first entry that breaks its rules (-1: none)."""
    first = first_of_key(digests)
    codes = np.zeros(len(first), np.uint8)
    latest = first.copy()  # in the row of a digest's first entry: its latest entry so far
    for i in range(len(first)):
        if i > 0 and sources[i] < sources[i - 1]:
            return codes, i
        begin = np.int64(first[i])
        if begin != i:
            if sources[latest[begin]] == sources[i]:
                return codes, i
            codes[begin] = FIRST_OF_SEVERAL
            codes[i] = LATER_COPY
            latest[begin] = i
    return codes, -1
