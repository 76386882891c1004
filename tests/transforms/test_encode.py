"""Encoding: which pages are set aside, how pages are picked out of token arrays."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cc100.transforms.encode import select_pages, valid_pages


@given(st.lists(st.text(max_size=40), max_size=50), st.sampled_from([0.0, 0.001, 0.3, 0.49]))
def test_validation_pages_are_those_of_plain_python(record_ids, fraction):
    expected = []
    for record_id in record_ids:
        head = int.from_bytes(hashlib.sha256(record_id.encode()).digest()[:8], "big")
        expected.append((head >> 11) * 2.0**-53 < fraction)
    assert valid_pages(record_ids, fraction).tolist() == expected


def test_the_share_of_validation_pages_is_the_fraction():
    names = [f"urn:uuid:{number}" for number in range(20_000)]
    share = valid_pages(names, 0.05).mean()
    assert share == pytest.approx(0.05, abs=0.006)
    assert not valid_pages(names, 0.0).any()
    assert np.all(valid_pages(names, 0.1) >= valid_pages(names, 0.05)), "a larger fraction only adds pages"


pages_of_lengths = st.lists(st.tuples(st.booleans(), st.lists(st.integers(1, 4), min_size=1, max_size=4)), max_size=12)


@given(pages_of_lengths)
def test_pages_are_picked_with_all_they_have(pages):
    lengths = np.array([length for _, page in pages for length in page], np.int32)
    tokens = np.arange(lengths.sum(), dtype=np.int32)
    sizes = np.array([len(page) for _, page in pages], np.int64)
    wanted = np.array([is_wanted for is_wanted, _ in pages], np.bool_)
    expected_tokens, expected_lengths, at = [], [], 0
    for is_wanted, page in pages:
        if is_wanted:
            expected_tokens += range(at, at + sum(page))
            expected_lengths += page
        at += sum(page)
    got_tokens, got_lengths, got_sizes = select_pages(tokens, lengths, sizes, wanted)
    assert got_tokens.tolist() == expected_tokens
    assert got_lengths.tolist() == expected_lengths
    assert got_sizes.tolist() == [len(page) for is_wanted, page in pages if is_wanted]
