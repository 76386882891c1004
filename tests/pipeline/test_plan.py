import pytest

from cc100.pipeline.plan import make_plan
from cc100.shards.errors import ConfigurationError
from cc100.shards.settings import MIB
from cc100.transforms.job import InputFile
from cc100.transforms.settings import CorpusSettings, NearSettings, RunnerSettings


def inputs(count, size):
    return tuple(InputFile(f"/x/{number:06d}.warc.wet.gz", size, 0, 0) for number in range(count))


def test_a_small_input_is_one_pass_over_single_files():
    plan = make_plan(inputs(8, 9 * MIB), CorpusSettings())
    assert (plan.block_files, plan.digest_passes, plan.band_passes, plan.component_passes) == (1, 1, 1, 1)


def test_passes_grow_with_the_input_and_shrink_with_memory():
    small = make_plan(inputs(64, 9 * MIB), CorpusSettings())
    large = make_plan(inputs(64, 36 * MIB), CorpusSettings())
    roomy = make_plan(inputs(64, 36 * MIB), CorpusSettings(runner=RunnerSettings(memory_per_worker=8192 * MIB)))
    assert large.band_passes >= 4 * small.band_passes - 3 > small.digest_passes
    assert roomy.band_passes < large.band_passes


def test_a_crawl_has_blocks_of_at_most_128_files():
    settings = CorpusSettings(near=NearSettings(group_files=32))
    assert make_plan(inputs(80_000, 140 * MIB), settings).block_files == 79
    assert make_plan(inputs(500_000, MIB), settings).block_files == 128


def test_candidates_that_do_not_fit_are_refused_with_a_remedy():
    with pytest.raises(ConfigurationError, match=r"Set near\.group_files to (\d+) or less") as caught:
        make_plan(inputs(1000, 140 * MIB), CorpusSettings())
    size = int(str(caught.value).split("near.group_files to ")[1].split()[0])
    make_plan(inputs(1000, 140 * MIB), CorpusSettings(near=NearSettings(group_files=size)))
    make_plan(inputs(1000, 140 * MIB), CorpusSettings(near=NearSettings(mode="none")))


def test_what_the_user_fixes_is_taken():
    settings = CorpusSettings(runner=RunnerSettings(block_files=3, passes=5, buckets=7))
    plan = make_plan(inputs(8, MIB), settings)
    assert (plan.block_files, plan.digest_passes, plan.band_passes, plan.component_passes, plan.buckets) == (
        3,
        5,
        5,
        5,
        7,
    )
