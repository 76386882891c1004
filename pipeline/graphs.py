"""All Beam jobs of all stages as graphs, without running any: for bundles, and for the tests that look at what runners will get."""

import dataclasses

from cc100.pipeline.corpus import corpus_steps, planned_cut
from cc100.pipeline.encode import encode_step
from cc100.pipeline.steps import Build
from cc100.pipeline.training import sample_step, step_names
from cc100.transforms import gather, sample
from cc100.transforms.encode import load_encode_job
from cc100.transforms.job import Job, JobReference
from cc100.transforms.sample import load_sample_job

_FROZEN = "bundle"
"""In place of a job's fingerprint, which is not known yet; workers read the job from its file either way."""


@dataclasses.dataclass(frozen=True)
class Graph:
    """One Beam job.

    Attributes:
        stage: `corpus`, `tokenizer` or `encode`.
        name: name of its step and number of its pass, as `run_step` names it.
        build: makes the graph.
    """

    stage: str
    name: str
    build: Build


def job_name(step: str, part: int) -> str:
    """Name of the Beam job of a pass."""
    return f"{step}-{part}"


def stage_graphs(job: Job) -> list[Graph]:
    """Beam jobs of all stages, in order; all that they know is the output folder and the plan.

    Args:
        job: the corpus job.
    """
    root = job.storage.root
    reference = JobReference(root, _FROZEN)
    graphs = [
        Graph("corpus", job_name(step.name, number), part.build)
        for step in corpus_steps(job, reference, lambda shuffle: planned_cut(job, shuffle))
        for number, part in enumerate(step.passes)
    ]
    graphs.append(Graph("corpus", job_name(gather.STEP, 0), lambda root: root | "Gather" >> gather.Gather(reference)))
    samples = JobReference(root, _FROZEN, load_sample_job)
    drawing, _, covering = step_names(sample.TOKENIZER)
    for name, work in ((drawing, sample.sample_part), (covering, sample.cover_part)):
        graphs.append(Graph("tokenizer", job_name(name, 0), sample_step(name, 0, samples, work).passes[0].build))
    encoding = encode_step(0, JobReference(root, _FROZEN, load_encode_job))
    graphs.append(Graph("encode", job_name(encoding.name, 0), encoding.passes[0].build))
    return graphs
