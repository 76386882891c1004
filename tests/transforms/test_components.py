"""Grouping, forests and components against dictionaries and a union-find in plain Python."""

import collections
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cc100.transforms.components import connected_components, star_edges
from cc100.transforms.grouping import FIRST_OF_SEVERAL, LATER_COPY, SINGLE, check_entries, first_occurrence, group_runs
from cc100.transforms.minhash import NO_KEY

EXTREMES = [0, 1, 2**32, 2**40 + 1, 2**63, 2**64 - 1]
NUMBERS = st.sampled_from(EXTREMES) | st.integers(0, 12)
ENTRIES = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=60)


def unsigned(values) -> np.ndarray:
    return np.array(values, np.uint64)


class Forest:
    """Union-find over any values."""

    def __init__(self) -> None:
        self.parent: dict[int, int] = {}

    def root(self, node: int) -> int:
        self.parent.setdefault(node, node)
        while self.parent[node] != node:
            node = self.parent[node]
        return node

    def join(self, a: int, b: int) -> bool:
        a, b = self.root(a), self.root(b)
        self.parent[max(a, b)] = min(a, b)  # so that a root is the smallest of its component
        return a != b

    def components(self) -> dict[int, int]:
        return {node: self.root(node) for node in sorted(self.parent)}


def connected_slowly(edges) -> dict[int, int]:
    forest = Forest()
    for a, b in edges:
        forest.join(a, b)
    return forest.components()


def all_pairs(keys, nodes):
    groups = collections.defaultdict(list)
    for key, node in zip(keys, nodes, strict=True):
        if key != NO_KEY:
            groups[key].append(node)
    return [(a, b) for group in groups.values() for a in group for b in group if a != b]


def check_forest(keys, nodes) -> np.ndarray:
    edges = star_edges(unsigned(keys), unsigned(nodes))
    assert edges.dtype == np.uint64
    forest = Forest()
    assert all(forest.join(a, b) for a, b in edges.tolist()), "an edge closes a circle"
    assert forest.components() == connected_slowly(all_pairs(keys, nodes))
    return edges


# --- Grouping -----------------------------------------------------------------------------------------------------------


@given(st.lists(NUMBERS, max_size=80))
def test_first_occurrence(keys):
    assert first_occurrence(unsigned(keys)).tolist() == [keys.index(key) for key in keys]


@pytest.mark.parametrize("distinct", [1, 100, 30_000, 10**9])
@pytest.mark.parametrize("step", [1, 2**40, 2**53])
def test_first_occurrence_in_many_partitions(distinct, step):
    keys = np.random.default_rng(distinct).integers(0, distinct, 100_000, dtype=np.uint64) * np.uint64(step)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    np.testing.assert_array_equal(first_occurrence(keys), first[inverse])


@given(st.lists(st.sets(NUMBERS), max_size=8))
def test_group_runs(sources):
    entries = [(digest, source) for source, digests in enumerate(sources) for digest in sorted(digests)]
    counts = collections.Counter(digest for digest, _ in entries)
    seen, expected = set(), []
    for digest, _ in entries:
        expected.append(SINGLE if counts[digest] == 1 else LATER_COPY if digest in seen else FIRST_OF_SEVERAL)
        seen.add(digest)
    codes = group_runs(
        unsigned([digest for digest, _ in entries]), np.array([source for _, source in entries], np.int64)
    )
    assert codes.dtype == np.uint8
    assert codes.tolist() == expected


def test_group_runs_of_many_entries():
    random = np.random.default_rng(2)
    files = [np.unique(random.integers(0, 60_000, 20_000, dtype=np.uint64)) for _ in range(6)]
    digests, sources = np.concatenate(files), np.repeat(np.arange(6, dtype=np.uint32), [len(file) for file in files])
    _, first, inverse, counts = np.unique(digests, return_index=True, return_inverse=True, return_counts=True)
    is_first = first[inverse] == np.arange(len(digests))
    expected = np.where(counts[inverse] == 1, SINGLE, np.where(is_first, FIRST_OF_SEVERAL, LATER_COPY))
    np.testing.assert_array_equal(group_runs(digests, sources), expected)


@pytest.mark.parametrize(
    ("digests", "sources", "entry"),
    [([5, 6], [1, 0], 1), ([5, 5], [0, 0], 1), ([5, 5, 6, 5], [0, 1, 1, 1], 3), ([5, 5, 6, 5], [0, 1, 2, 1], 3)],
)
def test_group_runs_refuses(digests, sources, entry):
    with pytest.raises(ValueError, match=f"entry {entry}:"):
        group_runs(unsigned(digests), np.array(sources, np.int64))


def test_lengths():
    with pytest.raises(ValueError, match="2 digests but 1 sources"):
        group_runs(unsigned([1, 2]), np.array([1]))
    with pytest.raises(ValueError, match="2 keys but 1 nodes"):
        star_edges(unsigned([1, 2]), unsigned([1]))
    with pytest.raises(ValueError, match="shape"):
        connected_components(unsigned([1, 2]))
    with pytest.raises(ValueError, match="at most"):
        check_entries(2**32)


# --- Forests and components ---------------------------------------------------------------------------------------------


@given(ENTRIES)
def test_star_edges_are_a_spanning_forest(entries):
    edges = check_forest([key for key, _ in entries], [node for _, node in entries])
    assert len(edges) < max(len({node for _, node in entries}), 1)


@given(ENTRIES, st.randoms(use_true_random=False))
def test_order_of_entries_changes_no_component(entries, random):
    shuffled = random.sample(entries, len(entries))
    results = [
        star_edges(unsigned([k for k, _ in some]), unsigned([n for _, n in some])) for some in (entries, shuffled)
    ]
    assert connected_slowly(results[0].tolist()) == connected_slowly(results[1].tolist())


def test_star_edges_of_many_entries():
    random = np.random.default_rng(3)
    nodes = np.repeat(np.arange(5000, dtype=np.uint64) << np.uint64(40), 20)
    keys = random.integers(1, 2**63, len(nodes), dtype=np.uint64)
    shared = random.random(len(nodes)) < 0.02
    keys[shared] = random.integers(1, 1000, shared.sum())
    check_forest(keys.tolist(), nodes.tolist())


def test_no_key_joins_nobody():
    assert len(star_edges(unsigned([NO_KEY] * 9), unsigned(range(9)))) == 0
    assert len(star_edges(unsigned([5] * 9), unsigned([7] * 9))) == 0
    assert len(star_edges(unsigned([]), unsigned([]))) == 0


def test_a_hot_key_is_linear():
    nodes = np.arange(1_000_000, dtype=np.uint64)
    star_edges(unsigned([1]), unsigned([1]))
    begin = time.process_time()
    edges = star_edges(np.full(len(nodes), 7, np.uint64), nodes)
    assert len(edges) == len(nodes) - 1
    assert set(edges[:, 0].tolist()) == {0}
    assert time.process_time() - begin < 5  # pair by pair it would be hours


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=40))
def test_connected_components(edges):
    nodes, components = connected_components(unsigned(edges).reshape(-1, 2))
    assert nodes.dtype == components.dtype == np.uint64
    assert list(zip(nodes.tolist(), components.tolist(), strict=True)) == list(connected_slowly(edges).items())


@pytest.mark.parametrize("nodes", [1000, 60_000, 200_000])
def test_components_of_many_edges(nodes):
    random = np.random.default_rng(nodes)
    files, ordinals = random.integers(0, 9, nodes, dtype=np.uint64), random.integers(0, 2**20, nodes, dtype=np.uint64)
    ids = files << np.uint64(40) | ordinals
    edges = ids[random.integers(0, nodes, (60_000, 2))]
    found, components = connected_components(edges)
    assert dict(zip(found.tolist(), components.tolist(), strict=True)) == connected_slowly(edges.tolist())
    assert (np.diff(found.astype(np.int64)) > 0).all()


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
def test_a_long_chain_is_one_component(order):
    chain = np.stack([np.arange(300_000), np.arange(1, 300_001)], axis=1).astype(np.uint64)
    if order == "descending":
        chain = chain[::-1]
    elif order == "shuffled":
        chain = chain[np.random.default_rng(4).permutation(len(chain))]
    nodes, components = connected_components(chain)
    assert len(nodes) == 300_001
    assert not components.any()
