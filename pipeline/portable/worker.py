"""`cc100-worker`: what executors start for every Beam worker (environment PROCESS).

Executors start a worker for a stage and end it after that. An interpreter with Beam, the kernels and the language model takes seconds
to start, so the program that is started only asks a server for a fork of itself, and lives as long as that. The server belongs to one
executor: the first worker starts it, it loads everything once, and it ends with the executor's JVM. So workers cost little enough not to be
cached (`environment_cache_millis` 0), and a job survives a killed one: with the cache, all attempts of a task get the dead
worker.

Only the standard library is imported here, until the server forks.
"""

import argparse
import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import pathlib
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

_START_TIMEOUT_S = 300.0
_POLL_S = 0.05
_REAP_S = 0.05
_PR_SET_PDEATHSIG = 1
_MESSAGE_BYTES = 1 << 20
_LOST = 70


def main(argv: Sequence[str] | None = None) -> int:
    """Be the process that an executor waits for; its exit code."""
    parser = argparse.ArgumentParser(
        prog="cc100-worker", description="A Beam worker; started by executors of Spark or Flink."
    )
    parser.add_argument("--id", required=True, help="name of the worker")
    parser.add_argument("--provision_endpoint", required=True, help="where the worker asks what it is for")
    options, _ = parser.parse_known_args(argv)  # runners add endpoints that the provision endpoint tells too
    connection = _connect(os.getppid())
    request = {
        "id": options.id,
        "endpoint": options.provision_endpoint,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
    }
    data = json.dumps(request).encode() + b"\n"
    sent = socket.send_fds(connection, [data[:1]], [1, 2])
    connection.sendall(data[sent:])
    # The runner ends a worker with SIGTERM or SIGKILL: the connection closes, and the server kills the fork.
    answer = connection.makefile("rb").readline()
    code = int(answer) if answer.strip() else _LOST
    return code if code >= 0 else 128 - code


def _connect(owner: int) -> socket.socket:
    """A connection to the server of an executor, started if need be."""
    address = _address(owner)
    with contextlib.suppress(OSError):
        return _try(address)
    with open(f"{address}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(OSError):
            return _try(address)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address)
        command = [
            sys.executable,
            "-c",
            "from cc100.pipeline.portable.worker import serve; serve()",
            address,
            str(owner),
        ]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline and server.poll() is None:
            with contextlib.suppress(OSError):
                return _try(address)
            time.sleep(_POLL_S)
    raise SystemExit(f"cc100-worker: the server that forks workers did not start (exit code {server.poll()})")


def _try(address: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


def _address(owner: int) -> str:
    """Path of the socket of an executor's server, in a folder that only this user can enter."""
    folder = pathlib.Path(tempfile.gettempdir()) / f"cc100-worker-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o077:
        raise SystemExit(f"cc100-worker: {folder} belongs to somebody else or is open to others; delete it")
    name = hashlib.sha256(f"{owner} {_begun(owner)} {sys.prefix}".encode()).hexdigest()[:16]
    return str(folder / name)


def _begun(pid: int) -> str:
    """When a process began, in clock ticks: with its number, a name that is not used again."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


# --- The server -----------------------------------------------------------------------------------------------------


def serve() -> None:
    """Be the server of an executor: `serve ADDRESS PID`, on the command line of an own interpreter."""
    address, owner = sys.argv[1], int(sys.argv[2])
    begun = _begun(owner)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    _load()
    listener.bind(address)
    listener.listen()
    try:
        _Server(listener).run(lambda: _begun(owner) == begun)
    finally:
        for path in (address, f"{address}.lock"):
            with contextlib.suppress(OSError):
                os.unlink(path)


def _load() -> None:
    """Import and load what every worker needs, once, before the first fork."""
    import logging

    logging.disable(logging.CRITICAL)
    import apache_beam.runners.worker.sdk_worker_main

    with contextlib.suppress(Exception):  # workers will meet the same error, and report it
        from cc100.pipeline.portable.preload import preload

        preload()
    logging.disable(logging.NOTSET)
    del apache_beam


class _Server:
    """Forks a worker for every connection, and kills it when that closes."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._workers: dict[int, socket.socket] = {}

    def run(self, is_needed: Any) -> None:
        """Serve while the executor lives."""
        self._selector.register(self._listener, selectors.EVENT_READ)
        while is_needed():
            for key, _ in self._selector.select(_REAP_S if self._workers else 1.0):
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._close(key.data)
            self._reap()
        for pid in self._workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        try:
            first, outputs, _, _ = socket.recv_fds(connection, 1, 2)
            rest = connection.makefile("rb").readline(_MESSAGE_BYTES)
            request = json.loads(first + rest)
        except (OSError, ValueError):
            connection.close()
            return
        pid = os.fork()
        if pid == 0:
            self._listener.close()
            _work(connection, outputs, request)
        for descriptor in outputs:
            os.close(descriptor)
        self._workers[pid] = connection
        self._selector.register(connection, selectors.EVENT_READ, pid)

    def _close(self, pid: int) -> None:
        """The process that the executor started is gone."""
        self._selector.unregister(self._workers[pid])
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        for pid in list(self._workers):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                connection = self._workers.pop(pid)
                with contextlib.suppress(KeyError):
                    self._selector.unregister(connection)
                with contextlib.suppress(OSError):
                    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
                connection.close()


def _work(connection: socket.socket, outputs: list[int], request: dict[str, Any]) -> None:
    """Be a worker; never returns."""
    code = 1
    try:
        connection.close()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        for source, target in zip(outputs, (1, 2), strict=True):
            os.dup2(source, target)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        os.environ.update(provision(request["id"], request["endpoint"]))
        from apache_beam.runners.worker import sdk_worker_main

        sdk_worker_main.main(None)
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def provision(worker_id: str, endpoint: str) -> dict[str, str]:
    """What Beam's worker expects in its environment: asked for as Beam's own boot program does."""
    import grpc
    from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc
    from google.protobuf import json_format, text_format

    with grpc.insecure_channel(endpoint) as channel:
        service = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        request = beam_provision_api_pb2.GetProvisionInfoRequest()
        info = service.GetProvisionInfo(request, metadata=[("worker_id", worker_id)], timeout=60).info
    return {
        "WORKER_ID": worker_id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "LOGGING_API_SERVICE_DESCRIPTOR": text_format.MessageToString(info.logging_endpoint),
        "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(info.control_endpoint),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }


if __name__ == "__main__":
    sys.exit(main())
