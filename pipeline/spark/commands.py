"""`cc100 spark bundle`."""

import argparse
import dataclasses
import pathlib

from apache_beam.options.pipeline_options import PipelineOptions

from cc100.pipeline.config import load_settings
from cc100.pipeline.inputs import resolve_inputs
from cc100.pipeline.plan import check_memory, make_plan
from cc100.pipeline.portable.engine import SPARK
from cc100.pipeline.portable.jar import find_or_named_jar
from cc100.pipeline.run import find_model, with_new_means
from cc100.pipeline.spark.bundle import write_bundle
from cc100.shards import layout
from cc100.shards.errors import ConfigurationError
from cc100.transforms.job import Job, load_job
from cc100.transforms.storage import Storage, absolute


def bundle(options: argparse.Namespace, beam_flags: list[str]) -> int:
    """`cc100 spark bundle`.

    Raises:
        ConfigurationError: it is not said what is built, or where.
    """
    settings = load_settings(options.config, options.overrides)
    if not settings.run.output:
        raise ConfigurationError(
            "cc100 spark bundle: where the stages write is run.output; give it in --config or by --set run.output=URI"
        )
    jar, _ = find_or_named_jar(SPARK, PipelineOptions(beam_flags).get_all_options()[SPARK.jar_flag])
    storage = Storage(absolute(settings.run.output))
    names, base = options.input or list(settings.run.input), options.base or settings.run.base
    inputs = resolve_inputs(names, base, settings)
    if storage.size(layout.RUN_STATE) is not None:
        job = load_job(storage)  # begun already: its plan stays
        job = dataclasses.replace(job, settings=with_new_means(job.settings, settings))
    else:
        job = Job(storage, settings, inputs, make_plan(inputs, settings), find_model(settings))
        check_memory(job)
    arguments = ["--output", storage.root, *(part for name in names for part in ("--input", absolute(name)))]
    arguments += ["--base", base] if base else []
    arguments += ["--config", str(pathlib.Path(options.config).absolute())] if options.config else []
    arguments += [part for override in options.overrides for part in ("--set", override)]
    folder = pathlib.Path(options.output)
    made = write_bundle(folder, jar, job, beam_flags, arguments)
    for path in made:
        print(f"{path}: {path.stat().st_size:,} bytes")
    print(f"submit them in order: SPARK_FLAGS='--master ...' {folder}/submit.sh")
    return 0
