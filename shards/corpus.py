"""A finished corpus as later stages see it: what `manifest.json` says of its shards."""

import dataclasses
import hashlib
import json

from cc100.shards import layout
from cc100.shards.errors import InputError
from cc100.shards.records import FORMAT_VERSION


@dataclasses.dataclass(frozen=True)
class ShardPart:
    """One part of a language's shards, as the manifest promises it."""

    name: str
    language: str
    part: int
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class LanguageSize:
    """What the shards of a language hold."""

    pages: int
    paragraphs: int
    text_bytes: int


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A finished corpus.

    Attributes:
        sha256: fingerprint of its manifest.
        languages: languages with text, by code point.
        parts: all parts of all shards, by language and part.
    """

    sha256: str
    languages: dict[str, LanguageSize]
    parts: tuple[ShardPart, ...]


def read_corpus(manifest: bytes, name: str) -> Corpus:
    """The corpus that a `manifest.json` describes.

    Raises:
        InputError: it is no manifest of a corpus, or its shards are empty.
    """
    try:
        content = json.loads(manifest)
        version = content["format_version"]
        languages = {
            code: LanguageSize(entry["pages"], entry["paragraphs"], entry["text_bytes"])
            for code, entry in sorted(content["languages"].items())
            if entry["paragraphs"]
        }
        parts = [
            ShardPart(path, language, layout.part_of(path), entry["bytes"], entry["sha256"])
            for path, entry in content["files"].items()
            if path.startswith("shards/") and (language := layout.language_of(path)) is not None
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{name} is not the manifest of a corpus ({error!r}). Build the corpus anew with cc100 corpus"
        ) from error
    if version != FORMAT_VERSION:
        raise InputError(
            f"{name} is of format_version {version}; this cc100 reads {FORMAT_VERSION}. Use the cc100 that wrote it"
        )
    if not parts or {part.language for part in parts} != set(languages):
        raise InputError(
            f"{name} lists no shards: the corpus kept no paragraph. Look at cc100 status; perhaps language.threshold or "
            "language.languages leave nothing"
        )
    parts.sort(key=lambda part: (part.language, part.part))
    return Corpus(hashlib.sha256(manifest).hexdigest(), languages, tuple(parts))
