"""The corpus in plain Python: slow, obvious definitions that the tests compare the real steps with."""

import dataclasses
import pathlib
import unicodedata

from warcio.archiveiterator import ArchiveIterator

MARKS = "，。、„”“«»」「《》´∶：？！（）；–—．～’…━〈〉【】％►"
UNSPACED = (
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3134F), (0x3040, 0x30FF), (0x31F0, 0x31FF),
    (0xFF66, 0xFF9D), (0x0E00, 0x0EFF), (0x0F00, 0x0FFF), (0x1000, 0x109F), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F),
    (0x1780, 0x17FF), (0x19E0, 0x19FF),
)  # fmt: skip


@dataclasses.dataclass
class PlainPage:
    record_id: str
    url: str
    file_index: int
    first: int
    paragraphs: list[str]
    language: str | None = None
    score: float | None = None
    status: str = ""
    fates: list[str] = dataclasses.field(default_factory=list)


def normalise(text: str) -> str:
    out = []
    for char in text:
        lower = "i" if char == "\u0130" else char.lower()
        if unicodedata.category(lower) == "Nd":
            lower = "0"
        if not (ord(lower) < 0x20 or 0x7F <= ord(lower) <= 0x9F or lower in MARKS):
            out.append(lower)
    return "".join(out).strip()


def shingles(text: str, length: int = 5) -> frozenset[str]:
    solid = "".join(text.split())
    unspaced = sum(any(low <= ord(char) <= high for low, high in UNSPACED) for char in solid)
    if 2 * unspaced > len(solid):
        return frozenset(solid[i : i + length] for i in range(len(solid) - length + 1))
    words = text.split()
    return frozenset(" ".join(words[i : i + length]) for i in range(len(words) - length + 1))


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b) if a | b else 0.0


def read_pages(paths: list[pathlib.Path]) -> list[PlainPage]:
    pages = []
    for index, path in enumerate(sorted(paths)):
        ordinal = 0
        with open(path, "rb") as stream:
            for record in ArchiveIterator(stream):
                if record.rec_type != "conversion":
                    continue
                text = record.content_stream().read().decode("utf-8", "replace")
                lines = [line.strip() for line in text.split("\n") if line.strip()]
                headers = record.rec_headers
                record_id = headers.get_header("WARC-Record-ID").strip("<>")
                pages.append(
                    PlainPage(record_id, headers.get_header("WARC-Target-URI"), index, index << 40 | ordinal, lines)
                )
                ordinal += len(lines)
    return pages


def build(paths: list[pathlib.Path], model, threshold: float = 0.5, drop_all: bool = False) -> list[PlainPage]:
    """Pages with language, status and the fate of every paragraph as far as exact deduplication decides it."""
    pages = read_pages(paths)
    seen: dict[str, int] = {}
    first = set()
    for page in pages:
        for k, text in enumerate(page.paragraphs):
            form = normalise(text)
            if form and form not in seen:
                first.add(page.first + k)
            seen[form] = seen.get(form, 0) + 1
    for page in pages:
        _identify(page, first, model, threshold)
    elected = set()
    for page in pages:
        for text in page.paragraphs:
            form = normalise(text)
            if not form:
                fate = "empty"
            elif page.status != "kept":
                fate = "page_rejected"
            elif form in elected or (drop_all and seen[form] > 1):
                fate = "exact_duplicate"
            else:
                elected.add(form)
                fate = "kept"
            page.fates.append(fate)
    return pages


def _identify(page: PlainPage, first: set[int], model, threshold: float) -> None:
    carrying = [k for k, text in enumerate(page.paragraphs) if normalise(text)]
    firsts = [k for k in carrying if page.first + k in first]
    enough = sum(len(page.paragraphs[k].encode()) for k in firsts) >= 200
    text = " ".join(page.paragraphs[k] for k in (firsts if enough else carrying))
    if not carrying:
        page.status = "no_text"
        return
    answer = model.f.predict(text.replace("\n", " ") + "\n", 1, 0.0, "strict")
    page.score, page.language = answer[0][0], answer[0][1].removeprefix("__label__")
    page.status = "kept" if page.score >= threshold else "below_threshold"
