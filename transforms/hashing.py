"""64-bit hashes that other kernels call: XXH64 of a byte range, and a bijective mixer of one word.

Both are meant to be called from compiled code; LLVM inlines them there.

Source of XXH64: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md. Source of `mix64`: the finaliser of
SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014; Stafford's variant 13).
"""

import numpy as np
from numba import njit

from cc100.transforms.intrinsics import load32, load64

_PRIME_1 = np.uint64(0x9E3779B185EBCA87)
_PRIME_2 = np.uint64(0xC2B2AE3D27D4EB4F)
_PRIME_3 = np.uint64(0x165667B19E3779F9)
_PRIME_4 = np.uint64(0x85EBCA77C2B2AE63)
_PRIME_5 = np.uint64(0x27D4EB2F165667C5)


@njit(cache=True, nogil=True)
def _rotate_left(x: np.uint64, bits: int) -> np.uint64:
    rotated: np.uint64 = (x << np.uint64(bits)) | (x >> np.uint64(64 - bits))
    return rotated


@njit(cache=True, nogil=True)
def _round(lane: np.uint64, word: np.uint64) -> np.uint64:
    mixed: np.uint64 = _rotate_left(lane + word * _PRIME_2, 31) * _PRIME_1
    return mixed


@njit(cache=True, nogil=True)
def _merge(hashed: np.uint64, lane: np.uint64) -> np.uint64:
    merged: np.uint64 = (hashed ^ _round(np.uint64(0), lane)) * _PRIME_1 + _PRIME_4
    return merged


@njit(cache=True, nogil=True)
def mix64(x: np.uint64) -> np.uint64:
    """Bijection of 64-bit words in which every input bit changes every output bit half of the time.

    Args:
        x: uint64.

    Returns:
        uint64; 0 for 0.
    """
    z = np.uint64(x)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True, nogil=True)
def xxh64(data: np.ndarray, begin: int, end: int, seed: np.uint64) -> np.uint64:
    """XXH64 of `data[begin:end]`.

    Args:
        data: uint8[b], contiguous; the bounds are not checked against it.
        begin: int64, first byte.
        end: int64, one past the last byte; not less than `begin`.
        seed: uint64.

    Returns:
        uint64, the value of `xxhash.xxh64(data[begin:end], seed).intdigest()`.
    """
    start = np.uint64(seed)
    at = np.int64(begin)
    if end - begin >= 32:
        lane_1 = start + _PRIME_1 + _PRIME_2
        lane_2 = start + _PRIME_2
        lane_3 = start
        lane_4 = start - _PRIME_1
        while at + 32 <= end:
            lane_1 = _round(lane_1, load64(data, at))
            lane_2 = _round(lane_2, load64(data, at + 8))
            lane_3 = _round(lane_3, load64(data, at + 16))
            lane_4 = _round(lane_4, load64(data, at + 24))
            at += 32
        hashed = _rotate_left(lane_1, 1) + _rotate_left(lane_2, 7) + _rotate_left(lane_3, 12) + _rotate_left(lane_4, 18)
        hashed = _merge(_merge(_merge(_merge(hashed, lane_1), lane_2), lane_3), lane_4)
    else:
        hashed = start + _PRIME_5
    hashed += np.uint64(end - begin)
    while at + 8 <= end:
        hashed = _rotate_left(hashed ^ _round(np.uint64(0), load64(data, at)), 27) * _PRIME_1 + _PRIME_4
        at += 8
    if at + 4 <= end:
        hashed = _rotate_left(hashed ^ (np.uint64(load32(data, at)) * _PRIME_1), 23) * _PRIME_2 + _PRIME_3
        at += 4
    while at < end:
        hashed = _rotate_left(hashed ^ (np.uint64(data[at]) * _PRIME_5), 11) * _PRIME_1
        at += 1
    hashed = (hashed ^ (hashed >> np.uint64(33))) * _PRIME_2
    hashed = (hashed ^ (hashed >> np.uint64(29))) * _PRIME_3
    digest: np.uint64 = hashed ^ (hashed >> np.uint64(32))
    return digest
