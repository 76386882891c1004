import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cc100.shards.records import FATE_EMPTY, FATE_EXACT_DUPLICATE, FATE_KEPT, FATE_PAGE_REJECTED
from cc100.transforms.exact import NO_FORM, elect_in_file, number_forms, range_index

DIGESTS = st.lists(st.sampled_from([0, 1, 2, 3, 17, 2**63, 2**64 - 1, 16, 32, 48]), max_size=60)


@given(DIGESTS)
def test_forms_are_numbered_by_digest(digests):
    forms = number_forms(np.array(digests, np.uint64))
    distinct = sorted(set(digests) - {0})
    assert forms.digests.tolist() == distinct
    assert forms.first.tolist() == [digests.index(digest) for digest in distinct]
    expected = [int(NO_FORM) if digest == 0 else distinct.index(digest) for digest in digests]
    assert forms.form.tolist() == expected


def test_many_forms_with_equal_low_bits():
    digests = np.arange(1, 5000, dtype=np.uint64) << np.uint64(40)
    assert number_forms(digests).form.tolist() == list(range(4999))


@given(st.lists(st.integers(0, 2**64 - 1), max_size=50), st.sampled_from([1, 2, 16, 4096]))
def test_ranges_hold_equal_high_bits(values, ranges):
    ordered = np.sort(np.array(values, np.uint64))
    index = range_index(ordered, ranges).astype(int)
    assert len(index) == ranges + 1
    for k, value in enumerate(ordered.tolist()):
        high = value * ranges >> 64
        assert index[high] <= k < index[high + 1]


@given(st.lists(st.tuples(st.integers(-1, 5), st.booleans()), max_size=40))
def test_the_first_accepted_copy_is_elected(rows):
    form = np.array([NO_FORM if number < 0 else number for number, _ in rows], np.uint32)
    accepted = np.array([flag for _, flag in rows], bool)
    seen, expected = set(), []
    for number, flag in rows:
        if number < 0:
            expected.append(FATE_EMPTY)
        elif not flag:
            expected.append(FATE_PAGE_REJECTED)
        else:
            expected.append(FATE_EXACT_DUPLICATE if number in seen else FATE_KEPT)
            seen.add(number)
    assert elect_in_file(form, accepted, 6).tolist() == expected
