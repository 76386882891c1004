"""Stages on Spark: local master and standalone cluster, killed processes, S3; always the bytes of a local run."""

import os
import pathlib
import signal

import pytest
from program import (
    CC100,
    CRAWL,
    DEMO,
    bucket_content,
    cc100,
    job_folders,
    on,
    start,
    wait_for,
    workers_of,
)
from small_corpus import content

pytestmark = [pytest.mark.spark, pytest.mark.timeout(600)]


def test_all_stages_on_a_local_master(local_run, tmp_path):
    said = cc100("run", "--input", CRAWL, "--output", tmp_path / "out", *DEMO, *on("local[2]"))
    assert content(tmp_path / "out") == local_run
    log = (tmp_path / "out" / "run" / "log" / "spark.log").read_text()
    assert log.count("Running Spark version") == 1  # one job server and one application for all jobs of all stages
    assert not job_folders()
    assert said.splitlines()[0].startswith("extract: 4 files in ")
    assert "Exception" not in said
    # and nothing is started where nothing is to do
    assert "is complete; nothing to do" in cc100(
        "run", "--input", CRAWL, "--output", tmp_path / "out", *DEMO, *on("local[2]")
    )


def test_all_stages_on_a_cluster_that_loses_a_worker_and_an_executor(local_run, cluster, tmp_path):
    out = tmp_path / "out"
    process = start("run", "--input", CRAWL, "--output", out, *DEMO, *on(cluster.master))
    worker = wait_for(lambda: done(out, "extract") and workers_of(cluster.executors()), process)[0]
    os.kill(worker, signal.SIGKILL)
    executor = wait_for(lambda: done(out, "sign") and cluster.executors(), process)[0]
    os.kill(executor, signal.SIGKILL)
    _, said = process.communicate(timeout=540)
    assert process.returncode == 0, said
    assert content(out) == local_run
    assert not list(out.rglob("*.tmp"))
    assert not job_folders()


def done(out, step):
    """Receipts of a step."""
    return list((pathlib.Path(out) / "run" / "done" / step).glob("*.json"))


def test_input_and_output_of_all_stages_on_s3(cluster, s3_bucket, s3_flags, tmp_path):
    cc100(
        "run", "--input", "s3://spark/crawl", "--output", tmp_path / "out", *DEMO, "--", *s3_flags
    )  # local, but for its input
    flags = [*on(cluster.master), *s3_flags]
    cc100("run", "--input", "s3://spark/crawl", "--output", "s3://spark/out", *DEMO, *flags)
    assert bucket_content(s3_bucket, "out") == content(tmp_path / "out")


def test_a_missing_bucket_is_known_before_anything_starts(s3_bucket, s3_flags):
    said = cc100(
        "corpus", "--input", "s3://spark/crawl", "--output", "s3://nothing/out", *on("local[2]"), *s3_flags, code=1
    )
    assert len(said.splitlines()) == 1
    assert said.startswith("cc100: cannot write s3://nothing/out/run/lock: ")
    assert "NoSuchBucket" in said


def test_an_output_that_workers_cannot_see_ends_at_the_first_task(cluster, tmp_path):
    # another machine has no such file: here it is gone when the first worker starts
    program = tmp_path / "elsewhere"
    program.write_text(f'#!/bin/sh\nrm -f {tmp_path}/out/run/run.json\nexec {CC100}-worker "$@"\n')
    program.chmod(0o755)
    flags = [*on(cluster.master), f"--environment_option=process_command={program}"]
    said = cc100("corpus", "--input", CRAWL, "--output", tmp_path / "out", *DEMO, *flags, code=1)
    assert len(said.splitlines()) == 1
    assert said.startswith(f"cc100: cannot open {tmp_path}/out/run/run.json: No such file or directory, as seen from ")
    assert "shared file system or an object store" in said


def test_a_cluster_without_room_is_told(cluster, tmp_path):
    flags = [*on(cluster.master), "--job_server_jvm_property=-Dspark.executor.cores=64"]
    process = start("corpus", "--input", CRAWL, "--output", tmp_path / "out", *DEMO, *flags)
    try:
        assert "Spark gets no executor" in process.stderr.readline()
    finally:
        process.kill()
        process.communicate()


def test_a_worker_program_that_is_not_there(cluster, tmp_path):
    flags = [*on(cluster.master), "--environment_option=process_command=/nowhere/cc100-worker"]
    said = cc100("corpus", "--input", CRAWL, "--output", tmp_path / "out", *DEMO, *flags, code=1)
    assert said.splitlines()[0].startswith(
        "cc100: Spark: the cluster's machines have no worker program at /nowhere/cc100-worker"
    )
    assert len(said.splitlines()) == 1
