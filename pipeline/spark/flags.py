"""Beam's flags for Spark: what the user gave, completed by what a run needs; and what can be known before it begins."""

import dataclasses
import pathlib
import re
import shutil
import socket
import sys
from collections.abc import Iterable
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from cc100.pipeline.spark.jar import find_jar, has_renamed_guava, spark_version
from cc100.pipeline.spark.java import MODULE_OPTIONS, find_java
from cc100.pipeline.spark.job_server import JobServer, shared_server
from cc100.shards.errors import ConfigurationError
from cc100.shards.settings import MIB

RUNNER = "SparkRunner"
_LOCAL_MASTER = re.compile(r"local(?:\[(\*|\d+)(?:,\s*\d+)?\])?")
_MASTER = re.compile(r"spark://([^:/,]+):(\d+)")
_TASK_FAILURES = 4
_LEAST_HEAP_BYTES = 1024 * MIB  # Spark itself wants half of it
_CONNECT_TIMEOUT_S = 5.0
_ONE_APPLICATION = "beam.spark.test.reuseSparkContext"
"""Beam's name for it; the jobs of all steps run in one application, so that executors start and fetch the jar once."""
_LOOPBACK = ("localhost", "127.0.0.1")


@dataclasses.dataclass(frozen=True)
class SparkPlan:
    """How a command reaches Spark.

    Attributes:
        master: Spark's master URL.
        java: the Java launcher.
        jvm_options: options of the job server's JVM, Spark's settings among them.
        jar: the job-server jar.
        spark: version of Spark in it.
        options: pipeline options of every job, without the job server's address.
    """

    master: str
    java: str
    jvm_options: tuple[str, ...]
    jar: str
    spark: str
    options: dict[str, Any]

    def server(self) -> JobServer:
        """The job server; started at the first call and shared by all jobs of this process."""
        return shared_server(self.java, self.jvm_options, self.jar, self.master)


def is_spark(flags: Iterable[str]) -> bool:
    """True where Beam's flags name the Spark runner and no job server that runs already."""
    given = PipelineOptions(list(flags)).get_all_options()
    return given["runner"] == RUNNER and not given["job_endpoint"] and not given["spark_submit_uber_jar"]


def is_one_jvm(flags: Iterable[str]) -> bool:
    """True for a local master of Spark: one JVM is driver and executors, and holds whole shuffles."""
    given = PipelineOptions(list(flags)).get_all_options()
    return given["runner"] == RUNNER and _LOCAL_MASTER.fullmatch(given["spark_master_url"]) is not None


def plan_spark(flags: Iterable[str], memory_per_worker: int, partitions: int = 1) -> SparkPlan:
    """Complete the user's flags; nothing is started.

    Args:
        flags: as the user gave them.
        memory_per_worker: bytes; the heap of a local master or of an executor.
        partitions: of a shuffle on a cluster; 1: as many as the cluster has cores.

    Raises:
        ConfigurationError: there is no Java, jar, worker program or master, or not the right one.
    """
    given = PipelineOptions(list(flags)).get_all_options()
    master = _check_master(given["spark_master_url"])
    java = find_java(given["job_server_java_launcher"])
    jar, spark = _jar(given["spark_job_server_jar"])
    settings = tuple(given["job_server_jvm_properties"] or ())
    cores = executor_cores(master, settings)
    options = PipelineOptions(list(flags)).get_all_options(drop_default=True)
    for name in ("spark_job_server_jar", "job_server_jvm_properties", "job_server_java_launcher"):
        options.pop(name, None)
    options |= {"runner": "PortableRunner", **worker_options(given, cores)}
    sizes = executor_settings(memory_per_worker, partitions)
    jvm = (*MODULE_OPTIONS, *_spark_settings(master, settings, jar, sizes), *settings)
    if _LOCAL_MASTER.fullmatch(master) and not any(setting.startswith("-Xmx") for setting in settings):
        jvm = (*jvm, f"-Xmx{sizes['spark.executor.memory']}")
    return SparkPlan(master, java, jvm, jar, spark, options)


def worker_options(given: dict[str, Any], cores: int) -> dict[str, Any]:
    """Pipeline options that say how executors start workers: PROCESS, one for each core, none kept after its stage.

    Args:
        given: all options, with defaults.
        cores: cores of an executor.

    Raises:
        ConfigurationError: this environment has no worker program to name.
    """
    options: dict[str, Any] = {"sdk_location": "container"}  # nothing is staged: workers have the package
    options["experiments"] = [*(given["experiments"] or []), "disable_logging_submission_environment"]
    options["sdk_worker_parallelism"] = (
        given["sdk_worker_parallelism"] if int(given["sdk_worker_parallelism"]) != 1 else cores
    )
    if given["environment_type"] is None:
        options["environment_type"] = "PROCESS"
    if given["environment_type"] in (None, "PROCESS") and not given["environment_config"]:
        named = given["environment_options"] or []
        if not any(option.startswith("process_command=") for option in named):
            options["environment_options"] = [*named, f"process_command={worker_program()}"]
    return options


def worker_program() -> str:
    """Path of `cc100-worker` in this environment.

    Raises:
        ConfigurationError: it is not installed.
    """
    beside = pathlib.Path(sys.executable).parent / "cc100-worker"
    found = str(beside) if beside.exists() else shutil.which("cc100-worker")
    if found is None:
        raise ConfigurationError(
            f"no cc100-worker beside {sys.executable}: install this package with pip, or name its place on the workers with "
            "-- --environment_option=process_command=PATH"
        )
    return found


def executor_cores(master: str, settings: Iterable[str]) -> int:
    """Cores of an executor: of a local master, as Spark's settings say, or one."""
    local = _LOCAL_MASTER.fullmatch(master)
    if local:
        from cc100.pipeline.cli import usable_cpus

        return usable_cpus() if local[1] == "*" else int(local[1] or 1)
    for setting in settings:
        found = re.fullmatch(r"-Dspark\.executor\.cores=(\d+)", setting)
        if found:
            return int(found[1])
    return 1


def executor_settings(memory_per_worker: int, partitions: int) -> dict[str, str]:
    """Spark's settings that follow from the memory of a worker: heap of an executor, and partitions of a shuffle.

    Args:
        memory_per_worker: bytes.
        partitions: of a shuffle; 1: as many as the cluster has cores.
    """
    settings = {"spark.executor.memory": f"{max(memory_per_worker, _LEAST_HEAP_BYTES) >> 20}m"}
    if partitions > 1:  # a task holds what it sends: more and smaller ones, whatever the number of executors
        settings["spark.default.parallelism"] = str(partitions)
    return settings


def _spark_settings(master: str, given: Iterable[str], jar: str, sizes: dict[str, str]) -> list[str]:
    """Settings of Spark that the user did not make."""
    settings = {"spark.app.name": "cc100", _ONE_APPLICATION: "true"}
    if _LOCAL_MASTER.fullmatch(master):
        settings |= {"spark.ui.enabled": "false", "spark.driver.host": "localhost"}
        settings |= {"spark.driver.bindAddress": "127.0.0.1"}
    else:
        settings |= {"spark.executor.cores": "1", **sizes}
        if not has_renamed_guava(jar):  # before Spark's own Guava, on nodes that have the jar at the same path
            settings["spark.executor.extraClassPath"] = jar
        found = _MASTER.match(master)
        if found and found[1] in _LOOPBACK:
            settings |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    own = {setting[2:].partition("=")[0] for setting in given if setting.startswith("-D")}
    return [f"-D{name}={value}" for name, value in settings.items() if name not in own]


def find_or_named_jar(flags: Iterable[str]) -> str:
    """Path of the jar that the flags name, or of that in the cache.

    Raises:
        ConfigurationError: there is none.
    """
    return _jar(PipelineOptions(list(flags)).get_all_options()["spark_job_server_jar"])[0]


def _jar(named: str | None) -> tuple[str, str]:
    if named is None:
        jar = find_jar()
        return jar.path, jar.spark
    path = pathlib.Path(named)
    if not path.is_file():
        raise ConfigurationError(f"--spark_job_server_jar {named}: there is no such file; cc100 spark jar makes one")
    return str(path.absolute()), spark_version(path)


def _check_master(master: str) -> str:
    """A master that answers; a local one is told to try a failed task again.

    Raises:
        ConfigurationError: it is no master's address, or nothing listens there.
    """
    local = _LOCAL_MASTER.fullmatch(master)
    if local:
        return f"local[{local[1] or 1},{_TASK_FAILURES}]"
    addresses = _MASTER.findall(master.replace(",", ",spark://"))
    if not addresses:
        raise ConfigurationError(
            f"--spark_master_url {master}: expected local[N] or spark://HOST:PORT; for YARN and Kubernetes use cc100 spark bundle"
        )
    reasons = []
    for host, port in addresses:
        try:
            socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT_S).close()
            return master
        except OSError as error:
            reasons.append(error.strerror or str(error))
    raise ConfigurationError(
        f"--spark_master_url {master}: no Spark master answers there ({reasons[-1]}). Start the cluster, or correct the address"
    )
