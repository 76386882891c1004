"""Main content of web pages: what is found, and how fast, beside other extractors.

    python benchmarks/main_content.py --gold DIR --warc DIR [--json FILE] [--plot FILE.svg]

`--gold` holds evaldata.json (per URL: strings `with` and `without`, which must and must not be in the text) and pages.tsv (the
URLs), as in the evaluation of trafilatura; `--warc` the WARC files of these pages. A `with` string that is there is a
true positive, a `without` string that is there a false positive; white space is collapsed on both sides.

Speed is MB of HTML (UTF-8) per CPU-second, from the decoded page to its text, the best of three rounds.

The numbers of the rules (`Rules` in transforms/html_content.py) are also chosen anew by cross-validation: five times, on the pages
of four fifths of the sites, one number after another, and judged on the pages of the other sites.
"""

import argparse
import csv
import dataclasses
import hashlib
import itertools
import json
import pathlib
import platform
import time
import urllib.parse
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import matplotlib
import numpy as np
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from cc100.transforms.charset import decode_page
from cc100.transforms.html import html_text, skip_reason
from cc100.transforms.html_blocks import Blocks, cut_blocks
from cc100.transforms.html_content import Rules, main_content
from cc100.transforms.html_tokens import strip_markup
from cc100.transforms.http_response import decoded_body, parse_response
from cc100.transforms.settings import HtmlSettings
from cc100.transforms.warc import read_records

ROUNDS, FOLDS = 3, 5
GRID: dict[str, tuple[float, ...]] = {
    "largest_landmark": (0.3, 0.5, 0.7),
    "paragraph_letters": (40, 60, 80),
    "container_share": (0.3, 0.4, 0.5),
    "cost_inside": (5, 10, 20),
    "cost_outside": (25, 40, 60),
    "cost_without_container": (15, 25, 40),
    "second_run": (0.1, 0.2, 0.4, 1.0),
    "most_links": (0.4, 0.5, 0.6),
    "unmarked_letters": (0, 40, 80, 120),
    "stray_letters": (0, 15, 30),
    "section_letters": (0, 50, 100, 200),
}


@dataclasses.dataclass(frozen=True)
class Page:
    """A page with known content."""

    url: str
    html: str
    wanted: list[str]
    unwanted: list[str]


def collapsed(text: str) -> str:
    return " ".join(text.split())


def read_pages(gold: pathlib.Path, warc: pathlib.Path) -> list[Page]:
    known = json.loads((gold / "evaldata.json").read_text(encoding="utf-8"))
    with open(gold / "pages.tsv", encoding="utf-8", newline="") as lines:
        urls = {row["url"] for row in csv.DictReader(lines, delimiter="\t") if row["url"] in known}
    pages = {}
    for path in sorted(warc.glob("*.warc.gz")):
        with open(path, "rb") as stream:
            for record in read_records(stream, max_record_bytes=1 << 28, on_reject=print):
                response = parse_response(record.payload)
                if record.url in urls and response is not None and not skip_reason(record):
                    html = decode_page(decoded_body(response, 1 << 26), response.headers.get("content-type", ""))
                    strings = known[record.url]
                    pages[record.url] = Page(
                        record.url,
                        html,
                        [collapsed(x) for x in strings["with"]],
                        [collapsed(x) for x in strings["without"]],
                    )
    return [pages[url] for url in sorted(pages)]


def counts(page: Page, text: str) -> tuple[int, int, int]:
    """Strings found, missed, and found though unwanted."""
    found = sum(string in text for string in page.wanted)
    return found, len(page.wanted) - found, sum(string in text for string in page.unwanted)


def scores(found: int, missed: int, unwanted: int) -> dict[str, float]:
    precision, recall = found / max(found + unwanted, 1), found / max(found + missed, 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    return {"precision": round(precision, 4), "recall": round(recall, 4), "f1": round(f1, 4)}


def extractors() -> dict[str, Callable[[str], str]]:
    main, whole = HtmlSettings(), HtmlSettings(content="all")
    found: dict[str, Callable[[str], str]] = {
        "blocks": lambda html: html_text(html, main).decode(),
        "blocks, all text": lambda html: html_text(html, whole).decode(),
        "resiliparse, main content": lambda html: extract_plain_text(html, main_content=True, alt_texts=False),
        "resiliparse, all text": lambda html: extract_plain_text(html, alt_texts=False),
    }
    try:
        import trafilatura
    except ImportError:
        return found
    found["trafilatura"] = lambda html: trafilatura.extract(html) or ""
    found["trafilatura, fast"] = lambda html: trafilatura.extract(html, fast=True) or ""
    return found


def measure(pages: list[Page]) -> dict[str, Any]:
    size = sum(len(page.html.encode("utf-8", "replace")) for page in pages) / 1e6
    result = {}
    for name, extract in extractors().items():
        extract(pages[0].html)
        best = float("inf")
        for _ in range(1 if name.startswith("trafilatura") else ROUNDS):
            begin = time.process_time()
            texts = [extract(page.html) for page in pages]
            best = min(best, time.process_time() - begin)
        total = np.sum([counts(page, collapsed(text)) for page, text in zip(pages, texts, strict=True)], axis=0)
        result[name] = scores(*total.tolist()) | {"html_mb_per_cpu_s": round(size / best, 1)}
        print(f"{name:28s} {result[name]}", flush=True)
    return result


class Prepared:
    """A page cut into blocks, so that rules can be tried quickly."""

    def __init__(self, page: Page) -> None:
        self.page = page
        data = np.frombuffer(page.html.encode("utf-8", "replace"), np.uint8)
        stripped = strip_markup(data, 1 << 30, 1 << 30)[0].tobytes().decode()
        self.blocks: Blocks = cut_blocks(HTMLTree.parse(stripped).document.html.encode(), 10_000)
        text, bounds = self.blocks.text.tobytes(), self.blocks.offsets
        self.texts = [collapsed(text[a:b].decode()) for a, b in itertools.pairwise(bounds)]
        host = urllib.parse.urlsplit(page.url).hostname or ""
        self.fold = int.from_bytes(hashlib.sha256(host.encode()).digest()[:4], "big") % FOLDS

    def counts(self, rules: Rules) -> tuple[int, int, int]:
        kept = main_content(self.blocks, rules)
        return counts(self.page, " ".join(text for text, is_kept in zip(self.texts, kept, strict=True) if is_kept))


def total(pages: list[Prepared], rules: Rules) -> tuple[int, int, int]:
    found = np.sum([page.counts(rules) for page in pages], axis=0).tolist()
    return found[0], found[1], found[2]


def tune(pages: list[Prepared]) -> Rules:
    """The best rules on these pages, one number after another, twice."""
    rules = Rules()
    best = scores(*total(pages, rules))["f1"]
    for _ in range(2):
        for name, values in GRID.items():
            for value in values:
                other = dataclasses.replace(rules, **{name: value})
                f1 = scores(*total(pages, other))["f1"]
                if f1 > best:
                    best, rules = f1, other
    return rules


def cross_validate(pages: list[Page]) -> dict[str, Any]:
    prepared = [Prepared(page) for page in pages]
    seen, unseen = [], []
    for fold in range(FOLDS):
        rules = tune([page for page in prepared if page.fold != fold])
        seen.append(total([page for page in prepared if page.fold != fold], rules))
        unseen.append(total([page for page in prepared if page.fold == fold], rules))
        print(
            f"fold {fold}: {scores(*seen[-1])['f1']} on the sites it was tuned on, {scores(*unseen[-1])['f1']} on the others",
            flush=True,
        )
    return {
        "seen": scores(*np.sum(seen, axis=0).tolist()),
        "unseen": scores(*np.sum(unseen, axis=0).tolist()),
        "folds": FOLDS,
    }


def plot(result: dict[str, Any], path: pathlib.Path) -> None:
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "cc100"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for name, row in result.items():
        axes.scatter(row["html_mb_per_cpu_s"], row["f1"], color="tab:red" if name.startswith("blocks") else "tab:blue")
        place = (6, 6) if name in ("trafilatura", "resiliparse, all text") else (6, -12)  # beside each other otherwise
        point = (row["html_mb_per_cpu_s"], row["f1"])
        axes.annotate(name, point, textcoords="offset points", xytext=place, fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(4, 600)
    axes.set_ylim(0.6, 1)
    axes.set_xlabel("MB of HTML per CPU-second")
    axes.set_ylabel("F1")
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def processor() -> str:
    """The processor's name, where the system tells it."""
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gold", type=pathlib.Path, required=True)
    parser.add_argument("--warc", type=pathlib.Path, required=True)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--plot", type=pathlib.Path)
    options = parser.parse_args()
    pages = read_pages(options.gold, options.warc)
    measured = measure(pages)
    result = {
        "pages": len(pages),
        "html_mb": round(sum(len(page.html.encode("utf-8", "replace")) for page in pages) / 1e6, 1),
        "extractors": measured,
        "cross_validation": cross_validate(pages),
        "processor": processor(),
        "python": platform.python_version(),
        "versions": {
            name: version(name)
            for name in ("resiliparse", "numba", "numpy", *(["trafilatura"] if "trafilatura" in measured else []))
        },
    }
    print(json.dumps(result["cross_validation"]))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        plot(result["extractors"], options.plot)


if __name__ == "__main__":
    main()
