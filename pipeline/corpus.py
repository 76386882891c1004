"""The corpus job: its steps in the order of the data flow, and how a run goes through them, resuming where one stopped."""

import dataclasses
import os
import re
from collections.abc import Callable
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from cc100.pipeline.fork_server import ForkServer
from cc100.pipeline.local_runner import LocalRunner
from cc100.pipeline.progress import StepProgress
from cc100.shards import layout
from cc100.shards.errors import Cc100Error, StorageError
from cc100.shards.manifest import fingerprint, to_json
from cc100.transforms import candidates, decide, elect, extract, gather, language, mark, scatter
from cc100.transforms.job import Job, JobReference, Outcome, StartUnits, read_receipt, unit_name
from cc100.transforms.storage import Storage, StoredFile

Build = Callable[[beam.Pipeline], Any]


@dataclasses.dataclass(frozen=True)
class Pass:
    """One Beam job: what it makes, and how its graph is built."""

    units: tuple[str, ...]
    build: Build


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of the data flow.

    Attributes:
        name: name of its receipts.
        unit: what is counted, in the plural.
        passes: the Beam jobs that make it up.
        is_map: no shuffle of any size, so that worker processes pay.
    """

    name: str
    unit: str
    passes: tuple[Pass, ...]
    is_map: bool


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


class Runner:
    """Runs Beam jobs: locally, or wherever Beam's flags say.

    Args:
        flags: Beam's own flags.
        workers: processes of the local runner for steps without a shuffle.
        server: where they are forked; None: such steps run in this process too.
    """

    def __init__(self, flags: list[str], workers: int, server: ForkServer | None) -> None:
        self._options = PipelineOptions(flags)
        name = self._options.get_all_options()["runner"]
        self.is_local = name in (None, "DirectRunner")
        self._workers, self._server = workers, server

    def run(self, build: Build, is_map: bool) -> None:
        """Build a graph and run it to its end.

        Raises:
            Cc100Error: a step met something that the user can mend.
        """
        options = dict(self._options.get_all_options(drop_default=True))
        runner: Any = None
        if self.is_local:
            options.pop("runner", None)
            server = self._server if is_map else None
            runner = LocalRunner(server)
            if server is not None:
                options["direct_num_workers"] = self._workers
        pipeline = beam.Pipeline(runner=runner, options=PipelineOptions.from_dictionary(options))
        build(pipeline)
        try:
            pipeline.run().wait_until_finish()
        except Cc100Error:
            raise
        except Exception as error:
            raise _known_error(error) or error from None


_KNOWN = re.compile(r"cc100\.shards\.errors\.\w+: (.*?)(?: \[while running .*)?$", re.MULTILINE)


def _known_error(error: Exception) -> Cc100Error | None:
    """What a step raised, out of the text that runners wrap it in."""
    found = _KNOWN.findall(str(error))
    return Cc100Error(found[-1]) if found else None


def run_step(job: Job, step: Step, runner: Runner, progress: StepProgress) -> dict[str, Outcome]:
    """Bring a step to its end; outcomes of all units by name."""
    finished = read_step(job.storage, step)
    if finished is not None:
        return finished
    names = [unit for part in step.passes for unit in part.units]
    done = {name: outcome for name in names if (outcome := read_receipt(job.storage, step.name, name))}
    if len(done) < len(names):
        folder = f"{layout.RUN}/done/{step.name}"
        stored = sum(entry.bytes for entry in job.inputs)
        with progress.step(step.name, step.unit, len(names), stored, lambda: len(job.storage.files(folder))):
            for part in step.passes:
                if not all(unit in done for unit in part.units):
                    runner.run(part.build, step.is_map)
        for name in names:
            outcome = done.get(name) or read_receipt(job.storage, step.name, name)
            if outcome is None:
                raise StorageError(
                    f"step {step.name} ended, but {job.storage.root} does not hold the files of its unit {name}. "
                    "Run the same command again; if it happens again, the file system loses files"
                )
            done[name] = outcome
    write_step(job.storage, step.name, done)
    return done


def _step_name(name: str) -> str:
    return f"{layout.RUN}/steps/{name}.json"


def write_step(storage: Storage, name: str, outcomes: dict[str, Outcome]) -> None:
    """Record that a step is done, with the outcomes of its units."""
    storage.write(_step_name(name), to_json({unit: dataclasses.asdict(outcome) for unit, outcome in outcomes.items()}))


def read_step(storage: Storage, step: Step) -> dict[str, Outcome] | None:
    """Outcomes of a step that is done and whose files are all there; else None. Each folder is listed once."""
    name = _step_name(step.name)
    if storage.size(name) is None:
        return None
    try:
        content = storage.read_json(name)
        outcomes = {
            unit: Outcome({path: StoredFile(**file) for path, file in entry["files"].items()}, entry["figures"])
            for unit, entry in content.items()
        }
    except (StorageError, KeyError, TypeError, AttributeError):
        return None
    expected = {path: file.bytes for outcome in outcomes.values() for path, file in outcome.files.items()}
    present: dict[str, int] = {}
    for folder in {os.path.dirname(path) for path in expected}:
        present.update(storage.files(folder))
    complete = set(outcomes) == {unit for part in step.passes for unit in part.units}
    return outcomes if complete and all(present.get(path) == size for path, size in expected.items()) else None


def undo_step(storage: Storage, name: str, keep_receipts: bool = False) -> None:
    """Forget that a step is done, so that it is done again; its files stay until they are written anew."""
    storage.delete([_step_name(name)])
    if not keep_receipts:
        storage.delete_folder(f"{layout.RUN}/done/{name}")


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
    outcomes: dict[str, dict[str, Outcome]] = {}
    for step in corpus_steps(job, reference):
        outcomes[step.name] = run_step(job, step, runner, progress)
        check(step.name, outcomes[step.name])
    outcomes[gather.STEP] = run_step(job, gather_step(job, reference), runner, progress)
    return outcomes
