"""All pairs of similar shingle sets, without MinHash: what bands.py measures recall against."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from cc100.transforms.decide import span_positions
from cc100.transforms.shingles import ShingleSets

_PAIRS_AT_ONCE = 4_000_000

Array = npt.NDArray[Any]


def similar_pairs(sets: ShingleSets, groups: Array, threshold: float) -> tuple[Array, Array]:
    """All pairs of one group with a Jaccard similarity of at least the threshold, without MinHash.

    A prefix-filter join: two sets of at least this similarity share t of the larger one's n shingles, t = ceil(threshold
    * n), so that with all shingles in one order they share one of the first n - t + 1 of each. Rare shingles come first,
    so that few pairs meet. Source: Chaudhuri, Ganti, Kaushik, "A primitive operator for similarity joins in data
    cleaning", 2006; Xiao et al., "Efficient similarity joins for near duplicate detection", 2008.

    Args:
        sets: sets of n paragraphs; equal hashes are taken for equal shingles.
        groups: uint64[n].
        threshold: above 0, at most 1.

    Returns:
        int64[k], int64[k]: rows i < j of each pair, by (j, i).
    """
    sizes = np.diff(sets.offsets)
    rows = len(sizes)
    owner = np.repeat(np.arange(rows), sizes)
    shingle, ranks = _by_rarity(sets.hashes ^ groups[owner])  # so that groups seldom meet
    members = np.sort(owner * ranks + shingle)
    position = np.arange(len(members)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    in_prefix = position <= sizes[owner] - np.ceil(threshold * sizes[owner] - 1e-9)
    owner, shingle, position = owner[in_prefix], members[in_prefix] % ranks, position[in_prefix]
    # Entries of one shingle side by side by size: partners of an entry are the next ones up to size / threshold.
    widest = int(sizes.max(initial=0)) + 1
    place = shingle * widest + sizes[owner]
    order = np.argsort(place, kind="stable")
    owner, place, position = owner[order], place[order], position[order]
    size = sizes[owner]
    largest = np.minimum(np.floor(size / threshold + 1e-9).astype(np.int64), widest - 1)
    ends = np.searchsorted(place, place - size + largest, side="right")
    found = [np.empty(0, np.int64)]
    for left, right in pairs_up_to(ends):
        # At their first common shingle, what is left of both must hold as many as the threshold asks for.
        rest = np.minimum(size[left] - position[left], size[right] - position[right])
        enough = rest * (1 + threshold) >= threshold * (size[left] + size[right]) - 1e-6
        enough &= groups[owner[left]] == groups[owner[right]]
        a, b = owner[left[enough]], owner[right[enough]]
        found.append(np.unique(np.minimum(a, b) * rows + np.maximum(a, b)))
    pairs = np.unique(np.concatenate(found))
    low, high = pairs // rows, pairs % rows
    common = _common(members, sizes, ranks, low, high)
    near = common / np.maximum(sizes[low] + sizes[high] - common, 1) >= threshold
    low, high = low[near], high[near]
    order = np.lexsort((low, high))
    return low[order], high[order]


def _by_rarity(values: Array) -> tuple[Array, int]:
    """Number of every value, 0 for the rarest, and how many numbers there are."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    number = np.empty(len(counts), np.int64)
    number[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    return number[inverse], max(len(counts), 1)


def pairs_up_to(ends: Array) -> Iterator[tuple[Array, Array]]:
    """All pairs of positions i < j < ends[i], some millions at a time."""
    lengths = np.maximum(ends - np.arange(1, len(ends) + 1), 0)
    for begin, end in _chunks(lengths):
        left = np.arange(begin, end)
        yield np.repeat(left, lengths[begin:end]), span_positions(left + 1, lengths[begin:end])


def _chunks(lengths: Array) -> Iterator[tuple[int, int]]:
    """Consecutive ranges of rows with some millions of elements together."""
    begins = np.flatnonzero(np.diff((np.cumsum(lengths) - lengths) // _PAIRS_AT_ONCE, prepend=-1))
    return itertools.pairwise([*begins.tolist(), len(lengths)])


def _common(members: Array, sizes: Array, ranks: int, a: Array, b: Array) -> Array:
    """Number of shingles that the sets a[i] and b[i] share; `members` is owner * ranks + shingle, ascending."""
    begins = np.cumsum(sizes) - sizes
    small, large = np.where(sizes[a] <= sizes[b], a, b), np.where(sizes[a] <= sizes[b], b, a)
    result = np.zeros(len(a), np.int64)
    for begin, end in _chunks(sizes[small]):
        lengths = sizes[small[begin:end]]
        pair = np.repeat(np.arange(begin, end), lengths)
        wanted = members[span_positions(begins[small[begin:end]], lengths)] % ranks + large[pair] * ranks
        at = np.minimum(np.searchsorted(members, wanted), len(members) - 1)
        result[begin:end] = np.bincount(pair[members[at] == wanted] - begin, minlength=end - begin)
    return result
