"""`cc100 tokenizer`: draw the sample, train the model (or take the given one), measure its coverage, write the folder."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from cc100.pipeline.history import recorded
from cc100.pipeline.progress import StepProgress
from cc100.pipeline.stage import Stage, StageRequest, begin, finished, open_corpus
from cc100.pipeline.steps import Pass, Runner, Step, run_step
from cc100.shards import layout
from cc100.shards.corpus import Corpus, ShardPart
from cc100.shards.errors import ConfigurationError, InputError, StorageError
from cc100.shards.manifest import fingerprint, to_json
from cc100.shards.records import FORMAT_VERSION
from cc100.tokenizer import folder, sampling
from cc100.tokenizer.encoder import sentencepiece_version
from cc100.tokenizer.settings import AUTO, TokenizerSettings
from cc100.tokenizer.train import (
    TooFewPiecesError,
    TooManyCharactersError,
    estimate,
    memory_of_machine,
    train,
    trainer_options,
    wanted_pieces,
)
from cc100.transforms import sample
from cc100.transforms.job import JobReference, Outcome, do_once, limit_threads, unit_name
from cc100.transforms.sample import SampleJob, load_sample_job
from cc100.transforms.shard_parts import DoParts
from cc100.transforms.storage import Storage, absolute, is_local, join, local_path

STEP_TRAIN = "tokenizer-train"
_FIRST_UNIT = unit_name(0)
_COUNTS = ("paragraphs", "bytes", "sampled_paragraphs", "sampled_bytes", "too_long", "reserved")
_MOST_TRIES = 4


def identify(manifest: dict[str, Any]) -> dict[str, Any]:
    """What makes two tokenizers the same."""
    return {key: manifest[key] for key in ("corpus_sha256", "sentencepiece", "configuration", "given_model")}


STAGE = Stage(
    layout.TOKENIZER,
    "cc100 tokenizer",
    "a tokenizer",
    layout.TOKENIZER_MANIFEST,
    layout.TOKENIZER_STATE,
    (sample.STEP_SAMPLE, STEP_TRAIN, sample.STEP_COVERAGE),
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
    with storage.lock(), request.runner(text_bytes, sample.preload, {}) as runner:
        manifest = finished(storage, STAGE, wanted)
        if manifest is not None:
            progress.say(f"{storage.uri(STAGE.folder)} is complete; nothing to do")
            return manifest
        storage.delete_temporary()
        with recorded(storage, "tokenizer", request.workers, request.beam_flags):
            return _make(storage, corpus, settings, given, wanted, runner, progress)


def _make(
    storage: Storage,
    corpus: Corpus,
    settings: TokenizerSettings,
    given: bytes | None,
    wanted: dict[str, Any],
    runner: Runner,
    progress: StepProgress,
) -> dict[str, Any]:
    """Sample, train, measure, write the folder; the manifest."""
    plan = plan_sample(corpus, settings)
    job = SampleJob(storage, corpus.parts, plan.rates, settings.seed, settings.max_bytes)
    state = {field.name: getattr(job, field.name) for field in dataclasses.fields(job) if field.name != "storage"}
    state["parts"] = [dataclasses.asdict(part) for part in corpus.parts]
    begin(storage, STAGE, wanted, state)
    reference = JobReference(storage.root, fingerprint({"identity": wanted, "job": state}), load_sample_job)

    def do(name: str, work: Callable[[SampleJob, int], Outcome]) -> dict[str, Outcome]:
        return run_step(storage, _step(job, reference, name, work), _bytes(job), runner, progress)

    languages = _languages(corpus, plan, do(sample.STEP_SAMPLE, sample.sample_part))
    trained = do_once(job, STEP_TRAIN, _FIRST_UNIT, lambda: _train(job, settings, given, languages, progress))
    _add_coverage(languages, do(sample.STEP_COVERAGE, sample.cover_part))
    manifest = {
        "format_version": FORMAT_VERSION,
        **wanted,
        "sampling": plan.sampling,
        "options": trained.figures["options"],
        "languages": languages,
        "files": _write_folder(storage),
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


# --- The model that is given ----------------------------------------------------------------------------------------


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


# --- Sample ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class SamplePlan:
    """How much is drawn of each language: shares, rates, and what the manifest says of them."""

    shares: dict[str, float]
    rates: dict[str, float]
    sampling: dict[str, Any]


def plan_sample(corpus: Corpus, settings: TokenizerSettings) -> SamplePlan:
    """Shares and rates from the counts of the corpus's manifest."""
    counts = {code: size.paragraphs for code, size in corpus.languages.items()}
    share = sampling.shares(counts, settings.alpha)
    target = min(settings.sample_paragraphs, sum(counts.values()))
    described = {
        "alpha": settings.alpha,
        "unit": "paragraphs",
        "seed": settings.seed,
        "target": target,
        "max_repeats": settings.max_repeats,
        "max_bytes": settings.max_bytes,
    }
    return SamplePlan(share, sampling.sampling_rates(counts, share, target, settings.max_repeats), described)


def _step(job: SampleJob, reference: JobReference, name: str, work: Callable[[SampleJob, int], Outcome]) -> Step:
    units = tuple(unit_name(number) for number in range(len(job.parts)))
    return Step(name, "parts", (Pass(units, lambda root: root | "Parts" >> DoParts(reference, name, work)),), True)


def _bytes(job: SampleJob) -> int:
    return sum(part.bytes for part in job.parts)


def _languages(corpus: Corpus, plan: SamplePlan, drawn: dict[str, Outcome]) -> dict[str, dict[str, Any]]:
    """What the manifest says of each language, but for its coverage.

    Raises:
        InputError: the shards hold other text than the corpus's manifest says.
    """
    found: dict[str, dict[str, Any]] = {
        code: {"share": plan.shares[code], "rate": plan.rates[code], **dict.fromkeys(_COUNTS, 0)}
        for code in corpus.languages
    }
    for outcome in drawn.values():
        row = found[outcome.figures["language"]]
        for key in _COUNTS:
            row[key] += outcome.figures[key]
    for code, size in corpus.languages.items():
        if found[code]["paragraphs"] != size.paragraphs:
            raise InputError(
                f"the shards of {code} hold {found[code]['paragraphs']} paragraphs, manifest.json says {size.paragraphs}. "
                "Build the corpus anew"
            )
    return found


def _add_coverage(languages: dict[str, dict[str, Any]], covered: dict[str, Outcome]) -> None:
    sums = dict.fromkeys(languages, 0)
    for outcome in covered.values():
        sums[outcome.figures["language"]] += outcome.figures["covered"]
    for code, row in languages.items():
        row["coverage"] = sums[code] / max(row["sampled_paragraphs"], 1)


# --- Training -------------------------------------------------------------------------------------------------------


def _train(
    job: SampleJob,
    settings: TokenizerSettings,
    given: bytes | None,
    languages: dict[str, dict[str, Any]],
    progress: StepProgress,
) -> Outcome:
    """Train the model, or take the one that is given; it waits in run/ until the folder is written."""
    if given is not None:
        return Outcome(
            {layout.TRAINED_MODEL: job.storage.write(layout.TRAINED_MODEL, given)},
            {"options": folder.recorded_options(given)},
        )
    sampled = {key: sum(row[key] for row in languages.values()) for key in ("sampled_bytes", "sampled_paragraphs")}
    if not sampled["sampled_paragraphs"]:
        raise InputError(
            f"the sample is empty: all {sum(row['paragraphs'] for row in languages.values())} paragraphs were left out "
            "or not drawn. Raise tokenizer.sample_paragraphs or tokenizer.max_bytes"
        )
    model, options = _train_that_fits(job, settings, sampled["sampled_bytes"], progress)
    folder.validate_model(model, "the trained model")
    return Outcome({layout.TRAINED_MODEL: job.storage.write(layout.TRAINED_MODEL, model)}, {"options": options})


def _train_that_fits(
    job: SampleJob, settings: TokenizerSettings, sampled_bytes: int, progress: StepProgress
) -> tuple[bytes, dict[str, Any]]:
    """Train; with vocab_size auto, again with the size that the trainer names if the first does not fit the sample."""
    pieces = wanted_pieces(settings, sampled_bytes)
    for _ in range(_MOST_TRIES):
        options = trainer_options(settings, pieces)
        progress.say(describe_training(pieces, sampled_bytes, settings))
        try:
            with progress.share("train") as tell:
                return train(_sentences(job), options, tell), options
        except TooFewPiecesError as error:
            if settings.vocab_size != AUTO:
                raise
            pieces = error.largest
        except TooManyCharactersError as error:
            if settings.vocab_size != AUTO:
                raise
            pieces = 2 * error.smallest
        progress.say(f"that does not fit the sample; again with {pieces:,} pieces")
    raise InputError(
        "no vocabulary fits this sample: it holds too little text for its many characters. "
        "Use more text, or lower tokenizer.character_coverage"
    )


def describe_training(pieces: int, sampled_bytes: int, settings: TokenizerSettings) -> str:
    """A line on what a training will take, with a warning if that is more than this machine has."""
    expected = estimate(sampled_bytes, pieces, settings.seed_pieces)
    line = (
        f"train: {pieces:,} pieces from {sampled_bytes / 1e6:,.1f} MB; about {_duration(expected.seconds)} on two cores, "
        f"{expected.memory_bytes / 1e9:.1f} GB of memory"
    )
    here = memory_of_machine()
    if here is not None and expected.memory_bytes > here:
        line += f" (this machine has {here / 1e9:.1f} GB: lower tokenizer.sample_paragraphs or tokenizer.seed_pieces if it is killed)"
    return line


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _sentences(job: SampleJob) -> Iterator[pa.RecordBatch]:
    """The sample in the fixed order: languages by code point, then their parts."""
    for part in sorted(job.parts, key=_order):
        yield from sample.read_sample(job.storage, part)


def _order(part: ShardPart) -> tuple[str, int]:
    return part.language, part.part


def _write_folder(storage: Storage) -> dict[str, dict[str, Any]]:
    """Write tokenizer/ from the trained model; size and SHA-256 of its files."""
    files = folder.tokenizer_files(storage.read(layout.TRAINED_MODEL))
    strangers = [name for name in storage.files(layout.TOKENIZER) if name.rpartition("/")[2] not in files]
    storage.delete(strangers)
    return {
        name: dataclasses.asdict(storage.write(f"{layout.TOKENIZER}/{name}", content))
        for name, content in files.items()
    }
