import dataclasses

import apache_beam as beam
import pytest
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that, equal_to

from cc100.pipeline.local_runner import LocalRunner
from cc100.shards.errors import Cc100Error, DamagedFileError
from cc100.shards.manifest import to_json
from cc100.transforms.job import (
    BANDS,
    Cut,
    DoUnits,
    InputFile,
    Job,
    JobReference,
    Model,
    Outcome,
    Plan,
    StartUnits,
    WriteGroups,
    do_once,
    load_job,
    read_receipt,
    write_receipt,
)
from cc100.transforms.settings import CorpusSettings, LanguageSettings
from cc100.transforms.storage import Storage


@pytest.fixture
def job(tmp_path):
    storage = Storage(str(tmp_path / "out"))
    settings = CorpusSettings(language=LanguageSettings(languages=("de", "fr")))
    inputs = tuple(InputFile(f"/in/{index}.wet", 10 + index, 0, 0) for index in range(5))
    made = Job(storage, settings, inputs, Plan(2), Model("/m", "m", "0"))
    storage.write("run/run.json", to_json(made.to_json()))
    return made


def test_a_job_comes_back_from_its_file(job):
    loaded = load_job(job.storage)
    assert dataclasses.replace(loaded, storage=job.storage) == job


def test_blocks_cover_the_files(job):
    assert [list(job.files_of(block)) for block in range(job.blocks)] == [[0, 1], [2, 3], [4]]
    assert [job.block_of(index) for index in range(5)] == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("content", [b'{"settings": {}}', b'{"settings": 3}', b"[]"])
def test_a_damaged_state_is_named(job, content):
    job.storage.write("run/run.json", content)
    with pytest.raises(DamagedFileError, match=r"run\.json is not the state of a run.*Delete"):
        load_job(job.storage)


def test_work_is_done_once(job):
    calls = []

    def work():
        calls.append(1)
        return Outcome({"a.bin": job.storage.write("a.bin", b"abc")}, {"n": 1})

    first = do_once(job, "step", "000000", work)
    assert do_once(job, "step", "000000", work) == first
    assert len(calls) == 1


@pytest.mark.parametrize("harm", ["delete", "shorten", "cut receipt"])
def test_a_unit_whose_files_are_not_whole_is_not_done(job, harm):
    write_receipt(job.storage, "step", "u", Outcome({"a.bin": job.storage.write("a.bin", b"abc")}))
    assert read_receipt(job.storage, "step", "u") is not None
    if harm == "delete":
        job.storage.delete(["a.bin"])
    elif harm == "shorten":
        job.storage.write("a.bin", b"ab")
    else:
        job.storage.write("run/done/step/u.json", b'{"files": {"a.b')
    assert read_receipt(job.storage, "step", "u") is None


def _touch(job, unit):
    name = f"touched/{unit}"
    return Outcome({name: job.storage.write(name, b"x")})


def test_units_are_done_by_a_pipeline(job):
    with TestPipeline(runner=LocalRunner()) as pipeline:
        done = pipeline | StartUnits(5) | DoUnits(JobReference(job.storage.root, "1"), "touch", _touch)
        assert_that(done, equal_to(list(range(5))))
    assert len(job.storage.files("touched")) == 5
    assert all(read_receipt(job.storage, "touch", f"{unit:06d}") for unit in range(5))


def test_no_unit_makes_no_element():
    with TestPipeline(runner=LocalRunner()) as pipeline:
        assert_that(pipeline | StartUnits(0) | beam.Map(str), equal_to([]))


def _write_group(job, unit, part, values):
    return Outcome({f"groups/{unit}-{part}": job.storage.write(f"groups/{unit}-{part}", b"".join(sorted(values)))})


def _shuffle(job, cut):
    reference = JobReference(job.storage.root, "1")
    with TestPipeline(runner=LocalRunner()) as pipeline:
        groups = pipeline | beam.Create([(3, b"b"), (3, b"a")]) | beam.GroupByKey()
        groups | WriteGroups(reference, "write", BANDS, cut, 1, _write_group)


def test_groups_are_written_by_a_job_that_was_made_for_the_folders_cut(job):
    job.storage.write("run/cuts/bands.json", b'{"passes": 2, "buckets": 5}')
    with pytest.raises(Cc100Error, match=r"made for Cut\(passes=1, buckets=5\) of the bands.* Make the bundle again"):
        _shuffle(job, Cut(1, 5))
    assert not job.storage.files("groups")
    _shuffle(job, Cut(2, 5))
    assert job.storage.read("groups/3-1") == b"ab"
    assert read_receipt(job.storage, "write", "000003-0001")
