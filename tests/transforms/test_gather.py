import itertools

from hypothesis import given
from hypothesis import strategies as st

from cc100.transforms.gather import cut_parts, cut_rows


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 60))
def test_parts_keep_order_and_limit(sizes, limit):
    cuts = cut_parts(sizes, limit)
    assert list(itertools.chain.from_iterable(range(begin, end) for begin, end in cuts)) == list(range(len(sizes)))
    for begin, end in cuts:
        assert end > begin
        assert sum(sizes[begin:end]) <= limit or end - begin == 1
    for (begin, end), (_, next_end) in itertools.pairwise(cuts):
        assert sum(sizes[begin : end + 1]) > limit
        assert next_end > end


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), max_size=12), st.integers(1, 15))
def test_rows_are_cut_at_exact_counts_wherever_blocks_end(lengths, limit):
    pieces = [(block, 7, 7 + length) for block, length in lengths]
    parts = cut_rows(pieces, limit)
    rows = [[(block, row) for block, begin, end in part for row in range(begin, end)] for part in parts]
    everything = [(block, row) for block, begin, end in pieces for row in range(begin, end)]
    assert list(itertools.chain.from_iterable(rows)) == everything
    assert all(len(part) == limit for part in rows[:-1])
    assert all(rows)
