"""Exact deduplication, kernels: the distinct normalised forms of a file, and which copy is elected among its own."""

import dataclasses
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt

from cc100.shards.records import FATE_EMPTY, FATE_EXACT_DUPLICATE, FATE_KEPT, FATE_PAGE_REJECTED

NO_FORM = np.uint32(0xFFFFFFFF)
"""Form number of a paragraph whose normalised form is empty."""

Array = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Forms:
    """Distinct normalised forms of a file, in order of digest.

    Attributes:
        digests: uint64[f], ascending.
        first: uint32[f], ordinal of the first paragraph with the form.
        form: uint32[n], number of every paragraph's form; NO_FORM where it is empty.
    """

    digests: Array
    first: Array
    form: Array


def number_forms(digests: Array) -> Forms:
    """Number the forms of a file's paragraphs.

    Args:
        digests: uint64[n] in order of ordinal, n < 2^31; 0 for an empty normalised form.

    Returns:
        The forms.
    """
    if len(digests) >= 2**31:
        raise ValueError(f"a file holds {len(digests)} paragraphs, at most {2**31 - 1} can be numbered")
    form, first = _number_in_order(digests)
    distinct = digests[first]
    order = np.argsort(distinct)
    rank = np.empty(len(order) + 1, np.uint32)
    rank[order] = np.arange(len(order), dtype=np.uint32)
    rank[-1] = NO_FORM  # number -1 below
    return Forms(distinct[order], first[order], rank[form])


@nb.njit(cache=True, nogil=True)
def _number_in_order(digests: Array) -> tuple[Array, Array]:
    """Numbers of forms in order of occurrence (-1: empty), and their first ordinals; open addressing by the low bits."""
    n = len(digests)
    bits = 4
    while (1 << bits) < 2 * n:
        bits += 1
    mask = np.uint64((1 << bits) - 1)
    table = np.full(1 << bits, -1, np.int32)
    form = np.empty(n, np.int32)
    first = np.empty(n, np.uint32)
    count = 0
    for i in range(n):
        digest = digests[i]
        if digest == 0:
            form[i] = -1
            continue
        slot = digest & mask
        while True:
            k = table[slot]
            if k < 0:
                table[slot] = count
                first[count] = i
                form[i] = count
                count += 1
                break
            if digests[first[k]] == digest:
                form[i] = k
                break
            slot = (slot + np.uint64(1)) & mask
    return form, first[:count].copy()


def range_index(sorted_values: Array, ranges: int) -> Array:
    """Begin of each range of equal high bits in ascending uint64 values: uint64[ranges + 1]; `ranges` is a power of two."""
    borders = np.arange(ranges, dtype=np.uint64) << np.uint64(65 - ranges.bit_length())
    return np.append(np.searchsorted(sorted_values, borders), len(sorted_values)).astype(np.uint64)


def elect_in_file(form: Array, accepted: Array, forms: int) -> Array:
    """Fate of every paragraph as far as its own file decides it.

    Args:
        form: uint32[n], form numbers (NO_FORM: empty).
        accepted: bool[n], whether the paragraph's page was kept.
        forms: number of distinct forms.

    Returns:
        uint8[n]: FATE_EMPTY, FATE_PAGE_REJECTED, FATE_KEPT for the first accepted copy, FATE_EXACT_DUPLICATE for later ones.
    """
    return _elect_in_file(form, accepted, forms)


@nb.njit(cache=True, nogil=True)
def _elect_in_file(form: Array, accepted: Array, forms: int) -> Array:
    seen = np.zeros(forms, np.bool_)
    fate = np.empty(len(form), np.uint8)
    for i in range(len(form)):
        if form[i] == NO_FORM:
            fate[i] = FATE_EMPTY
        elif not accepted[i]:
            fate[i] = FATE_PAGE_REJECTED
        elif seen[form[i]]:
            fate[i] = FATE_EXACT_DUPLICATE
        else:
            seen[form[i]] = True
            fate[i] = FATE_KEPT
    return fate
