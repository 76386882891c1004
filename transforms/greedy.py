"""Which paragraphs of a component go as near duplicates: greedy in order of id, every removal verified.

A paragraph is removed if and only if a kept one before it shares a band key with it and has a Jaccard similarity of at
least the threshold. Removed paragraphs are never compared with, so that nothing goes because it resembles something
that went (no chaining), and a bucket of near-identical paragraphs costs one comparison for each.
"""

import dataclasses

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cc100.transforms.hashing import mix64
from cc100.transforms.intrinsics import frozen
from cc100.transforms.minhash import NO_KEY

_MAX_KEYS = 2**30


@dataclasses.dataclass(frozen=True)
class Decisions:
    """What becomes of n paragraphs.

    Attributes:
        keeper: int64[n], row of the kept paragraph in whose favour this one is removed; -1: it stays.
        jaccard: float64[n], their Jaccard similarity; 0 where the paragraph stays.
        capped: bool[n], the paragraph stays because it was compared as often as allowed, and more was left to compare.
    """

    keeper: NDArray[np.int64]
    jaccard: NDArray[np.float64]
    capped: NDArray[np.bool_]


def decide(
    components: NDArray[np.uint64],
    keys: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    threshold: float,
    max_comparisons: int,
) -> Decisions:
    """Decides about the paragraphs of any number of components.

    A paragraph is compared with the kept paragraphs of its buckets, bucket by bucket in order of the columns of `keys`
    and, in a bucket, in order of the rows; with none of them twice; until one is similar enough.

    Args:
        components: uint64[n], component of every paragraph; rows with equal values follow each other, and in a
            component the paragraphs come by id. Rows of different components are never compared.
        keys: uint64[n, bands], band keys; `minhash.NO_KEY` is no bucket.
        offsets: int64[n + 1]; the shingles of row i are `hashes[offsets[i]:offsets[i + 1]]`.
        hashes: uint64[offsets[n]], shingle hashes, ascending and distinct in every row.
        threshold: the least Jaccard similarity of near duplicates, above 0 and at most 1.
        max_comparisons: comparisons for one paragraph, at least 1.

    Returns:
        The decisions. Similarities are `len(a & b) / len(a | b)` in float64, and compared as such.

    Raises:
        ValueError: lengths or offsets do not fit together, there are more than 2 ** 30 keys, or a number is out of its
            range.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold {threshold}, expected a number above 0 and at most 1")
    if max_comparisons < 1:
        raise ValueError(f"at most {max_comparisons} comparisons, expected at least 1")
    components, keys = frozen(components, np.uint64), frozen(keys, np.uint64)
    offsets, hashes = frozen(offsets, np.int64), frozen(hashes, np.uint64)
    rows = len(components)
    if keys.ndim != 2 or len(keys) != rows or len(offsets) != rows + 1:
        raise ValueError(f"{rows} components but keys of shape {keys.shape} and {len(offsets)} offsets")
    if keys.size > _MAX_KEYS:
        raise ValueError(f"{keys.size} band keys in one call, at most {_MAX_KEYS} can be numbered")
    if offsets[0] < 0 or offsets[-1] > len(hashes) or (np.diff(offsets) < 0).any():
        raise ValueError(f"offsets that do not ascend from 0 to at most {len(hashes)}")
    return Decisions(*_decide(components, keys, offsets, hashes, float(threshold), max_comparisons))


@njit(cache=True, nogil=True)
def _decide(
    components: NDArray[np.uint64],
    keys: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    threshold: float,
    max_comparisons: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    rows, bands = keys.shape
    keeper, jaccard, capped = np.full(rows, -1, np.int64), np.zeros(rows), np.zeros(rows, np.bool_)
    compared = np.full(rows, -1, np.int64)  # the last row that each kept row was compared with
    largest, shift = _largest_component(components), _row_shift(bands)
    lasts = np.empty(_slots(largest * bands), np.int32)
    following = np.empty(largest << shift, np.int32)
    begin = 0
    while begin < rows:
        end = begin + 1
        while end < rows and components[end] == components[begin]:
            end += 1
        mask = np.uint64(_slots((end - begin) * bands) - 1)
        lasts[: np.int64(mask) + 1] = -1
        for row in range(begin, end):
            keeper[row], jaccard[row], capped[row] = _find_keeper(
                row, begin, keys, offsets, hashes, threshold, max_comparisons, lasts, following, mask, compared
            )
            if keeper[row] < 0 and row + 1 < end:
                _join_buckets(row, begin, keys, lasts, following, mask)
        begin = end
    return keeper, jaccard, capped


@njit(cache=True, nogil=True)
def _largest_component(components: NDArray[np.uint64]) -> int:
    largest, begin = 0, 0
    for row in range(len(components)):
        if components[row] != components[begin]:
            begin = row
        largest = max(largest, row - begin + 1)
    return largest


@njit(cache=True, nogil=True)
def _row_shift(bands: int) -> int:
    """Number of bits for a column: memberships are split into row and column without a division."""
    shift = 0
    while (1 << shift) < bands:
        shift += 1
    return shift


@njit(cache=True, nogil=True)
def _slots(entries: int) -> int:
    """Size of a hash table for so many entries: a power of two, at least half as many again."""
    slots = 2
    while slots < entries + entries // 2:
        slots *= 2
    return slots


@njit(cache=True, nogil=True)
def _slot(key: np.uint64, begin: int, keys: NDArray[np.uint64], lasts: NDArray[np.int32], mask: np.uint64) -> np.uint64:
    """Slot of a bucket, or the empty one where it belongs.

    A bucket is a ring of memberships. Membership `m = i << _row_shift(bands) | band` is that of row `begin + i` through
    column `band` of `keys`; `lasts[slot]` is the latest membership of a bucket (-1: none) and `following[m]` the next
    one after m, the first one after the latest.
    """
    shift = _row_shift(keys.shape[1])
    slot: np.uint64 = mix64(key) & mask
    while lasts[slot] >= 0 and keys[begin + (lasts[slot] >> shift), lasts[slot] & ((1 << shift) - 1)] != key:
        slot = (slot + np.uint64(1)) & mask
    return slot


@njit(cache=True, nogil=True)
def _join_buckets(
    row: int,
    begin: int,
    keys: NDArray[np.uint64],
    lasts: NDArray[np.int32],
    following: NDArray[np.int32],
    mask: np.uint64,
) -> None:
    """Appends a kept row to each of its buckets, once."""
    shift = _row_shift(keys.shape[1])
    for band in range(keys.shape[1]):
        if keys[row, band] == NO_KEY:
            continue
        slot = _slot(keys[row, band], begin, keys, lasts, mask)
        last, membership = lasts[slot], (row - begin) << shift | band
        if last < 0:
            following[membership] = membership
        elif last >> shift == row - begin:
            continue
        else:
            following[membership] = following[last]
            following[last] = membership
        lasts[slot] = membership


@njit(cache=True, nogil=True)
def _find_keeper(
    row: int,
    begin: int,
    keys: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    threshold: float,
    max_comparisons: int,
    lasts: NDArray[np.int32],
    following: NDArray[np.int32],
    mask: np.uint64,
    compared: NDArray[np.int64],
) -> tuple[int, float, bool]:
    """First kept row that is similar enough (-1: none), the similarity, and whether the search was cut short."""
    shift = _row_shift(keys.shape[1])
    comparisons = 0
    for band in range(keys.shape[1]):
        if keys[row, band] == NO_KEY:
            continue
        last = lasts[_slot(keys[row, band], begin, keys, lasts, mask)]
        membership = last
        while last >= 0:
            membership = following[membership]
            kept = begin + (membership >> shift)
            if compared[kept] != row:
                if comparisons == max_comparisons:
                    return -1, 0.0, True
                comparisons += 1
                compared[kept] = row
                similarity = _jaccard(
                    hashes, offsets[kept], offsets[kept + 1], offsets[row], offsets[row + 1], threshold
                )
                if similarity >= threshold:
                    return kept, similarity, False
            if membership == last:
                break
    return -1, 0.0, False


@njit(cache=True, nogil=True)
def _jaccard(hashes: NDArray[np.uint64], a: int, a_end: int, b: int, b_end: int, threshold: float) -> float:
    """Jaccard similarity of two ascending runs of hashes; 0 where it is below the threshold."""
    both = a_end - a + b_end - b
    if both == 0:
        return 0.0
    # The least number of common hashes that reaches the threshold, in the very arithmetic of the result.
    needed = max(int(threshold * both / (1 + threshold)) - 1, 0)
    while needed < both - needed and needed / (both - needed) < threshold:
        needed += 1
    common = 0
    while common + min(a_end - a, b_end - b) >= needed and a < a_end and b < b_end:
        left, right = hashes[a], hashes[b]
        common += left == right
        a += left <= right
        b += right <= left
    return common / (both - common) if common >= needed else 0.0
