"""The draw: keyed by paragraph id and seed alone, against plain Python and published values of splitmix64."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cc100.tokenizer.sampling import SHARE_DIGITS, copies, sampling_rates, shares, uniform

IDS = st.lists(st.integers(0, 2**64 - 1), max_size=40)
SEEDS = st.integers(0, 2**63 - 1)
RATES = st.one_of(st.floats(0, 1), st.floats(0, 7), st.sampled_from([0.0, 1.0, 2.0, 5.0, 0.5, 1.5, 0.1, 1e-12]))


def finalised(number: int) -> int:
    """One value of splitmix64, in Python's unbounded integers."""
    number %= 2**64
    number = (number ^ number // 2**30) * 0xBF58476D1CE4E5B9 % 2**64
    number = (number ^ number // 2**27) * 0x94D049BB133111EB % 2**64
    return number ^ number // 2**31


def plain_uniform(number: int, seed: int) -> Fraction:
    return Fraction(finalised(number + (seed + 1) * 0x9E3779B97F4A7C15) // 2**11, 2**53)


def plain_copies(number: int, rate: float, seed: int) -> int:
    whole = math.floor(rate)
    return whole + (plain_uniform(number, seed) < Fraction(rate) - whole)


def array(ids) -> np.ndarray:
    return np.array(ids, np.uint64)


@pytest.mark.parametrize(
    ("seed", "value"),
    [(0, 0xE220A8397B1DCDAF), (1, 0x6E789E6AA1B965F4), (2, 0x06C45D188009454F), (3, 0xF88BB8A8724C81EC)],
)
def test_published_values_of_splitmix64(seed, value):
    """The generator's first values from the state 0 are those of id 0 with the seeds 0, 1, 2, 3."""
    assert finalised((seed + 1) * 0x9E3779B97F4A7C15) == value
    assert uniform(array([0]), seed).tolist() == [(value >> 11) * 2.0**-53]


@given(IDS, SEEDS)
def test_uniform(ids, seed):
    drawn = uniform(array(ids), seed)
    assert drawn.dtype == np.float64
    assert [Fraction(number) for number in drawn.tolist()] == [plain_uniform(number, seed) for number in ids]


@given(IDS, RATES, SEEDS)
def test_copies(ids, rate, seed):
    drawn = copies(array(ids), rate, seed)
    assert drawn.dtype == np.int32
    assert drawn.tolist() == [plain_copies(number, rate, seed) for number in ids]


@given(st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=40), RATES, SEEDS, st.randoms(use_true_random=False))
def test_draw_is_keyed_by_the_id_alone(ids, rate, seed, rng):
    """A paragraph's copies are the same in any order and in any company."""
    whole = dict(zip(ids, copies(array(ids), rate, seed).tolist(), strict=True))
    some = [number for number in ids if rng.random() < 0.5]
    rng.shuffle(some)
    assert copies(array(some), rate, seed).tolist() == [whole[number] for number in some]


@given(IDS, st.floats(0, 5), st.floats(0, 5), SEEDS)
def test_a_higher_rate_takes_no_fewer(ids, one, other, seed):
    low, high = sorted([one, other])
    assert np.all(copies(array(ids), low, seed) <= copies(array(ids), high, seed))


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0, 1.25, 2.75, 4.0])
@pytest.mark.parametrize("seed", [0, 1, 77])
def test_average(rate, seed):
    """Ids of neighbouring paragraphs of a file differ in their low bits only."""
    n = 200_000
    drawn = copies(np.arange(n, dtype=np.uint64) + np.uint64(5 << 40), rate, seed)
    whole = math.floor(rate)
    assert set(drawn.tolist()) == ({whole, whole + 1} if rate > whole else {whole})
    assert abs(drawn.sum() - rate * n) <= 5 * math.sqrt(n * (rate - whole) * (1 - rate + whole))


def test_another_seed_draws_others():
    ids = np.arange(10_000, dtype=np.uint64)
    one, other = copies(ids, 0.5, 0), copies(ids, 0.5, 1)
    assert 0.4 < np.mean(one == other) < 0.6


@given(
    st.dictionaries(st.text("abc", min_size=1), st.integers(1, 10**9), min_size=1),
    st.floats(0, 1),
    st.integers(1, 10**9),
    st.integers(1, 9),
)
def test_rates(counts, alpha, target, max_repeats):
    share = shares(counts, alpha)
    rates = sampling_rates(counts, share, target, max_repeats)
    assert sum(share.values()) == pytest.approx(1)
    assert list(rates) == list(share) == sorted(counts)
    for code, rate in rates.items():
        assert 0 < rate <= max_repeats
        assert rate in (float(max_repeats), target * share[code] / counts[code])
        assert counts[code] * rate <= target * share[code] * (1 + 1e-12)


def test_small_languages_may_be_repeated():
    """At alpha 0 and a target of 1,000 each language is due 500: a 5th of 2,500, and 5 copies of 100 or what is allowed."""
    counts = {"big": 2500, "small": 100}
    share = shares(counts, 0)
    assert sampling_rates(counts, share, 1000, 1) == {"big": 0.2, "small": 1.0}
    assert sampling_rates(counts, share, 1000, 3) == {"big": 0.2, "small": 3.0}
    assert sampling_rates(counts, share, 1000, 100) == {"big": 0.2, "small": 5.0}
    assert sampling_rates(counts, share, 1010, 100)["small"] == pytest.approx(5.05)


def test_shares_are_rounded():
    """The last bits of `pow` differ between processors, and the manifest must not."""
    found = shares({"a": 1, "b": 2, "c": 0}, 0.3)
    assert found["c"] == 0
    exact = 2**0.3 / (1 + 2**0.3)
    assert found["b"] == float(f"{exact:.{SHARE_DIGITS}g}") != exact
    assert list(shares({"b": 3, "a": 3}, 0.7).items()) == [("a", 0.5), ("b", 0.5)]
