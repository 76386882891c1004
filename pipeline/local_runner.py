"""The local runner: Beam's FnApiRunner, given the pipeline options, with workers in this process or in forked ones.

Beam's own DirectRunner tries to download Prism first, and its FnApiRunner leaves worker processes without options, so that they
could not reach an S3 server.
"""

import threading
from collections.abc import Iterable
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pipeline import Pipeline
from apache_beam.portability.api import beam_provision_api_pb2, endpoints_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner, worker_handlers
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.runners.runner import PipelineResult
from apache_beam.transforms import environments
from google.protobuf import json_format, text_format

from cc100.pipeline.fork_server import ForkServer

_URN = "cc100:env:forked_python:v1"
_SERVERS: dict[str, ForkServer] = {}


class LocalRunner(fn_runner.FnApiRunner):  # type: ignore[misc]
    """FnApiRunner whose workers get the pipeline options.

    Args:
        server: where workers are forked; None: everything runs in this process.
    """

    def __init__(self, server: ForkServer | None = None) -> None:
        environment = None
        if server is not None:
            name = str(id(server))
            _SERVERS[name] = server
            environment = _ForkedEnvironment(name, environments.python_sdk_capabilities())
        super().__init__(default_environment=environment)

    def run_pipeline(self, pipeline: Pipeline, options: PipelineOptions) -> PipelineResult:
        """Run a pipeline; the options travel with the provision info."""
        encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
        info: Any = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
        self._provision_info = fn_runner.ExtendedProvisionInfo(info)
        return super().run_pipeline(pipeline, options)


@environments.Environment.register_urn(_URN, bytes)  # type: ignore[untyped-decorator]
class _ForkedEnvironment(environments.Environment):  # type: ignore[misc]
    """Names the fork server."""

    def __init__(self, name: str, capabilities: Iterable[str] = ()) -> None:
        super().__init__(capabilities)
        self._name = name

    def to_runner_api_parameter(self, context: Any) -> tuple[str, bytes]:
        return _URN, self._name.encode()

    @staticmethod
    def from_runner_api_parameter(
        payload: bytes, capabilities: Iterable[str], artifacts: Any, resource_hints: Any, context: Any
    ) -> "_ForkedEnvironment":
        return _ForkedEnvironment(payload.decode(), capabilities)


@worker_handlers.WorkerHandler.register_environment(_URN, bytes)  # type: ignore[untyped-decorator]
class _ForkedWorkerHandler(worker_handlers.GrpcWorkerHandler):  # type: ignore[misc]
    """Starts a worker through the fork server; it talks to the runner over gRPC like any other."""

    def __init__(self, payload: bytes, state: Any, provision_info: Any, grpc_server: Any) -> None:
        super().__init__(state, provision_info, grpc_server)
        self._server = _SERVERS[payload.decode()]

    def start_worker(self) -> None:
        control = endpoints_pb2.ApiServiceDescriptor(url=self.control_address)
        options = json_format.MessageToJson(self.provision_info.provision_info.pipeline_options)
        variables = {
            "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(control),
            "PIPELINE_OPTIONS": options,
            "WORKER_ID": self.worker_id,
        }
        number = self._server.start(variables)
        self._watch = threading.Thread(target=self._end_with_worker, args=(number,), daemon=True)
        self._watch.start()

    def _end_with_worker(self, number: int) -> None:
        """A worker that dies takes the job with it at once, rather than leaving the runner waiting."""
        code = self._server.wait(number)
        if code:
            reason = f"signal {-code}" if code < 0 else f"exit code {code}"
            self.control_conn.abort(RuntimeError(f"a worker process ended with {reason}"))

    def stop_worker(self) -> None:
        self._watch.join()
