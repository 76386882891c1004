"""What the stages after the corpus share: recognise their folder, begin or continue, never mix two results.

A stage is known by its identity: what it was made of and the settings that can change its result. The identity of a finished result is
read from its manifest, that of an unfinished one from `run/<stage>/run.json`.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cc100.pipeline.fork_server import ForkServer
from cc100.pipeline.steps import Runner, folder_files, is_local_runner
from cc100.shards import layout
from cc100.shards.corpus import Corpus, read_corpus
from cc100.shards.errors import ConfigurationError, InputError, StorageError
from cc100.shards.manifest import differences, to_json
from cc100.transforms.settings import CorpusSettings
from cc100.transforms.storage import Storage


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage.

    Attributes:
        folder: where its result lies.
        command: how it is called.
        content: what its result is, for messages.
        manifest: path of its manifest.
        state: path of its state.
        steps: names of its steps.
        identify: identity of the result that a manifest describes.
    """

    folder: str
    command: str
    content: str
    manifest: str
    state: str
    steps: tuple[str, ...]
    identify: Callable[[dict[str, Any]], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class StageRequest:
    """What the user asked for."""

    settings: CorpusSettings
    workers: int
    beam_flags: tuple[str, ...] = ()

    @contextlib.contextmanager
    def runner(self, text_bytes: int, preload: Callable[..., None], arguments: Mapping[str, Any]) -> Iterator[Runner]:
        """Runs the stage's Beam jobs, in worker processes where the text is worth it.

        Args:
            text_bytes: text that the stage reads.
            preload: what workers need, as for `ForkServer`.
            arguments: its keyword arguments.
        """
        memory = self.settings.runner.memory_per_worker
        worth = self.workers > 1 and text_bytes >= self.settings.runner.worker_processes_from
        if worth and is_local_runner(self.beam_flags):
            with contextlib.closing(ForkServer(preload, arguments)) as server:
                yield Runner(list(self.beam_flags), self.workers, server, memory)
        else:
            yield Runner(list(self.beam_flags), self.workers, None, memory)


def open_corpus(storage: Storage) -> Corpus:
    """The finished corpus of an output folder.

    Raises:
        InputError: there is none, or it has no shards.
    """
    if storage.size(layout.MANIFEST) is None:
        raise InputError(
            f"{storage.root} holds no finished corpus (no {layout.MANIFEST}). Build it first: "
            f"cc100 corpus --input ... --output {storage.root}"
        )
    return read_corpus(storage.read(layout.MANIFEST), storage.uri(layout.MANIFEST))


def finished(storage: Storage, stage: Stage, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """The manifest of a finished result of the same identity whose files are all there; None where there is work to do.

    Raises:
        ConfigurationError: the folder holds another result.
        StorageError: the manifest cannot be read.
    """
    if storage.size(stage.manifest) is None:
        return None
    manifest = read_manifest(storage, stage)
    refuse_other(storage, stage, stage.identify(manifest), wanted)
    files = {f"{stage.folder}/{name}": entry["bytes"] for name, entry in manifest["files"].items()}
    present = folder_files(storage, files)
    if all(present.get(name) == size for name, size in files.items()):
        return manifest
    storage.delete([stage.manifest])
    return None


def read_manifest(storage: Storage, stage: Stage) -> dict[str, Any]:
    """The manifest of a stage.

    Raises:
        StorageError: it is none.
    """
    manifest = storage.read_json(stage.manifest)
    try:
        stage.identify(manifest)
        sizes = {name: entry["bytes"] for name, entry in manifest["files"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise StorageError(
            f"{storage.uri(stage.manifest)} is no manifest ({error!r}). Delete {storage.uri(stage.folder)} and run {stage.command} again"
        ) from error
    del sizes
    return dict(manifest)


def refuse_other(storage: Storage, stage: Stage, there: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse to go on in the folder of another result, naming what differs.

    Raises:
        ConfigurationError: the identities differ.
    """
    lines = differences(there, wanted)
    if lines:
        shown = "\n  ".join(lines[:12])
        raise ConfigurationError(
            f"{storage.uri(stage.folder)} holds {stage.content} of another corpus, tokenizer or configuration; it differs in\n  {shown}\n"
            f"Delete that folder and run {stage.command} again, or give the settings that it was made with."
        )


def begin(storage: Storage, stage: Stage, wanted: dict[str, Any], job: dict[str, Any]) -> None:
    """Continue what was begun with the same identity, or begin.

    Args:
        storage: the output folder.
        stage: the stage.
        wanted: its identity.
        job: what its steps need, for `run/<stage>/run.json`.

    Raises:
        ConfigurationError: the folder holds files of something else.
    """
    has_files = any(storage.files_below(stage.folder))
    if storage.size(stage.state) is not None:
        begun = storage.read_json(stage.state)
        if begun.get("identity") == wanted and begun.get("job") == job:
            return
        if has_files:
            refuse_other(storage, stage, begun.get("identity") or {}, wanted)
    elif has_files:
        raise ConfigurationError(
            f"{storage.uri(stage.folder)} holds files, but neither a manifest nor the state of a run says what they are. "
            f"Delete that folder and run {stage.command} again"
        )
    for step in stage.steps:
        storage.delete([f"{layout.RUN}/steps/{step}.json"])
        storage.delete_folder(f"{layout.RUN}/done/{step}")
    storage.write(stage.state, to_json({"identity": wanted, "job": job}))
