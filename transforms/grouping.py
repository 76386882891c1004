"""Grouping of 64-bit keys: which entries are equal, without sorting and without a hash table larger than the cache.

Entries are first split by hash into partitions that fit in the second-level cache; each partition is then grouped with
chains that start at a small table. A key with any number of copies costs the same per copy: only the first entry of a
key is ever linked into a chain.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cc100.transforms.hashing import mix64
from cc100.transforms.intrinsics import frozen

SINGLE = 0
FIRST_OF_SEVERAL = 1
LATER_COPY = 2

MAX_ENTRIES = 2**32 - 1
_PARTITION_ENTRIES = 1 << 14
_MAX_PARTITION_BITS = 11  # more streams than this are slower to write than larger partitions are to group


def first_occurrence(keys: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Finds the first entry with the same key, for every entry.

    Args:
        keys: uint64[m], any values.

    Returns:
        uint32[m]: the smallest `j` with `keys[j] == keys[i]`; `i` itself where the key did not occur before.

    Raises:
        ValueError: more than `MAX_ENTRIES` entries.
    """
    check_entries(len(keys))
    first: NDArray[np.uint32] = first_of_key(frozen(keys, np.uint64))
    return first


def group_runs(digests: NDArray[np.uint64], sources: NDArray[np.int64]) -> NDArray[np.uint8]:
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
    codes, wrong = _group_runs(frozen(digests, np.uint64), frozen(sources, np.int64))
    if wrong >= 0:
        raise ValueError(f"entry {wrong}: its source is out of order or has the digest {digests[wrong]} twice")
    result: NDArray[np.uint8] = codes
    return result


def check_entries(count: int) -> None:
    """Refuses more entries than 32-bit positions can number.

    Raises:
        ValueError: `count` is over `MAX_ENTRIES`.
    """
    if count > MAX_ENTRIES:
        raise ValueError(f"{count} entries in one call, at most {MAX_ENTRIES} can be numbered")


@njit(cache=True, nogil=True)
def first_of_key(keys: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """`first_occurrence` for compiled callers, who check the number of entries themselves."""
    bits = 0
    while bits < _MAX_PARTITION_BITS and (_PARTITION_ENTRIES << (bits + 1)) <= len(keys):
        bits += 1
    hashes, positions, bounds = _partition(keys, bits)
    first = np.empty(len(keys), np.uint32)
    largest = 0
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
def _partition(keys: NDArray[np.uint64], bits: int) -> tuple[NDArray[np.uint64], NDArray[np.uint32], NDArray[np.int64]]:
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
        into = np.int64((hashed >> np.uint64(1)) >> down)
        cursor = cursors[into]
        hashes[cursor] = hashed
        positions[cursor] = i
        cursors[into] = cursor + 1
    return hashes, positions, bounds


@njit(cache=True, nogil=True)
def _group_runs(digests: NDArray[np.uint64], sources: NDArray[np.int64]) -> tuple[NDArray[np.uint8], int]:
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
