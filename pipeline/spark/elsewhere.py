"""Beam jobs that somebody else submits: a command does everything around them, and names the next one.

With the flag `--jobs_elsewhere` among Beam's flags no job is run. A command that comes to one prints its name and ends with exit code 3;
when the job has been done, the same command goes on. So a script needs no knowledge of the order, of what is
done already, or of the tokenizer's training, which is no Beam job.
"""

import argparse
from collections.abc import Iterable

from apache_beam.options.pipeline_options import PipelineOptions

from cc100.shards.errors import Cc100Error


class ElsewhereOptions(PipelineOptions):  # type: ignore[misc]
    """The flag, as Beam's options know it."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--jobs_elsewhere", action="store_true", default=False, help="name the next Beam job, run none"
        )


class JobNeededError(Cc100Error):
    """A Beam job has to be run before the command can go on.

    Args:
        name: name of the job, `<step>-<pass>`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"the Beam job {name} has to be run")
        self.name = name


def is_elsewhere(flags: Iterable[str]) -> bool:
    """True where Beam's flags say that somebody else submits the jobs."""
    return bool(PipelineOptions(list(flags)).view_as(ElsewhereOptions).jobs_elsewhere)
