"""The corpus job: its steps in the order of the data flow, and how a run goes through them, resuming where one stopped."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam

from cc100.pipeline.plan import cut_shuffle, estimate_payload, measure_payload
from cc100.pipeline.progress import StepProgress
from cc100.pipeline.steps import Build, Pass, Runner, Step, run_step
from cc100.shards import layout
from cc100.shards.manifest import fingerprint, to_json
from cc100.transforms import candidates, decide, elect, extract, gather, language, mark, scatter
from cc100.transforms.job import BANDS, COMPONENTS, DIGESTS, Cut, Job, JobReference, Outcome, StartUnits, unit_name


def corpus_steps(job: Job, reference: JobReference, cut: Callable[[str], Cut]) -> Iterator[Step]:
    """Steps of the corpus job, in order.

    Args:
        job: the job.
        reference: its reference, for the graphs.
        cut: how a shuffle is cut; asked when the step is next, and what it will carry has been written.
    """
    files, blocks, groups = len(job.inputs), job.blocks, job.near_groups
    per_file = tuple(unit_name(index) for index in range(files))

    def each_file(transform: beam.PTransform) -> Build:
        return lambda root: root | "Files" >> StartUnits(files) | type(transform).__name__ >> transform

    def map_files(name: str, transform: beam.PTransform) -> Step:
        return Step(name, "files", (Pass(per_file, each_file(transform)),), True)

    def in_passes(name: str, unit: str, kind: Any, made: Cut, count: int) -> Step:
        passes = (
            Pass(tuple(unit_name(k, part) for k in range(count)), each_file(kind(reference, made, part)))
            for part in range(made.passes)
        )
        return Step(name, unit, tuple(passes), False)

    yield map_files(extract.STEP, extract.Extract(reference, extract.count_lanes(job)))
    yield in_passes(mark.STEP, "blocks", mark.Mark, cut(DIGESTS), blocks)
    yield map_files(language.STEP, language.IdentifyLanguage(reference))
    yield in_passes(elect.STEP, "blocks", elect.Elect, cut(DIGESTS), blocks)
    if job.settings.near.mode != "none":
        yield map_files(candidates.STEP_SIGN, candidates.SignParagraphs(reference))
        bands = cut(BANDS)
        forests = groups * candidates.count_forests(bands)
        yield in_passes(candidates.STEP_CANDIDATES, "forests", candidates.FindCandidates, bands, forests)
        join = candidates.JoinComponents(reference)
        per_group = tuple(unit_name(group) for group in range(groups))
        joining = Pass(per_group, lambda root: root | "Groups" >> StartUnits(groups) | "JoinComponents" >> join)
        yield Step(candidates.STEP_COMPONENTS, "groups", (joining,), False)
        yield map_files(decide.STEP_SHINGLE, decide.ShingleCandidates(reference))
        yield in_passes(decide.STEP, "blocks", decide.DecideNearDuplicates, cut(COMPONENTS), blocks)
    per_block = tuple(unit_name(block) for block in range(blocks))
    scattering = scatter.Scatter(reference)
    spreading = Pass(per_block, lambda root: root | "Blocks" >> StartUnits(blocks) | "Scatter" >> scattering)
    yield Step(scatter.STEP, "blocks", (spreading,), True)


def step_names(job: Job) -> list[str]:
    """Names of the steps of the corpus job that follow extract, and of the receipts beside them."""
    near = [
        candidates.STEP_SIGN,
        candidates.STEP_CANDIDATES,
        candidates.STEP_COMPONENTS,
        decide.STEP_SHINGLE,
        decide.STEP,
    ]
    exact = [mark.STEP, language.STEP, elect.STEP, elect.STEP_IN_FILE]
    return [*exact, *(near if job.settings.near.mode != "none" else []), scatter.STEP, gather.STEP]


def gather_step(job: Job, reference: JobReference) -> Step:
    """The last step; how many parts it writes is known when all others are done."""
    units = tuple(unit_name(number) for number in range(len(gather.plan_parts(job))))
    return Step(gather.STEP, "parts", (Pass(units, lambda root: root | "Gather" >> gather.Gather(reference)),), True)


def planned_cut(job: Job, shuffle: str) -> Cut:
    """How a shuffle was cut, or will be by the estimates."""
    if job.storage.size(layout.cut(shuffle)) is not None:
        return job.cut(shuffle)
    return cut_shuffle(estimate_payload(job, shuffle), job.settings)


_WRITERS = {DIGESTS: extract.STEP, BANDS: candidates.STEP_SIGN, COMPONENTS: decide.STEP_SHINGLE}


def keep_cut(job: Job, shuffle: str, outcomes: dict[str, dict[str, Outcome]], runner: Runner) -> Cut:
    """How a shuffle was cut; if it was not, cut it now, and keep that for all that read what it leaves.

    Args:
        job: the job.
        shuffle: which shuffle.
        outcomes: by step and unit, of the steps before.
        runner: runs Beam jobs.
    """
    if job.storage.size(layout.cut(shuffle)) is None:
        if runner.is_elsewhere:  # jobs that are frozen already
            made = planned_cut(job, shuffle)
        else:
            payload = measure_payload(job, shuffle, outcomes[_WRITERS[shuffle]])
            made = cut_shuffle(payload, job.settings, runner.copies)
        job.storage.write(layout.cut(shuffle), to_json(dataclasses.asdict(made)))
    return job.cut(shuffle)


def run_corpus(
    job: Job, runner: Runner, progress: StepProgress, check: Callable[[str, dict[str, Outcome]], None]
) -> dict[str, dict[str, Outcome]]:
    """Bring all steps to their end.

    Args:
        job: the job.
        runner: runs Beam jobs.
        progress: shows them.
        check: called after each step with its name and outcomes; may raise to end the run.

    Returns:
        Outcomes by step and unit.
    """
    reference = JobReference(job.storage.root, fingerprint(job.to_json()))
    stored = sum(entry.bytes for entry in job.inputs)
    outcomes: dict[str, dict[str, Outcome]] = {}
    for step in corpus_steps(job, reference, lambda shuffle: keep_cut(job, shuffle, outcomes, runner)):
        outcomes[step.name] = run_step(job.storage, step, stored, runner, progress)
        check(step.name, outcomes[step.name])
    outcomes[gather.STEP] = run_step(job.storage, gather_step(job, reference), stored, runner, progress)
    return outcomes
