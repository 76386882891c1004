"""Fixtures shared by all tests."""

import hashlib
import os
import pathlib
from collections.abc import Iterator

import pytest
from hypothesis import settings

# The first example of a kernel compiles it, so there are no deadlines; the same examples are drawn in every run.
settings.register_profile("cc100", deadline=None, derandomize=True)
settings.load_profile("cc100")


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Names of cases that are bytes: gzip writes the time into them, and every worker must collect the same names."""
    return f"{argname} of {len(val)} bytes" if isinstance(val, bytes) else None


REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """Folder of real test data, named by CC100_TEST_DATA; tests that need it are skipped where it is absent."""
    folder = os.environ.get("CC100_TEST_DATA", "")
    if not folder or not pathlib.Path(folder).is_dir():
        pytest.skip("real test data: CC100_TEST_DATA names no folder")
    return pathlib.Path(folder)


@pytest.fixture(scope="session")
def repository() -> pathlib.Path:
    """Root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Endpoint of an S3 server on this machine."""
    from moto.server import ThreadedMotoServer

    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_folder(s3_server: str, s3_flags: list[str], request: pytest.FixtureRequest) -> Iterator[str]:
    """URI of an empty folder on the S3 server; Beam's file systems know the server while the test runs."""
    import boto3
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

    boto3.client("s3", endpoint_url=s3_server).create_bucket(Bucket="bucket")
    FileSystems.set_options(PipelineOptions(s3_flags))
    name = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]
    yield f"s3://bucket/{name}"
    FileSystems.set_options(PipelineOptions([]))


@pytest.fixture
def s3_flags(s3_server: str) -> list[str]:
    """Beam's flags for the S3 server."""
    return [
        f"--s3_endpoint_url={s3_server}",
        "--s3_access_key_id=test",
        "--s3_secret_access_key=test",
        "--s3_region_name=us-east-1",
    ]
