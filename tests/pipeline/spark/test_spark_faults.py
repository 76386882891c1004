"""Every kind of fault in the middle of a run on a standalone cluster: the bytes of a local run, nothing half-written."""

import os
import pathlib
import signal
import time

import pytest
from small_corpus import content

from .conftest import CRAWL, DEMO, corpus_only, history, on, start, wait_for, workers_of

pytestmark = [pytest.mark.spark_faults, pytest.mark.timeout(900)]


def begin(cluster, out):
    """Start a corpus on the cluster; its process."""
    return start("corpus", "--input", CRAWL, "--output", out, *DEMO, *on(cluster.master))


def end(process, out, local_run):
    """Wait for the end of a run, and compare."""
    _, said = process.communicate(timeout=800)
    assert process.returncode == 0, said
    assert content(out) == corpus_only(local_run)
    assert not list(pathlib.Path(out).rglob("*.tmp"))


def done(out, step):
    return list((pathlib.Path(out) / "run" / "done" / step).glob("*.json"))


@pytest.mark.parametrize("step", ["extract", "mark", "decide"])
def test_an_executor_is_killed(cluster, local_run, tmp_path, step):
    process = begin(cluster, tmp_path / "out")
    folder = tmp_path / "out" / "run" / "done" / step
    executors = wait_for(lambda: folder.exists() and cluster.executors(), process)
    os.kill(executors[0], signal.SIGKILL)
    end(process, tmp_path / "out", local_run)


@pytest.mark.parametrize("step", ["extract", "language", "candidates"])
def test_a_worker_process_is_killed(cluster, local_run, tmp_path, step):
    process = begin(cluster, tmp_path / "out")
    previous = {"extract": "extract", "language": "mark", "candidates": "sign"}[step]
    workers = wait_for(lambda: done(tmp_path / "out", previous) and workers_of(cluster.executors()), process)
    for worker in workers:  # all of them at once
        os.kill(worker, signal.SIGKILL)
    end(process, tmp_path / "out", local_run)


def test_the_server_that_forks_workers_is_killed(cluster, local_run, tmp_path):
    process = begin(cluster, tmp_path / "out")
    worker = wait_for(lambda: done(tmp_path / "out", "extract") and workers_of(cluster.executors()), process)[0]
    server = int(pathlib.Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(server, signal.SIGKILL)
    end(process, tmp_path / "out", local_run)


def test_a_node_is_stopped_and_a_new_one_started(cluster, local_run, tmp_path):
    process = begin(cluster, tmp_path / "out")
    wait_for(lambda: done(tmp_path / "out", "mark"), process)
    name = next(one["name"] for one in cluster.state["processes"] if one["name"].startswith("worker"))
    cluster.kill(name, signal.SIGTERM)
    cluster.add_worker()
    end(process, tmp_path / "out", local_run)


def test_the_submitting_process_is_killed_and_the_command_run_again(cluster, local_run, tmp_path):
    out = tmp_path / "out"
    process = begin(cluster, out)
    wait_for(lambda: done(out, "language"), process)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 60
    while cluster.executors() and time.monotonic() < deadline:  # the application ends with its command
        time.sleep(0.2)
    assert not cluster.executors()
    before = {path.name: path.stat().st_mtime_ns for path in done(out, "extract")}
    end(begin(cluster, out), out, local_run)
    assert {path.name: path.stat().st_mtime_ns for path in done(out, "extract")} == before
    assert [entry["ended"] for entry in history(out)] == ["complete"]
