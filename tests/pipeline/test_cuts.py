"""How shuffles are cut in a run: measured, kept, and the same for who only asks."""

import dataclasses

import pytest

from cc100.pipeline.corpus import keep_cut, planned_cut
from cc100.pipeline.graphs import stage_graphs
from cc100.pipeline.plan import make_plan
from cc100.pipeline.run import Request, identity, open_job, save_job
from cc100.pipeline.steps import Runner
from cc100.shards import layout
from cc100.shards.settings import MIB
from cc100.transforms import candidates, extract
from cc100.transforms.candidates import count_forests
from cc100.transforms.job import BANDS, DIGESTS, Cut, InputFile, Job, Model, Outcome, load_job
from cc100.transforms.settings import CorpusSettings, RunnerSettings
from cc100.transforms.storage import Storage, StoredFile

FLAGS = {
    "local": [],
    "Prism": ["--runner=PrismRunner"],
    "elsewhere": ["--runner=SparkRunner", "--spark_master_url=spark://h:7077", "--jobs_elsewhere"],
}


@pytest.fixture
def job(tmp_path):
    inputs = tuple(InputFile(f"/x/{index}.warc.wet.gz", 40 * MIB, 0, 0) for index in range(16))
    settings = CorpusSettings()
    return Job(Storage(str(tmp_path / "out")), settings, inputs, make_plan(inputs, settings), Model("", "m", "0"))


def outcomes(step, name_of, size):
    return {step: {f"{index:06d}": Outcome({name_of(index): StoredFile(size, "")}) for index in range(16)}}


def test_a_run_goes_on_with_the_memory_that_there_is_now(job):
    def opened(memory):
        settings = CorpusSettings(runner=RunnerSettings(memory_per_worker=memory))
        request = Request(job.inputs, settings, 1)
        opened = open_job(job.storage, request, job.model, identity(request, job.model))
        save_job(opened)
        return opened

    first, second = opened(MIB << 10), opened(MIB << 8)
    assert second.plan == first.plan
    assert second == load_job(job.storage)
    written = outcomes(extract.STEP, layout.digests, 64 * MIB)
    assert keep_cut(second, DIGESTS, written, Runner([], 1, None, 1)).passes == 8  # 2 with the memory of the first
    assert keep_cut(opened(MIB << 10), DIGESTS, written, Runner([], 1, None, 1)).passes == 8  # it has begun


@pytest.mark.parametrize("runner", ["local", "Prism"])
def test_a_shuffle_is_cut_by_what_was_written(job, runner):
    made = keep_cut(job, DIGESTS, outcomes(extract.STEP, layout.digests, 64 * MIB), Runner(FLAGS[runner], 1, None, 1))
    assert made == Cut(passes=2, buckets=16)
    # and stays, whatever is measured later
    again = keep_cut(job, DIGESTS, outcomes(extract.STEP, layout.digests, 1), Runner([], 1, None, 1))
    assert again == planned_cut(job, DIGESTS) == job.cut(DIGESTS) == made


def test_jobs_that_are_submitted_elsewhere_have_the_cuts_that_their_jars_were_made_with(job):
    frozen = planned_cut(job, BANDS)
    written = outcomes(candidates.STEP_SIGN, layout.bands, 64 * MIB)
    assert keep_cut(job, BANDS, written, Runner(FLAGS["elsewhere"], 1, None, 1)) == frozen


def test_graphs_know_the_cuts_of_a_folder_that_was_begun(job):
    def passes():
        return [graph.name for graph in stage_graphs(job) if graph.name.startswith("mark-")]

    assert passes() == ["mark-0"]
    job.storage.write(layout.cut(DIGESTS), b'{"passes": 3, "buckets": 2}')
    assert passes() == ["mark-0", "mark-1", "mark-2"]


def test_a_forest_is_made_of_sixteen_buckets_at_most():
    assert [count_forests(Cut(1, buckets)) for buckets in (1, 16, 17, 40)] == [1, 1, 2, 3]
    assert count_forests(Cut(1024, 4096)) == 1  # a pass has no more buckets than ranges
    assert count_forests(dataclasses.replace(Cut(1, 1), buckets=4096)) == 256
