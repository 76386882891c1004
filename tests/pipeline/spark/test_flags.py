"""What is known before anything starts on Spark: Java, the jar, the master, the worker program; one line each."""

import os
import socket
import zipfile

import pytest
from java_programs import make_java

from cc100.pipeline.portable import flags as portable_flags
from cc100.pipeline.spark.flags import executor_cores, is_one_jvm, is_spark, plan_spark
from cc100.shards.errors import ConfigurationError

SPARK = "--runner=SparkRunner"


@pytest.fixture
def java(tmp_path, monkeypatch):
    program = make_java(tmp_path / "java17", "17.0.15")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "java17"))
    return program


@pytest.fixture
def jar(tmp_path):
    path = tmp_path / "server.jar"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("spark-version-info.properties", "version=3.5.0\nuser=x\n")
    return path


@pytest.fixture
def master():
    """Something that listens where a master would."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"spark://127.0.0.1:{server.getsockname()[1]}"


def plan(*flags, memory_per_worker=1 << 30, partitions=1):
    return plan_spark([SPARK, *flags], memory_per_worker, partitions)


def test_spark_is_recognised():
    assert is_spark([SPARK])
    assert is_spark(["--runner=Spark"])  # as Beam takes it
    assert not is_spark([])
    assert not is_spark(["--runner=DataflowRunner"])
    assert not is_spark([SPARK, "--job_endpoint=localhost:8099"])  # the user runs a job server of his own


def test_a_plain_command_line_is_completed(java, jar):
    made = plan("--spark_master_url=local[2]", f"--spark_job_server_jar={jar}", "--s3_region_name=us-east-1")
    assert made.java == str(java)
    assert made.jar == str(jar)
    assert made.version == "3.5.0"
    assert made.master == "local[2,4]"  # a local master fails a job at the first failed task, unless told otherwise
    assert made.options["environment_type"] == "PROCESS"
    assert made.options["sdk_worker_parallelism"] == 2
    assert made.options["environment_options"][0].endswith("/cc100-worker")
    assert made.options["s3_region_name"] == "us-east-1"
    assert "environment_cache_millis" not in made.options  # a cached worker that was killed fails its job for good
    assert "spark_job_server_jar" not in made.options
    assert "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED" in made.jvm_options


def test_what_the_user_says_comes_before_what_we_choose(java, jar, master):
    own = ["-Dspark.executor.cores=8", "-Dspark.driver.host=elsewhere"]
    made = plan(
        f"--spark_master_url={master}", f"--spark_job_server_jar={jar}", "--environment_option=process_command=/opt/worker",
        *(f"--job_server_jvm_property={one}" for one in own),
    )  # fmt: skip
    assert made.options["sdk_worker_parallelism"] == 8
    assert made.options["environment_options"] == ["process_command=/opt/worker"]
    for setting in own:
        assert [one for one in made.jvm_options if one.startswith(setting.partition("=")[0])] == [setting]


def test_a_jar_with_plain_guava_goes_before_sparks(java, jar, master):
    flags = [f"--spark_master_url={master}", f"--spark_job_server_jar={jar}"]
    assert f"-Dspark.executor.extraClassPath={jar}" in plan(*flags).jvm_options
    with zipfile.ZipFile(jar, "a") as archive:
        archive.writestr("cc100/shaded/com/google/common/base/Preconditions.class", b"")
    assert not [one for one in plan(*flags).jvm_options if "extraClassPath" in one]


def test_the_heap_follows_from_the_memory_of_a_worker(java, jar, master):
    flags = ["--spark_master_url=local[2]", f"--spark_job_server_jar={jar}"]
    assert [one for one in plan(*flags, memory_per_worker=3 << 30).jvm_options if one.startswith("-Xmx")] == [
        "-Xmx3072m"
    ]
    own = plan(*flags, "--job_server_jvm_property=-Xmx5g").jvm_options
    assert [one for one in own if one.startswith("-Xmx")] == ["-Xmx5g"]
    flags = [f"--spark_master_url={master}", f"--spark_job_server_jar={jar}"]
    on_cluster = plan(*flags, memory_per_worker=3 << 30).jvm_options
    assert not [one for one in on_cluster if one.startswith("-Xmx")]
    assert "-Dspark.executor.memory=1024m" in plan(*flags, memory_per_worker=64 << 20).jvm_options
    assert "-Dspark.executor.memory=3072m" in on_cluster
    name = "-Dspark.executor.memory"
    own = plan(*flags, f"--job_server_jvm_property={name}=5g").jvm_options
    assert [one for one in own if one.startswith(name)] == [f"{name}=5g"]


def test_large_shuffles_of_a_cluster_are_cut_into_partitions(java, jar, master):
    flags = [f"--spark_master_url={master}", f"--spark_job_server_jar={jar}"]
    name = "-Dspark.default.parallelism"

    def found(*more, partitions):
        return [one for one in plan(*flags, *more, partitions=partitions).jvm_options if one.startswith(name)]

    assert not found(partitions=1)  # as many as the cluster has cores
    assert found(partitions=40) == [f"{name}=40"]
    assert found(f"--job_server_jvm_property={name}=7", partitions=40) == [f"{name}=7"]


def test_one_worker_for_each_core():
    assert executor_cores("local", ()) == 1
    assert executor_cores("local[3]", ()) == 3
    assert executor_cores("local[*]", ()) == len(os.sched_getaffinity(0))
    assert executor_cores("spark://h:7077", ()) == 1
    assert executor_cores("spark://h:7077", ("-Dspark.executor.cores=4",)) == 4


def test_a_local_master_holds_whole_shuffles():
    assert is_one_jvm([SPARK, "--spark_master_url=local[2]"])
    assert is_one_jvm([SPARK])  # Beam's default is a local master
    assert not is_one_jvm([SPARK, "--spark_master_url=spark://h:7077"])
    assert not is_one_jvm([])


def test_no_jar(java, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(ConfigurationError, match="Run cc100 spark jar once"):
        plan("--spark_master_url=local[2]")


def test_a_jar_that_is_none(java, tmp_path):
    (tmp_path / "no.jar").write_bytes(b"nothing")
    with pytest.raises(ConfigurationError, match="is no jar of a Spark job server"):
        plan("--spark_master_url=local[2]", f"--spark_job_server_jar={tmp_path / 'no.jar'}")
    with pytest.raises(ConfigurationError, match="there is no such file"):
        plan("--spark_master_url=local[2]", f"--spark_job_server_jar={tmp_path / 'missing.jar'}")


@pytest.mark.parametrize("master", ["yarn", "k8s://https://host", "spark://host", "local[x]"])
def test_masters_that_are_none(java, jar, master):
    with pytest.raises(ConfigurationError, match=r"expected local\[N\] or spark://HOST:PORT"):
        plan(f"--spark_master_url={master}", f"--spark_job_server_jar={jar}")


def test_no_master_at_the_address(java, jar, master):
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"spark://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ConfigurationError, match=r"no Spark master answers there \(Connection refused\)"):
        plan(f"--spark_master_url={nobody}", f"--spark_job_server_jar={jar}")
    both = f"{nobody},{master.removeprefix('spark://')}"  # with a standby, one is enough
    assert plan(f"--spark_master_url={both}", f"--spark_job_server_jar={jar}").master == both


def test_no_worker_program(java, jar, monkeypatch, tmp_path):
    monkeypatch.setattr(portable_flags.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="no cc100-worker beside"):
        plan("--spark_master_url=local[2]", f"--spark_job_server_jar={jar}")
