"""The same bytes from the other runners: local with two processes, Beam's Prism, Flink; Spark has tests of its own."""

import os
import pathlib
import shutil
import signal
import subprocess

import pytest
from program import CRAWL, DEMO, cc100, job_folders, start, wait_for, workers_of
from small_corpus import content

PRISM = "github.com/apache/beam/sdks/v2/go/cmd/prism@v{version}"


@pytest.fixture(scope="module")
def prism():
    """Beam's Prism, built once into the user's cache; needs Go."""
    from apache_beam.version import __version__ as version

    folder = (
        pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "cc100" / f"prism-{version}"
    )
    if not (folder / "prism").exists():
        if shutil.which("go") is None:
            pytest.skip("Prism: there is no Go to build it with")
        environment = os.environ | {"GOBIN": str(folder), "GOFLAGS": "-mod=mod"}
        command = ["go", "install", PRISM.format(version=version)]
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"Prism cannot be built: {done.stderr.splitlines()[-1:]}")
    return folder / "prism"


def on_prism(request):
    location = request.getfixturevalue("prism")
    return [], ["--", "--runner=PrismRunner", f"--prism_location={location}", "--environment_type=LOOPBACK"]


def on_flink(request):
    return [], ["--", "--runner=FlinkRunner", "--parallelism=2"]


def on_two_processes(request):
    return ["--workers", "2", "--set", "runner.worker_processes_from=0"], []


@pytest.mark.runners
@pytest.mark.timeout(900)
@pytest.mark.parametrize("runner", [on_two_processes, on_prism, on_flink])
def test_all_stages_are_the_same(runner, request, local_run, tmp_path):
    (arguments, flags), before = runner(request), job_folders()
    cc100("run", "--input", CRAWL, "--output", tmp_path / "out", *DEMO, *arguments, *flags)
    assert content(tmp_path / "out") == local_run
    assert set(job_folders()) <= set(before)


@pytest.mark.spark_faults
@pytest.mark.timeout(900)
def test_flink_goes_on_when_its_workers_are_killed(request, local_run, tmp_path):
    out = tmp_path / "out"
    _, flags = on_flink(request)
    process = start("run", "--input", CRAWL, "--output", out, *DEMO, *flags)
    extracted = out / "run" / "steps" / "extract.json"
    workers = wait_for(lambda: extracted.exists() and workers_of(children(process.pid)), process)
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert content(out) == local_run


def children(parent):
    """Process numbers of a process's children."""
    pids = []
    for tasks in pathlib.Path(f"/proc/{parent}/task").glob("*/children"):
        pids += map(int, tasks.read_text().split())
    return pids
