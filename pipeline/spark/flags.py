"""Beam's flags for Spark: what the user gave, completed by what a run needs; and what can be known before it begins."""

import re
import socket
from collections.abc import Iterable

from apache_beam.options.pipeline_options import PipelineOptions

from cc100.pipeline.cpus import usable_cpus
from cc100.pipeline.portable.engine import SPARK
from cc100.pipeline.portable.flags import heap, job_options, with_heap
from cc100.pipeline.portable.jar import find_or_named_jar, has_renamed_guava
from cc100.pipeline.portable.java import MODULE_OPTIONS, find_java
from cc100.pipeline.portable.job_server import ServedPlan
from cc100.pipeline.runners import SPARK as SPARK_RUNNER
from cc100.pipeline.runners import runner_of
from cc100.shards.errors import ConfigurationError

_LOCAL_MASTER = re.compile(r"local(?:\[(\*|\d+)(?:,\s*\d+)?\])?")
_MASTER = re.compile(r"spark://([^:/,]+):(\d+)")
_TASK_FAILURES = 4
_CONNECT_TIMEOUT_S = 5.0
_ONE_APPLICATION = "beam.spark.test.reuseSparkContext"
"""Beam's name for it; the jobs of all steps run in one application, so that executors start and fetch the jar once."""
_LOOPBACK = ("localhost", "127.0.0.1")


def is_spark(flags: Iterable[str]) -> bool:
    """True where Beam's flags name the Spark runner and no job server that runs already."""
    given = PipelineOptions(list(flags)).get_all_options()
    return runner_of(flags) == SPARK_RUNNER and not given["job_endpoint"] and not given["spark_submit_uber_jar"]


def is_one_jvm(flags: Iterable[str]) -> bool:
    """True for a local master of Spark: one JVM is driver and executors, and holds whole shuffles."""
    given = PipelineOptions(list(flags)).get_all_options()
    return runner_of(flags) == SPARK_RUNNER and _LOCAL_MASTER.fullmatch(given["spark_master_url"]) is not None


def plan_spark(flags: Iterable[str], memory_per_worker: int, partitions: int = 1) -> ServedPlan:
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
    java = find_java(SPARK.name, given["job_server_java_launcher"])
    jar, version = find_or_named_jar(SPARK, given[SPARK.jar_flag])
    settings = tuple(given["job_server_jvm_properties"] or ())
    options = job_options(flags, SPARK, executor_cores(master, settings))
    sizes = executor_settings(memory_per_worker, partitions)
    jvm = (*MODULE_OPTIONS, *_spark_settings(master, settings, jar, sizes), *settings)
    if _LOCAL_MASTER.fullmatch(master):
        jvm = with_heap(jvm, settings, memory_per_worker)
    return ServedPlan(SPARK, master, java, jvm, jar, version, options)


def executor_cores(master: str, settings: Iterable[str]) -> int:
    """Cores of an executor: of a local master, as Spark's settings say, or one."""
    local = _LOCAL_MASTER.fullmatch(master)
    if local:
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
    settings = {"spark.executor.memory": heap(memory_per_worker)}
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
