"""Export of CC-100's own text files, each read back and compared before it counts."""

import functools
import urllib.parse
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from typing import Any

import pyarrow as pa

from cc100.pipeline.export_target import Plan, Target, Unit, Written, damaged
from cc100.shards import layout, parquet
from cc100.shards.corpus import ShardPart, read_corpus
from cc100.shards.corpus_text import (
    BLOCK_BYTES,
    Compressor,
    LineError,
    TextTotals,
    XzCompressor,
    ZstdCompressor,
    decompressed,
    decompressed_streams,
    page_text,
)
from cc100.shards.errors import DamagedFileError, InputError, StorageError
from cc100.transforms.storage import Storage

_PAGES = 1024


class TextSource:
    """shards/ of an output folder.

    Args:
        storage: the output folder.

    Attributes:
        corpus: what its manifest says.

    Raises:
        InputError: there is no complete corpus.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        if storage.size(layout.MANIFEST) is None:
            raise InputError(
                f"{storage.root} has no {layout.MANIFEST}: run cc100 corpus --output {storage.root} to its end first"
            )
        self.corpus = read_corpus(storage.read(layout.MANIFEST), storage.uri(layout.MANIFEST))

    @property
    def languages(self) -> list[str]:
        """Codes of all languages."""
        return sorted(self.corpus.languages)

    def identity(self) -> dict[str, Any]:
        """What two exports must have in common to lie in one folder."""
        return {"corpus_sha256": self.corpus.sha256}

    def parts(self, language: str) -> list[ShardPart]:
        """Shards of a language, in order."""
        return [part for part in self.corpus.parts if part.language == language]

    def text(self, language: str) -> Iterator[bytes | pa.Buffer]:
        """Text of a language in pieces: a paragraph a line, a blank line between pages.

        Raises:
            DamagedFileError: a shard is missing, or is not what was written.
        """
        begun = False
        for part in self.parts(language):
            name, size = self.storage.uri(part.name), self.storage.size(part.name)
            if size != part.bytes:
                what = "is missing" if size is None else f"has {size} bytes, not {part.bytes}"
                raise damaged(name, what, self._command)
            with self.storage.open_arrow(part.name) as file:
                for table in parquet.batches(file, name, ["paragraph_ids", "paragraphs"], self._command):
                    for begin in range(0, table.num_rows, _PAGES):
                        yield b"\n" if begun else b""
                        yield self._lines(table.slice(begin, _PAGES), name)
                        yield b"\n"
                        begun = True

    def _lines(self, pages: pa.Table, name: str) -> pa.Buffer:
        try:
            return page_text(pages["paragraphs"].combine_chunks())
        except LineError as error:
            ids = pages["paragraph_ids"].combine_chunks().flatten().slice(error.position, 1).to_pylist()
            raise damaged(name, f"is damaged: {error} (paragraph {ids})", self._command) from error

    @property
    def _command(self) -> str:
        return f"cc100 corpus --output {self.storage.root}"

    def check(self, language: str, facts: dict[str, Any]) -> None:
        """Compare a text with what the manifest says about its language.

        Raises:
            DamagedFileError: it has other numbers of pages, paragraphs or bytes.
        """
        size = self.corpus.languages[language]
        expected = {
            "pages": size.pages,
            "paragraphs": size.paragraphs,
            "text_bytes": size.text_bytes + size.paragraphs + size.pages - 1,
        }
        wrong = {key: (facts[key], value) for key, value in expected.items() if facts[key] != value}
        if wrong:
            says = ", ".join(f"{key} {got}, {value} in the manifest" for key, (got, value) in wrong.items())
            raise DamagedFileError(
                f"the shards of {language} in {self.storage.root} are not those of its {layout.MANIFEST}: {says}"
            )


def text_file(language: str, compression: str) -> str:
    """Name of a language's text."""
    return f"{urllib.parse.quote(language, safe='')}.txt.{compression}"


def plan_text(source: TextSource, languages: list[str], compression: str, pool: Executor, threads: int) -> Plan:
    """`<language>.txt.xz` or `.txt.zst`.

    Args:
        source: the corpus.
        languages: their codes.
        compression: `xz` or `zst`.
        pool: threads that compress the blocks of large languages.
        threads: their number.
    """
    units = []
    for code in languages:
        size = sum(part.bytes for part in source.parts(code))
        alone = source.corpus.languages[code].text_bytes > 2 * BLOCK_BYTES
        write = functools.partial(_write, source, code, compression, pool if alone else None, threads if alone else 1)
        units.append(Unit(text_file(code, compression), code, size, write, alone))
    identity = source.identity() | {"compression": compression}
    return Plan(identity, {code: {} for code in languages}, units)


def _write(
    source: TextSource, language: str, compression: str, pool: Executor | None, threads: int, target: Target
) -> Written:
    path, totals = text_file(language, compression), TextTotals()
    with target.create(path) as out:
        compressor: Compressor = (
            XzCompressor(out, pool, threads) if compression == "xz" else ZstdCompressor(out, threads)
        )
        for piece in source.text(language):
            totals.add(piece)
            compressor.write(piece)
        compressor.close()
        source.check(language, totals.facts())
    try:
        with target.open(path) as stream:
            if isinstance(compressor, XzCompressor) and pool is not None:
                back = decompressed_streams(stream, compressor.stream_bytes, pool, threads)
            else:
                back = decompressed(stream, compression)
            _compare(back, totals.facts())
    except (ValueError, StorageError) as error:
        target.delete([path])
        raise DamagedFileError(
            f"{target.uri}/{path} was not what was written when it was read back: {error}. Check the disk, and run the same command again"
        ) from error
    return Written({path: out.stored}, totals.facts())


def _compare(pieces: Iterable[bytes], expected: dict[str, Any]) -> None:
    """Raise ValueError where a text has other counts or another SHA-256."""
    totals = TextTotals()
    for piece in pieces:
        totals.add(piece)
    if totals.facts() != expected:
        raise ValueError(f"{totals.facts()} instead of {expected}")


def verify_text(source: TextSource, target: Target, manifest: dict[str, Any], language: str) -> None:
    """Compare a text file of a finished export with the shards, line by line in effect: both are read, counted and hashed.

    Raises:
        DamagedFileError: they differ.
    """
    path, totals = text_file(language, manifest["compression"]), TextTotals()
    for piece in source.text(language):
        totals.add(piece)
    try:
        with target.open(path) as stream:
            _compare(decompressed(stream, manifest["compression"]), totals.facts())
    except ValueError as error:
        raise DamagedFileError(
            f"{target.uri}/{path} is not the text of the shards: {error}. Delete it and run the same export again"
        ) from error
