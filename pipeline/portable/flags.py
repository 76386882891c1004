"""Pipeline options that all engines' workers need."""

import pathlib
import shutil
import sys
from collections.abc import Iterable
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from cc100.pipeline.portable.engine import Engine
from cc100.shards.errors import ConfigurationError
from cc100.shards.settings import MIB

LEAST_HEAP_BYTES = 1024 * MIB
"""Spark itself wants half of it."""


def heap(memory_per_worker: int) -> str:
    """Heap of a JVM that works, as Java and Spark write it.

    Args:
        memory_per_worker: bytes.
    """
    return f"{max(memory_per_worker, LEAST_HEAP_BYTES) >> 20}m"


def with_heap(jvm_options: tuple[str, ...], given: tuple[str, ...], memory_per_worker: int) -> tuple[str, ...]:
    """Options of a JVM that does all the work itself, with a heap unless the user gave one."""
    if any(option.startswith("-Xmx") for option in given):
        return jvm_options
    return (*jvm_options, f"-Xmx{heap(memory_per_worker)}")


def job_options(flags: Iterable[str], engine: Engine, cores: int) -> dict[str, Any]:
    """Pipeline options of every job: the user's, but for what only the job server needs, and how workers are started.

    Args:
        flags: as the user gave them.
        engine: where the jobs run.
        cores: cores of a JVM that starts workers.

    Raises:
        ConfigurationError: this environment has no worker program to name.
    """
    given = PipelineOptions(list(flags))
    options: dict[str, Any] = given.get_all_options(drop_default=True)
    for name in (engine.jar_flag, "job_server_jvm_properties", "job_server_java_launcher"):
        options.pop(name, None)
    return options | {"runner": "PortableRunner", **worker_options(given.get_all_options(), cores)}


def worker_options(given: dict[str, Any], cores: int) -> dict[str, Any]:
    """Pipeline options that say how workers are started: PROCESS, one for each core, none kept after its stage.

    Args:
        given: all options, with defaults.
        cores: cores of a JVM that starts workers.

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
