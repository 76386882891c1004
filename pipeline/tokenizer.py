"""`cc100 tokenizer`: draw the sample, train the model (or take the given one), measure its coverage, write the folder."""

import dataclasses
import hashlib
from typing import Any

from cc100.pipeline.history import recorded
from cc100.pipeline.progress import StepProgress
from cc100.pipeline.stage import Stage, StageRequest, finished, open_corpus
from cc100.pipeline.training import Training, step_names
from cc100.shards import layout
from cc100.shards.corpus import Corpus
from cc100.shards.errors import ConfigurationError, InputError, StorageError
from cc100.shards.manifest import to_json
from cc100.shards.records import FORMAT_VERSION
from cc100.tokenizer import folder
from cc100.tokenizer.encoder import sentencepiece_version
from cc100.tokenizer.settings import TokenizerSettings
from cc100.transforms import sample
from cc100.transforms.job import limit_threads
from cc100.transforms.storage import Storage, absolute, is_local, join, local_path


def identify(manifest: dict[str, Any]) -> dict[str, Any]:
    """What makes two tokenizers the same."""
    return {key: manifest[key] for key in ("corpus_sha256", "sentencepiece", "configuration", "given_model")}


STAGE = Stage(
    layout.TOKENIZER,
    "cc100 tokenizer",
    "a tokenizer",
    layout.TOKENIZER_MANIFEST,
    layout.training_state(sample.TOKENIZER),
    step_names(sample.TOKENIZER),
    identify,
)


def run_tokenizer(storage: Storage, request: StageRequest, progress: StepProgress) -> dict[str, Any]:
    """Bring the tokenizer of a corpus to its end; its manifest.

    Raises:
        Cc100Error: with a line for the user; what is done stays done.
    """
    limit_threads()
    corpus, settings = open_corpus(storage), request.settings.tokenizer
    given = read_given_model(settings.model) if settings.model else None
    wanted = identity(corpus, settings, given)
    text_bytes = sum(size.text_bytes for size in corpus.languages.values())
    with storage.lock():
        manifest = finished(storage, STAGE, wanted)
        if manifest is not None:
            progress.say(f"{storage.uri(STAGE.folder)} is complete; nothing to do")
            return manifest
        storage.delete_temporary()
        with (
            recorded(storage, "tokenizer", request.workers, request.beam_flags),
            request.runner(text_bytes, sample.preload, {}) as runner,
        ):
            training = Training(storage, sample.TOKENIZER, STAGE, wanted, corpus, settings, runner, progress)
            languages = training.draw()
            options = training.train(languages, given)
            training.add_coverage(languages)
            manifest = {
                "format_version": FORMAT_VERSION,
                **wanted,
                "sampling": training.plan.sampling,
                "options": options,
                "languages": languages,
                "files": _write_folder(storage, training.model()),
            }
            storage.write(layout.TOKENIZER_MANIFEST, to_json(manifest))
            storage.delete_folder(f"{layout.RUN}/tokenizer/sample")
            return manifest


def identity(corpus: Corpus, settings: TokenizerSettings, given: bytes | None) -> dict[str, Any]:
    """What makes two tokenizers the same: corpus, settings, the model that is given, the library."""
    configuration = dataclasses.asdict(settings)
    del configuration["model"]
    return {
        "corpus_sha256": corpus.sha256,
        "sentencepiece": sentencepiece_version(),
        "configuration": configuration,
        "given_model": {"sha256": hashlib.sha256(given).hexdigest()} if given is not None else None,
    }


def read_given_model(path: str) -> bytes:
    """Content of `tokenizer.model`: a model file, or a folder that holds one.

    Raises:
        ConfigurationError: there is none, or it cannot be used.
    """
    uri = absolute(path)
    names = [uri, join(uri, folder.MODEL), join(uri, layout.MODEL)]
    found = next((name for name in names if _is_file(name)), None)
    if found is None:
        raise ConfigurationError(
            f"tokenizer.model {path} cannot be reached: there is no such file, and no folder with {folder.MODEL} in it. "
            "Name a SentencePiece model, or leave the setting out to train one"
        )
    parent, _, name = found.rpartition("/")
    try:
        model = Storage(parent).read(name)
        folder.validate_model(model, path)
    except (StorageError, InputError) as error:
        raise ConfigurationError(f"tokenizer.model: {error}") from error
    return model


def _is_file(uri: str) -> bool:
    if is_local(uri):
        return local_path(uri).is_file()
    parent, _, name = uri.rpartition("/")
    return Storage(parent).size(name) is not None


def _write_folder(storage: Storage, model: bytes) -> dict[str, dict[str, Any]]:
    """Write tokenizer/; size and SHA-256 of its files."""
    files = folder.tokenizer_files(model)
    storage.delete([name for name in storage.files(layout.TOKENIZER) if name.rpartition("/")[2] not in files])
    return {
        name: dataclasses.asdict(storage.write(f"{layout.TOKENIZER}/{name}", content))
        for name, content in files.items()
    }
