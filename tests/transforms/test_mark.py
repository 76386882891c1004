import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cc100.shards.array_file import pack
from cc100.transforms.job import DIGEST_RANGES
from cc100.transforms.mark import bucket_ranges, compare_files

FILES = st.dictionaries(st.integers(0, 9), st.sets(st.integers(1, 25), max_size=12), min_size=1, max_size=6)


@given(FILES, st.randoms(use_true_random=False))
def test_files_learn_what_they_share(files, random):
    values = []
    for index, digests in files.items():
        header = np.array([index, 100], np.uint64)
        values.append(pack({"header": header, "digests": np.array(sorted(digests), np.uint64)}))
    random.shuffle(values)
    found = {numbers.file_index: numbers for numbers in compare_files(values)}
    assert sorted(found) == sorted(files)
    for index, digests in files.items():
        firsts, laters = [], []
        for number, digest in enumerate(sorted(digests)):
            holders = [other for other in files if digest in files[other]]
            if len(holders) > 1:
                (firsts if index == min(holders) else laters).append(number + 100)
        assert found[index].firsts.tolist() == firsts
        assert found[index].laters.tolist() == laters


@given(st.integers(1, 40), st.integers(1, 5000))
def test_passes_and_buckets_cover_every_range_once(passes, buckets):
    ranges = list(itertools.chain.from_iterable(bucket_ranges(part, passes, buckets) for part in range(passes)))
    assert ranges[0][0] == 0
    assert ranges[-1][1] == DIGEST_RANGES
    assert all(low < high for low, high in ranges)
    assert all(left[1] == right[0] for left, right in itertools.pairwise(ranges))
