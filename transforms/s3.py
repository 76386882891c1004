"""One S3 client per process.

Beam makes a new boto3 session for every operation on s3://, and each parses megabytes of JSON and opens new connections: a tenth of a
second of CPU per file that is looked up. boto3's clients may be shared between threads, so all operations with the same
address and keys are given the same one.
"""

import functools
import importlib
import threading
import types
from typing import Any

_LOCK = threading.Lock()


@functools.lru_cache(maxsize=1)
def share_clients() -> None:
    """Let Beam's S3 file system share clients; does nothing where boto3 is not installed."""
    try:
        import boto3

        module = importlib.import_module("apache_beam.io.aws.clients.s3.boto3_client")
    except ImportError:
        return  # Beam itself says which extra is missing when an s3:// path is used

    @functools.lru_cache(maxsize=8)
    def client(**keys: Any) -> Any:
        return boto3.session.Session().client(**keys)

    def locked_client(**keys: Any) -> Any:
        with _LOCK:  # two threads at once would make two clients
            return client(**keys)

    shared = types.SimpleNamespace(client=locked_client)
    module.boto3 = types.SimpleNamespace(session=types.SimpleNamespace(Session=lambda: shared))  # type: ignore[attr-defined]
