"""Long traces of Java and Python to the one line that says what happened."""

import pytest

from cc100.pipeline.portable.faults import explain, told_error

TRACE = """26/11/25 23:32:11 ERROR TaskSetManager: Task 1 in stage 2.0 failed 4 times; aborting job
org.apache.spark.SparkException: Job aborted due to stage failure: Task 1 in stage 2.0 failed 4 times, most recent failure: Lost task 1.3
java.lang.Exception: java.lang.RuntimeException: Error received from SDK harness for instruction 7: \
Traceback (most recent call last):
  File "apache_beam/runners/common.py", line 1495, in apache_beam.runners.common.DoFnRunner.process
  File "/opt/cc100/transforms/job.py", line 255, in process
{line} [while running 'Extract/ReadFile/Do']

\tat org.apache.beam.runners.fnexecution.control.FnApiControlClient$ResponseStreamObserver.onNext(FnApiControlClient.java:180)
Caused by: java.util.concurrent.ExecutionException: something
"""


def test_what_this_package_said_comes_first():
    said = "cannot open /out/x.parquet: No space left on device. Free some space and run the same command again"
    assert explain(TRACE.format(line=f"cc100.shards.errors.StorageError: {said}"), "Spark") == said
    assert told_error("nothing of ours") is None


def test_the_first_error_of_a_worker():
    assert (
        explain(TRACE.format(line="ZeroDivisionError: division by zero"), "Spark")
        == "ZeroDivisionError: division by zero"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "java.io.InvalidClassException: org.apache.spark.scheduler.Task; local class incompatible: stream serialVersionUID = 1",
            "the cluster runs another version of Spark than the job server (3.5.0)",
        ),
        ("26/11/25 ERROR StandaloneSchedulerBackend: Application has been killed. Reason: All masters are unresponsive! Giving up.",
         "no Spark master answers"),
        ("java.lang.OutOfMemoryError: Java heap space", "Java heap space of Spark is used up"),
        ('java.io.IOException: Cannot run program "/opt/cc100-worker": error=2, No such file or directory',
         "the cluster's machines have no worker program at /opt/cc100-worker"),
        ("io.grpc.StatusRuntimeException: CANCELLED: call already cancelled", "a worker process ended while it worked"),
        ("java.lang.IllegalStateException: Process died with exit code 70", "a worker process did not start (exit code 70)"),
        ("x\nCaused by: java.net.BindException: Address in use\n\tat sun.nio", "java.net.BindException: Address in use"),
        ("", "no reason was given"),
    ],
)  # fmt: skip
def test_causes_that_are_known(text, expected):
    assert explain(text, "Spark", "3.5.0").startswith(expected)
