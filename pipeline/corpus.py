"""The corpus job: its steps in the order of the data flow, and how a run goes through them, resuming where one stopped."""

from collections.abc import Callable
from typing import Any

import apache_beam as beam

from cc100.pipeline.progress import StepProgress
from cc100.pipeline.steps import Build, Pass, Runner, Step, run_step
from cc100.shards.manifest import fingerprint
from cc100.transforms import candidates, decide, elect, extract, gather, language, mark, scatter
from cc100.transforms.job import Job, JobReference, Outcome, StartUnits, unit_name


def corpus_steps(job: Job, reference: JobReference) -> list[Step]:
    """Steps of the corpus job, in order."""
    files, blocks, groups = len(job.inputs), job.blocks, job.near_groups
    plan, buckets = job.plan, job.plan.buckets
    per_file = tuple(unit_name(index) for index in range(files))

    def each_file(transform: beam.PTransform) -> Build:
        return lambda root: root | "Files" >> StartUnits(files) | type(transform).__name__ >> transform

    def in_passes(kind: Any, passes: int, count: int) -> tuple[Pass, ...]:
        return tuple(
            Pass(tuple(unit_name(k, part) for k in range(count)), each_file(kind(reference, part, passes, buckets)))
            for part in range(passes)
        )

    steps = [
        Step(
            extract.STEP,
            "files",
            (Pass(per_file, each_file(extract.Extract(reference, extract.count_lanes(job)))),),
            True,
        ),
        Step(mark.STEP, "blocks", in_passes(mark.Mark, plan.digest_passes, blocks), False),
        Step(language.STEP, "files", (Pass(per_file, each_file(language.IdentifyLanguage(reference))),), True),
        Step(elect.STEP, "blocks", in_passes(elect.Elect, plan.digest_passes, blocks), False),
    ]
    if job.settings.near.mode != "none":
        join = candidates.JoinComponents(reference)
        per_group = tuple(unit_name(group) for group in range(groups))
        steps += [
            Step(
                candidates.STEP_SIGN, "files", (Pass(per_file, each_file(candidates.SignParagraphs(reference))),), True
            ),
            Step(
                candidates.STEP_CANDIDATES,
                "groups",
                in_passes(candidates.FindCandidates, plan.band_passes, groups),
                False,
            ),
            Step(
                candidates.STEP_COMPONENTS,
                "groups",
                (Pass(per_group, lambda root: root | "Groups" >> StartUnits(groups) | "JoinComponents" >> join),),
                False,
            ),
            Step(decide.STEP_SHINGLE, "files", (Pass(per_file, each_file(decide.ShingleCandidates(reference))),), True),
            Step(decide.STEP, "blocks", in_passes(decide.DecideNearDuplicates, plan.component_passes, blocks), False),
        ]
    per_block = tuple(unit_name(block) for block in range(blocks))
    scattering = scatter.Scatter(reference)
    steps.append(
        Step(
            scatter.STEP,
            "blocks",
            (Pass(per_block, lambda root: root | "Blocks" >> StartUnits(blocks) | "Scatter" >> scattering),),
            True,
        )
    )
    return steps


def gather_step(job: Job, reference: JobReference) -> Step:
    """The last step; how many parts it writes is known when all others are done."""
    units = tuple(unit_name(number) for number in range(len(gather.plan_parts(job))))
    return Step(gather.STEP, "parts", (Pass(units, lambda root: root | "Gather" >> gather.Gather(reference)),), True)


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
    for step in corpus_steps(job, reference):
        outcomes[step.name] = run_step(job.storage, step, stored, runner, progress)
        check(step.name, outcomes[step.name])
    outcomes[gather.STEP] = run_step(job.storage, gather_step(job, reference), stored, runner, progress)
    return outcomes
