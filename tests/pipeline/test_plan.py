import pytest

from cc100.pipeline.plan import (
    JVM_COPIES,
    LOCAL_COPIES,
    Payload,
    check_memory,
    count_partitions,
    cut_shuffle,
    estimate_payload,
    make_plan,
    measure_payload,
)
from cc100.shards import layout
from cc100.shards.errors import ConfigurationError
from cc100.shards.settings import MIB
from cc100.transforms.job import BANDS, COMPONENTS, DIGEST_RANGES, DIGESTS, InputFile, Job, Model, Outcome
from cc100.transforms.settings import CorpusSettings, ExactSettings, NearSettings, RunnerSettings
from cc100.transforms.storage import Storage, StoredFile

GIB = 1024 * MIB


def inputs(count, size, scopes=1):
    return tuple(
        InputFile(f"/x/{number:06d}.warc.wet.gz", size, number * scopes // count, 0) for number in range(count)
    )


def job(files, **sections):
    settings = CorpusSettings(**sections)
    return Job(Storage("/nowhere"), settings, files, make_plan(files, settings), Model("", "m", "0"))


def memory(size):
    return CorpusSettings(runner=RunnerSettings(memory_per_worker=size))


def test_one_process_holds_a_quarter_of_its_memory_of_any_payload():
    payload = Payload(total=900 * MIB, file=100 * MIB, scope=900 * MIB)
    assert cut_shuffle(payload, memory(GIB), LOCAL_COPIES).passes == 4
    assert cut_shuffle(payload, memory(4 * GIB), LOCAL_COPIES).passes == 1
    assert cut_shuffle(payload, memory(512 * MIB), LOCAL_COPIES).passes == 8
    assert cut_shuffle(payload, memory(GIB), JVM_COPIES).passes == 6


def test_on_a_cluster_only_what_one_file_sends_has_to_fit():
    payload = Payload(total=900 * GIB, file=100 * MIB, scope=900 * GIB)
    assert cut_shuffle(payload, memory(GIB)).passes == 1
    assert cut_shuffle(payload, memory(256 * MIB)).passes == 3  # 64 MiB, so 1.6; 0.3 TB a pass, so 3
    large = Payload(total=900 * MIB, file=900 * MIB, scope=900 * MIB)
    assert cut_shuffle(large, memory(GIB)).passes == 4


def test_a_bucket_is_a_64th_of_the_memory_and_no_more_than_16_mib():
    payload = Payload(total=128 * MIB, file=MIB, scope=128 * MIB)
    assert cut_shuffle(payload, memory(GIB), LOCAL_COPIES).buckets == 8
    assert cut_shuffle(payload, memory(64 * GIB), LOCAL_COPIES).buckets == 8
    assert cut_shuffle(payload, memory(512 * MIB), LOCAL_COPIES).buckets == 16
    # two scopes share no key
    half = Payload(total=128 * MIB, file=MIB, scope=64 * MIB)
    assert cut_shuffle(half, memory(GIB), LOCAL_COPIES).buckets == 4
    assert cut_shuffle(Payload(1e18, 1.0, 1e18), memory(GIB), LOCAL_COPIES).passes == DIGEST_RANGES
    assert cut_shuffle(Payload(0, 0, 0), memory(GIB), LOCAL_COPIES).passes == 1


def test_what_the_user_fixes_is_taken():
    settings = CorpusSettings(runner=RunnerSettings(block_files=3, passes=5, buckets=7))
    cut = cut_shuffle(Payload(1e9, 1e9, 1e9), settings, LOCAL_COPIES)
    assert (cut.passes, cut.buckets, make_plan(inputs(8, MIB), settings).block_files) == (5, 7, 3)


def test_payloads_are_measured_from_the_files_that_a_step_left():
    made = job(inputs(3, MIB, scopes=3), near=NearSettings(group_files=2))
    sizes = {0: 1000, 1: 3000, 2: 2000}

    def outcomes(name_of):
        return {
            f"{index:06d}": Outcome({name_of(index): StoredFile(size, ""), "documents/x": StoredFile(9999, "")})
            for index, size in sizes.items()
        }

    assert measure_payload(made, DIGESTS, outcomes(layout.digests)) == Payload(3000, 1500, 1500)
    assert measure_payload(made, BANDS, outcomes(layout.bands)) == Payload(6000, 3000, 4000)
    assert measure_payload(made, COMPONENTS, outcomes(layout.shingled)) == Payload(6000, 3000, 6000)


def test_estimates_follow_from_the_stored_sizes():
    small, large = job(inputs(64, 9 * MIB)), job(inputs(64, 36 * MIB))
    for shuffle in (DIGESTS, BANDS, COMPONENTS):
        assert estimate_payload(large, shuffle).total == pytest.approx(4 * estimate_payload(small, shuffle).total)
        assert estimate_payload(small, shuffle).file == pytest.approx(estimate_payload(small, shuffle).total / 64)
    assert job(inputs(8, MIB), near=NearSettings(mode="none")).shuffles == (DIGESTS,)


def test_partitions_grow_with_the_input_not_with_the_cluster():
    assert count_partitions(job(inputs(4, 200_000))) == 1
    few, many = (count_partitions(job(inputs(count, 140 * MIB))) for count in (10, 40))
    assert many == pytest.approx(4 * few, abs=4)
    assert count_partitions(job(inputs(90_000, 140 * MIB))) == 10_000
    roomy = job(inputs(40, 140 * MIB), runner=RunnerSettings(memory_per_worker=4 * GIB))
    assert count_partitions(roomy) == pytest.approx(few, abs=1)


def test_a_block_holds_so_many_files_that_its_form_numbers_are_no_large_value():
    assert make_plan(inputs(8, 9 * MIB), CorpusSettings()).block_files == 1
    assert make_plan(inputs(80_000, MIB), CorpusSettings()).block_files == 79
    assert make_plan(inputs(500_000, MIB), CorpusSettings()).block_files == 128
    real = make_plan(inputs(80_000, 100 * MIB), CorpusSettings()).block_files
    assert 1 <= real <= 64 * MIB / (100 * MIB * 3 * 0.015 * 4)


def test_candidates_that_do_not_fit_are_refused_with_a_remedy():
    files = inputs(1000, 140 * MIB)
    with pytest.raises(ConfigurationError, match=r"Set near\.group_files to (\d+) or less") as caught:
        check_memory(job(files))
    size = int(str(caught.value).split("near.group_files to ")[1].split()[0])
    check_memory(job(files, near=NearSettings(group_files=size)))
    check_memory(job(files, near=NearSettings(mode="none")))


def test_a_range_of_digests_that_does_not_fit_is_refused_with_a_remedy():
    files, near = inputs(90_000, 140 * MIB, scopes=2), NearSettings(mode="none")
    with pytest.raises(ConfigurationError, match=r"allows 1\.0 GiB\. Set runner\.memory_per_worker to"):
        check_memory(job(files, near=near, exact=ExactSettings(scope="per-crawl")))
    one = inputs(90_000, 140 * MIB)
    with pytest.raises(ConfigurationError, match=r"Set exact\.scope to per-crawl, or runner\.memory_per_worker to"):
        check_memory(job(one, near=near))
    check_memory(job(one, near=near, runner=RunnerSettings(memory_per_worker=8 * GIB)))
