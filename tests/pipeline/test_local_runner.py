"""Worker processes by fork: they get the options, they run in parallel, and none is left behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

from cc100.pipeline.fork_server import ForkServer
from cc100.pipeline.local_runner import LocalRunner
from cc100.transforms.job import StartUnits


@pytest.fixture
def server():
    with contextlib.closing(ForkServer()) as server:
        yield server


def run(server, function, workers=2, options=None):
    settings = PipelineOptions.from_dictionary({"direct_num_workers": workers} | (options or {}))
    pipeline = beam.Pipeline(runner=LocalRunner(server), options=settings)
    result = pipeline | StartUnits(4) | beam.Map(function)
    return pipeline, result


def test_workers_are_other_processes(server, tmp_path):
    def note(unit):
        (tmp_path / str(unit)).write_text(str(os.getpid()))
        time.sleep(0.2)
        return unit

    pipeline, _ = run(server, note)
    pipeline.run().wait_until_finish()
    pids = {(tmp_path / str(unit)).read_text() for unit in range(4)}
    assert len(pids) == 2
    assert str(os.getpid()) not in pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_results_come_back(server):
    pipeline, result = run(server, lambda unit: unit * 10)
    assert_that(result, equal_to([0, 10, 20, 30]))
    pipeline.run().wait_until_finish()


def test_workers_get_the_options(server, tmp_path):
    def note(unit):
        from apache_beam.io.filesystems import FileSystems

        (tmp_path / "option").write_text(str(FileSystems._pipeline_options.get_all_options()["s3_endpoint_url"]))

    pipeline, _ = run(server, note, options={"s3_endpoint_url": "http://127.0.0.1:9"})
    pipeline.run().wait_until_finish()
    assert (tmp_path / "option").read_text() == "http://127.0.0.1:9"


def test_an_error_in_a_worker_ends_the_job(server):
    def fail(unit):
        raise ValueError("this unit cannot be done")

    pipeline, _ = run(server, fail)
    with pytest.raises(RuntimeError, match="this unit cannot be done"):
        pipeline.run().wait_until_finish()


# The threads of Beam's that served the killed process complain.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_killed_worker_ends_the_job(server):
    def die(unit):
        os.kill(os.getpid(), signal.SIGKILL)

    pipeline, _ = run(server, die)
    with pytest.raises(Exception, match=r"signal 9|closed|abort"):
        pipeline.run().wait_until_finish()


def test_the_server_survives_a_failed_job(server):
    pipeline, _ = run(server, lambda unit: 1 / 0)
    with pytest.raises(RuntimeError, match="division by zero"):
        pipeline.run().wait_until_finish()
    pipeline, result = run(server, lambda unit: unit)
    assert_that(result, equal_to([0, 1, 2, 3]))
    pipeline.run().wait_until_finish()


_ORPHANS = """
import os, signal, sys, time
from cc100.pipeline.fork_server import ForkServer
import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from cc100.pipeline.local_runner import LocalRunner
from cc100.transforms.job import StartUnits
FOLDER = sys.argv[1]
def stay(unit):
    open(FOLDER + "/" + str(os.getpid()), "w").close()
    time.sleep(60)
pipeline = beam.Pipeline(runner=LocalRunner(ForkServer()), options=PipelineOptions.from_dictionary({"direct_num_workers": 2}))
pipeline | StartUnits(4) | beam.Map(stay)
pipeline.run()
"""


def test_no_worker_outlives_a_killed_program(tmp_path):
    (tmp_path / "pids").mkdir()
    program = tmp_path / "program.py"
    program.write_text(_ORPHANS)
    process = subprocess.Popen([sys.executable, str(program), str(tmp_path / "pids")])
    wait_for(lambda: len(list((tmp_path / "pids").iterdir())) == 2)
    process.kill()
    process.wait()
    workers = [int(path.name) for path in (tmp_path / "pids").iterdir()]
    wait_for(lambda: not any(is_alive(pid) for pid in workers))


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
