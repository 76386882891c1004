import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree
from warc_files import response_record

from cc100.shards.errors import ConfigurationError
from cc100.transforms.html import PAGE_REJECT_REASONS, SKIP_REASONS, extract_pages, html_text, load_extractor
from cc100.transforms.html_blocks import IN_ARTICLE, IN_HEADING, IN_LIST, IN_NAVIGATION, IN_PARAGRAPH, cut_blocks
from cc100.transforms.html_content import main_content
from cc100.transforms.html_tokens import name_code, strip_markup
from cc100.transforms.http_response import BodyError
from cc100.transforms.settings import HtmlSettings
from cc100.transforms.warc import read_records

ALL = HtmlSettings(content="all")
MAIN = HtmlSettings()
SENTENCE = "This is a sentence of an article, and it says something that nobody has to read. "


def strip(html: str) -> str:
    return strip_markup(np.frombuffer(html.encode(), np.uint8), 10**9, 10**9)[0].tobytes().decode()


def lines(html: str, settings: HtmlSettings = ALL) -> list[str]:
    return html_text(html, settings).decode().split("\n")


def blocks_of(html: str):
    return cut_blocks(HTMLTree.parse(strip(html)).document.html.encode(), 1000)


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>a<script>if (a < b) '</p>'</script>b", "<p>ab"),
        ("<SCRIPT type='x'><!-- <script>x</script> y --></SCRIPT >z", "z"),
        ("<style>p > a {}</style>a<!-- <p> -->b<!-->c<!--->d<!-- x --!>e", "abcde"),
        ("<iframe src=x><p>no</iframe>a<svg><path d='>'/><text>no</text></svg>b<svg/>c", "abc"),
        ("<textarea><p>typed</textarea>a<xmp><b></xmp>", "a"),
        ("<svg><p>no end", "<p>no end"),
        ("<a href='x>y' onclick=z class=\"k\">t</a>", '<a href class="k">t</a>'),
        ("<a\nhref = x data-a='1'\tID=b/>t", "<a href ID=b/>t"),
        ("<p class='a>b' title=\"it's\">c</p x=y>", "<p class='a>b'>c</p>"),
        ("a < b <3 &lt; <!bogus> </3> <?php x ?>c", "a < b <3 &lt;   c"),
        ("<!DOCTYPE html><p>a\0b", "<!DOCTYPE html><p>ab"),
        ("<p", "<p>"), ("a<", "a<"), ("<p class='x", "<p>"), ("<!--", ""), ("</", ""), ("<script>x", ""),
        ("<svgx>a</svgx>", "<svgx>a</svgx>"), ("<p" + " id" + 'id=""' * 3 + ">", '<p id="" id="">'),
    ],
)  # fmt: skip
def test_what_carries_no_text_is_removed(html, expected):
    assert strip(html) == expected


@pytest.mark.parametrize("attribute", ['id=""', "id=''", 'class=""', "/id", "id", "href=x ", "style=''"])
def test_nothing_is_written_behind_the_buffer(attribute):
    """Attributes without a space between them get one."""
    html = "<p " + attribute * 100_000 + ">x"
    size = len(strip(html))
    assert size <= len(html) + len(html) // 4
    assert strip(html).endswith(">x")


def test_names_are_told_apart():
    names = ["a", "abbr", "blockquote", "blockquotes", "article", "aside", "h1", "h2", "figcaption", "figcaptions"]
    assert len({name_code(name) for name in names}) == len(names)


def plain(html: str) -> str:
    """Visible text without white space, by resiliparse."""
    return re.sub(r"\s+", "", extract_plain_text(html, alt_texts=False, links=False, list_bullets=False))


@given(
    st.lists(
        st.sampled_from(
            [
                "<p>",
                "</p>",
                "<div>",
                "</div>",
                "<b>",
                "</b>",
                "<a",
                "href=x>",
                "</a>",
                "<ul><li>",
                "</ul>",
                "<h2>",
                "</h2>",
                "<table><tr><td>",
                "</table>",
                "<br>",
                "text",
                "more&amp;x",
                "é",
                "<!--c-->",
                "<script>s</script>",
                "<span>",
                "</span>",
                "&nbsp;",
                "<pre>",
                "</pre>",
                "\n",
                "<em>",
                "</em>",
                "<article>",
                "<nav>",
                "</nav>",
                "<blockquote>",
            ]
        ),
        max_size=40,
    )
)
def test_all_text_is_what_resiliparse_finds(parts):
    html = "<!doctype html><body>" + "".join(parts)
    assert re.sub(r"\s+", "", html_text(html, ALL).decode()) == plain(html)


@given(st.text(alphabet="<>/!-ap =\"'&;x\né语\0", max_size=60))
def test_any_text_is_a_page(text):
    result = html_text(text, ALL)
    assert all(line == " ".join(line.split()) for line in result.decode().split("\n"))
    html_text(text, MAIN)


def test_blocks_are_lines():
    html = """<h1>Title</h1><p>One <b>bold</b>
      word &amp; <a href=x>link</a>.<p>Two<br>three<br><br>four<ul><li>five<li>six</ul>
      <table><tr><td>a<td>b</table><pre>x  y\n z</pre><p hidden>no<p style="color:red; display : none">no<div>seven<p>eight</div>nine"""
    expected = [
        "Title",
        "One bold word & link.",
        "Two three",
        "four",
        "five",
        "six",
        "a",
        "b",
        "x y",
        "z",
        "seven",
        "eight",
        "nine",
    ]
    assert lines(html) == expected


def test_what_a_block_stands_in():
    blocks = blocks_of(
        "<nav><ul><li><a href=x>Home</a></ul></nav><article><h2>A title</h2><p>Text <a href=y>link</a> 語"
    )
    assert blocks.within.tolist()[0] & (IN_NAVIGATION | IN_LIST)
    assert blocks.within.tolist()[1] & (IN_ARTICLE | IN_HEADING)
    assert blocks.within.tolist()[2] & IN_PARAGRAPH
    assert blocks.heading.tolist() == [0, 2, 0]
    assert blocks.letters.tolist() == [4, 6, 9]
    assert blocks.link_letters.tolist() == [4, 0, 4]
    assert blocks.links.tolist()[2] == 1
    roles = blocks_of("<div role=navigation>a</div><div role='x banner'>b</div><div itemprop=articleBody>c</div>")
    assert len({int(value) for value in roles.within}) == 3
    assert (
        blocks_of("<div><p>a<p>b</div><p>c").group.tolist()[:2] == [blocks_of("<div><p>a<p>b</div><p>c").group[0]] * 2
    )


MENU = "<ul>" + "".join(f"<li><a href=/{k}>Menu entry {k}</a>" for k in range(12)) + "</ul>"
ARTICLE = (
    "<h1>Title of the article</h1>"
    + "".join(f"<p>{SENTENCE * 3}" for _ in range(5))
    + f"<h2>Section</h2><p>{SENTENCE * 2}<ul><li>A short item<li>Another</ul>"
)


AROUND = [
    "<div>{}</div>",
    "<article>{}</article>",
    "<form>{}</form>",
    "<table><tr><td>{}</table>",
    "<div><p><section>{}</section></div>",
]


@pytest.mark.parametrize("around", AROUND)
def test_main_content_is_the_article(around):
    after = f"<div><h3>Read on</h3>{MENU}</div><footer><p>{SENTENCE}</footer><div>© Somebody</div>"
    page = f"<body><div>{MENU}</div>{around.format(ARTICLE)}{after}"
    found = lines(page, MAIN)
    assert "Title of the article" in found
    assert "Section" in found
    assert sum(line.startswith("This is a sentence") for line in found) == 6
    assert not any("Menu entry" in line or "Somebody" in line or "Read on" in line for line in found)


def test_main_content_of_pages_in_other_scripts():
    chinese = "这是一个很长的段落,它讲述了一些没有人需要阅读的事情,但是它的长度足够。"
    page = f"<div>{MENU}</div><div><p>{chinese}<p>{chinese}<p>{chinese}</div><div><a href=x>更多</a></div>"
    assert lines(page, MAIN) == [chinese] * 3


def test_headings_without_content_go():
    page = f"<div>{ARTICLE}<h2>Comments</h2><p>None</div>"
    assert "Comments" not in lines(page, MAIN)


@pytest.mark.parametrize("html", ["", "<p>", "<script>x</script>", "\0", "<nav>a</nav>", "<a href=x>only a link</a>"])
def test_pages_without_main_content(html):
    assert html_text(html, MAIN) == b""


def test_no_blocks():
    assert main_content(blocks_of("<p>")).tolist() == []


N = 100_000
TRAPS = {
    "deep": "<div>" * N, "deep by formatting": "".join(f"<b a={k}>" for k in range(3000)) + "<p>x" * 3000, "tables": "<table><tr><td>" * N,
    "links": "<a><div>" * N, "adoption": ("<a>" * 8 + "<div>" * 8 + "</a>" * 8) * 5000,
    "nodes": "<span>x</span>" * 3 * N, "less": "<" * 10**6,
    "svg": "<svg>" * N, "comments": "<!--" * 10**6, "unclosed": "<p " * 10**6, "quotes": "<p a='" * 10**6, "lines": "<pre>" + "x\n" * 10**6,
    "attributes": "<p " + " ".join(f"a{k}=1" for k in range(N)) + ">x",
    "fonts": "<font size=1><p>" * 900 + "x", "fonts 2": "".join(f"<font size={k}><p>" for k in range(900)) + "x",
    "ends": "</p>" * N, "references": "&amp;" * 10**6, "scripts": "<script><!--<script>" * N,
    "frames": "<frameset>" * 5000, "foster": "<table>" + "x<tr>" * N,
}  # fmt: skip


@pytest.mark.parametrize("trap", TRAPS)
def test_traps_cost_a_reject_at_most(trap):
    """What the parser would have to build is bounded before it begins (a trap that is not caught runs into the test's time limit)."""
    reason = ""
    try:
        html_text(TRAPS[trap], MAIN)
    except BodyError as error:
        reason = error.reason
    assert reason in ("", "html_too_many_nodes", "html_too_deep")
    estimate = strip_markup(np.frombuffer(TRAPS[trap].encode(), np.uint8), MAIN.max_nodes, MAIN.max_depth)
    if estimate[1] <= MAIN.max_nodes and estimate[2] <= MAIN.max_depth:
        tree = HTMLTree.parse(estimate[0].tobytes().decode())
        assert len(tree.document.query_selector_all("*")) <= MAIN.max_nodes


def test_bounds_are_settings():
    page = "<div>" * 50 + "<p>x" * 200
    assert html_text(page, ALL)
    with pytest.raises(BodyError, match="html_too_deep"):
        html_text(page, HtmlSettings(max_depth=20))
    with pytest.raises(BodyError, match="html_too_many_nodes"):
        html_text(page, HtmlSettings(max_nodes=300))
    with pytest.raises(ConfigurationError, match=r"html\.max_depth"):
        HtmlSettings(max_depth=0)
    with pytest.raises(ConfigurationError, match=r"html\.extractor"):
        HtmlSettings(extractor="other")


def run_records(*parts: bytes, settings: HtmlSettings = ALL):
    rejects, skips = [], []
    records = read_records(io.BytesIO(b"".join(parts)), max_record_bytes=1 << 24, on_reject=rejects.append)
    found = list(extract_pages(records, settings, rejects.append, skips.append))
    assert {reject.reason for reject in rejects} <= PAGE_REJECT_REASONS.keys()
    assert set(skips) <= SKIP_REASONS.keys()
    return [record.payload.decode() for record in found], [reject.reason for reject in rejects], skips


def test_only_successful_html_responses_are_pages():
    html = b"<p>text"
    kinds = [
        response_record(html), response_record(html, content_type="application/xhtml+xml"), response_record(b""),
        response_record(html, content_type=None, payload_type="text/html"),
        response_record(html, status=301), response_record(html, status=404), response_record(html, status=503),
        response_record(html, status=206),
        response_record(html, status=999), response_record(html, status=100),
        response_record(html, content_type="text/plain"), response_record(html, content_type=None),
        response_record(html, content_type="image/png"),
        response_record(html, kind="revisit"), response_record(b"", block=b"20180101 example.org"),
    ]  # fmt: skip
    texts, rejects, skips = run_records(*kinds)
    assert texts == ["text", "text", "", "text"]
    assert rejects == []
    assert skips == [
        "status_3xx", "status_4xx", "status_5xx", "status_2xx", "status_5xx", "status_1xx", "media_type", "media_type", "media_type",
        "revisit", "not_http",
    ]  # fmt: skip


def test_bad_pages_are_rejects_and_cost_no_neighbour():
    import gzip

    bomb = gzip.compress(bytes(1 << 25))
    parts = [
        response_record(b"<p>before"), response_record(bomb, encoding="gzip"), response_record(bomb[:100] + b"x", encoding="gzip"),
        response_record(b"<div>" * 5000), response_record(b"<p>between"), response_record(b"<p>x" * 300_000), response_record(b"<p>after"),
    ]  # fmt: skip
    texts, rejects, _ = run_records(*parts)
    assert texts == ["before", "between", "after"]
    assert rejects == ["body_too_large", "content_encoding_invalid", "html_too_deep", "html_too_many_nodes"]


def test_extractors_are_one_function(monkeypatch):
    page = f"<div>{MENU}</div><div>{ARTICLE}</div>"
    assert SENTENCE.strip() in html_text(page, HtmlSettings(extractor="resiliparse")).decode()
    assert "Menu entry 3" in html_text(page, HtmlSettings(extractor="resiliparse", content="all")).decode()
    from cc100.transforms import html

    def fail(*arguments):
        raise RuntimeError

    monkeypatch.setattr(html, "load_extractor", lambda name: fail)
    with pytest.raises(BodyError, match="extraction_failed"):
        html_text(page, MAIN)


def test_trafilatura_is_an_extra(monkeypatch):
    import sys

    load_extractor.cache_clear()
    monkeypatch.setitem(sys.modules, "trafilatura", None)
    with pytest.raises(ConfigurationError, match=r"cc100\[trafilatura\]"):
        load_extractor("trafilatura")
    load_extractor.cache_clear()


def test_trafilatura():
    pytest.importorskip("trafilatura")
    page = f"<html><body><div>{MENU}</div><div>{ARTICLE}</div></body></html>"
    assert SENTENCE.strip() in html_text(page, HtmlSettings(extractor="trafilatura")).decode()
    assert "Menu entry 3" in html_text(page, HtmlSettings(extractor="trafilatura", content="all")).decode()
