"""`cc100-worker` against Beam's Python job service: what executors start does the work of a stage, and ends as it should."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer

from cc100.pipeline.config import load_settings
from cc100.pipeline.inputs import resolve_inputs
from cc100.pipeline.portable import worker
from cc100.pipeline.progress import StepProgress
from cc100.pipeline.run import Request, run
from cc100.transforms.storage import Storage

REPOSITORY = pathlib.Path(__file__).parent.parent.parent.parent
PROGRAM = pathlib.Path(sys.executable).parent / "cc100-worker"


def corpus(folder, *flags):
    settings = load_settings(None, ["language.languages=[de]", "near.mode=none"])
    inputs = resolve_inputs([str(REPOSITORY / "examples" / "crawl")], None, settings)
    return run(Storage(str(folder)), Request(inputs, settings, 1, flags), StepProgress(live=False))


@pytest.fixture
def pool():
    """A service that starts workers by the program, as executors do."""
    address, server = BeamFnExternalWorkerPoolServicer.start(use_process=True, container_executable=str(PROGRAM))
    yield address
    server.stop(0)


def test_workers_leave_the_bytes_of_a_local_run(pool, tmp_path):
    flags = [
        "--runner=PortableRunner",
        "--job_endpoint=embed",
        "--environment_type=EXTERNAL",
        f"--environment_config={pool}",
    ]
    assert corpus(tmp_path / "pool", *flags) == corpus(tmp_path / "local")


def serving(owner):
    """Numbers of the processes that serve a process."""
    found = subprocess.run(
        ["ps", "-ww", "-eo", "pid,args"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [int(line.split()[0]) for line in found if f"serve() {worker._address(owner)} {owner}" in line]


@pytest.fixture
def executor():
    """A process that starts a worker and waits, in the place of an executor; what the worker asks never answers."""
    code = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        command = [str(PROGRAM), "--id=1-1", f"--provision_endpoint=127.0.0.1:{silent.getsockname()[1]}"]
        process = subprocess.Popen([sys.executable, "-c", code, *command])
        yield process
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()


def test_a_killed_fork_ends_its_program_and_the_server_ends_with_the_executor(executor):
    deadline = time.monotonic() + 60
    while not (servers := serving(executor.pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    forks = []
    while not forks and time.monotonic() < deadline:
        forks = subprocess.run(
            ["pgrep", "-P", str(servers[0])], capture_output=True, text=True, check=False
        ).stdout.split()
        time.sleep(0.1)
    os.kill(int(forks[0]), signal.SIGKILL)
    assert executor.wait(timeout=60) == 128 + signal.SIGKILL
    while serving(executor.pid) and time.monotonic() < deadline:  # the executor is gone: so is its server
        time.sleep(0.1)
    assert not serving(executor.pid)


def test_sockets_lie_where_nobody_else_can_reach_them():
    folder = pathlib.Path(worker._address(os.getpid())).parent
    assert folder.stat().st_uid == os.getuid()
    assert folder.stat().st_mode & 0o077 == 0
    assert worker._address(os.getpid()) != worker._address(os.getppid())
