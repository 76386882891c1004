"""Signatures against datasketch, band keys against the same in plain Python."""

import pickle

import datasketch
import numpy as np
import plain
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cc100.transforms.minhash import BANDED, EQUAL_SET, NO_KEY, NO_SHINGLE, Signer
from cc100.transforms.shingles import shingle_sets

WORD = 2**64 - 1
STEP = 0x9E3779B97F4A7C15

TOKENS = st.sampled_from(["a", "b", "of", "the", "слово", "ninetyone", "中", "文", "字"])
PARAGRAPHS = st.lists(st.lists(TOKENS, max_size=40).map(" ".join), min_size=1, max_size=6)
SIGNERS = st.builds(
    Signer,
    bands=st.integers(1, 9),
    rows=st.integers(1, 7),
    shingle_length=st.integers(1, 6),
    threshold=st.sampled_from([0.3, 0.5, 0.75, 0.8, 0.9, 0.97, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)


def spans(paragraphs: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    encoded = [text.encode() for text in paragraphs]
    ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)
    return np.frombuffer(b"".join(encoded), np.uint8), ends - [len(text) for text in encoded], ends


def hash_sets(paragraphs: list[str], length: int) -> list[list[int]]:
    sets = shingle_sets(*spans(paragraphs), length)
    return [part.tolist() for part in np.split(sets.hashes, sets.offsets[1:-1])]


def sketch(hashes: list[int], signer: Signer) -> list[int]:
    minhash = datasketch.MinHash(signer.bands * signer.rows, seed=signer.seed, hashfunc=lambda h: h & 0xFFFFFFFF)
    minhash.update_batch(hashes)
    return minhash.hashvalues.tolist()


def mixed(x: int) -> int:
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & WORD
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & WORD
    return x ^ (x >> 31)


def key_of(seed: int, words: list[int]) -> int:
    for word in words:
        seed = (mixed(seed ^ word) + STEP) & WORD
    return seed or 1


def band_keys(hashes: list[int], signer: Signer, seed: int) -> list[int]:
    """Band keys of a shingle set in plain Python."""
    if not hashes:
        return [NO_KEY] * signer.bands
    if len(hashes) / (len(hashes) + 1) < signer.threshold:
        key = key_of(seed, [sum(mixed(h ^ STEP) for h in hashes) & WORD, len(hashes)])
        return [key] + [NO_KEY] * (signer.bands - 1)
    signature = sketch(hashes, signer)
    keys = []
    for band in range(signer.bands):
        rows = signature[band * signer.rows : (band + 1) * signer.rows]
        words = [low | high << 32 for low, high in zip(rows[::2], rows[1::2] + [0] * (signer.rows % 2), strict=True)]
        keys.append(key_of(seed + (band + 1) * STEP & WORD, words))
    return keys


@given(PARAGRAPHS, SIGNERS)
def test_signatures_are_those_of_datasketch(paragraphs, signer):
    signatures = signer.signatures(*spans(paragraphs))
    assert signatures.dtype == np.uint32
    assert signatures.tolist() == [sketch(hashes, signer) for hashes in hash_sets(paragraphs, signer.shingle_length)]


@given(PARAGRAPHS, SIGNERS, st.lists(st.integers(0, WORD), min_size=6, max_size=6))
def test_band_keys(paragraphs, signer, seeds):
    result = signer.band_keys(*spans(paragraphs), np.array(seeds[: len(paragraphs)], np.uint64))
    sets = hash_sets(paragraphs, signer.shingle_length)
    expected = [band_keys(hashes, signer, seed) for hashes, seed in zip(sets, seeds, strict=False)]
    assert result.keys.tolist() == expected
    least = signer.smallest_banded
    kinds = [NO_SHINGLE if not hashes else EQUAL_SET if len(hashes) < least else BANDED for hashes in sets]
    assert result.kinds.tolist() == kinds


@pytest.mark.parametrize("permutations", [1, 100, 112, 120, 126, 128, 130, 256])
def test_numbers_of_permutations_around_vectors(permutations):
    signer = Signer(bands=permutations, rows=1)
    texts = [" ".join(f"w{i * i % 97}" for i in range(n)) for n in range(4, 40)]
    assert signer.signatures(*spans(texts)).tolist() == [sketch(hashes, signer) for hashes in hash_sets(texts, 5)]


@pytest.mark.parametrize("threshold", [1e-9, 0.1, 0.5, 0.6, 2 / 3, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99, 0.999])
def test_smallest_banded(threshold):
    least = Signer(threshold=threshold).smallest_banded
    assert least == next(n for n in range(1, 10_000) if n / (n + 1) >= threshold)


def test_only_equal_sets_reach_one():
    text = " ".join(f"w{i * i % 1009}" for i in range(3000))
    signer = Signer(threshold=1.0)
    shifted = " ".join(text.split()[1009:] + text.split()[:1009])
    result = signer.band_keys(
        *spans([text, text + " " + text[: len(text) // 2], text + " new", shifted]), np.zeros(4, np.uint64)
    )
    assert result.kinds.tolist() == [EQUAL_SET] * 4
    sets = [set(hashes) for hashes in hash_sets([text, text + " " + text[: len(text) // 2], text + " new", shifted], 5)]
    for i in range(4):
        for k in range(4):
            assert (result.keys[i, 0] == result.keys[k, 0]) == (sets[i] == sets[k])


def test_short_paragraphs_of_a_group_share_a_key_only_with_equal_sets():
    texts = ["a b c d e", "a b c d e ", "a\tb c d e", "a b c d f", "a b c d e f", "a b c d", "", "中文字文中"]
    result = Signer().band_keys(*spans(texts), np.array([7] * 8, np.uint64))
    first = result.keys[:, 0].tolist()
    assert first[0] == first[1] == first[2] != NO_KEY
    assert len(set(first)) == 5
    assert result.keys[5:7].tolist() == [[NO_KEY] * 20] * 2
    assert (result.keys[:, 1:] == NO_KEY).all()
    other = Signer().band_keys(*spans(texts), np.array([8] * 8, np.uint64))
    assert not set(first) & set(other.keys[:, 0].tolist()) - {NO_KEY}


def test_bands_and_groups_never_share_a_key():
    texts = ["the same text in both of two languages that is long enough"] * 2
    keys = Signer().band_keys(*spans(texts), np.array([1, 2], np.uint64)).keys
    assert len(np.unique(keys)) == 40


def test_signers_travel_and_compare():
    signer = Signer(bands=14, rows=8, seed=3)
    assert pickle.loads(pickle.dumps(signer)) == signer
    assert signer.permutations.shape == (2, 112)
    np.testing.assert_array_equal(signer.permutations, datasketch.MinHash(112, seed=3).permutations)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(signer)).permutations, signer.permutations)


@pytest.mark.parametrize(
    "wrong",
    [
        {"bands": 0},
        {"rows": 0},
        {"shingle_length": 0},
        {"threshold": 0.0},
        {"threshold": 1.01},
        {"seed": -1},
        {"seed": 2**32},
    ],
)
def test_numbers_out_of_range(wrong):
    with pytest.raises(ValueError, match=r"expected"):
        Signer(**wrong)


def test_wrong_lengths():
    with pytest.raises(ValueError, match="1 paragraphs but 2 group seeds"):
        Signer().band_keys(*spans(["a"]), np.zeros(2, np.uint64))


def test_real_paragraphs(shared_data):
    table = pq.read_table(shared_data / "truth" / "paragraph_sample.parquet")
    texts = table["text"].to_pylist()
    signer = Signer()
    signatures = signer.signatures(*spans(texts))
    sets = hash_sets(texts, 5)
    for i in range(0, len(texts), 40):
        assert signatures[i].tolist() == sketch(sets[i], signer)
    languages = table["lang"].to_pylist()
    seeds = np.array([int.from_bytes(name.encode(), "little") for name in languages], np.uint64)
    keys = signer.band_keys(*spans(texts), seeds).keys
    pairs = pq.read_table(shared_data / "truth" / "paragraph_pairs.parquet").to_pylist()
    listed = [(pair["para_a"], pair["para_b"]) for pair in pairs]
    near = [(a, b) for a, b in listed if plain.jaccard(plain.shingles(texts[a]), plain.shingles(texts[b])) >= 0.8]
    found = [np.intersect1d(keys[a], keys[b]).any() for a, b in near]
    assert len(near) > 250
    assert np.mean(found) >= 0.98
