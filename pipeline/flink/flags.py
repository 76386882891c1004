"""Beam's flags for Flink: what the user gave, completed by what a run needs; and what can be known before it begins."""

import os
import re
import socket
from collections.abc import Iterable
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from cc100.pipeline.cpus import usable_cpus
from cc100.pipeline.portable.engine import FLINK
from cc100.pipeline.portable.flags import job_options, with_heap
from cc100.pipeline.portable.jar import find_or_named_jar
from cc100.pipeline.portable.java import MODULE_OPTIONS, find_java
from cc100.pipeline.portable.job_server import ServedPlan
from cc100.pipeline.runners import FLINK as FLINK_RUNNER
from cc100.pipeline.runners import runner_of
from cc100.shards.errors import ConfigurationError

_LOCAL_MASTERS = ("[local]", "[auto]")
_MASTER = re.compile(r"(?:https?://)?([^:/,]+):(\d+)")
_LOCAL_SETTINGS = {  # Flink gives a job up at the first failed task, unless told otherwise
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": "3",
    "restart-strategy.fixed-delay.delay": "1 s",
}
_CONNECT_TIMEOUT_S = 5.0


def is_flink(flags: Iterable[str]) -> bool:
    """True where Beam's flags name the Flink runner and no job server that runs already."""
    given = PipelineOptions(list(flags)).get_all_options()
    return runner_of(flags) == FLINK_RUNNER and not given["job_endpoint"] and not given["flink_submit_uber_jar"]


def is_one_flink_jvm(flags: Iterable[str]) -> bool:
    """True for a local Flink: one JVM is everything."""
    given = PipelineOptions(list(flags)).get_all_options()
    return runner_of(flags) == FLINK_RUNNER and given["flink_master"] in _LOCAL_MASTERS


def plan_flink(flags: Iterable[str], memory_per_worker: int) -> ServedPlan:
    """Complete the user's flags; nothing is started.

    Args:
        flags: as the user gave them.
        memory_per_worker: bytes; the heap of a local Flink.

    Raises:
        ConfigurationError: there is no Java, jar, worker program or master, or not the right one.
    """
    given = PipelineOptions(list(flags)).get_all_options()
    master = _check_master(given["flink_master"])
    java = find_java(FLINK.name, given["job_server_java_launcher"])
    jar, version = find_or_named_jar(FLINK, given[FLINK.jar_flag])
    is_local = master in _LOCAL_MASTERS
    slots = _slots(given) if is_local else 1
    options = job_options(flags, FLINK, slots) | {"flink_master": master}
    settings = tuple(given["job_server_jvm_properties"] or ())
    jvm = (*MODULE_OPTIONS, *settings)
    if is_local:
        options["parallelism"] = slots
        jvm = with_heap(jvm, settings, memory_per_worker)
    is_ours = is_local and "FLINK_CONF_DIR" not in os.environ
    return ServedPlan(FLINK, master, java, jvm, jar, version, options, _LOCAL_SETTINGS if is_ours else {})


def _slots(given: dict[str, Any]) -> int:
    return int(given["parallelism"]) if int(given["parallelism"]) > 0 else usable_cpus()


def _check_master(master: str) -> str:
    """A master that answers.

    Raises:
        ConfigurationError: it is no master's address, or nothing listens there.
    """
    if master in _LOCAL_MASTERS:
        return "[local]"
    found = _MASTER.fullmatch(master)
    if found is None:
        raise ConfigurationError(
            f"--flink_master {master}: expected [local] or HOST:PORT, the address of Flink's REST API"
        )
    try:
        socket.create_connection((found[1], int(found[2])), timeout=_CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise ConfigurationError(
            f"--flink_master {master}: no Flink answers there ({error.strerror or error}). Start the cluster, or correct the address"
        ) from error
    return f"{found[1]}:{found[2]}"
