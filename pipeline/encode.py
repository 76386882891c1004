"""`cc100 encode`: shards -> token arrays, with the tokenizer of the same folder."""

import dataclasses
import hashlib
from typing import Any

from cc100.pipeline.history import recorded
from cc100.pipeline.progress import StepProgress
from cc100.pipeline.stage import Stage, StageRequest, begin, finished, open_corpus, read_manifest
from cc100.pipeline.steps import Pass, Step, run_step
from cc100.pipeline.tokenizer import STAGE as TOKENIZER
from cc100.shards import layout
from cc100.shards.corpus import Corpus, ShardPart
from cc100.shards.errors import ConfigurationError, DamagedFileError, InputError
from cc100.shards.manifest import fingerprint, to_json
from cc100.shards.records import FORMAT_VERSION
from cc100.tokenizer.encoder import EXTRA_IDS, sentencepiece_version
from cc100.tokenizer.folder import validate_model
from cc100.tokenizer.sampling import shares
from cc100.tokenizer.settings import TokensSettings
from cc100.transforms import encode
from cc100.transforms.encode import load_encode_job
from cc100.transforms.job import JobReference, Outcome, limit_threads, unit_name
from cc100.transforms.shard_parts import DoParts
from cc100.transforms.storage import Storage

_DEFAULT_ALPHA = 0.3
_TEXT_COUNTS = ("bytes", "characters", "words")
_SPLIT_COUNTS = ("documents", "sequences", "tokens")


def identify(manifest: dict[str, Any]) -> dict[str, Any]:
    """What makes two sets of token arrays the same."""
    kept = {key: manifest[key] for key in ("corpus_sha256", "tokenizer", "split", "sampling")}
    return kept | {"languages": sorted(manifest["languages"])}


STAGE = Stage(
    layout.TOKENS,
    "cc100 encode",
    "token arrays",
    layout.TOKENS_MANIFEST,
    layout.TOKENS_STATE,
    (encode.STEP,),
    identify,
)


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """The tokenizer of an output folder: fingerprint and pieces of its model, alpha of its sample."""

    model_sha256: str
    pieces: int
    alpha: float


def run_encode(storage: Storage, request: StageRequest, progress: StepProgress) -> dict[str, Any]:
    """Bring the token arrays of a corpus to their end; their manifest.

    Raises:
        Cc100Error: with a line for the user; what is done stays done.
    """
    limit_threads()
    corpus, settings = open_corpus(storage), request.settings.tokens
    tokenizer = open_tokenizer(storage, corpus)
    parts = select_parts(corpus, settings.languages)
    wanted = identity(corpus, tokenizer, settings, parts)
    text_bytes = sum(corpus.languages[code].text_bytes for code in wanted["languages"])
    warm = {"root": storage.root, "model_sha256": tokenizer.model_sha256}
    with storage.lock():
        manifest = finished(storage, STAGE, wanted)
        if manifest is not None:
            progress.say(f"{storage.uri(STAGE.folder)} is complete; nothing to do")
            return manifest
        storage.delete_temporary()
        with (
            recorded(storage, "encode", request.workers, request.beam_flags),
            request.runner(text_bytes, encode.preload, warm) as runner,
        ):
            fractions = {
                code: settings.valid_fraction * (corpus.languages[code].pages >= settings.valid_min_pages)
                for code in wanted["languages"]
            }
            state = {
                "model_sha256": tokenizer.model_sha256,
                "valid_fractions": fractions,
                "parts": [dataclasses.asdict(part) for part in parts],
            }
            begin(storage, STAGE, wanted, state)
            reference = JobReference(storage.root, fingerprint({"identity": wanted, "job": state}), load_encode_job)
            step = encode_step(len(parts), reference)
            outcomes = run_step(storage, step, sum(part.bytes for part in parts), runner, progress)
            manifest = make_manifest(wanted, outcomes)
            storage.write(layout.TOKENS_MANIFEST, to_json(manifest))
            return manifest


def encode_step(parts: int, reference: JobReference) -> Step:
    """The one step of the stage."""
    units = tuple(unit_name(number) for number in range(parts))
    doing = DoParts(reference, encode.STEP, encode.encode_part)
    return Step(encode.STEP, "parts", (Pass(units, lambda root: root | "Encode" >> doing),), True)


def open_tokenizer(storage: Storage, corpus: Corpus) -> Tokenizer:
    """The finished tokenizer of an output folder.

    Raises:
        InputError: there is none.
        ConfigurationError: it was made for another corpus.
        DamagedFileError: its model is not the one that its manifest lists.
    """
    if storage.size(layout.TOKENIZER_MANIFEST) is None:
        raise InputError(
            f"{storage.root} holds no finished tokenizer (no {layout.TOKENIZER_MANIFEST}). Make it first: "
            f"cc100 tokenizer --output {storage.root}"
        )
    manifest = read_manifest(storage, TOKENIZER)
    if manifest["corpus_sha256"] != corpus.sha256:
        raise ConfigurationError(
            f"{storage.uri(layout.TOKENIZER)} was made for the corpus with the manifest {manifest['corpus_sha256'][:12]}..., "
            f"{storage.uri(layout.MANIFEST)} is {corpus.sha256[:12]}... Move that folder away and run cc100 tokenizer again; to keep "
            "its model, with --set tokenizer.model=FOLDER"
        )
    model = storage.read(layout.MODEL)
    found, listed = hashlib.sha256(model).hexdigest(), manifest["files"][layout.MODEL.rpartition("/")[2]]["sha256"]
    if found != listed:
        raise DamagedFileError(
            f"{storage.uri(layout.MODEL)} is not the model that its manifest lists: SHA-256 {found[:12]}..., not {listed[:12]}... "
            "Restore it, or delete the folder and run cc100 tokenizer again"
        )
    info = validate_model(model, storage.uri(layout.MODEL))
    return Tokenizer(found, info.pieces, manifest["sampling"]["alpha"])


def select_parts(corpus: Corpus, languages: tuple[str, ...]) -> tuple[ShardPart, ...]:
    """Parts of the wanted languages, large ones first: runners deal units out in turn, so that all workers end together.

    Raises:
        ConfigurationError: the corpus has no text in a wanted language.
    """
    missing = sorted(set(languages) - set(corpus.languages))
    if missing:
        raise ConfigurationError(
            f"tokens.languages: the corpus has no shards of {', '.join(missing)}; it has {', '.join(corpus.languages)}"
        )
    parts = [part for part in corpus.parts if not languages or part.language in languages]
    return tuple(sorted(parts, key=lambda part: (-part.bytes, part.language, part.part)))


def identity(
    corpus: Corpus, tokenizer: Tokenizer, settings: TokensSettings, parts: tuple[ShardPart, ...]
) -> dict[str, Any]:
    """What makes two sets of token arrays the same; a part of their manifest."""
    alpha = tokenizer.alpha if settings.alpha is None else settings.alpha
    return {
        "corpus_sha256": corpus.sha256,
        "tokenizer": {
            "model_sha256": tokenizer.model_sha256,
            "vocab_size": tokenizer.pieces + EXTRA_IDS,
            "sentencepiece": sentencepiece_version(),
            "normalization": "NFC",
        },
        "split": {"valid_fraction": settings.valid_fraction, "valid_min_pages": settings.valid_min_pages},
        "sampling": {"alpha": alpha, "unit": "sequences", "split": "train"},
        "languages": sorted({part.language for part in parts}),
    }


def make_manifest(wanted: dict[str, Any], outcomes: dict[str, Outcome]) -> dict[str, Any]:
    """Content of tokens/manifest.json."""
    languages: dict[str, dict[str, Any]] = {code: _empty() for code in wanted["languages"]}
    files: dict[str, dict[str, Any]] = {}
    for outcome in outcomes.values():
        figures, row = outcome.figures, languages[outcome.figures["language"]]
        for key in ("unknown", *_TEXT_COUNTS):
            row[key] += figures[key]
        for split in layout.SPLITS:
            for key in _SPLIT_COUNTS:
                row["splits"][split][key] += figures[split][key]
                row[key] += figures[split][key]
        for name, file in outcome.files.items():
            files[name.removeprefix(f"{layout.TOKENS}/")] = dataclasses.asdict(file)
    train = {code: row["splits"]["train"]["sequences"] for code, row in languages.items()}
    probabilities = shares(train, wanted["sampling"]["alpha"])
    for code, row in languages.items():
        pieces = row["tokens"] - row["sequences"]
        row["unknown_rate"] = row["unknown"] / max(pieces, 1)
        row["tokens_per_word"] = pieces / max(row["words"], 1)
        row["tokens_per_character"] = pieces / max(row["characters"], 1)
        row["probability"] = probabilities[code]
    return {"format_version": FORMAT_VERSION, **wanted, "languages": languages, "files": files}


def _empty() -> dict[str, Any]:
    counts = dict.fromkeys((*_SPLIT_COUNTS, "unknown", *_TEXT_COUNTS), 0)
    return counts | {"splits": {split: dict.fromkeys(_SPLIT_COUNTS, 0) for split in layout.SPLITS}}
