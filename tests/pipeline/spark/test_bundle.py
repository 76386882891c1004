"""Bundles: what the jars hold, and that the script brings everything to its end whoever runs the jobs."""

import json
import os
import pathlib
import subprocess
import sys
import zipfile

import pytest
from apache_beam.portability.api import beam_runner_api_pb2
from google.protobuf import json_format
from program import CRAWL, DEMO
from small_corpus import content

from cc100.pipeline.cli import main

JOBS = {"corpus": 11, "tokenizer": 2, "encode": 1}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle made from a jar in the place of the real one: two classes, one of which every cluster has."""
    folder = tmp_path_factory.mktemp("bundle")
    with zipfile.ZipFile(folder / "server.jar", "w") as archive:
        archive.writestr("spark-version-info.properties", "version=3.5.0\n")
        archive.writestr("org/apache/beam/runners/spark/SparkPipelineRunner.class", b"beam")
        archive.writestr("org/apache/spark/SparkContext.class", b"spark")
    arguments = [
        "--input",
        str(CRAWL),
        *DEMO,
        "--set",
        f"run.output={folder / 'out'}",
        "--output",
        str(folder / "bundle"),
    ]
    flags = [
        "--",
        f"--spark_job_server_jar={folder / 'server.jar'}",
        "--environment_option=process_command=/opt/cc100-worker",
    ]
    assert main(["spark", "bundle", *arguments, *flags]) == 0
    return folder


def test_a_jar_for_each_stage_with_all_its_jobs(bundle):
    for stage, count in JOBS.items():
        with zipfile.ZipFile(bundle / "bundle" / f"cc100-{stage}.jar") as archive:
            names = archive.namelist()
            assert len(names) == len(set(names))
            assert "org/apache/beam/runners/spark/SparkPipelineRunner.class" in names
            assert "org/apache/spark/SparkContext.class" not in names  # the cluster's own
            pipelines = [name for name in names if name.endswith("/pipeline.json")]
            assert len(pipelines) == count
            default = json.loads(archive.read("BEAM-PIPELINE/pipeline-manifest.json"))["defaultJobName"]
            assert f"BEAM-PIPELINE/{default}/pipeline.json" == pipelines[0]
            for name in pipelines:
                proto = json_format.Parse(archive.read(name), beam_runner_api_pb2.Pipeline())
                (environment,) = [
                    one for one in proto.components.environments.values() if one.urn == "beam:env:process:v1"
                ]
                payload = beam_runner_api_pb2.ProcessPayload.FromString(environment.payload)
                assert payload.command == "/opt/cc100-worker"
                assert not environment.dependencies
                options = json.loads(archive.read(name.replace("pipeline.json", "pipeline-options.json")))
                assert options["beam:option:storage_level:v1"] == "MEMORY_ONLY"


@pytest.mark.spark
@pytest.mark.timeout(600)
def test_the_script_submits_what_is_due_and_nothing_twice(bundle, local_run, tmp_path):
    # in the place of spark-submit: notes the job, and runs it here
    program = tmp_path / "spark-submit"
    program.write_text(
        f"#!{sys.executable}\n"
        "import shutil, sys\n"
        f"name = sys.argv[-1]; open({str(tmp_path / 'submitted')!r}, 'a').write(name + ' ' + ' '.join(sys.argv[1:5]) + '\\n')\n"
        f"from small_submit import do; do(name, {str(bundle / 'out')!r})\n"
    )
    program.chmod(0o755)
    (tmp_path / "small_submit.py").write_text(SUBMIT)
    environment = os.environ | {
        "SPARK_SUBMIT": str(program),
        "SPARK_FLAGS": "--master yarn",
        "PYTHONPATH": str(tmp_path),
    }
    done = subprocess.run(
        [bundle / "bundle" / "submit.sh"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    submitted = (tmp_path / "submitted").read_text().splitlines()
    assert len(submitted) == sum(JOBS.values())
    assert submitted[0] == "extract-0 --conf spark.executor.memory=1024m --master yarn"
    assert [line.split()[0] for line in submitted[-4:]] == [
        "gather-0",
        "tokenizer-sample-0",
        "tokenizer-coverage-0",
        "encode-0",
    ]
    assert content(bundle / "out") == local_run


SUBMIT = '''
import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from cc100.pipeline.graphs import stage_graphs
from cc100.pipeline.local_runner import LocalRunner
from cc100.transforms.job import load_job
from cc100.transforms.storage import Storage


def do(name, out):
    """Run the job as the cluster would: the same graph, made from the folder's state."""
    (graph,) = [one for one in stage_graphs(load_job(Storage(out))) if one.name == name]
    pipeline = beam.Pipeline(runner=LocalRunner(), options=PipelineOptions([]))
    graph.build(pipeline)
    pipeline.run().wait_until_finish()
'''


def test_large_inputs_get_many_partitions(tmp_path, monkeypatch):
    monkeypatch.setattr("cc100.pipeline.spark.bundle.count_partitions", lambda job: 1234)
    with zipfile.ZipFile(tmp_path / "server.jar", "w") as archive:
        archive.writestr("spark-version-info.properties", "version=3.5.0\n")
    arguments = [
        "--input",
        str(CRAWL),
        *DEMO,
        "--set",
        f"run.output={tmp_path / 'out'}",
        "--set",
        "runner.memory_per_worker=3221225472",
    ]
    jar = ["--", f"--spark_job_server_jar={tmp_path / 'server.jar'}"]
    assert main(["spark", "bundle", *arguments, "--output", str(tmp_path / "bundle"), *jar]) == 0
    script = (tmp_path / "bundle" / "submit.sh").read_text()
    assert '--conf spark.executor.memory=3072m --conf spark.default.parallelism=1234 "${flags[@]}"' in script


def test_it_is_asked_where_the_stages_write(tmp_path, capsys):
    assert main(["spark", "bundle", "--input", str(CRAWL), "--output", str(tmp_path)]) == 2
    assert "run.output" in capsys.readouterr().err
    assert not list(pathlib.Path(tmp_path).iterdir())
