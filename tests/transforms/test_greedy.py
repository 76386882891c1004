"""The greedy decision against plain Python sets, and its invariants by themselves."""

import random
import time

import numpy as np
import plain
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cc100.transforms.components import connected_components, star_edges
from cc100.transforms.greedy import Decisions, decide
from cc100.transforms.minhash import NO_KEY, Signer
from cc100.transforms.shingles import shingle_sets

UNLIMITED = 2**40

SETS = st.frozensets(st.integers(0, 9), max_size=10)
ROWS = st.lists(st.tuples(st.integers(1, 3), SETS, st.lists(st.integers(0, 4), min_size=3, max_size=3)), max_size=30)
THRESHOLDS = st.sampled_from([0.1, 0.3, 0.5, 2 / 3, 0.75, 0.8, 0.9, 1.0])


def packed(sets) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *(len(one) for one in sets)], dtype=np.int64)
    return offsets, np.array([h for one in sets for h in sorted(one)], np.uint64)


def run(components, keys, sets, threshold, limit=UNLIMITED) -> Decisions:
    bands = len(keys[0]) if len(keys) else 1
    return decide(
        np.array(components, np.uint64), np.array(keys, np.uint64).reshape(-1, bands), *packed(sets), threshold, limit
    )


def decide_slowly(components, keys, sets, threshold, limit):
    """Keeper (-1: none), similarity and whether it was capped, for every row."""
    buckets: dict[tuple[int, int], list[int]] = {}
    decisions = []
    for row, own in enumerate(sets):
        mine = [(components[row], key) for key in keys[row] if key != NO_KEY]
        candidates = list(dict.fromkeys(kept for bucket in mine for kept in buckets.get(bucket, [])))
        decision = (-1, 0.0, len(candidates) > limit)
        for kept in candidates[:limit]:
            similarity = plain.jaccard(own, sets[kept])
            if similarity >= threshold:
                decision = (kept, similarity, False)
                break
        decisions.append(decision)
        if decision[0] < 0:
            for bucket in dict.fromkeys(mine):
                buckets.setdefault(bucket, []).append(row)
    return decisions


def as_rows(decisions: Decisions) -> list[tuple[int, float, bool]]:
    return list(zip(decisions.keeper.tolist(), decisions.jaccard.tolist(), decisions.capped.tolist(), strict=True))


def check_invariants(components, keys, sets, threshold, decisions: Decisions) -> None:
    """A kept set is the greedy one if and only if these hold: no reference is needed."""
    kept = decisions.keeper < 0
    for row, keeper in enumerate(decisions.keeper.tolist()):
        if keeper >= 0:
            assert keeper < row
            assert kept[keeper], "a removed paragraph removes nobody"
            assert components[keeper] == components[row]
            assert set(keys[keeper]) & set(keys[row]) - {NO_KEY}
            assert decisions.jaccard[row] == plain.jaccard(sets[row], sets[keeper]) >= threshold
            continue
        assert decisions.jaccard[row] == 0
        for other in range(row):
            if kept[other] and components[other] == components[row] and set(keys[other]) & set(keys[row]) - {NO_KEY}:
                assert plain.jaccard(sets[row], sets[other]) < threshold, "two similar paragraphs are kept"


@given(ROWS, THRESHOLDS, st.sampled_from([1, 2, 3, UNLIMITED]))
def test_decisions(rows, threshold, limit):
    rows.sort(key=lambda row: row[0])
    components, sets, keys = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    decisions = run(components, keys, sets, threshold, limit)
    assert as_rows(decisions) == decide_slowly(components, keys, sets, threshold, limit)
    if limit == UNLIMITED:
        assert not decisions.capped.any()
        check_invariants(components, keys, sets, threshold, decisions)


@given(st.lists(SETS, max_size=40), THRESHOLDS)
def test_with_one_bucket_for_all_it_is_the_greedy_result_over_all_pairs(sets, threshold):
    kept: list[int] = []
    expected = []
    for row, own in enumerate(sets):
        expected.append(next((k for k in kept if plain.jaccard(own, sets[k]) >= threshold), -1))
        if expected[-1] < 0:
            kept.append(row)
    decisions = run([5] * len(sets), [[1, 2]] * len(sets), sets, threshold)
    assert decisions.keeper.tolist() == expected


@given(ROWS, THRESHOLDS, st.randoms(use_true_random=False))
def test_order_of_the_input_changes_nothing(rows, threshold, shuffler):
    def removed(some) -> dict:
        some = sorted(some)
        ids, columns = [row[1] for row in some], [[row[k] for row in some] for k in (0, 2, 3)]
        decisions = run(columns[0], columns[2], columns[1], threshold)
        return {ids[row]: ids[keeper] for row, keeper in enumerate(decisions.keeper.tolist()) if keeper >= 0}

    named = [(component, i, own, keys) for i, (component, own, keys) in enumerate(rows)]
    assert removed(named) == removed(shuffler.sample(named, len(named)))


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.floats(0.01, 1))
def test_similarity_at_the_threshold(common, left, right, threshold):
    sets = [set(range(common + left)), set(range(common)) | set(range(1000, 1000 + right))]
    exact = plain.jaccard(*sets)
    for bound in (threshold, exact, np.nextafter(exact, 2), np.nextafter(exact, -1)):
        if 0 < bound <= 1:
            assert as_rows(run([1, 1], [[1], [1]], sets, bound))[1][:2] == ((0, exact) if exact >= bound else (-1, 0.0))


def test_paragraphs_without_shingles_stay():
    decisions = run([1] * 4, [[NO_KEY, NO_KEY]] * 4, [set()] * 4, 0.8)
    assert decisions.keeper.tolist() == [-1] * 4
    assert run([1] * 4, [[3, 3]] * 4, [set()] * 4, 0.8).keeper.tolist() == [-1] * 4


def test_keeper_is_found_in_order_of_bands_then_of_rows():
    sets = [{1, 2, 3, 4}, {1, 2, 3, 5}, {1, 2, 3, 6}, {1, 2, 3}]
    keys = [[1, 9], [2, 8], [3, 8], [4, 8]]
    assert run([1] * 4, keys, sets, 0.7).keeper.tolist() == [-1, -1, -1, 1]
    assert run([1] * 4, [*keys[:3], [3, 8]], sets, 0.7).keeper.tolist() == [-1, -1, -1, 2]


def test_a_chain_where_each_is_similar_to_the_next_only():
    count, bands = 100_000, 20
    shingles = np.random.default_rng(5).integers(0, 2**63, count + 9, dtype=np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(
        shingles, 10
    )  # 9 of 11 in common with the next, 8 of 12 after it
    keys = np.random.default_rng(6).integers(2**32, 2**64, (count, bands), dtype=np.uint64)
    keys[:, 0] = np.arange(count) // 2 + 1  # a link of the chain lies in one of two bands
    keys[:, 1] = (np.arange(count) + 1) // 2 + 1 + 2**31
    hashes = np.sort(windows, axis=1).ravel()
    run([1], [[1]], [{1}], 0.8)  # compiles
    begin = time.process_time()
    decisions = decide(np.zeros(count, np.uint64), keys, np.arange(count + 1) * 10, hashes, 0.8, 4096)
    assert time.process_time() - begin < 5  # takes some 0.1 s
    assert decisions.keeper.tolist() == [-1 if row % 2 == 0 else row - 1 for row in range(count)]


def test_near_identical_paragraphs_cost_one_comparison_each():
    count, size = 100_000, 60
    generator = np.random.default_rng(7)
    rows = np.tile(np.arange(size, dtype=np.uint64) * 1000, (count, 1))
    rows[np.arange(count), generator.integers(0, size, count)] += generator.integers(1, 1000, count, dtype=np.uint64)
    keys = np.tile(np.arange(1, 21, dtype=np.uint64), (count, 1))
    offsets = np.arange(count + 1) * size
    run([1], [[1]], [{1}], 0.8)  # compiles
    begin = time.process_time()
    decisions = decide(np.zeros(count, np.uint64), keys, offsets, rows.ravel(), 0.8, 4096)
    assert time.process_time() - begin < 2  # takes some 0.03 s
    assert decisions.keeper[0] == -1
    assert not decisions.keeper[1:].any()
    assert (decisions.jaccard[1:] > 0.93).all()


def test_the_cap_bounds_a_bucket_of_dissimilar_paragraphs():
    count, limit = 5000, 64
    sets = [range(10 * row, 10 * row + 10) for row in range(count)] + [range(10 * 63, 10 * 63 + 10), range(640, 650)]
    decisions = run([1] * (count + 2), [[1] * 20] * (count + 2), sets, 0.8, limit)
    assert decisions.capped[:-2].tolist() == [row > limit for row in range(count)]
    assert as_rows(decisions)[-2:] == [(63, 1.0, False), (-1, 0.0, True)]
    assert (decisions.keeper[:-2] == -1).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": 0.0}, "threshold"),
        ({"threshold": 1.1}, "threshold"),
        ({"max_comparisons": 0}, "expected at least 1"),
        ({"keys": np.ones((1, 2), np.uint64)}, "keys of shape"),
        ({"offsets": np.array([0, 1])}, "2 offsets"),
        ({"offsets": np.array([0, 2, 1])}, "ascend"),
        ({"offsets": np.array([0, 1, 9])}, "ascend"),
        ({"offsets": np.array([-1, 1, 2])}, "ascend"),
    ],
)
def test_wrong_arguments(change, message):
    good = {
        "components": np.zeros(2, np.uint64), "keys": np.ones((2, 2), np.uint64), "offsets": np.array([0, 1, 2]),
        "hashes": np.array([1, 2], np.uint64), "threshold": 0.8, "max_comparisons": 9,
    }  # fmt: skip
    decide(**good)
    with pytest.raises(ValueError, match=message):
        decide(**good | change)


def test_from_text_to_decisions():
    generator = random.Random(8)
    words = [f"w{i}" for i in range(400)]
    originals = [" ".join(generator.choices(words, k=generator.randint(0, 60))) for _ in range(60)]
    texts = []
    for _ in range(400):
        parts = generator.choice(originals).split()
        for _ in range(generator.choice([0, 0, 1, 2])):
            if parts:
                parts[generator.randrange(len(parts))] = generator.choice(words)
        texts.append(" ".join(parts))
    check_texts(texts, 0.8)


def test_real_paragraphs(shared_data):
    table = pq.read_table(shared_data / "truth" / "paragraph_sample.parquet")
    for language in ("en", "ja", "ru"):
        texts = [
            text
            for text, lang in zip(*table.select(["text", "lang"]).to_pydict().values(), strict=True)
            if lang == language
        ]
        check_texts(texts[:1000], 0.8)


def check_texts(texts: list[str], threshold: float) -> None:
    """Signs, joins and decides about paragraphs of one group, and checks the invariants on sets of strings."""
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)
    spans = np.frombuffer(b"".join(encoded), np.uint8), ends - [len(text) for text in encoded], ends
    keys = Signer(threshold=threshold).band_keys(*spans, np.zeros(len(texts), np.uint64)).keys
    nodes, components = connected_components(
        star_edges(keys.ravel(), np.repeat(np.arange(len(texts), dtype=np.uint64), 20))
    )
    order = np.lexsort((nodes, components))
    rows = nodes[order].astype(np.int64)
    sets = shingle_sets(spans[0], spans[1][rows], spans[2][rows])
    decisions = decide(components[order], keys[rows], sets.offsets, sets.hashes, threshold, 4096)
    assert (decisions.keeper >= 0).any()
    strings = [plain.shingles(texts[row]) for row in rows]
    check_invariants(components[order].tolist(), keys[rows].tolist(), strings, threshold, decisions)
    assert all(strings), "paragraphs without a shingle are no candidates"
