"""Web pages to text: a WARC `response` record -> the lines of its main content.

A page's bytes are decoded (`charset`), stripped of what carries no text (`html_tokens`), parsed by resiliparse, cut
into blocks (`html_blocks`), and the main content is chosen (`html_content`). A page that would cost too much is refused
by counts, never by time, so that it is refused on every machine.
"""

import functools
import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from cc100.shards.errors import ConfigurationError
from cc100.transforms.charset import decode_page
from cc100.transforms.html_blocks import cut_blocks
from cc100.transforms.html_content import main_content
from cc100.transforms.html_tokens import strip_markup
from cc100.transforms.http_response import BodyError, decoded_body, media_type, parse_response
from cc100.transforms.settings import HtmlSettings
from cc100.transforms.warc import Record, Reject

PAGE_REJECT_REASONS = {
    "body_too_large": "a page has more than html.max_bytes without its content coding; it is lost",
    "content_encoding_invalid": "a page does not decode from the content coding that it states; it is lost",
    "html_too_many_nodes": "a page has more than html.max_nodes elements and texts; it is lost",
    "html_too_deep": "a page is nested deeper than html.max_depth; it is lost",
    "extraction_failed": "the extractor failed on a page; it is lost",
}
"""Reasons of a `Reject` for a page of a WARC file, beside those of `warc.REJECT_REASONS`."""

SKIP_REASONS = {
    "revisit": "a revisit record: the page is in another record, which it names",
    "not_http": "a response of another protocol, such as DNS",
    "status_1xx": "an HTTP status of 100 to 199",
    "status_2xx": "an HTTP status of 201 to 299",
    "status_3xx": "an HTTP status of 300 to 399: redirects",
    "status_4xx": "an HTTP status of 400 to 499",
    "status_5xx": "an HTTP status of 500 and above, or below 100",
    "media_type": "neither text/html nor application/xhtml+xml",
}
"""Why a response is neither a page nor a reject."""

_HTML_TYPES = ("text/html", "application/xhtml+xml")

Extractor = Callable[[str, "Stripped", bool], bytes]
"""From a page, the same page stripped, and whether only its main content is wanted, to lines of text in UTF-8."""


class Stripped(NamedTuple):
    """A page without scripts, styles, comments and most attributes."""

    html: str
    max_depth: int


def extract_pages(
    records: Iterable[Record],
    settings: HtmlSettings,
    on_reject: Callable[[Reject], None],
    on_skip: Callable[[str], None],
) -> Iterator[Record]:
    """Replace the payload of HTML responses by their text; other responses are left out.

    Args:
        records: Records in file order; `conversion` records pass unchanged.
        settings: Extractor and bounds.
        on_reject: Called for pages that could not be extracted, with a reason of `PAGE_REJECT_REASONS`.
        on_skip: Called with a reason of `SKIP_REASONS` for what is no successful HTML response.
    """
    for record in records:
        if record.kind == "conversion":
            yield record
            continue
        skipped = skip_reason(record)
        if skipped:
            on_skip(skipped)
            continue
        try:
            text = page_text(record, settings)
        except BodyError as error:
            on_reject(Reject(record.offset, record.record_id or None, error.reason, error.detail))
            continue
        yield record._replace(payload=text)


def skip_reason(record: Record) -> str:
    """Why a record other than a conversion is no page; empty if it is one."""
    if record.kind == "revisit":
        return "revisit"
    response = parse_response(record.payload)
    if response is None:
        return "not_http"
    if response.status != 200:
        hundreds = response.status // 100
        return f"status_{hundreds if 1 <= hundreds <= 4 else 5}xx"
    kind = response.media_type or media_type(record.media_type)
    return "" if kind in _HTML_TYPES else "media_type"


def page_text(record: Record, settings: HtmlSettings) -> bytes:
    """Lines of text of an HTML response, in UTF-8.

    Raises:
        BodyError: with a reason of `PAGE_REJECT_REASONS`.
    """
    response = parse_response(record.payload)
    assert response is not None
    body = decoded_body(response, settings.max_bytes, record.is_truncated)
    return html_text(decode_page(body, response.headers.get("content-type", "")), settings)


def html_text(html: str, settings: HtmlSettings) -> bytes:
    """Lines of text of a decoded page, in UTF-8.

    Raises:
        BodyError: the page exceeds a bound, or the extractor failed.
    """
    data = np.frombuffer(html.encode("utf-8", "replace"), np.uint8)
    stripped, nodes, depth = strip_markup(data, settings.max_nodes, settings.max_depth)
    if nodes > settings.max_nodes:
        raise BodyError("html_too_many_nodes", f"over {settings.max_nodes} nodes")
    if depth > settings.max_depth:
        raise BodyError("html_too_deep", f"over {settings.max_depth} elements inside each other")
    if not len(stripped):
        return b""
    extract = load_extractor(settings.extractor)
    try:
        return extract(html, Stripped(stripped.tobytes().decode(), settings.max_depth), settings.content == "main")
    except (BodyError, MemoryError):  # want of memory is the machine's affair, not the page's
        raise
    except Exception as error:  # whatever a library raises costs one page
        raise BodyError("extraction_failed", f"{settings.extractor}: {type(error).__name__}") from error


@functools.lru_cache(maxsize=4)
def load_extractor(name: str) -> Extractor:
    """The extractor of a name.

    Raises:
        ConfigurationError: its package is not installed.
    """
    if name == "trafilatura":
        try:
            module = importlib.import_module("trafilatura")
        except ImportError as error:
            raise ConfigurationError(
                "html.extractor = trafilatura needs the extra: pip install 'cc100[trafilatura]'"
            ) from error
        return functools.partial(_by_trafilatura, module)
    return {"blocks": _by_blocks, "resiliparse": _by_resiliparse}[name]


def _by_blocks(html: str, stripped: Stripped, is_main: bool) -> bytes:
    """This package's own choice of blocks."""
    document = HTMLTree.parse(stripped.html).document
    blocks = cut_blocks((document.html if document else "").encode("utf-8", "replace"), stripped.max_depth)
    if blocks.deepest > stripped.max_depth:
        raise BodyError("html_too_deep", f"over {stripped.max_depth} elements inside each other")
    text, bounds = blocks.text.tobytes(), blocks.offsets.tolist()
    wanted = main_content(blocks).tolist() if is_main else [True] * len(blocks.letters)
    return b"\n".join([text[bounds[k] : bounds[k + 1]] for k, is_kept in enumerate(wanted) if is_kept])


def _by_resiliparse(html: str, stripped: Stripped, is_main: bool) -> bytes:
    text = extract_plain_text(stripped.html, main_content=is_main, alt_texts=False, links=False, list_bullets=False)
    return text.encode("utf-8", "replace")


def _by_trafilatura(module: Any, html: str, stripped: Stripped, is_main: bool) -> bytes:
    text = module.extract(html) if is_main else module.html2txt(html)
    return (text or "").encode("utf-8", "replace")
