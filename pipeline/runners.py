"""Which runner Beam's flags name."""

from collections.abc import Iterable

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import create_runner

from cc100.shards.errors import ConfigurationError

DIRECT, FN_API, PRISM, SPARK, FLINK, DATAFLOW = (
    "directrunner",
    "fnapirunner",
    "prismrunner",
    "sparkrunner",
    "flinkrunner",
    "dataflowrunner",
)
_KNOWN = (DIRECT, FN_API, PRISM, SPARK, FLINK, DATAFLOW)


def runner_of(flags: Iterable[str]) -> str:
    """Name of the runner in small letters; Beam takes any case, and leaves the word runner to the user.

    Args:
        flags: Beam's own flags; without a runner among them it is the local one.

    Raises:
        ConfigurationError: Beam knows no such runner.
    """
    given = str(PipelineOptions(list(flags)).get_all_options()["runner"] or DIRECT)
    name = given.lower() if given.lower().endswith("runner") else f"{given.lower()}runner"
    if name not in _KNOWN:
        try:
            create_runner(given)
        except (ValueError, ImportError, AttributeError) as error:
            known = "known are DirectRunner, PrismRunner, SparkRunner, FlinkRunner and DataflowRunner"
            raise ConfigurationError(f"--runner={given}: Beam has no such runner; {known}") from error
    return name
