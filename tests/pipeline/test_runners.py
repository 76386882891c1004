"""Names of runners, as Beam takes them."""

import pytest

from cc100.pipeline.runners import DATAFLOW, DIRECT, FLINK, FN_API, SPARK, runner_of
from cc100.shards.errors import ConfigurationError


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], DIRECT),
        (["--runner=Direct"], DIRECT),
        (["--runner", "SparkRunner"], SPARK),
        (["--runner=spark"], SPARK),
        (["--runner=FLINK"], FLINK),
        (["--runner=DataflowRunner"], DATAFLOW),
        (["--runner=FnApiRunner"], FN_API),
        (["--runner=PortableRunner"], "portablerunner"),
    ],
)
def test_any_case_and_without_the_word(flags, expected):
    assert runner_of(flags) == expected


@pytest.mark.parametrize("name", ["Nothing", "no.such.Runner"])
def test_runners_that_beam_does_not_have(name):
    with pytest.raises(ConfigurationError, match=f"--runner={name}: Beam has no such runner; known are DirectRunner, "):
        runner_of([f"--runner={name}"])
