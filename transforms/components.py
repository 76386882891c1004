"""Candidate pairs as a graph: edges of each bucket of band keys, and the connected components of all edges.

Components only say which paragraphs must be decided together (see `greedy`); they remove nobody. Both functions join
nodes in a union-find whose elements are positions in the input, numbered by `grouping.first_of_key`.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cc100.transforms.grouping import check_entries, first_of_key
from cc100.transforms.intrinsics import frozen
from cc100.transforms.minhash import NO_KEY

_DIGIT_BITS = 11


def star_edges(keys: NDArray[np.uint64], nodes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Edges that connect all nodes that share a key, directly or through others, and no more edges than needed.

    The entries of one key are joined to the first of them (a star), never pair by pair; an edge between nodes that
    earlier edges connect already is left out.

    Args:
        keys: uint64[m], band keys; entries with `minhash.NO_KEY` are ignored.
        nodes: uint64[m], the paragraph id of each entry.

    Returns:
        uint64[e, 2]: a spanning forest of the graph in which entries with equal keys are neighbours; fewer edges than
        distinct nodes. Which of the possible forests depends on the order of the entries.

    Raises:
        ValueError: the lengths differ, or there are more entries than `grouping.MAX_ENTRIES`.
    """
    if len(keys) != len(nodes):
        raise ValueError(f"{len(keys)} keys but {len(nodes)} nodes")
    check_entries(len(keys))
    edges: NDArray[np.uint64] = _star_edges(frozen(keys, np.uint64), frozen(nodes, np.uint64))
    return edges


def connected_components(
    edges: NDArray[np.uint64],
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Component of every node of a graph.

    Args:
        edges: uint64[e, 2]; loops and repeated edges do no harm.

    Returns:
        uint64[v], the distinct nodes, ascending; and uint64[v], the smallest node of the component of each.

    Raises:
        ValueError: `edges` has not two columns, or more than half of `grouping.MAX_ENTRIES` rows.
    """
    if edges.ndim != 2 or edges.shape[1] != 2:
        raise ValueError(f"edges of shape {edges.shape}, expected (e, 2)")
    check_entries(edges.size)
    nodes, components = _connected_components(frozen(edges, np.uint64).reshape(-1))
    return nodes, components


@njit(cache=True, nogil=True)
def _star_edges(keys: NDArray[np.uint64], nodes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    entries, centres = _stars(keys, first_of_key(keys))
    members = nodes[entries]
    joined = _join(centres, np.arange(len(entries)).astype(np.uint32), first_of_key(members))[1]
    edges = np.empty((len(joined), 2), np.uint64)
    for i in range(len(joined)):
        edges[i, 0] = members[centres[joined[i]]]
        edges[i, 1] = members[joined[i]]
    return edges


@njit(cache=True, nogil=True)
def _connected_components(ends: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """`connected_components` of edges whose two ends follow each other."""
    first = first_of_key(ends)
    left = np.arange(0, len(ends), 2).astype(np.uint32)
    roots = _join(left, left + np.uint32(1), first)[0]
    nodes, roots = _sort_by_node(*_distinct(ends, first, roots))
    return nodes, _smallest(nodes, roots, len(ends))


@njit(cache=True, nogil=True)
def _stars(keys: NDArray[np.uint64], first: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Entries whose key occurs several times, and for each the place of its key's first entry among these."""
    shared = np.zeros(len(keys), np.bool_)
    count = 0
    for i in range(len(keys)):
        begin = np.int64(first[i])
        if begin != i and keys[i] != NO_KEY:
            count += 1 if shared[begin] else 2
            shared[begin] = shared[i] = True
    places = np.empty(len(keys), np.uint32)
    entries = np.empty(count, np.uint32)
    centres = np.empty(count, np.uint32)
    count = 0
    for i in range(len(keys)):
        if shared[i]:
            places[i] = count
            entries[count] = i
            centres[count] = places[first[i]]
            count += 1
    return entries, centres


@njit(cache=True, nogil=True)
def _root(parents: NDArray[np.uint32], element: np.int64) -> np.int64:
    """Root of an element's tree; halves the path on the way."""
    root = np.int64(element)
    while np.int64(parents[root]) != root:
        parents[root] = parents[parents[root]]
        root = np.int64(parents[root])
    return root


@njit(cache=True, nogil=True)
def _join(
    left: NDArray[np.uint32], right: NDArray[np.uint32], first: NDArray[np.uint32]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Joins element `left[i]` with `right[i]` for every i, in order; `first` makes elements equal from the start.

    Returns the root of every element, and the numbers i that joined two trees.
    """
    parents = first.copy()
    joined = np.empty(len(left), np.uint32)
    count = 0
    for i in range(len(left)):
        a, b = _root(parents, np.int64(left[i])), _root(parents, np.int64(right[i]))
        if a != b:
            parents[max(a, b)] = min(a, b)
            joined[count] = i
            count += 1
    for element in range(len(parents)):  # parents precede their children, so that theirs are roots by now
        parents[element] = parents[parents[element]]
    return parents, joined[:count].copy()


@njit(cache=True, nogil=True)
def _distinct(
    ends: NDArray[np.uint64], first: NDArray[np.uint32], roots: NDArray[np.uint32]
) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    """Every node once, in order of its first end, and its root."""
    count = 0
    for i in range(len(first)):
        count += first[i] == i
    nodes = np.empty(count, np.uint64)
    its_root = np.empty(count, np.uint32)
    count = 0
    for i in range(len(first)):
        if first[i] == i:
            nodes[count] = ends[i]
            its_root[count] = roots[i]
            count += 1
    return nodes, its_root


@njit(cache=True, nogil=True)
def _sort_by_node(
    nodes: NDArray[np.uint64], roots: NDArray[np.uint32]
) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    """Radix sort of (node, root) by node; digits that are the same in all nodes cost no pass."""
    digits = (64 + _DIGIT_BITS - 1) // _DIGIT_BITS
    mask = np.uint64((1 << _DIGIT_BITS) - 1)
    counts = np.zeros((digits, 1 << _DIGIT_BITS), np.int64)
    for i in range(len(nodes)):
        for digit in range(digits):
            counts[digit, (nodes[i] >> np.uint64(digit * _DIGIT_BITS)) & mask] += 1
    other_nodes, other_roots = np.empty_like(nodes), np.empty_like(roots)
    for digit in range(digits):
        if counts[digit].max() == len(nodes):
            continue
        cursors = np.cumsum(counts[digit]) - counts[digit]
        for i in range(len(nodes)):
            value = (nodes[i] >> np.uint64(digit * _DIGIT_BITS)) & mask
            other_nodes[cursors[value]] = nodes[i]
            other_roots[cursors[value]] = roots[i]
            cursors[value] += 1
        nodes, other_nodes = other_nodes, nodes
        roots, other_roots = other_roots, roots
    return nodes, roots


@njit(cache=True, nogil=True)
def _smallest(nodes: NDArray[np.uint64], roots: NDArray[np.uint32], elements: int) -> NDArray[np.uint64]:
    """Smallest node of every node's component; the nodes ascend."""
    unset = np.uint32(0xFFFFFFFF)
    heads = np.full(elements, unset, np.uint32)  # in the row of a root: the row of its component's smallest node
    components = np.empty_like(nodes)
    for i in range(len(nodes)):
        if heads[roots[i]] == unset:
            heads[roots[i]] = i
        components[i] = nodes[heads[roots[i]]]
    return components
