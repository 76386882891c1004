"""The example crawl: rebuilt from its sources byte for byte, well-formed, and with pages of every kind."""

import collections
import pathlib
import re
import subprocess
import sys
import urllib.parse
import zlib
from collections.abc import Iterator

import pytest
from warcio.archiveiterator import ArchiveIterator

PAGES = 474
LANGUAGES = 22


def gzip_members(data: bytes) -> Iterator[bytes]:
    """The content of every gzip member; their headers must carry neither time nor name."""
    while data:
        assert data[:10] == b"\x1f\x8b\x08\0\0\0\0\0\x02\xff"
        inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        yield inflate.decompress(data)
        assert inflate.eof
        data = inflate.unused_data


@pytest.fixture(scope="module")
def crawl(repository: pathlib.Path) -> pathlib.Path:
    return repository / "examples" / "crawl"


@pytest.fixture(scope="module")
def rebuilt(repository: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("crawl") / "new"
    subprocess.run([sys.executable, repository / "examples" / "build_crawl.py", "--output", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def records(crawl: pathlib.Path) -> list[tuple[str, dict[str, str], bytes]]:
    """File name, headers and block of every record, read with warcio, which checks the digests."""
    found = []
    for name in (crawl / "wet.paths").read_text().splitlines():
        with (crawl / name).open("rb") as stream:
            for record in ArchiveIterator(stream, check_digests="raise"):
                found.append((name, dict(record.rec_headers.headers), record.content_stream().read()))
    return found


@pytest.fixture(scope="module")
def pages(records: list[tuple[str, dict[str, str], bytes]]) -> dict[str, list[bytes]]:
    """Payloads by URL; a URL that was fetched again has several."""
    found = collections.defaultdict(list)
    for _, headers, block in records:
        if headers["WARC-Type"] == "conversion":
            found[headers["WARC-Target-URI"]].append(block)
    return found


def test_rebuilding_gives_the_same_records(crawl: pathlib.Path, rebuilt: pathlib.Path) -> None:
    names = sorted(path.name for path in crawl.iterdir() if path.name != "README.md")
    assert sorted(path.name for path in rebuilt.iterdir()) == names
    for name in names:
        old, new = (crawl / name).read_bytes(), (rebuilt / name).read_bytes()
        assert list(gzip_members(old)) == list(gzip_members(new)) if name.endswith(".gz") else old == new


@pytest.mark.skipif("ng" in zlib.ZLIB_RUNTIME_VERSION, reason="zlib-ng compresses to other bytes than zlib")
def test_rebuilding_gives_the_same_bytes(crawl: pathlib.Path, rebuilt: pathlib.Path) -> None:
    for path in rebuilt.iterdir():
        assert (crawl / path.name).read_bytes() == path.read_bytes(), path.name


def test_paths_file_names_the_four_files(crawl: pathlib.Path) -> None:
    names = (crawl / "wet.paths").read_text().splitlines()
    assert names == sorted(path.name for path in crawl.glob("*.warc.wet.gz"))
    assert all(re.fullmatch(rf"CC-MAIN-\d{{14}}-\d{{14}}-{i:05}\.warc\.wet\.gz", name) for i, name in enumerate(names))
    assert len(names) == 4
    assert sum((crawl / name).stat().st_size for name in names) < 700_000


def test_every_member_is_one_record_with_crlf_headers(crawl: pathlib.Path) -> None:
    for path in crawl.glob("*.warc.wet.gz"):
        for number, member in enumerate(gzip_members(path.read_bytes())):
            head, _, rest = member.partition(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            assert lines[0] == "WARC/1.0"
            assert lines[1] == ("WARC-Type: conversion" if number else "WARC-Type: warcinfo")
            length = int(lines[-1].removeprefix("Content-Length: "))
            assert rest[length:] == b"\r\n\r\n"


def test_counts_and_ids(records: list[tuple[str, dict[str, str], bytes]], pages: dict[str, list[bytes]]) -> None:
    types = collections.Counter(headers["WARC-Type"] for _, headers, _ in records)
    assert types == {"warcinfo": 4, "conversion": PAGES}
    assert len({headers["WARC-Record-ID"] for _, headers, _ in records}) == len(records)
    assert sum(map(len, pages.values())) == PAGES
    assert all(urllib.parse.urlsplit(url).netloc.endswith(".example") for url in pages)
    assert len({headers.get("WARC-Identified-Content-Language") for _, headers, _ in records} - {None}) == LANGUAGES


def test_pages_of_every_kind(pages: dict[str, list[bytes]]) -> None:
    kinds = collections.Counter(url.split("/")[3] for url in pages if "//oddments.example/" in url)
    assert kinds == {"mixed": 8, "short": 9, "no-text": 7, "code": 7, "table": 6, "letters": 6, "empty": 3, "bytes": 12}
    assert sum("//mirror." in url for url in pages) == sum(url.endswith("/archive/") for url in pages) == LANGUAGES
    payloads = [payload for captures in pages.values() for payload in captures]
    assert any(len(captures) > 1 for captures in pages.values())
    assert payloads.count(b"") == 3
    assert len(payloads) - len(set(payloads)) >= LANGUAGES
    assert any(b"\r\n" in payload for payload in payloads)
    assert max(len(line) for payload in payloads for line in payload.split(b"\n")) > 20_000
    text = "".join(payload.decode("utf-8", "replace") for payload in payloads)
    assert set("\0\r\x1c\x85\u200b\u2028\u3000\ufeff\ufffd") <= set(text)


def test_article_pages_look_like_pages_of_small_sites(pages: dict[str, list[bytes]]) -> None:
    articles = [captures[0].decode() for url, captures in pages.items() if re.search(r"/\d{3}\.html$", url)]
    assert len(articles) > 350
    for article in articles:
        lines = article.split("\n")
        assert 20 <= len(lines) <= 40
        assert sum(len(line.encode()) > 200 for line in lines) >= 1
        assert not re.search(r"[{}\[\]]", article), "a slot or an alternative was left open"
