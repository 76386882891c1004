"""`cc100 spark bundle`: a jar for each stage that `spark-submit` takes, and a script that submits them in order.

For clusters that take applications and no connection from outside: YARN, Kubernetes, EMR, Dataproc. A jar holds the Java side without
Spark, which the cluster has, and the graphs of all jobs of its stage; input, output and plan are frozen in them.
"""

import json
import pathlib
import shlex
import shutil
import sys
import zipfile
from collections.abc import Sequence
from importlib import resources
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.portable_runner import JobServiceHandle, PortableRunner
from google.protobuf import json_format

from cc100.pipeline.graphs import Graph, stage_graphs
from cc100.pipeline.plan import count_partitions
from cc100.pipeline.portable.flags import worker_options
from cc100.pipeline.spark.flags import executor_settings
from cc100.transforms.job import Job

MAIN_CLASS = "org.apache.beam.runners.spark.SparkPipelineRunner"
SCRIPT = resources.files("cc100.pipeline.spark") / "submit.sh"
_FOLDER = "BEAM-PIPELINE"
_ON_CLUSTER = (
    "org/apache/spark/",
    "org/apache/hadoop/",
    "org/sparkproject/",
    "scala/",
    "org/apache/parquet/",
    "org/apache/orc/",
    "org/apache/arrow/",
    "org/apache/curator/",
    "org/apache/zookeeper/",
    "shaded/parquet/",
)
"""What every Spark brings; in the jar it would be of another patch level than the cluster's."""

_COMPRESSION = 1


def write_bundle(
    folder: pathlib.Path, jar: str, job: Job, flags: Sequence[str], arguments: Sequence[str]
) -> list[pathlib.Path]:
    """Write the jars and the script.

    Args:
        folder: where; made if need be.
        jar: the job-server jar.
        job: the corpus job.
        flags: Beam's flags that workers need, such as the address of an S3 server.
        arguments: arguments of `cc100 corpus | tokenizer | encode` that say what is built, those of the corpus first.

    Returns:
        Paths of the jars.
    """
    folder.mkdir(parents=True, exist_ok=True)
    graphs, made = stage_graphs(job), []
    java = folder / "java.tmp"
    _write_java(java, jar)
    for stage in dict.fromkeys(graph.stage for graph in graphs):
        path = folder / f"cc100-{stage}.jar"
        _write_jar(path, java, [graph for graph in graphs if graph.stage == stage], flags)
        made.append(path)
    java.unlink()
    script = folder / "submit.sh"
    command = shlex.join([str(pathlib.Path(sys.executable).parent / "cc100"), "run", *arguments])
    given = shlex.join(["--", *flags, "--runner=SparkRunner", "--jobs_elsewhere"])
    settings = executor_settings(job.settings.runner.memory_per_worker, count_partitions(job))
    values = {
        "@COMMAND@": f"{command} {given}",
        "@JOBS@": "\n".join(f"    {graph.name}) stage={graph.stage} ;;" for graph in graphs),
        "@SETTINGS@": " ".join(f"--conf {name}={value}" for name, value in settings.items()),
        "@CLASS@": MAIN_CLASS,
    }
    text = SCRIPT.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(name, value)
    script.write_text(text, encoding="utf-8")
    script.chmod(0o755)
    return made


def _write_java(path: pathlib.Path, jar: str) -> None:
    """Write the part that all jars share: the job server's without what the cluster has."""
    with (
        zipfile.ZipFile(jar) as source,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=_COMPRESSION) as target,
    ):
        for entry in source.infolist():
            if not entry.filename.startswith(_ON_CLUSTER) and not entry.is_dir():
                target.writestr(entry.filename, source.read(entry))


def _write_jar(path: pathlib.Path, java: pathlib.Path, graphs: Sequence[Graph], flags: Sequence[str]) -> None:
    temporary = path.with_suffix(".tmp")
    shutil.copyfile(java, temporary)
    with zipfile.ZipFile(temporary, "a", zipfile.ZIP_DEFLATED) as target:
        for graph in graphs:
            proto, options = encode_job(graph, flags)
            target.writestr(f"{_FOLDER}/{graph.name}/pipeline.json", proto)
            target.writestr(f"{_FOLDER}/{graph.name}/pipeline-options.json", options)
        target.writestr(f"{_FOLDER}/pipeline-manifest.json", json.dumps({"defaultJobName": graphs[0].name}))
    temporary.replace(path)


def encode_job(graph: Graph, flags: Sequence[str]) -> tuple[str, str]:
    """Proto and options of a job in the JSON that Beam's main class reads from a jar."""
    given = PipelineOptions(list(flags)).get_all_options()
    kept = PipelineOptions(list(flags)).get_all_options(drop_default=True)
    kept.pop("jobs_elsewhere", None)
    options = PipelineOptions.from_dictionary(kept | worker_options(given, 1) | {"job_name": f"cc100-{graph.name}"})
    pipeline = beam.Pipeline(runner=PortableRunner(), options=options)
    graph.build(pipeline)
    proto = PortableRunner.get_proto_pipeline(pipeline, options)
    encoded: Any = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    # Java's default for it asks for a runner, and Python leaves that null
    encoded["beam:option:storage_level:v1"] = "MEMORY_ONLY"
    return json_format.MessageToJson(proto), json_format.MessageToJson(encoded)
