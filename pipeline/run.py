"""The life of a run: recognise the folder, lock it, go through the steps, write the manifest last."""

import contextlib
import dataclasses
from typing import Any

from cc100.pipeline import report
from cc100.pipeline.config import configuration
from cc100.pipeline.corpus import run_corpus, step_names
from cc100.pipeline.fork_server import ForkServer
from cc100.pipeline.history import recorded
from cc100.pipeline.inputs import check_count
from cc100.pipeline.plan import check_memory, count_partitions, make_plan
from cc100.pipeline.progress import StepProgress
from cc100.pipeline.quarantine import begin_retry, check_quarantine, quarantined_inputs, settle_retry
from cc100.pipeline.steps import Runner, folder_files, is_local_runner
from cc100.shards import layout
from cc100.shards.errors import ConfigurationError, InputError, StorageError
from cc100.shards.manifest import differences, to_json
from cc100.transforms import extract
from cc100.transforms.job import InputFile, Job, Model, Outcome, limit_threads, load_job
from cc100.transforms.language import selected_labels
from cc100.transforms.language_model import LanguageModel, default_model_path
from cc100.transforms.preload import preload
from cc100.transforms.settings import CorpusSettings
from cc100.transforms.storage import Storage


@dataclasses.dataclass(frozen=True)
class Request:
    """What the user asked for."""

    inputs: tuple[InputFile, ...]
    settings: CorpusSettings
    workers: int
    beam_flags: tuple[str, ...] = ()

    @property
    def is_local(self) -> bool:
        """True unless Beam's flags name another runner than the local one."""
        return is_local_runner(self.beam_flags)


def run(storage: Storage, request: Request, progress: StepProgress) -> dict[str, Any]:
    """Bring the corpus in a folder to its end; its manifest.

    Raises:
        Cc100Error: with a line for the user; what is done stays done.
    """
    limit_threads()
    check_count(request.inputs)
    model = find_model(request.settings)
    with contextlib.ExitStack() as stack:
        server = None
        if _worth_processes(request):
            server = stack.enter_context(contextlib.closing(ForkServer(preload, dataclasses.asdict(model))))
        stack.enter_context(storage.lock())
        wanted = identity(request, model)
        manifest = finished_manifest(storage, wanted)
        if manifest is not None and not _can_retry(storage, manifest):
            progress.say(f"{storage.root} is complete; nothing to do")
            return manifest
        storage.delete_temporary()
        job = open_job(storage, request, model, wanted)
        with recorded(storage, "corpus", request.workers, request.beam_flags) as notes:
            memory = request.settings.runner.memory_per_worker
            runner = Runner(list(request.beam_flags), request.workers, server, memory, count_partitions(job))
            save_job(job)  # not before: where the runner is missing nothing has begun, and nothing is undone
            later = step_names(job)
            if retried := begin_retry(job, later):
                progress.say(f"{len(retried)} files could not be fetched before; trying them again")
                storage.delete([layout.MANIFEST])
            outcomes = run_corpus(job, runner, progress, lambda step, done: check_extract(job, step, done, later))
            manifest = report.make_manifest(job, outcomes)
            notes |= report.run_notes(outcomes)
        delete_strangers(storage, manifest)
        storage.write(layout.MANIFEST, to_json(manifest))
        storage.delete_folder("run/scatter")
        storage.delete_temporary()
        return manifest


def _worth_processes(request: Request) -> bool:
    return (
        request.is_local
        and request.workers > 1
        and sum(entry.bytes for entry in request.inputs) >= request.settings.runner.worker_processes_from
    )


def find_model(settings: CorpusSettings) -> Model:
    """The configured model, read once so that a file that is no model is refused before anything starts.

    Raises:
        ConfigurationError: it cannot be read, or does not know a wanted language.
    """
    path = settings.language.model or default_model_path()
    try:
        loaded = LanguageModel.load(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigurationError(
            f"language.model {path} cannot be used: {reason}. Name a fastText model file, or leave the setting out"
        ) from error
    selected_labels(loaded.labels, settings.language.languages)
    return Model(path=settings.language.model or "", name=loaded.name, sha256=loaded.sha256)


def identity(request: Request, model: Model) -> dict[str, Any]:
    """What makes two runs the same: configuration, inputs, model."""
    return {
        "configuration": configuration(request.settings),
        "inputs": [[entry.uri, entry.bytes if entry.is_size_known else None] for entry in request.inputs],
        "model": {"name": model.name, "sha256": model.sha256},
    }


def finished_manifest(storage: Storage, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """The manifest of a complete corpus of the same identity; None where there is work to do.

    Raises:
        ConfigurationError: the folder holds another corpus.
    """
    if storage.size(layout.MANIFEST) is None:
        return None
    manifest = storage.read_json(layout.MANIFEST)
    try:
        there = {
            "configuration": manifest["configuration"],
            "inputs": [[entry["uri"], entry["bytes"]] for entry in manifest["inputs"]],
            "model": manifest["model"],
        }
        files = {path: entry["bytes"] for path, entry in manifest["files"].items()}
    except (KeyError, TypeError) as error:
        raise StorageError(
            f"{storage.uri(layout.MANIFEST)} is no manifest (no {error}). Delete it and run the same command again"
        ) from error
    _refuse_other(storage, there, wanted)
    present = folder_files(storage, files)
    if all(present.get(path) == size for path, size in files.items()):
        return dict(manifest)
    if storage.size(layout.RUN_STATE) is None:
        missing = next(path for path, size in files.items() if present.get(path) != size)
        raise StorageError(
            f"{storage.root} is not whole any more: {missing} is missing or has another size, and without run/ it cannot be "
            "made again. Restore it, or build the corpus anew in another --output"
        )
    storage.delete([layout.MANIFEST])
    return None


def _refuse_other(storage: Storage, there: dict[str, Any], wanted: dict[str, Any]) -> None:
    lines = [line for key in ("configuration", "model") for line in differences(there[key], wanted[key], key)]
    old, new = (dict(side["inputs"]) for side in (there, wanted))
    lines += [f"input {uri}: not there, given now" for uri in sorted(new.keys() - old.keys())]
    lines += [f"input {uri}: there, not given now" for uri in sorted(old.keys() - new.keys())]
    lines += [
        f"input {uri}: {old[uri]} bytes there, {new[uri]} now"
        for uri in sorted(old.keys() & new.keys())
        if old[uri] != new[uri] and None not in (old[uri], new[uri])
    ]
    if lines:
        shown = "\n  ".join(lines[:12] + ([f"... and {len(lines) - 12} more"] if len(lines) > 12 else []))
        raise ConfigurationError(
            f"{storage.root} holds another corpus; it differs in\n  {shown}\n"
            "Choose another --output, delete that folder, or give the settings and inputs it began with."
        )


def open_job(storage: Storage, request: Request, model: Model, wanted: dict[str, Any]) -> Job:
    """The job of the folder: as it was begun, or a new one.

    Raises:
        ConfigurationError: the folder holds something else.
    """
    if storage.size(layout.RUN_STATE) is not None:
        old = load_job(storage)
        begun = Request(old.inputs, old.settings, 1)
        _refuse_other(storage, identity(begun, old.model), wanted)
        return dataclasses.replace(old, model=model, settings=with_new_means(old.settings, request.settings))
    strangers = [folder for folder in layout.DATA_FOLDERS if storage.files(folder)]
    if strangers:
        raise ConfigurationError(
            f"{storage.root} holds {strangers[0]}/ but no {layout.RUN_STATE}: it is no folder of a run. Choose another --output"
        )
    job = Job(storage, request.settings, request.inputs, make_plan(request.inputs, request.settings), model)
    check_memory(job)
    return job


def save_job(job: Job) -> None:
    """Write what a run was begun with, unless it stands there."""
    if job.storage.size(layout.RUN_STATE) is None or load_job(job.storage) != job:
        job.storage.write(layout.RUN_STATE, to_json(job.to_json()))


def _can_retry(storage: Storage, manifest: dict[str, Any]) -> bool:
    """Whether a finished corpus lacks files that could be fetched now."""
    return bool(quarantined_inputs(manifest)) and storage.size(layout.RUN_STATE) is not None


def with_new_means(old: CorpusSettings, new: CorpusSettings) -> CorpusSettings:
    """Settings of a run that was begun, with the memory that there is now, and with how files are fetched: who lacked memory, or could
    not fetch them, wants to change that. The result is the same."""
    allowed = dataclasses.replace(old.input, max_quarantined=new.input.max_quarantined)
    return dataclasses.replace(old, runner=new.runner, remote=new.remote, input=allowed)


def check_extract(job: Job, step: str, outcomes: dict[str, Outcome], later_steps: list[str]) -> None:
    """After extract: end the run if more of the input is missing or damaged than the settings allow.

    Raises:
        InputError: the share of rejects is above `input.max_damaged_share`, or that of files above
            `input.max_quarantined`.
    """
    if step != extract.STEP:
        return
    settle_retry(job, outcomes, later_steps)
    check_quarantine(job, outcomes)
    pages = sum(outcome.figures["pages"] for outcome in outcomes.values())
    rejects = sum(outcome.figures["rejects"] for outcome in outcomes.values())
    allowed = job.settings.input.max_damaged_share
    share = rejects / max(pages + rejects, 1)
    if share > allowed:
        worst = max(outcomes, key=lambda unit: outcomes[unit].figures["rejects"])
        raise InputError(
            f"{rejects} rejects beside {pages} pages: a share of {share:.4f}, input.max_damaged_share allows {allowed}. "
            f"Most are in {job.inputs[int(worst)].uri}; see {job.storage.uri(layout.rejects(int(worst)))}"
        )


def delete_strangers(storage: Storage, manifest: dict[str, Any]) -> None:
    """Delete files in the data folders that the manifest does not know: left by a run whose plan was lost."""
    present = folder_files(storage, [*manifest["files"], layout.rejects(0)])
    storage.delete([path for path in present if path not in manifest["files"] and path.startswith(layout.DATA_FOLDERS)])
