"""MinHash band keys of paragraphs, in one pass over their UTF-8 bytes.

The signature is that of `datasketch.MinHash(num_perm=bands * rows, seed=seed)` (version 2, scheme `affine32`:
https://github.com/ekzhu/datasketch/blob/master/datasketch/minhash.py), bit for bit, when its hash function gives the
low 32 bits of the hashes in `shingles`. A band key stands for the rows of one band and the group of the paragraph (its
language), so that two paragraphs of a group are a candidate pair if and only if they have a key in common.

A set of n shingles that is not equal to another has a Jaccard similarity of at most n / (n + 1) with it. Where that is
below the threshold, only equal sets can match, and one key, the hash of the set, takes the place of all bands.
"""

import bisect
import dataclasses
import functools

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cc100.transforms.hashing import mix64
from cc100.transforms.intrinsics import frozen
from cc100.transforms.shingles import checked_length, checked_spans, shingle_buffers, shingle_hashes

NO_KEY = 0
"""Key of a band that a paragraph has no part in; it never makes a candidate pair."""

NO_SHINGLE = 0
EQUAL_SET = 1
BANDED = 2

_EMPTY = np.uint32(0xFFFFFFFF)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_UNROLLED = 4


@dataclasses.dataclass(frozen=True)
class BandKeys:
    """Band keys of n paragraphs.

    Attributes:
        keys: uint64[n, bands]; `NO_KEY` where a paragraph has no part in a band.
        kinds: uint8[n]: `NO_SHINGLE` (0), all keys are `NO_KEY`; `EQUAL_SET` (1), the set is so small that only an
            equal one reaches the threshold, and column 0 is its hash; `BANDED` (2), one key per band.
    """

    keys: NDArray[np.uint64]
    kinds: NDArray[np.uint8]


@dataclasses.dataclass(frozen=True)
class Signer:
    """Signs paragraphs: shingles, MinHash and bands.

    Attributes:
        bands: number of bands.
        rows: rows (permutations) of a band.
        shingle_length: words or code points in a shingle.
        threshold: the least Jaccard similarity of near duplicates, above 0 and at most 1.
        seed: of the permutations, 0 to 2 ** 32 - 1.

    Raises:
        ValueError: a number is out of its range.
    """

    bands: int = 20
    rows: int = 6
    shingle_length: int = 5
    threshold: float = 0.8
    seed: int = 1

    def __post_init__(self) -> None:
        checked_length(self.shingle_length)
        if self.bands < 1 or self.rows < 1:
            raise ValueError(f"{self.bands} bands of {self.rows} rows, expected at least 1 of 1")
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold {self.threshold}, expected a number above 0 and at most 1")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed {self.seed}, expected 0 to {2**32 - 1}")

    @functools.cached_property
    def permutations(self) -> NDArray[np.uint32]:
        """uint32[2, bands * rows]: multipliers and addends of `affine32`, drawn in datasketch's order."""
        generator = np.random.RandomState(self.seed)
        count = self.bands * self.rows
        multipliers = generator.randint(0, 1 << 31, count, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
        addends = generator.randint(0, 1 << 32, count, dtype=np.uint32)
        return frozen(np.stack([multipliers, addends]), np.uint32)

    @functools.cached_property
    def smallest_banded(self) -> int:
        """Number of shingles from which a paragraph is banded: the least n with n / (n + 1) >= threshold."""
        return 1 + bisect.bisect_left(range(1, 2**53), True, key=lambda n: n / (n + 1) >= self.threshold)

    def band_keys(
        self,
        text: NDArray[np.uint8],
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        group_seeds: NDArray[np.uint64],
    ) -> BandKeys:
        """Band keys of paragraphs.

        Args:
            text: uint8[b], valid UTF-8.
            starts: int64[n], first byte of every paragraph in `text`.
            ends: int64[n], one past its last byte.
            group_seeds: uint64[n], a hash of the group (language) of every paragraph; keys of different groups differ.

        Returns:
            The keys, `bands` per paragraph.

        Raises:
            ValueError: a span reaches out of `text` or ends before it starts, or the lengths differ.
        """
        text, starts, ends = checked_spans(text, starts, ends)
        if len(group_seeds) != len(starts):
            raise ValueError(f"{len(starts)} paragraphs but {len(group_seeds)} group seeds")
        seeds = frozen(group_seeds, np.uint64)
        least, length = self.smallest_banded, self.shingle_length
        return BandKeys(*_band_keys(text, starts, ends, seeds, self.permutations, self.bands, length, least))

    def signatures(
        self, text: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> NDArray[np.uint32]:
        """MinHash signatures of paragraphs.

        Args:
            text: uint8[b], valid UTF-8.
            starts: int64[n], first byte of every paragraph in `text`.
            ends: int64[n], one past its last byte.

        Returns:
            uint32[n, bands * rows], datasketch's `hashvalues`; 2 ** 32 - 1 throughout for an empty set.

        Raises:
            ValueError: a span reaches out of `text` or ends before it starts.
        """
        spans = checked_spans(text, starts, ends)
        signatures: NDArray[np.uint32] = _signatures(*spans, self.permutations, self.shingle_length)
        return signatures


@njit(cache=True, nogil=True)
def _band_keys(
    text: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    seeds: NDArray[np.uint64],
    permutations: NDArray[np.uint32],
    bands: int,
    length: int,
    least: int,
) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    classes, tokens, points = shingle_buffers(starts, ends)
    low_bits = np.empty(len(tokens) + _UNROLLED, np.uint32)
    signatures = np.empty((1, permutations.shape[1]), np.uint32)
    slots = 2
    while slots < 2 * min(least, len(tokens)):
        slots *= 2
    table, stamps = np.empty(slots, np.uint64), np.zeros(slots, np.int64)
    keys = np.full((len(starts), bands), np.uint64(NO_KEY), np.uint64)
    kinds = np.zeros(len(starts), np.uint8)
    for row in range(len(starts)):
        count = shingle_hashes(text, starts[row], ends[row], length, classes, tokens, points)
        if count == 0:
            continue
        distinct, set_sum = _distinct(tokens, count, least, table, stamps, row + 1)
        if distinct < least:
            kinds[row] = EQUAL_SET
            keys[row, 0] = _some_key(_extend(_extend(seeds[row], set_sum), np.uint64(distinct)))
        else:
            kinds[row] = BANDED
            _sign(tokens, count, permutations, low_bits, signatures, 0)
            _write_band_keys(signatures, seeds[row], keys, row)
    return keys, kinds


@njit(cache=True, nogil=True)
def _signatures(
    text: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    permutations: NDArray[np.uint32],
    length: int,
) -> NDArray[np.uint32]:
    classes, tokens, points = shingle_buffers(starts, ends)
    low_bits = np.empty(len(tokens) + _UNROLLED, np.uint32)
    signatures = np.empty((len(starts), permutations.shape[1]), np.uint32)
    for row in range(len(starts)):
        count = shingle_hashes(text, starts[row], ends[row], length, classes, tokens, points)
        _sign(tokens, count, permutations, low_bits, signatures, row)
    return signatures


@njit(cache=True, nogil=True)
def _distinct(
    hashes: NDArray[np.uint64], size: int, enough: int, table: NDArray[np.uint64], stamps: NDArray[np.int64], stamp: int
) -> tuple[int, np.uint64]:
    """Number of distinct ones of the first `size` hashes, counted up to `enough`, and the sum of their mixed values.

    `table` is a hash table of a power of two slots, at least twice as many as hashes can be counted; a slot is taken
    if `stamps` has the caller's own `stamp` there.
    """
    mask = np.uint64(len(table) - 1)
    count, total = 0, np.uint64(0)
    for i in range(size):
        slot = hashes[i] & mask
        while stamps[slot] == stamp and table[slot] != hashes[i]:
            slot = (slot + np.uint64(1)) & mask
        if stamps[slot] != stamp:
            stamps[slot], table[slot] = stamp, hashes[i]
            total += mix64(hashes[i] ^ _STEP)
            count += 1
            if count == enough:
                break
    return count, total


@njit(cache=True, nogil=True)
def _sign(
    hashes: NDArray[np.uint64],
    count: int,
    permutations: NDArray[np.uint32],
    low_bits: NDArray[np.uint32],
    signatures: NDArray[np.uint32],
    row: int,
) -> None:
    """Writes the MinHash signature of `count` shingle hashes to a row: the least value of every permutation.

    Four hashes go through all permutations at once, so that the signature is read and written once for all four; the
    last hash fills up the last four, which changes no minimum.
    """
    for k in range(signatures.shape[1]):
        signatures[row, k] = _EMPTY
    if count == 0:
        return
    for i in range(count):
        low_bits[i] = _scramble(np.uint32(hashes[i]))
    for i in range(count, count + _UNROLLED):
        low_bits[i] = low_bits[count - 1]
    for i in range(0, count, _UNROLLED):
        h0, h1, h2, h3 = low_bits[i], low_bits[i + 1], low_bits[i + 2], low_bits[i + 3]
        for k in range(signatures.shape[1]):
            a, b = permutations[0, k], permutations[1, k]
            v0, v1 = np.uint32(np.uint32(a * h0) + b), np.uint32(np.uint32(a * h1) + b)
            v2, v3 = np.uint32(np.uint32(a * h2) + b), np.uint32(np.uint32(a * h3) + b)
            signatures[row, k] = min(signatures[row, k], min(min(v0, v1), min(v2, v3)))


@njit(cache=True, nogil=True)
def _scramble(x: np.uint32) -> np.uint32:
    """MurmurHash3's 32-bit finaliser, which datasketch puts before the permutations."""
    x = np.uint32(np.uint32(x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    x = np.uint32(np.uint32(x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return np.uint32(x ^ (x >> np.uint32(16)))


@njit(cache=True, nogil=True)
def _write_band_keys(signatures: NDArray[np.uint32], seed: np.uint64, keys: NDArray[np.uint64], paragraph: int) -> None:
    """Writes the hash of (seed, band number, rows of the band) for every band; two rows are mixed in at a time."""
    bands = keys.shape[1]
    rows = signatures.shape[1] // bands
    for band in range(bands):
        hashed = seed + np.uint64(band + 1) * _STEP
        begin = band * rows
        for row in range(begin, begin + rows - 1, 2):
            hashed = _extend(hashed, np.uint64(signatures[0, row]) | np.uint64(signatures[0, row + 1]) << np.uint64(32))
        if rows % 2:
            hashed = _extend(hashed, np.uint64(signatures[0, begin + rows - 1]))
        keys[paragraph, band] = _some_key(hashed)


@njit(cache=True, nogil=True)
def _extend(hashed: np.uint64, word: np.uint64) -> np.uint64:
    extended: np.uint64 = mix64(hashed ^ word) + _STEP
    return extended


@njit(cache=True, nogil=True)
def _some_key(hashed: np.uint64) -> np.uint64:
    """The hash as a key: `NO_KEY` is given to no band."""
    return hashed if hashed != NO_KEY else np.uint64(1)
