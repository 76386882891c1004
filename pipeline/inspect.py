"""`cc100 inspect`: what became of a page and of each of its paragraphs, and why."""

import dataclasses
import random
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.markup import escape

from cc100.pipeline.inputs import crawl_of
from cc100.shards import layout, parquet
from cc100.shards.errors import InputError
from cc100.shards.records import ORDINAL_BITS, PARAGRAPH_FATES
from cc100.transforms.normalisation import digest_paragraphs
from cc100.transforms.paragraphs import text_buffers
from cc100.transforms.storage import Storage

_MOST_TEXT = 400
_COLOURS = dict(zip(PARAGRAPH_FATES, ("dim", "red", "yellow", "magenta", "green"), strict=True))


@dataclasses.dataclass(frozen=True)
class Page:
    """A page as it stands in documents/ and languages/."""

    file_index: int
    row: dict[str, Any]
    verdict: dict[str, Any]

    @property
    def first(self) -> int:
        """Id of the first paragraph."""
        return int(self.row["first_paragraph"])

    @property
    def texts(self) -> list[str]:
        """Paragraphs."""
        return list(self.row["paragraphs"])


def inspect(storage: Storage, what: str | None, examples: int, seed: int, console: Console) -> int:
    """Print a page by paragraph id, record id or URL, or random examples of every fate.

    Raises:
        InputError: the folder is not complete, or holds no such page.
    """
    if storage.size(layout.MANIFEST) is None:
        raise InputError(
            f"{storage.root} holds no {layout.MANIFEST}: only a complete corpus can be inspected; see cc100 status"
        )
    corpus = _Corpus(storage)
    if what is None:
        _print_examples(corpus, examples, seed, console)
        return 0
    pages = corpus.find(what)
    if not pages:
        raise InputError(f"{storage.root} has no paragraph id, record id or URL {what}")
    for page in pages:
        _print_page(corpus, page, console, int(what) if what.isdigit() else None)
    return 0


class _Corpus:
    """Look-ups in a finished output folder; files of the current look-up are kept."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.manifest = storage.read_json(layout.MANIFEST)
        self.files = len(self.manifest["inputs"])
        self._tables: dict[tuple[str, tuple[str, ...] | None], pa.Table] = {}
        self._removed: dict[str, dict[int, tuple[int, float]]] = {}

    def table(self, name: str, columns: tuple[str, ...] | None = None) -> pa.Table:
        """A Parquet file."""
        key = (name, columns)
        if key not in self._tables:
            if len(self._tables) > 8:
                self._tables.clear()
            with self.storage.open_arrow(name) as source:
                tables = list(parquet.batches(source, self.storage.uri(name), list(columns) if columns else None))
                self._tables[key] = pa.concat_tables(tables) if tables else pa.table({})
        return self._tables[key]

    def find(self, what: str) -> list[Page]:
        """Pages of a paragraph id, record id or URL."""
        if what.isdigit():
            page = self.page_of(int(what))
            return [page] if page else []
        wanted = re.sub("^<|>$", "", what)
        found = []
        for index in range(self.files):
            keys = self.table(layout.documents(index), ("record_id", "url"))
            if keys.num_rows:
                hits = pc.or_kleene(pc.equal(keys["record_id"], wanted), pc.equal(keys["url"], what))
                found += [
                    self.page(index, row)
                    for row in np.flatnonzero(hits.fill_null(False).to_numpy(zero_copy_only=False)).tolist()
                ]
        return found

    def page(self, file_index: int, row: int) -> Page:
        """Page number `row` of a file."""
        document = self.table(layout.documents(file_index)).slice(row, 1).to_pylist()[0]
        return Page(file_index, document, self.table(layout.languages(file_index)).slice(row, 1).to_pylist()[0])

    def page_of(self, paragraph_id: int) -> Page | None:
        """Page that holds a paragraph."""
        index = paragraph_id >> ORDINAL_BITS
        if index >= self.files:
            return None
        table = self.table(layout.documents(index))
        if not table.num_rows:
            return None
        first = table["first_paragraph"].to_numpy()
        row = int(np.searchsorted(first, np.uint64(paragraph_id), side="right")) - 1
        while row > 0 and not len(table["paragraphs"][row]):  # pages without paragraphs share the next one's id
            row -= 1
        inside = row >= 0 and paragraph_id < int(first[row]) + len(table["paragraphs"][row])
        return self.page(index, row) if inside else None

    def text(self, paragraph_id: int) -> str:
        """Text of a paragraph."""
        page = self.page_of(paragraph_id)
        return page.texts[paragraph_id - page.first] if page else ""

    def removed(self, language: str) -> dict[int, tuple[int, float]]:
        """Near duplicates of a language: id -> (keeper, Jaccard)."""
        if language not in self._removed:
            found: dict[int, tuple[int, float]] = {}
            for name in self.manifest["files"]:
                if name.startswith("removed/") and layout.language_of(name) == language:
                    columns = self.table(name).to_pydict()
                    found |= dict(
                        zip(
                            columns["paragraph_id"],
                            zip(columns["keeper_id"], columns["jaccard"], strict=True),
                            strict=True,
                        )
                    )
            self._removed[language] = found
        return self._removed[language]

    def kept(self, page: Page) -> set[int]:
        """Ids of a page's paragraphs that stand in shards/."""
        found: set[int] = set()
        for name in self.manifest["files"]:
            if name.startswith("shards/") and layout.language_of(name) == page.verdict["language"]:
                table = self.table(name, ("record_id", "paragraph_ids"))
                rows = table.filter(pc.equal(table["record_id"], page.row["record_id"]))
                found.update(value for row in rows["paragraph_ids"].to_pylist() for value in row)
        return found

    def fates(self, page: Page) -> list[str]:
        """Fate of every paragraph of a page."""
        digests = _digests(page.texts)
        kept = self.kept(page) if page.verdict["status"] == "kept" else set()
        removed = self.removed(page.verdict["language"]) if page.verdict["status"] == "kept" else {}
        fates = []
        for number, digest in enumerate(digests.tolist()):
            paragraph_id = page.first + number
            if digest == 0:
                fates.append("empty")
            elif page.verdict["status"] != "kept":
                fates.append("page_rejected")
            elif paragraph_id in kept:
                fates.append("kept")
            else:
                fates.append("near_duplicate" if paragraph_id in removed else "exact_duplicate")
        return fates

    def copy_that_stayed(self, text: str, file_index: int) -> int | None:
        """Smallest id with the same normalised form on a kept page of the file's scope; None in mode drop-all."""
        exact = self.manifest["configuration"]["exact"]
        if exact["mode"] == "drop-all":
            return None
        crawls = [crawl_of(entry["uri"]) if exact["scope"] == "per-crawl" else "" for entry in self.manifest["inputs"]]
        wanted = _digests([text])[0]
        for index in range(self.files):
            table = self.table(layout.documents(index))
            if not table.num_rows or crawls[index] != crawls[file_index]:
                continue
            status = pc.equal(self.table(layout.languages(index))["status"], "kept").to_numpy()
            chunk = table["paragraphs"].combine_chunks()
            buffers = text_buffers(chunk.chunk(0) if isinstance(chunk, pa.ChunkedArray) else chunk)
            offsets = buffers.offsets.astype(np.int64)
            digests = digest_paragraphs(buffers.text, offsets[:-1], offsets[1:])
            on_kept = np.repeat(status, np.diff(buffers.page_paragraphs))
            hits = np.flatnonzero((digests == wanted) & on_kept)
            if len(hits):
                return index << ORDINAL_BITS | int(hits[0])
        return None


def _digests(texts: list[str]) -> Any:
    buffers = text_buffers(pa.array([texts], pa.list_(pa.string())))
    offsets = buffers.offsets.astype(np.int64)
    return digest_paragraphs(buffers.text, offsets[:-1], offsets[1:])


def _short(text: str) -> str:
    return escape(text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + f" [... {len(text)} characters]")


def _print_page(corpus: _Corpus, page: Page, console: Console, only: int | None) -> None:
    verdict, row = page.verdict, page.row
    score = "" if verdict["score"] is None else f" ({verdict['score']:.4f})"
    console.print(f"[bold]{escape(row['record_id'])}[/bold]  {escape(row['url'] or '')}  {row['date']}")
    console.print(
        f"file {page.file_index}, page {verdict['status']}, language {verdict['language']}{score}, {len(page.texts)} paragraphs"
    )
    for number, (text, fate) in enumerate(zip(page.texts, corpus.fates(page), strict=True)):
        paragraph_id = page.first + number
        mark = ">" if paragraph_id == only else " "
        console.print(f"{mark} {paragraph_id} [{_COLOURS[fate]}]{fate}[/]  {_short(text)}", soft_wrap=True)
        _print_reason(corpus, page, paragraph_id, text, fate, console)
    console.print()


def _print_reason(corpus: _Corpus, page: Page, paragraph_id: int, text: str, fate: str, console: Console) -> None:
    if fate == "exact_duplicate":
        keeper = corpus.copy_that_stayed(text, page.file_index)
        if keeper is None:
            console.print("      its form occurs more than once in the input, and exact.mode is drop-all")
        else:
            console.print(f"      the copy that stayed: {keeper}  {_short(corpus.text(keeper))}", soft_wrap=True)
    elif fate == "near_duplicate":
        keeper, jaccard = corpus.removed(page.verdict["language"])[paragraph_id]
        console.print(f"      Jaccard {jaccard:.4f} with {keeper}  {_short(corpus.text(keeper))}", soft_wrap=True)


def _print_examples(corpus: _Corpus, examples: int, seed: int, console: Console) -> None:
    """Random examples of every fate, from random pages."""
    rng = random.Random(seed)
    wanted = {fate: min(examples, corpus.manifest["counts"]["paragraphs"][fate]) for fate in PARAGRAPH_FATES}
    found: dict[str, list[tuple[Page, int, str]]] = {fate: [] for fate in PARAGRAPH_FATES}
    removed = [name for name in corpus.manifest["files"] if name.startswith("removed/")]
    for name in rng.sample(removed, min(len(removed), wanted["near_duplicate"])):  # rare: looked up directly
        ids = corpus.table(name)["paragraph_id"].to_pylist()
        paragraph_id = rng.choice(ids)
        page = corpus.page_of(paragraph_id)
        if page:
            found["near_duplicate"].append((page, paragraph_id, page.texts[paragraph_id - page.first]))
    pages = [(index, row) for index in range(corpus.files) for row in range(corpus.manifest["inputs"][index]["pages"])]
    rng.shuffle(pages)
    for index, row in pages[:500]:
        if all(len(found[fate]) >= wanted[fate] for fate in PARAGRAPH_FATES):
            break
        page = corpus.page(index, row)
        for number, fate in enumerate(corpus.fates(page)):
            if len(found[fate]) < wanted[fate] and not any(page == other for other, _, _ in found[fate]):
                found[fate].append((page, page.first + number, page.texts[number]))
    for fate in PARAGRAPH_FATES:
        total = corpus.manifest["counts"]["paragraphs"][fate]
        console.print(f"[bold {_COLOURS[fate]}]{fate}[/]: {total:,} paragraphs")
        for page, paragraph_id, text in found[fate]:
            verdict = page.verdict
            console.print(
                f"  {paragraph_id}  {escape(page.row['url'] or '')}  page {verdict['status']} {verdict['language']}"
            )
            console.print(f"      {_short(text)}", soft_wrap=True)
            _print_reason(corpus, page, paragraph_id, text, fate, console)
