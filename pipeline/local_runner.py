"""The local runner: Beam's FnApiRunner, given the pipeline options.

Beam's own DirectRunner tries to download Prism first, and its FnApiRunner leaves worker processes without options, so that they
could not reach an S3 server; hence these few lines.
"""

from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pipeline import Pipeline
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.runners.runner import PipelineResult


class LocalRunner(fn_runner.FnApiRunner):  # type: ignore[misc]
    """FnApiRunner whose workers get the pipeline options."""

    def run_pipeline(self, pipeline: Pipeline, options: PipelineOptions) -> PipelineResult:
        """Run a pipeline; the options travel with the provision info."""
        encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
        info: Any = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
        self._provision_info = fn_runner.ExtendedProvisionInfo(info)
        return super().run_pipeline(pipeline, options)
