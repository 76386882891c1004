"""What is known before anything starts on Flink."""

import os
import socket
import zipfile

import pytest
from java_programs import make_java

from cc100.pipeline.flink.flags import is_flink, is_one_flink_jvm, plan_flink
from cc100.pipeline.portable.engine import FLINK
from cc100.shards.errors import ConfigurationError

RUNNER = "--runner=FlinkRunner"


@pytest.fixture
def flags(tmp_path, monkeypatch):
    """Java and a jar are there."""
    make_java(tmp_path / "java17", "17.0.15")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "java17"))
    with zipfile.ZipFile(tmp_path / "server.jar", "w") as archive:
        archive.writestr(FLINK.version_file, "# x\nproject.version=1.19.0\n")
    return [RUNNER, f"--flink_job_server_jar={tmp_path / 'server.jar'}"]


def test_flink_is_recognised():
    assert is_flink([RUNNER])
    assert is_flink(["--runner=flink"])  # as Beam takes it
    assert not is_flink([])
    assert not is_flink([RUNNER, "--job_endpoint=localhost:8099"])
    assert is_one_flink_jvm([RUNNER])
    assert is_one_flink_jvm([RUNNER, "--flink_master=[local]"])
    assert not is_one_flink_jvm([RUNNER, "--flink_master=h:8081"])
    assert not is_one_flink_jvm([])


def test_a_plain_command_line_is_completed(flags):
    made = plan_flink(flags, 3 << 30)
    assert made.version == "1.19.0"
    assert made.master == "[local]"
    cpus = len(os.sched_getaffinity(0))
    assert (made.options["parallelism"], made.options["sdk_worker_parallelism"]) == (cpus, cpus)
    assert made.options["environment_options"][0].endswith("/cc100-worker")
    assert "flink_job_server_jar" not in made.options
    assert "-Xmx3072m" in made.jvm_options
    assert (
        made.configuration["restart-strategy.type"] == "fixed-delay"
    )  # Flink gives up at the first failed task otherwise
    own = plan_flink([*flags, "--parallelism=7", "--job_server_jvm_property=-Xmx5g"], 3 << 30)
    assert (own.options["parallelism"], own.options["sdk_worker_parallelism"]) == (7, 7)
    assert [option for option in own.jvm_options if option.startswith("-Xmx")] == ["-Xmx5g"]


def test_a_cluster(flags):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        made = plan_flink([*flags, f"--flink_master=http://{address}", "--parallelism=40"], 1 << 30)
    assert made.master == made.options["flink_master"] == address
    assert (made.options["parallelism"], made.options["sdk_worker_parallelism"]) == (40, 1)
    assert not [option for option in made.jvm_options if option.startswith("-Xmx")]
    assert not made.configuration  # the cluster's own counts
    with pytest.raises(ConfigurationError, match=rf"{address}: no Flink answers there \(Connection refused\)"):
        plan_flink([*flags, f"--flink_master={address}"], 1 << 30)


@pytest.mark.parametrize("master", ["local", "yarn", "http://host"])
def test_masters_that_are_none(flags, master):
    with pytest.raises(ConfigurationError, match=r"expected \[local\] or HOST:PORT"):
        plan_flink([*flags, f"--flink_master={master}"], 1 << 30)


def test_no_jar(flags, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(ConfigurationError, match=r"no jar of Beam's Flink job server .* Run cc100 flink jar once"):
        plan_flink(flags[:1], 1 << 30)
    (tmp_path / "none.jar").write_bytes(b"x")
    with pytest.raises(ConfigurationError, match="is no jar of a Flink job server"):
        plan_flink([RUNNER, f"--flink_job_server_jar={tmp_path / 'none.jar'}"], 1 << 30)
