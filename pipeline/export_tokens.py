"""Exports of token arrays: the same tokens, with the indexes and names that other readers want."""

import hashlib
import json
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from cc100.pipeline.export_target import PIECE_BYTES, Files, Plan, Target, Unit, Written, damaged
from cc100.shards import layout
from cc100.shards.errors import DamagedFileError, InputError, StorageError
from cc100.shards.export_formats import (
    datatrove_index,
    datatrove_metadata,
    fairseq_index,
    litdata_cuts,
    litdata_header,
    litdata_index,
    prefixes,
)
from cc100.shards.manifest import fingerprint
from cc100.shards.records import FORMAT_VERSION
from cc100.shards.token_arrays import TOKEN, TokenIndex, check_size, read_index
from cc100.transforms.storage import Storage, StoredFile

_DICTIONARY = f"{layout.TOKENIZER}/dict.txt"


class TokenSource:
    """tokens/ of an output folder.

    Args:
        storage: the output folder.

    Attributes:
        manifest: content of tokens/manifest.json.

    Raises:
        InputError: there are no token arrays, or they are those of another corpus.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        if storage.size(layout.TOKENS_MANIFEST) is None:
            raise InputError(
                f"{storage.root} has no {layout.TOKENS_MANIFEST}: run cc100 encode --output {storage.root} first"
            )
        self.manifest: dict[str, Any] = storage.read_json(layout.TOKENS_MANIFEST)
        _check_manifest(self.manifest, storage.uri(layout.TOKENS_MANIFEST))
        if storage.size(layout.MANIFEST) is not None:
            corpus = hashlib.sha256(storage.read(layout.MANIFEST)).hexdigest()
            if corpus != self.manifest["corpus_sha256"]:
                raise InputError(
                    f"the token arrays of {storage.root} are those of corpus {self.manifest['corpus_sha256']}, its "
                    f"{layout.MANIFEST} is {corpus}: run cc100 encode --output {storage.root} for this corpus"
                )

    @property
    def languages(self) -> list[str]:
        """Codes of all languages."""
        return sorted(self.manifest["languages"])

    def identity(self) -> dict[str, Any]:
        """What two exports must have in common to lie in one folder."""
        return {key: self.manifest[key] for key in ("corpus_sha256", "tokenizer", "split")}

    def facts(self, languages: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Documents, sequences and tokens of languages by split."""
        return {code: dict(self.manifest["languages"][code]["splits"]) for code in languages}

    def prefixes(self, language: str, split: str) -> list[str]:
        """Pairs of a language and split, by part."""
        return prefixes(self.manifest, language, split)

    def bin_bytes(self, prefix: str) -> int:
        """Size of the tokens of a pair in bytes."""
        return int(self.manifest["files"][f"{prefix}.bin"]["bytes"])

    def index(self, prefix: str) -> TokenIndex:
        """Sequences and documents of a pair whose two files fit together.

        Raises:
            DamagedFileError: a file is missing or is not what was written.
        """
        data = self._read(f"{prefix}.idx")
        name = self._uri(f"{prefix}.idx")
        index = read_index(data, name)
        if hashlib.sha256(data).hexdigest() != self.manifest["files"][f"{prefix}.idx"]["sha256"]:
            raise damaged(name, "is damaged: it has another SHA-256 than in tokens/manifest.json", self._command)
        check_size(index, self._size(f"{prefix}.bin"), self._uri(f"{prefix}.bin"))
        return index

    def tokens(self, prefix: str, cuts: Iterable[tuple[int, int]]) -> Iterator[Iterator[bytes]]:
        """Ranges of the tokens of a pair as pieces of bytes. The ranges must follow each other and be read to their ends.

        Raises:
            DamagedFileError: they cover the file, and it is not what was written.
        """
        digest, done, name = hashlib.sha256(), 0, f"{prefix}.bin"
        with self.storage.open(f"{layout.TOKENS}/{name}") as stream:
            for begin, end in cuts:
                done = end * TOKEN.itemsize
                yield self._pieces(stream, (end - begin) * TOKEN.itemsize, digest, name, done)

    def _pieces(self, stream: Any, size: int, digest: Any, name: str, done: int) -> Iterator[bytes]:
        expected = self.manifest["files"][name]
        while size:
            piece = stream.read(min(size, PIECE_BYTES))
            if not piece:
                raise damaged(self._uri(name), "is damaged: it ends early", self._command)
            digest.update(piece)
            size -= len(piece)
            yield piece
        if done == expected["bytes"] and digest.hexdigest() != expected["sha256"]:
            raise damaged(
                self._uri(name), "is damaged: it has another SHA-256 than in tokens/manifest.json", self._command
            )

    def link_or_copy(self, prefix: str, target: Target, path: str) -> StoredFile:
        """Put the `.bin` of a pair into an export."""
        stored = StoredFile(**self.manifest["files"][f"{prefix}.bin"])
        if target.link(self.storage, f"{layout.TOKENS}/{prefix}.bin", path):
            return stored
        with target.create(path) as out:
            for pieces in self.tokens(prefix, [(0, stored.bytes // TOKEN.itemsize)]):
                for piece in pieces:
                    out.write(piece)
        return out.stored

    def dictionary(self) -> bytes:
        """tokenizer/dict.txt of the tokenizer that the arrays were made with.

        Raises:
            InputError: there is none, or it is that of another tokenizer.
        """
        root, wanted = self.storage.root, self.manifest["tokenizer"]
        for name in (layout.TOKENIZER_MANIFEST, _DICTIONARY):
            if self.storage.size(name) is None:
                raise InputError(f"{root} has no {name}: run cc100 tokenizer --output {root} first")
        there = self.storage.read_json(layout.TOKENIZER_MANIFEST)["files"]["sentencepiece.bpe.model"]["sha256"]
        if there != wanted["model_sha256"]:
            raise InputError(
                f"the token arrays of {root} are those of tokenizer {wanted['model_sha256']}, its tokenizer/ is {there}: "
                f"run cc100 encode --output {root} for this tokenizer"
            )
        data = self.storage.read(_DICTIONARY)
        lines, expected = data.count(b"\n"), wanted["vocab_size"] - 5
        if lines != expected:
            raise damaged(
                self.storage.uri(_DICTIONARY),
                f"is damaged: it has {lines} lines, not {expected}",
                f"cc100 tokenizer --output {root}",
            )
        return data

    @property
    def _command(self) -> str:
        return f"cc100 encode --output {self.storage.root}"

    def _uri(self, name: str) -> str:
        return self.storage.uri(f"{layout.TOKENS}/{name}")

    def _size(self, name: str) -> int:
        size = self.storage.size(f"{layout.TOKENS}/{name}")
        if size is None:
            raise DamagedFileError(f"{self._uri(name)} is missing. Run {self._command} again: it will be made anew")
        return size

    def _read(self, name: str) -> bytes:
        self._size(name)
        return self.storage.read(f"{layout.TOKENS}/{name}")


def _check_manifest(manifest: Any, name: str) -> None:
    keys = {"corpus_sha256", "tokenizer", "split", "languages", "files", "format_version"}
    missing = sorted(keys - manifest.keys()) if isinstance(manifest, dict) else sorted(keys)
    if missing:
        raise InputError(
            f"{name} is not the manifest of token arrays (no {missing[0]}). Delete tokens/ and run cc100 encode again"
        )
    if manifest["format_version"] != FORMAT_VERSION:
        raise InputError(
            f"{name} is of format_version {manifest['format_version']}; this cc100 reads {FORMAT_VERSION}. Use the cc100 that wrote it"
        )


def folder_of(language: str) -> str:
    """Name of a language's folder."""
    return urllib.parse.quote(language, safe="")


# --- fairseq ------------------------------------------------------------------------------------------------------------


def plan_fairseq(source: TokenSource, languages: list[str]) -> Plan:
    """`<language>/train.bin`, `train1.bin`, ... and `valid.bin`, each with fairseq's `.idx`, and `dict.txt`."""
    dictionary = source.dictionary()
    units = [
        Unit(
            "dict.txt",
            None,
            len(dictionary),
            lambda target: Written({"dict.txt": target.write("dict.txt", dictionary)}),
        )
    ]
    for code in languages:
        for number, prefix in enumerate(source.prefixes(code, "train")):
            name = f"{folder_of(code)}/train{number or ''}"
            units.append(_unit(source, code, name, [prefix], _fairseq))
        if valid := source.prefixes(code, "valid"):
            units.append(_unit(source, code, f"{folder_of(code)}/valid", valid, _fairseq))
    return Plan(source.identity(), source.facts(languages), units)


def _unit(source: TokenSource, language: str, name: str, parts: list[str], write: Any) -> Unit:
    size = sum(map(source.bin_bytes, parts))
    return Unit(name, language, size, lambda target: Written(write(source, target, name, parts)))


def _fairseq(source: TokenSource, target: Target, name: str, parts: list[str]) -> Files:
    indexes = [source.index(prefix) for prefix in parts]
    data = fairseq_index(np.concatenate([index.lengths for index in indexes]))
    if len(parts) == 1:
        tokens = source.link_or_copy(parts[0], target, f"{name}.bin")
    else:
        with target.create(f"{name}.bin") as out:
            for prefix, index in zip(parts, indexes, strict=True):
                for pieces in source.tokens(prefix, [(0, index.tokens)]):
                    for piece in pieces:
                        out.write(piece)
        tokens = out.stored
    return {f"{name}.bin": tokens, f"{name}.idx": target.write(f"{name}.idx", data)}


# --- datatrove and Nanotron -------------------------------------------------------------------------------------------


def plan_datatrove(source: TokenSource, languages: list[str]) -> Plan:
    """`<language>/<split>/00000.ds` with `.index` and `.metadata`."""
    units = [
        _unit(source, code, f"{folder_of(code)}/{split}/{prefix[-5:]}.ds", [prefix], _datatrove)
        for code in languages
        for split in layout.SPLITS
        for prefix in source.prefixes(code, split)
    ]
    return Plan(source.identity(), source.facts(languages), units)


def _datatrove(source: TokenSource, target: Target, name: str, parts: list[str]) -> Files:
    index = source.index(parts[0])
    model = source.manifest["tokenizer"]["model_sha256"]
    return {
        name: source.link_or_copy(parts[0], target, name),
        f"{name}.index": target.write(f"{name}.index", datatrove_index(index)),
        f"{name}.metadata": target.write(
            f"{name}.metadata", datatrove_metadata(f"sentencepiece-{model[:16]}", index.tokens)
        ),
    }


# --- litdata ----------------------------------------------------------------------------------------------------------


def plan_litdata(source: TokenSource, languages: list[str]) -> Plan:
    """`<language>/<split>/chunk-<part>-<number>.bin` and `index.json`."""
    units = [
        _unit(source, code, f"{folder_of(code)}/{split}/chunk-{int(prefix[-5:])}", [prefix], _litdata)
        for code in languages
        for split in layout.SPLITS
        for prefix in source.prefixes(code, split)
    ]
    version = fingerprint(source.identity())[:16]
    return Plan(
        source.identity(),
        source.facts(languages),
        units,
        lambda target, files: _litdata_indexes(target, files, version),
    )


def _litdata(source: TokenSource, target: Target, name: str, parts: list[str]) -> Files:
    cuts = litdata_cuts(source.index(parts[0]))
    files: Files = {}
    try:
        for number, (cut, pieces) in enumerate(zip(cuts, source.tokens(parts[0], cuts), strict=True)):
            path = f"{name}-{number}.bin"
            with target.create(path) as out:
                out.write(litdata_header(cut[1] - cut[0]))
                for piece in pieces:
                    out.write(piece)
            files[path] = out.stored
    except (DamagedFileError, StorageError):
        target.delete(list(files))
        raise
    return files


def _litdata_indexes(target: Target, files: Mapping[str, StoredFile], version: str) -> Files:
    folders: dict[str, dict[str, int]] = {}
    header = len(litdata_header(0))
    for path, file in files.items():
        folder, _, name = path.rpartition("/")
        if name != "index.json":
            folders.setdefault(folder, {})[name] = (file.bytes - header) // TOKEN.itemsize
    return {
        f"{folder}/index.json": target.write(
            f"{folder}/index.json",
            litdata_index({name: chunks[name] for name in sorted(chunks, key=_chunk_order)}, version),
        )
        for folder, chunks in sorted(folders.items())
    }


def _chunk_order(name: str) -> list[int]:
    return [int(number) for number in name.removesuffix(".bin").split("-")[1:]]


# --- Megatron's blend -------------------------------------------------------------------------------------------------


def blend_files(arguments: Mapping[str, list[str]]) -> dict[str, bytes]:
    """Files that Megatron takes: `train.txt` and `valid.txt` for --data-args-path, `per-split.json` for
    --per-split-data-args-path.

    Args:
        arguments: weights and prefixes by split.
    """
    given = {split: values for split, values in arguments.items() if values}
    files = {f"{split}.txt": (" ".join(values) + "\n").encode() for split, values in given.items()}
    per_split = {split: given.get(split) for split in (*layout.SPLITS, "test")}
    return files | {"per-split.json": (json.dumps(per_split, indent=1) + "\n").encode()}
