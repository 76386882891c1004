"""What went wrong on an engine, as one line: the first error of a worker, or the cause that hundreds of lines of Java trace stand for."""

import re

_TOLD = re.compile(r"cc100\.shards\.errors\.\w+: (.*?)(?: \[while running .*)?$", re.MULTILINE)
"""An error of this package, as Python prints it."""

_PYTHON = re.compile(
    r"^.*Traceback \(most recent call last\):\n(?:(?:[ \t].*)?\n)*(?:\w+\.)*(\w+(?:: .+?)?)(?: \[while running .*)?$",
    re.MULTILINE,
)
"""The last line of a Python trace."""

KNOWN = (
    (
        re.compile(r"InvalidClassException: org\.apache\.spark|serialVersionUID|RpcEnv.*incompatible"),
        "the cluster runs another version of Spark than the job server ({version}): give it a jar of its own version "
        "(-- --spark_job_server_jar=FILE), or submit bundles (cc100 spark bundle)",
    ),
    (
        re.compile(r"All masters are unresponsive|Failed to connect to (?:/|master)|Could not connect to spark://"),
        "no Spark master answers at that address; check --spark_master_url, and that the master's Spark is {version}",
    ),
    (
        re.compile(r"OutOfMemoryError"),
        "Java heap space of {engine} is used up. Set runner.memory_per_worker to more, from which it follows (or on a cluster of Flink "
        "the memory of its task managers), or runner.passes higher in a new folder",
    ),
    (
        re.compile(r"Cannot run program \"([^\"]+)\".*?No such file", re.DOTALL),
        "the cluster's machines have no worker program at {0}. Install this package there under the same path, or name its place with "
        "-- --environment_option=process_command=PATH",
    ),
    (
        re.compile(r"ExecutorLostFailure \(([^\n]*)"),
        "an executor was lost more often than {engine} tries again: {0}",
    ),
    (
        re.compile(r"Process died with exit code (\d+)"),
        "a worker process did not start (exit code {0}). Its own words are in the executor's log",
    ),
    (
        re.compile(r"(?:CANCELLED: call already cancelled|Call is already cancelled|UNAVAILABLE|Stream closed)"),
        "a worker process ended while it worked, more often than {engine} tries again. Usually the kernel ended it for want of memory: "
        "fewer cores for each executor, or smaller row groups",
    ),
    (
        re.compile(r"No space left on device"),
        "a disk of the cluster is full. Free some space and run the same command again",
    ),
)
_ROOTS = re.compile(
    r"^(?:Caused by: |Exception in thread \"[^\"]*\" )?((?:[a-z]\w*\.)+[A-Z]\w*(?:Exception|Error)[^\n]*)", re.MULTILINE
)


def explain(text: str, engine: str, version: str = "") -> str:
    """The line of a log or an error message that tells best what went wrong.

    Args:
        text: log of the job server and the driver, or the message of a failed job.
        engine: name of the engine.
        version: its version in the job server.
    """
    told = told_error(text)
    if told is not None:
        return told
    for pattern, line in KNOWN:
        found = pattern.search(text)
        if found:
            return line.format(*found.groups(), engine=engine, version=version)
    python = _PYTHON.search(text)
    if python:
        return python[1]
    roots = _ROOTS.findall(text)
    if roots:
        return roots[-1].strip()
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no reason was given"


def told_error(text: str) -> str | None:
    """What an error of this package said, where the text has one."""
    found = _TOLD.findall(text)
    return found[-1] if found else None
