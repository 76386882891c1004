"""What the tests on Spark share: the program, the result of a local run, a cluster on this machine."""

import importlib.util
import json
import pathlib
import subprocess
import sys
import time

import pytest
from small_corpus import content

REPOSITORY = pathlib.Path(__file__).parent.parent.parent.parent
CRAWL = REPOSITORY / "examples" / "crawl"
CC100 = pathlib.Path(sys.executable).parent / "cc100"
DEMO = ["--config", str(REPOSITORY / "configs" / "demo.yaml")]


def start(*arguments):
    """Start the program."""
    return subprocess.Popen([CC100, *map(str, arguments)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def cc100(*arguments, code=0):
    """Run the program to its end; what it said."""
    process = start(*arguments)
    _, said = process.communicate(timeout=540)
    assert process.returncode == code, said
    return said


def job_folders():
    """Temporary folders of job servers; none may stay."""
    return list(pathlib.Path("/tmp").glob("cc100-job-server-*"))


def wait_for(condition, process, seconds=240):
    """Wait until something holds while a process runs; what it gave."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(
        f"waited in vain; the process said {process.communicate()[1] if process.poll() is not None else 'nothing'}"
    )


def workers_of(executors):
    """Process numbers of the Python workers of some executors: the forks of their servers."""
    parents, forks = {}, []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            parents[int(path.name)] = (int(fields[1]), (path / "cmdline").read_bytes().split(b"\0"))
        except OSError:
            continue
    servers = {
        pid for pid, (_, command) in parents.items() if len(command) > 4 and command[-2].decode() in map(str, executors)
    }
    for pid, (parent, _) in parents.items():
        if pid in servers and parent in servers:
            forks.append(pid)
    return forks


@pytest.fixture(scope="session")
def local_run(tmp_path_factory):
    """Content of everything, as a local run leaves it."""
    folder = tmp_path_factory.mktemp("local") / "out"
    cc100("run", "--input", CRAWL, "--output", folder, *DEMO, "--workers", 1)
    return content(folder)


@pytest.fixture(scope="session")
def cluster_module():
    spec = importlib.util.spec_from_file_location("cluster", REPOSITORY / "examples" / "spark" / "cluster.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cluster(cluster_module, tmp_path_factory):
    """A standalone cluster with two workers of a core each."""
    made = cluster_module.Cluster(tmp_path_factory.mktemp("cluster") / "cluster")
    try:
        yield made.start()
    finally:
        made.stop()


def on(master):
    """Beam's flags for a master."""
    return ["--", "--runner=SparkRunner", f"--spark_master_url={master}"]


def corpus_only(files):
    """The part of a run's files that `cc100 corpus` leaves."""
    return {name: data for name, data in files.items() if not name.startswith(("tokenizer/", "tokens/"))}


def history(folder):
    return json.loads((pathlib.Path(folder) / "run" / "history.json").read_bytes())


@pytest.fixture
def s3_bucket(s3_server):
    """Client and URI of an empty bucket with the bundled crawl in it."""
    import boto3

    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=s3_server, **keys)
    client.create_bucket(Bucket="spark")
    for path in sorted(CRAWL.glob("*.gz")):
        client.upload_file(str(path), "spark", f"crawl/{path.name}")
    return client


def bucket_content(client, prefix):
    """Name -> bytes of what lies below a prefix, but run/."""
    found = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="spark", Prefix=f"{prefix}/"):
        for entry in page.get("Contents", []):
            name = entry["Key"].removeprefix(f"{prefix}/")
            if not name.startswith("run/"):
                found[name] = client.get_object(Bucket="spark", Key=entry["Key"])["Body"].read()
    return found
