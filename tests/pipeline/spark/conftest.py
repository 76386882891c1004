"""What the tests on Spark share: a cluster on this machine, a bucket."""

import importlib.util

import pytest
from program import CRAWL, REPOSITORY


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
