"""Beam's flags for Dataflow: what the user gave, completed by machines and workers that fit each step.

Every default gives way to the user's own flag.
"""

import secrets
from collections.abc import Iterable
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from cc100.pipeline.portable.faults import told_error
from cc100.pipeline.runners import DATAFLOW, runner_of
from cc100.shards.errors import ConfigurationError
from cc100.transforms import candidates, decide, elect, mark

_SHUFFLING = (mark.STEP, elect.STEP, candidates.STEP_CANDIDATES, decide.STEP)
_MAPS = {"machine_type": "n2-standard-4", "disk_size_gb": 50}
"""4 GB for each process: more than a step without a shuffle was measured to need on files of a crawl's size."""

_SHUFFLES = {"machine_type": "n2-highmem-4", "disk_size_gb": 50}
"""8 GB for each process, which holds the values of one key several times over."""

_JOIN = {"machine_type": "n2-highmem-8", "disk_size_gb": 100, "max_num_workers": 8}
"""The candidates of a group are joined in one process, and there are few groups."""

_ALL = {
    "max_num_workers": 100,
    "autoscaling_algorithm": "THROUGHPUT_BASED",  # units are many and alike, so the work that is left is known
    "number_of_worker_harness_threads": 1,  # Dataflow starts a process for each vCPU; a second thread would double its memory
    "sdk_location": "container",  # the image has everything, workers install nothing
}
_REQUIRED = {
    "project": "the project that pays",
    "region": "where the workers run: that of the buckets",
    "temp_location": "a folder on gs:// for Dataflow's own files",
    "sdk_container_image": "the worker image, made by make image",
}


def is_dataflow(flags: Iterable[str]) -> bool:
    """True where Beam's flags name Dataflow."""
    return runner_of(flags) == DATAFLOW


def check_dataflow(flags: Iterable[str]) -> None:
    """Refuse what would fail after minutes on Dataflow.

    Raises:
        ConfigurationError: a flag is missing, Beam's extra for Google Cloud is not installed, or there are no credentials.
    """
    try:
        import apache_beam.runners.dataflow.internal.apiclient  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(f"Dataflow needs the extra cc100[gcp]: pip install 'cc100[gcp]' ({error})") from error
    given = PipelineOptions(list(flags)).get_all_options()
    for name, what in _REQUIRED.items():
        if not given[name]:
            raise ConfigurationError(f"Dataflow needs -- --{name}: {what}")
    if not given["no_auth"]:
        _check_credentials()


def _check_credentials() -> None:
    import google.auth
    import google.auth.exceptions

    try:
        google.auth.default()
    except google.auth.exceptions.DefaultCredentialsError as error:
        raise ConfigurationError(
            "Dataflow needs credentials for Google Cloud, and none were found: gcloud auth application-default login makes them, or "
            f"GOOGLE_APPLICATION_CREDENTIALS names their file ({str(error).splitlines()[0]})"
        ) from error


def explain_failure(error: Exception) -> str | None:
    """Why a job on Dataflow did not end well, in a line; None where the error is none of Dataflow's.

    Args:
        error: what waiting for the job raised; it has the service's last error message, which may be a trace of a worker.
    """
    result = getattr(error, "result", None)
    if type(error).__name__ != "DataflowRuntimeException" or result is None:
        return None
    options = PipelineOptions.from_dictionary(result._options.get_all_options()).get_all_options()
    lines = [
        line.strip() for line in str(error).partition("Error:\n")[2].splitlines() if line.strip() not in ("", "None")
    ]
    why = told_error(str(error)) or (lines[-1] if lines else "the service gave no reason")
    return (
        f"Dataflow's job {result.job_id()} ended as {result.state}: {why.rstrip('.')}. Its log: "
        f"https://console.cloud.google.com/dataflow/jobs/{options['region']}/{result.job_id()}?project={options['project']}"
    )


def check_output(root: str) -> None:
    """Refuse an output folder that Dataflow's workers cannot reach.

    Raises:
        ConfigurationError: it is local.
    """
    if "://" not in root:
        raise ConfigurationError(f"--output {root} is a folder of this machine; Dataflow's workers need it on gs://")


def dataflow_options(flags: Iterable[str], name: str) -> dict[str, Any]:
    """Options of a step's job.

    Args:
        flags: Beam's flags as the user gave them.
        name: name of the job, `<step>-<pass>`.
    """
    given = PipelineOptions(list(flags)).get_all_options(drop_default=True)
    return (
        _ALL | machines(name) | given | {"job_name": f"{given.get('job_name', 'cc100')}-{name}-{secrets.token_hex(3)}"}
    )


def machines(name: str) -> dict[str, Any]:
    """Machine type, disk and number of workers for a job."""
    step = name.rpartition("-")[0]
    if step == candidates.STEP_COMPONENTS:
        return _JOIN
    return _SHUFFLES if step in _SHUFFLING else _MAPS
