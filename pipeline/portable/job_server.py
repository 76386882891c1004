"""Beam's job server for an engine: one Java process for all Beam jobs of a command, and Spark's driver at the same time."""

import atexit
import contextlib
import ctypes
import dataclasses
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cc100.pipeline.portable.engine import Engine
from cc100.pipeline.portable.faults import explain
from cc100.shards.errors import Cc100Error

_START_TIMEOUT_S = 300.0
_POLL_S = 0.1
_WATCH_S = 2.0
_WAITING = b"Initial job has not accepted any resources"
_STOP_TIMEOUT_S = 20.0
_PR_SET_PDEATHSIG = 1
_PREFIX = "cc100-job-server-"
LOG_NAME = "job-server.log"


class JobServer:
    """A running job server.

    Args:
        engine: for which engine.
        java: the launcher.
        options: options of the JVM.
        jar: the job-server jar.
        master: the engine's master.
        configuration: the engine's own settings, in a file beside the log; none: as it finds them.

    Attributes:
        endpoint: where it takes jobs.
        log: path of what it and the driver have to say.

    Raises:
        Cc100Error: it did not start.
    """

    def __init__(
        self, engine: Engine, java: str, options: Sequence[str], jar: str, master: str, configuration: Mapping[str, str]
    ) -> None:
        _delete_stale()
        self._engine = engine
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        self.log = self._folder / LOG_NAME
        port = _free_port()
        self.endpoint = f"localhost:{port}"
        command = [java, *options, f"-Djava.io.tmpdir={self._folder}", "-jar", jar, engine.master_argument, master]
        command += ["--job-port", str(port), "--artifact-port", "0", "--expansion-port", "0"]
        command += ["--artifacts-dir", str(self._folder / "artifacts")]
        if configuration:
            lines = "".join(f"{name}: {value}\n" for name, value in configuration.items())
            (self._folder / engine.configuration_file).write_text(lines)
            command += [engine.configuration_argument, str(self._folder)]
        with open(self.log, "wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent,
                start_new_session=True,
            )
        atexit.register(self.close)
        try:
            self._wait(port)
        except BaseException:
            self.close()
            raise

    def _wait(self, port: int) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise Cc100Error(
                    f"the {self._engine.name} job server ended with exit code {self._process.returncode}: {self.reason()}"
                )
            with contextlib.suppress(OSError), socket.create_connection(("localhost", port), timeout=1):
                return
            time.sleep(_POLL_S)
        raise Cc100Error(
            f"the {self._engine.name} job server did not start within {_START_TIMEOUT_S:.0f} s: {self.reason()}"
        )

    def reason(self) -> str:
        """The line of the log that tells best what went wrong."""
        return explain(self.read_log(), self._engine.name)

    def read_log(self) -> str:
        """What the server and the driver said so far."""
        with contextlib.suppress(OSError):
            return self.log.read_text(encoding="utf-8", errors="replace")
        return ""

    @contextlib.contextmanager
    def watched(self, say: Callable[[str], None]) -> Iterator[None]:
        """Tell, once, that Spark waits for cores while the block runs: it would wait for ever without a word."""
        stop, begin = threading.Event(), self.log.stat().st_size

        def watch() -> None:
            while not stop.wait(_WATCH_S):
                with contextlib.suppress(OSError), open(self.log, "rb") as log:
                    log.seek(begin)
                    if _WAITING in log.read():
                        say(
                            "Spark gets no executor: the cluster has no free cores, or no worker with that much memory and that many cores "
                            "(spark.executor.memory, spark.executor.cores). Waiting"
                        )
                        return

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def close(self) -> None:
        """End the server, and with it the application on the cluster."""
        atexit.unregister(self.close)
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_TIMEOUT_S)
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _die_with_parent() -> None:
    """Ask Linux to end this process with its parent: a driver that outlives its command would go on writing."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _delete_stale() -> None:
    """Delete the temporary folders of commands that were killed."""
    for folder in pathlib.Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not pathlib.Path(f"/proc/{owner}").exists() and folder.stat().st_uid == os.getuid():
            shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


_servers: dict[tuple[str, str], JobServer] = {}


@dataclasses.dataclass(frozen=True)
class ServedPlan:
    """How a command reaches an engine.

    Attributes:
        engine: the engine.
        master: the engine's master.
        java: the Java launcher.
        jvm_options: options of the job server's JVM, the engine's settings among them.
        jar: the job-server jar.
        version: version of the engine in it.
        options: pipeline options of every job, without the job server's address.
        configuration: the engine's own settings.
    """

    engine: Engine
    master: str
    java: str
    jvm_options: tuple[str, ...]
    jar: str
    version: str
    options: dict[str, Any]
    configuration: dict[str, str] = dataclasses.field(default_factory=dict)

    def server(self) -> JobServer:
        """The job server; started at the first call and shared by all jobs of this process for that master."""
        key = self.engine.key, self.master
        if key not in _servers:
            _servers[key] = JobServer(
                self.engine, self.java, self.jvm_options, self.jar, self.master, self.configuration
            )
        return _servers[key]

    def explain(self, text: str) -> str:
        """The line of an error message and the server's log that tells best what went wrong."""
        told = explain(f"{text}\n{self.server().read_log()}", self.engine.name, self.version)
        return f"{self.engine.name}: {told}"
