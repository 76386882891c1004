"""Builds the small crawl of `examples/crawl`: four WET files in 22 languages, made of the sentences in `crawl_text`.

The text was written for this purpose; no page was ever on the web. Everything follows from the sources through SHA-256,
without a clock and without random numbers, so that the same sources give the same bytes. (The compressed bytes are
those of classic zlib; another deflate implementation gives other bytes for the same records.)

    python examples/build_crawl.py [--output DIR]
"""

import argparse
import base64
import dataclasses
import datetime
import email.utils
import hashlib
import itertools
import pathlib
import re
import struct
import uuid
import zlib
from collections.abc import Iterator
from typing import Any

import yaml

HERE = pathlib.Path(__file__).resolve().parent
SOURCES = HERE / "crawl_text"
FILES = 4
FIRST_DAY = datetime.datetime(2018, 12, 9, tzinfo=datetime.UTC)
INFORMATION = """Software-Info: examples/build_crawl.py
Extracted-Date: {date}
robots: not applicable
isPartOf: EXAMPLE-CRAWL
operator: none
description: text written as an example; not from the web
publisher: none

"""
SEPARATORS = ("———", "…", "►", "– – –", "～～～～")
PARTITIONS = {6: ((2, 2, 2), (3, 3), (2, 4), (4, 2)), 5: ((2, 3), (3, 2))}  # sentences to a paragraph
ALTERNATIVE = re.compile(r"\[([^|\]]*)\|([^\]]*)\]")


@dataclasses.dataclass(frozen=True)
class Site:
    host: str
    name: str
    place: str


@dataclasses.dataclass(frozen=True)
class Topic:
    slug: str
    section: str
    titles: list[str]
    sentences: list[str]


@dataclasses.dataclass(frozen=True)
class Language:
    """One file of `crawl_text`; `space` joins sentences, `digits` are the script's own 0 to 9."""

    code: str
    iso3: str
    pages: int
    sites: list[Site]
    names: list[str]
    menu: list[str]
    related: str
    updated: str
    page: str
    cookies: str
    footer: list[str]
    press: str
    topics: list[Topic]
    digits: str = "0123456789"
    space: str = " "
    first_year: int = 1850

    @classmethod
    def load(cls, path: pathlib.Path) -> "Language":
        """Reads one source file."""
        raw: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        raw |= {
            "sites": [Site(*line.split(" | ")) for line in raw["sites"].splitlines()],
            "names": raw["names"].split(", "),
            "menu": raw["menu"].split(", "),
            "footer": raw["footer"].splitlines(),
            "press": raw["press"].strip(),
            "topics": [
                Topic(t["slug"], t["section"], t["titles"].splitlines(), t["text"].splitlines()) for t in raw["topics"]
            ],
        }
        return cls(code=path.stem, **raw)


def pick(count: int, *key: object) -> int:
    """A number below `count` that depends on the key alone."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:8], "big") % count


def noise(length: int, *key: object) -> bytes:
    """`length` bytes without pattern that depend on the key alone."""
    blocks = (hashlib.sha256("/".join(map(str, (*key, i))).encode()).digest() for i in itertools.count())
    return b"".join(itertools.islice(blocks, length // 32 + 1))[:length]


def fill(language: Language, site: Site, text: str, *key: object) -> str:
    """A sentence with its slots filled. Numbers stay where languages decline no further (11-19, 120-190)."""
    slots = {
        "n": str(11 + pick(9, *key, "n")),
        "m": str(120 + 10 * pick(8, *key, "m")),
        "year": str(language.first_year + pick(100, *key, "year")),
        "hour": f"{7 + pick(4, *key, 'hour')}:{(10, 15, 20, 30, 40, 45, 50)[pick(7, *key, 'minute')]}",
        "footer_year": str(2016 + pick(3, *key, "footer")),
        "p": str(1 + pick(3, *key, "p")),
        "q": str(5 + pick(4, *key, "q")),
    }
    if site is not language.sites[0]:  # the first site writes 0-9, so that copies differ by the script of their digits
        slots = {slot: value.translate(str.maketrans("0123456789", language.digits)) for slot, value in slots.items()}
    names = {"name": language.names[pick(len(language.names), *key, "name")], "place": site.place, "site": site.name}
    return re.sub(r"\{(\w+)\}", lambda match: (slots | names)[match[1]], text)


def press_text(text: str, version: int) -> str:
    """A version of the press text, one alternative away from the version before it."""
    count = len(ALTERNATIVE.findall(text))
    phase = version % (2 * count)
    switched = range(phase) if phase <= count else range(phase - count, count)
    numbers = itertools.count()
    return ALTERNATIVE.sub(lambda match: match[2] if next(numbers) in switched else match[1], text)


def main_text(language: Language, site: Site, index: int) -> list[str]:
    """Paragraphs of two to four sentences: most of one topic, some of another one."""
    key = (language.code, index)
    topics = language.topics
    topic, other = topics[3 * index % len(topics)], topics[(3 * index + 5) % len(topics)]
    sentences = [fill(language, site, text, *key, number) for number, text in enumerate(topic.sentences)]
    if index >= len(topics):  # the second page on a topic leaves a sentence out
        del sentences[pick(len(sentences), *key, "left out")]
    options = PARTITIONS[len(sentences)]
    rest = iter(sentences)
    paragraphs = [list(itertools.islice(rest, size)) for size in options[pick(len(options), *key, "partition")]]
    start = pick(3, *key, "other")
    more = enumerate(other.sentences[start : start + 3], start)
    paragraphs.append([fill(language, site, text, *key, "other", number) for number, text in more])
    return [language.space.join(sentences) for sentences in paragraphs]


def page_lines(language: Language, index: int) -> list[str]:
    """All lines of a page: title, menu, breadcrumb, main text, related titles, cookie notice, footer."""
    sites, topics = language.sites, language.topics
    site, topic = sites[index % len(sites)], topics[3 * index % len(topics)]
    key = (language.code, index)
    title = fill(language, site, topic.titles[index // len(topics) % len(topic.titles)], *key)
    menu = language.menu
    if site is sites[1] and language.code != "el":  # Greek capitals have no accents, but those of Python have
        menu = [entry.replace("i", "İ").upper() if language.code == "tr" else entry.upper() for entry in menu]
    elif site is sites[2]:
        menu = [f"► {entry}" for entry in menu]
    date = f"{1 + pick(28, *key, 'day'):02}.{1 + pick(12, *key, 'month'):02}.{2014 + pick(5, *key, 'year')}"
    date = date if site is sites[0] else date.translate(str.maketrans("0123456789", language.digits))
    separator = SEPARATORS[pick(len(SEPARATORS), site.host)]
    # The press text stands on every second page, each time in the next version, and now and then copied unchanged.
    press = [press_text(language.press, index // 2)] if index % 2 == 0 or index % 6 == 3 else []
    others = [topics[(3 * index + step) % len(topics)] for step in (1, 2, 4)]
    related = [fill(language, site, other.titles[pick(len(other.titles), *key, "title")], *key) for other in others]
    return [
        f"{title} | {site.name}",
        *menu,
        f"{language.menu[0]} » {topic.section} » {title}",
        (title, f"“{title}”" if language.space else f"「{title}」")[pick(2, *key, "quoted")],
        f"{language.updated}: {date}",
        *main_text(language, site, index),
        separator,
        *([language.menu[1], *press, separator] if press else []),
        language.related,
        *related,
        fill(language, site, language.page, *key),
        language.cookies,
        *(fill(language, site, line, *key) for line in language.footer),
    ]


@dataclasses.dataclass(frozen=True)
class Page:
    """One conversion record before it has a place: `url`, `payload` and the language that the crawler would name."""

    url: str
    payload: bytes
    iso3: str | None


def encode(lines: list[str], newline: str = "\n") -> bytes:
    """Lines as UTF-8, each with its end."""
    return "".join(line + newline for line in lines).encode()


def article(language: Language, index: int) -> Page:
    """Page number `index` of a language."""
    site = language.sites[index % len(language.sites)]
    topic = language.topics[3 * index % len(language.topics)]
    payload = encode(page_lines(language, index), "\r\n" if index % 13 == 7 else "\n")
    return Page(f"https://{site.host}/{topic.slug}/{index:03}.html", payload, language.iso3)


def recrawl(page: Page, language: Language) -> Page:
    """A later capture of the same URL: other digits, another name, one more line."""
    later = page.payload.decode().translate(str.maketrans("45", "54"))
    for before, after in itertools.pairwise(language.names):
        later = later.replace(before, after)
    return dataclasses.replace(page, payload=(later + language.related + "\n").encode())


def archive(language: Language) -> Page:
    """Paragraphs of other pages of the first site without their last words (or characters), as archives show them."""
    site, lines = language.sites[0], []
    for index in range(0, language.pages, len(language.sites)):
        for number, text in enumerate(main_text(language, site, index)[:2]):
            pieces = text.split() if language.space else list(text)
            cut = len(pieces) // (20, 16, 12, 8, 5)[pick(5, language.code, index, number)]
            lines.append(language.space.join(pieces[: len(pieces) - cut]) + "…")
    lines = [f"{language.menu[1]} | {site.name}", *language.menu, *lines[:12], language.cookies]
    return Page(f"https://{site.host}/archive/", encode(lines), language.iso3)


def mixed_page(languages: dict[str, Language], number: int, codes: list[str]) -> list[str]:
    """Menus of several languages, then their paragraphs in turn, all of them copies from one of their late pages."""
    columns, menus = [], []
    for language in (languages[code] for code in codes):
        index = language.pages - 1 - number
        columns.append(main_text(language, language.sites[index % len(language.sites)], index))
        menus += language.menu
    return menus + [text for row in zip(*columns, strict=False) for text in row]


def number_table(number: int) -> list[str]:
    """Readings without words."""
    rows = [noise(8, "table", number, row) for row in range(12 + 4 * number)]
    return ["\t".join(f"{value / 8:.{number % 3}f}" for value in row) for row in rows]


def letter_lines(number: int) -> list[str]:
    """Letters without words: keys, identifiers, base 32."""
    rows = [noise(15 + number, "keys", number, row) for row in range(8 + 3 * number)]
    texts = [base64.b32encode(row).decode().rstrip("=") for row in rows]
    words = [" ".join(text[i : i + 3 + (i + number) % 4].lower() for i in range(0, len(text), 5)) for text in texts]
    return words if number % 2 else texts


def odd_pages(languages: dict[str, Language]) -> Iterator[tuple[str, bytes, str | None]]:
    """Pages whose bytes are out of the ordinary: name, payload, language."""
    french, russian, polish = (page_lines(languages[code], 2) for code in ("fr", "ru", "pl"))
    yield "latin-1", "\n".join(french).encode("latin-1", "replace"), "fra"
    broken = encode(russian[:12]) + "\n".join(russian[12:15]).encode("cp1251", "replace") + b"\n" + encode(russian[15:])
    yield "cp1251-inside", broken, "rus"
    cut = b"".join(line.encode()[: 61 + 7 * i] + b"\xe2\x80\n" for i, line in enumerate(polish))
    yield "cut-sequences", cut + b"\xc0\xaf\xed\xa0\x80\xf5\x80\x80\x80\n", "pol"
    lines = main_text(languages["en"], languages["en"].sites[0], 5)
    yield "nul", "\n".join(lines).replace(", ", ",\0 ").encode(), "eng"
    lines = main_text(languages["de"], languages["de"].sites[1], 5)
    yield "line-separator", ("\ufeff" + "\u2028".join(lines) + "\n\ufeff" + lines[0] + "\n").encode(), "deu"
    lines = main_text(languages["th"], languages["th"].sites[1], 5)
    yield "zero-width", "\n".join(line.replace(" ", "\u200b \u2060") for line in lines).encode(), "tha"
    framed = "\r".join(f"\u3000{line}\u00a0\x1c" for line in main_text(languages["es"], languages["es"].sites[2], 6))
    yield "white-space", (framed + "\r\n\x85\x0b\x0c\n").encode(), "spa"
    for code in ("en", "zh"):
        language = languages[code]
        texts = (line for index in range(30) for line in main_text(language, language.sites[0], index))
        yield f"long-line-{code}", language.space.join(texts).encode(), language.iso3
    for number in range(3):
        yield f"binary-{number}", b"\x89BIN\r\n\x1a\n" + noise(700 + 300 * number, "bytes", number), None


def special_pages(languages: dict[str, Language], source: dict[str, list[Any]]) -> Iterator[Page]:
    """Pages to be rejected, repaired or survived."""
    payloads: dict[str, list[bytes]] = {
        "mixed": [encode(mixed_page(languages, number, codes)) for number, codes in enumerate(source["mixed"])],
        "short": [text.encode() for text in source["short"]],
        "no-text": [text.encode() for text in source["no_text"]],
        "code": [text.encode() for text in source["code"]],
        "table": [encode(number_table(number)) for number in range(6)],
        "letters": [encode(letter_lines(number)) for number in range(6)],
        "empty": [b""] * 3,
    }
    for kind, pages in payloads.items():
        for number, payload in enumerate(pages):
            yield Page(f"https://oddments.example/{kind}/{number}", payload, None)
    for name, payload, iso3 in odd_pages(languages):
        yield Page(f"https://oddments.example/bytes/{name}", payload, iso3)


def place_in_crawl(name: str) -> int:
    """Anywhere, but pages of several languages early, so that first copies stand on rejected pages, and others late."""
    place = pick(2**63, *name.split("/"))
    if "/mixed/" in name:
        return place >> 4
    return 2**63 - (place >> 3) if name.startswith(("recrawl", "archive")) else place


def crawl_pages() -> list[Page]:
    """All pages in the order of the crawl: well mixed, but the pages of a language in the order of their number."""
    languages = {path.stem: Language.load(path) for path in sorted(SOURCES.glob("??.yaml"))}
    source = yaml.safe_load((SOURCES / "special.yaml").read_text(encoding="utf-8"))
    pages: list[tuple[str, Page | Language]] = []
    for language in languages.values():
        pages += [(f"article/{language.code}/{index}", language) for index in range(language.pages)]
        copied = article(language, pick(language.pages, language.code, "mirror"))
        url = copied.url.replace("https://", "http://mirror.")
        pages.append((f"mirror/{language.code}", dataclasses.replace(copied, url=url)))
        pages.append((f"archive/{language.code}", archive(language)))
        if language.pages >= 18:
            again = article(language, pick(language.pages, language.code, "recrawl"))
            pages.append((f"recrawl/{language.code}", recrawl(again, language)))
    pages += [(page.url, page) for page in special_pages(languages, source)]
    pages.sort(key=lambda entry: place_in_crawl(entry[0]))
    numbers = {code: itertools.count() for code in languages}
    return [entry if isinstance(entry, Page) else article(entry, next(numbers[entry.code])) for _, entry in pages]


def gzip_member(data: bytes) -> bytes:
    """One gzip member without name, time or operating system, whatever Python's gzip module writes."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflate.compress(data) + deflate.flush()
    return b"\x1f\x8b\x08\0\0\0\0\0\x02\xff" + body + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def record_bytes(headers: dict[str, str], payload: bytes) -> bytes:
    """A WARC/1.0 record."""
    head = "".join(f"{name}: {value}\r\n" for name, value in {**headers, "Content-Length": len(payload)}.items())
    return f"WARC/1.0\r\n{head}\r\n".encode() + payload + b"\r\n\r\n"


def record_id(*key: object) -> str:
    """A record id that depends on the key alone."""
    return f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, '/'.join(map(str, key)))}>"


def wet_name(number: int) -> str:
    """File name in the style of CC-MAIN: start and end of the fetch, serial number."""
    start = FIRST_DAY + datetime.timedelta(days=number)
    return f"CC-MAIN-{start:%Y%m%d}000000-{start:%Y%m%d}020000-{number:05}.warc.wet.gz"


def warcinfo(name: str, written: datetime.datetime) -> bytes:
    """The first record of a file."""
    headers = {
        "WARC-Type": "warcinfo",
        "WARC-Date": f"{written:%Y-%m-%dT%H:%M:%SZ}",
        "WARC-Filename": name,
        "WARC-Record-ID": record_id(name),
        "Content-Type": "application/warc-fields",
    }
    date = email.utils.format_datetime(written, usegmt=True)
    return record_bytes(headers, INFORMATION.format(date=date).replace("\n", "\r\n").encode())


def conversion(page: Page, date: datetime.datetime, position: int, names_language: bool) -> bytes:
    """The record of one page."""
    digest = base64.b32encode(hashlib.sha1(page.payload).digest()).decode()
    headers = {
        "WARC-Type": "conversion",
        "WARC-Target-URI": page.url,
        "WARC-Date": f"{date:%Y-%m-%dT%H:%M:%SZ}",
        "WARC-Record-ID": record_id(page.url, position, "conversion"),
        "WARC-Refers-To": record_id(page.url, position, "response"),
        "WARC-Block-Digest": f"sha1:{digest}",
    }
    if names_language and page.iso3:
        headers["WARC-Identified-Content-Language"] = page.iso3
    return record_bytes({**headers, "Content-Type": "text/plain"}, page.payload)


def build(folder: pathlib.Path) -> None:
    """Writes the WET files and their list, `wet.paths`."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = crawl_pages()
    names = [wet_name(number) for number in range(FILES)]
    for number, name in enumerate(names):
        start = FIRST_DAY + datetime.timedelta(days=number)
        members = [gzip_member(warcinfo(name, start + datetime.timedelta(days=19)))]
        for position in range(len(pages) * number // FILES, len(pages) * (number + 1) // FILES):
            date = start + datetime.timedelta(seconds=pick(7200, "date", position))
            members.append(gzip_member(conversion(pages[position], date, position, names_language=number > 0)))
        (folder / name).write_bytes(b"".join(members))
    (folder / "wet.paths").write_bytes("".join(f"{name}\n" for name in names).encode())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Builds the example crawl.")
    parser.add_argument("--output", type=pathlib.Path, default=HERE / "crawl", help="folder (default: examples/crawl)")
    build(parser.parse_args().output)


if __name__ == "__main__":
    main()
