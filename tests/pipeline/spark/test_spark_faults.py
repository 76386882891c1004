"""Every kind of fault in the middle of a run on a standalone cluster: the bytes of a local run, nothing half-written."""

import os
import pathlib
import shutil
import signal
import time

import pytest
from program import CRAWL, DEMO, cc100, corpus_only, history, on, start, wait_for, workers_of
from small_corpus import content

pytestmark = [pytest.mark.spark_faults, pytest.mark.timeout(900)]


def begin(cluster, out, command="corpus"):
    """Start a command on the cluster; its process."""
    return start(command, "--input", CRAWL, "--output", out, *DEMO, *on(cluster.master))


def end(process, out, expected):
    """Wait for the end of a run, and compare."""
    _, said = process.communicate(timeout=800)
    assert process.returncode == 0, said
    assert content(out) == expected
    assert not list(pathlib.Path(out).rglob("*.tmp"))


@pytest.fixture(scope="module")
def local_corpus(local_run):
    return corpus_only(local_run)


def wait_for_no_executor(cluster):
    """Wait until a killed command's application has ended on the cluster."""
    deadline = time.monotonic() + 60
    while cluster.executors() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not cluster.executors()


def done(out, step):
    return list((pathlib.Path(out) / "run" / "done" / step).glob("*.json"))


@pytest.mark.parametrize("step", ["extract", "mark", "decide"])
def test_an_executor_is_killed(cluster, local_corpus, tmp_path, step):
    process = begin(cluster, tmp_path / "out")
    folder = tmp_path / "out" / "run" / "done" / step
    executors = wait_for(lambda: folder.exists() and cluster.executors(), process)
    os.kill(executors[0], signal.SIGKILL)
    end(process, tmp_path / "out", local_corpus)


@pytest.mark.parametrize("step", ["extract", "language", "candidates"])
def test_a_worker_process_is_killed(cluster, local_corpus, tmp_path, step):
    process = begin(cluster, tmp_path / "out")
    previous = {"extract": "extract", "language": "mark", "candidates": "sign"}[step]
    workers = wait_for(lambda: done(tmp_path / "out", previous) and workers_of(cluster.executors()), process)
    for worker in workers:  # all of them at once
        os.kill(worker, signal.SIGKILL)
    end(process, tmp_path / "out", local_corpus)


def test_the_server_that_forks_workers_is_killed(cluster, local_corpus, tmp_path):
    process = begin(cluster, tmp_path / "out")
    worker = wait_for(lambda: done(tmp_path / "out", "extract") and workers_of(cluster.executors()), process)[0]
    server = int(pathlib.Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(server, signal.SIGKILL)
    end(process, tmp_path / "out", local_corpus)


def test_a_node_is_stopped_and_a_new_one_started(cluster, local_corpus, tmp_path):
    process = begin(cluster, tmp_path / "out")
    wait_for(lambda: done(tmp_path / "out", "mark"), process)
    name = next(one["name"] for one in cluster.state["processes"] if one["name"].startswith("worker"))
    cluster.kill(name, signal.SIGTERM)
    cluster.add_worker()
    end(process, tmp_path / "out", local_corpus)


def test_the_submitting_process_is_killed_and_the_command_run_again(cluster, local_corpus, tmp_path):
    out = tmp_path / "out"
    process = begin(cluster, out)
    wait_for(lambda: done(out, "language"), process)
    process.kill()
    process.wait()
    wait_for_no_executor(cluster)
    before = {path.name: path.stat().st_mtime_ns for path in done(out, "extract")}
    end(begin(cluster, out), out, local_corpus)
    assert {path.name: path.stat().st_mtime_ns for path in done(out, "extract")} == before
    assert [entry["ended"] for entry in history(out)] == ["complete"]


@pytest.fixture(scope="module")
def before_step(tmp_path_factory):
    """Folders in which a step of a later stage is the next Beam job, made by local runs."""
    corpus = tmp_path_factory.mktemp("before") / "corpus"
    cc100("corpus", "--input", CRAWL, "--output", corpus, *DEMO)
    tokenizer = corpus.parent / "tokenizer"
    shutil.copytree(corpus, tokenizer)
    cc100("tokenizer", "--output", tokenizer, *DEMO)
    return {"tokenizer-sample": corpus, "encode": tokenizer}


@pytest.mark.parametrize("victim", ["executor", "workers", "command"])
@pytest.mark.parametrize("step", ["tokenizer-sample", "encode"])
def test_a_process_is_killed_in_a_later_stage(cluster, local_run, before_step, tmp_path, step, victim):
    out = tmp_path / "out"
    shutil.copytree(before_step[step], out)
    process = begin(cluster, out, "run")
    workers = wait_for(lambda: workers_of(cluster.executors()), process)
    for pid in {"executor": cluster.executors()[:1], "workers": workers, "command": [process.pid]}[victim]:
        os.kill(pid, signal.SIGKILL)
    assert not (out / "run" / "steps" / f"{step}.json").exists()  # so it was in the middle
    if victim == "command":
        process.communicate()
        wait_for_no_executor(cluster)
        process = begin(cluster, out, "run")
    end(process, out, local_run)


def test_a_cluster_of_another_version_of_spark(cluster_module, tmp_path):
    made = cluster_module.Cluster(tmp_path / "cluster", "3.5.9")
    try:
        made.start()
        said = cc100("corpus", "--input", CRAWL, "--output", tmp_path / "out", *DEMO, *on(made.master), code=1)
    finally:
        made.stop()
    assert said.startswith("cc100: Spark: the cluster runs another version of Spark than the job server (3.5.0)")
    assert len(said.splitlines()) == 1
