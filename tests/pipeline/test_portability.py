"""The graphs use nothing that the portable Spark runner or Dataflow cannot do."""

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners import pipeline_context

from cc100.pipeline.graphs import stage_graphs
from cc100.transforms.job import InputFile, Job, Model, Plan
from cc100.transforms.settings import CorpusSettings, RunnerSettings
from cc100.transforms.storage import Storage

MOST_PROTO_BYTES = 10_000_000
CUT = CorpusSettings(runner=RunnerSettings(passes=2, buckets=512))


def graphs(files):
    """Graph of every job of all stages, for a corpus of so many files."""
    inputs = tuple(InputFile(f"s3://bucket/crawl/{index:06d}.warc.wet.gz", 1, 0, 0) for index in range(files))
    job = Job(Storage("/nowhere"), CUT, inputs, Plan(64), Model("/m", "m", "0"))
    for graph in stage_graphs(job):
        pipeline = beam.Pipeline(options=PipelineOptions([]))
        graph.build(pipeline)
        yield f"{graph.stage} {graph.name}", pipeline.to_runner_api()


def faults(proto):
    """What a portable runner would stumble over."""
    components = proto.components
    urns = common_urns.primitives
    found = []
    consumers = {}
    for name, transform in components.transforms.items():
        if transform.subtransforms:
            continue
        for pcollection in transform.inputs.values():
            consumers.setdefault(pcollection, []).append(transform.spec.urn)
        if transform.spec.urn == urns.FLATTEN.urn:
            coders = {components.pcollections[key].coder_id for key in transform.inputs.values()}
            if len(coders) > 1:
                found.append(f"{name}: Flatten of different coders")
        if transform.spec.urn == urns.PAR_DO.urn:
            payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)
            for field in ("state_specs", "timer_family_specs", "side_inputs"):
                if getattr(payload, field):
                    found.append(f"{name}: {field}")
            if payload.restriction_coder_id or payload.requests_finalization or payload.requires_time_sorted_input:
                found.append(f"{name}: splittable, finalising or time-sorted DoFn")
    for pcollection, users in consumers.items():
        # Spark: "consumed but never produced", as soon as two transforms of the runner's own share an input
        if len([user for user in users if user in (urns.FLATTEN.urn, urns.GROUP_BY_KEY.urn)]) > 1:
            found.append(f"{pcollection}: Flatten and GroupByKey on one input")
    found += [
        f"{name}: Reshuffle"
        for name, transform in components.transforms.items()
        if "reshuffle" in transform.spec.urn.lower()
    ]
    return found + coder_faults(proto)


def coder_faults(proto):
    """Shuffles whose coders are not deterministic or are pickles."""
    context = pipeline_context.PipelineContext(proto.components)
    found = []
    for name, transform in proto.components.transforms.items():
        if transform.spec.urn != common_urns.primitives.GROUP_BY_KEY.urn:
            continue
        coder_id = proto.components.pcollections[next(iter(transform.inputs.values()))].coder_id
        key, value = context.coders.get_by_id(coder_id).coders()
        if not key.is_deterministic() or "Pickle" in type(value).__name__ or "FastPrimitives" in type(key).__name__:
            found.append(f"{name}: key {key}, value {value}")
        if "FastPrimitives" in type(value).__name__:
            found.append(f"{name}: value {value}")
    return found


@pytest.mark.parametrize("files", [3])
def test_graphs_are_portable(files):
    for name, proto in graphs(files):
        assert faults(proto) == [], name


def test_every_stage_is_linted():
    names = [name for name, _ in graphs(3)]
    assert len(names) == len(set(names))
    for name in (
        "corpus extract-0",
        "corpus mark-1",
        "corpus gather-0",
        "tokenizer tokenizer-sample-0",
        "encode encode-0",
    ):
        assert name in names
    assert "tokenizer tokenizer-coverage-0" in names


def test_graphs_do_not_grow_with_the_input():
    sizes = {name: proto.ByteSize() for name, proto in graphs(3)}
    large = {name: proto.ByteSize() for name, proto in graphs(90_000)}
    assert sizes.keys() == large.keys()
    assert max(large.values()) < MOST_PROTO_BYTES
    assert all(large[name] - sizes[name] < 1000 for name in sizes)


def test_the_lint_finds_what_it_looks_for():
    pipeline = beam.Pipeline(options=PipelineOptions([]))
    values = pipeline | beam.Create([("a", object())])
    grouped = values | beam.GroupByKey()
    _ = grouped | beam.Map(lambda pair, side: pair, side=beam.pvalue.AsList(values))
    _ = (values, pipeline | "Ints" >> beam.Create([1])) | beam.Flatten()
    _ = values | beam.Reshuffle()
    _ = values | beam.GroupIntoBatches(2)
    text = "\n".join(faults(pipeline.to_runner_api()))
    for fault in (
        "Flatten of different coders",
        "side_inputs",
        "Reshuffle",
        "state_specs",
        "Flatten and GroupByKey",
        "value",
    ):
        assert fault in text
