"""Worker processes by fork: a step in processes costs milliseconds instead of an interpreter and its imports.

A server process imports everything once and forks a Beam SDK worker whenever the local runner asks for one. It is a process of
its own, without threads or gRPC channels, so that forking it is safe whatever the main process does. All of them ignore Ctrl-C, which
is the main process's affair, and end when it ends, however it ends: the server sees its socket close and kills its workers.
"""

import contextlib
import ctypes
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

_WORKER = "apache_beam.runners.worker.sdk_worker_main"
# Errors reach the main process with the job's result; Beam would also log them, and does so already while it is imported.
_PROGRAM = """
import logging, sys
logging.disable(logging.CRITICAL)
from cc100.pipeline.fork_server import main
main(int(sys.argv[1]), *sys.argv[2:])
"""
_PR_SET_PDEATHSIG = 1
_REAP_S = 0.1


def _preload_nothing() -> None:
    """Workers import what they need themselves."""


class ForkServer:
    """The main process's end: starts workers and waits for them.

    Args:
        preload: module-level function that imports and loads what every worker will need, before the first fork.
        arguments: its keyword arguments, anything that JSON holds.

    Attributes:
        running: servers that were not closed.
    """

    running: ClassVar[list["ForkServer"]] = []

    def __init__(
        self, preload: Callable[..., None] = _preload_nothing, arguments: Mapping[str, Any] | None = None
    ) -> None:
        ours, theirs = socket.socketpair()
        what = [preload.__module__, preload.__qualname__, json.dumps(arguments or {})]
        command = [sys.executable, "-c", _PROGRAM, str(theirs.fileno()), *what]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        self._socket = ours
        self._lock = threading.Lock()
        self._is_gone = False
        self._ended: dict[int, threading.Event] = {}
        self._codes: dict[int, int] = {}
        threading.Thread(target=self._listen, daemon=True).start()
        self.running.append(self)

    def start(self, environment: Mapping[str, str]) -> int:
        """Start a worker with these variables added to the environment; its number."""
        with self._lock:
            if self._is_gone:
                raise RuntimeError("the server that forks workers has ended")
            number = len(self._ended)
            self._ended[number] = threading.Event()
            self._socket.sendall(json.dumps([number, dict(environment)]).encode() + b"\n")
        return number

    def wait(self, number: int) -> int:
        """Wait for a worker's end; its exit code, negative after a signal."""
        self._ended[number].wait()
        return self._codes[number]

    def close(self) -> None:
        """End the server and all workers."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._process.wait()
        self.running.remove(self)

    def kill(self) -> None:
        """End the server and all workers without waiting for them."""
        self._process.kill()

    def _listen(self) -> None:
        with contextlib.suppress(OSError), self._socket.makefile("rb") as lines:
            for line in lines:
                number, code = json.loads(line)
                self._codes[number] = code
                self._ended[number].set()
        with self._lock:
            self._is_gone = True
            for number, event in self._ended.items():  # its workers have ended with it
                self._codes.setdefault(number, -signal.SIGKILL)
                event.set()


def _serve(connection: socket.socket) -> None:
    """Fork workers on demand until the main process is gone."""
    running: dict[int, int] = {}
    waiting = b""
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        while True:
            if selector.select(_REAP_S):
                data = connection.recv(1 << 16)
                if not data:
                    break
                *lines, waiting = (waiting + data).split(b"\n")
                for line in lines:
                    number, environment = json.loads(line)
                    running[_fork_worker(connection, environment)] = number
            _reap(running, connection)
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _reap(running: dict[int, int], connection: socket.socket) -> None:
    for pid in list(running):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            message = json.dumps([running.pop(pid), os.waitstatus_to_exitcode(status)]).encode() + b"\n"
            with contextlib.suppress(OSError):
                connection.sendall(message)


def _fork_worker(connection: socket.socket, environment: dict[str, str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        connection.close()
        _die_with_parent()
        os.environ.update(environment)
        importlib.import_module(_WORKER).main(None)
        code = 0
    finally:
        os._exit(code)
    return 0


def _die_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends; elsewhere the closed socket does."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def main(descriptor: int, module: str, function: str, arguments: str) -> None:
    """Be the server, on an inherited socket, when what workers need is loaded."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    importlib.import_module(_WORKER)
    preload = getattr(importlib.import_module(module), function)
    with contextlib.suppress(Exception):  # workers will meet the same error, and report it
        preload(**json.loads(arguments))
    _serve(socket.socket(fileno=descriptor))
