import gzip
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from cc100.transforms.http_response import BodyError, decoded_body, media_type, parse_response

PAGE = b"<!doctype html><p>A page. " * 400
LIMIT = 1 << 20


def response(body: bytes, **headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def body_of(block: bytes, limit: int = LIMIT, is_truncated: bool = False) -> bytes:
    parsed = parse_response(block)
    assert parsed is not None
    return decoded_body(parsed, limit, is_truncated)


def chunked(data: bytes, size: int, extension: bytes = b"") -> bytes:
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x%s\r\n%s\r\n" % (len(chunk), extension, chunk) for chunk in chunks) + b"0\r\n\r\n"


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data)[2:-4]


CODINGS = {
    "gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "Deflate": raw_deflate, "br": brotli.compress,
    "zstd": zstandard.compress,
}  # fmt: skip


def test_status_headers_and_body():
    parsed = parse_response(
        response(b"x\r\n\r\ny", Content_Type="Text/HTML; charset=x", X="1", x="2", Folded="a\r\n b")
    )
    assert parsed.status == 200
    assert parsed.headers["content-type"] == "Text/HTML; charset=x"
    assert parsed.headers["x"] == "1"
    assert parsed.headers["folded"] == "a b"
    assert parsed.media_type == "text/html"
    assert bytes(parsed.body) == b"x\r\n\r\ny"


@pytest.mark.parametrize(
    ("block", "status", "body"),
    [
        (b"HTTP/1.0 404\r\n\r\n", 404, b""), (b"HTTP/1.1 200 OK\nA: b\n\nx", 200, b"x"), (b"HTTP/2 301 Moved\r\n\r\n", 301, b""),
        (b"http/1.1 200\r\nA: b", 200, b""), (b"HTTP/1.1 200 OK", 200, b""),
    ],
)  # fmt: skip
def test_odd_status_lines(block, status, body):
    parsed = parse_response(block)
    assert (parsed.status, bytes(parsed.body)) == (status, body)


@pytest.mark.parametrize(
    "block", [b"", b"20181201 example.org. A 127.0.0.1", b"HTTP/1.1 2000 OK\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"]
)
def test_no_http(block):
    assert parse_response(block) is None


@pytest.mark.parametrize("value", ["text/html", " TEXT/HTML ;charset=utf-8", "text/html,text/html"])
def test_media_types(value):
    assert media_type(value) == "text/html"


@pytest.mark.parametrize("coding", CODINGS)
def test_content_codings(coding):
    assert body_of(response(CODINGS[coding](PAGE), Content_Encoding=coding)) == PAGE
    twice = response(gzip.compress(CODINGS[coding](PAGE)), Content_Encoding=f"{coding}, gzip")
    assert body_of(twice) == PAGE
    together = response(chunked(CODINGS[coding](PAGE), 100), Content_Encoding=coding, Transfer_Encoding="chunked")
    assert body_of(together) == PAGE


@pytest.mark.parametrize("coding", [*CODINGS, "identity", "none", "", "utf-8"])
def test_a_coding_that_was_undone_already(coding):
    assert body_of(response(PAGE, Content_Encoding=coding)) == PAGE


@given(st.binary(max_size=300), st.integers(1, 50), st.sampled_from([b"", b";a=b", b" "]))
def test_chunks(data, size, extension):
    assert body_of(response(chunked(data, size, extension), Transfer_Encoding="chunked")) == data


def test_chunks_that_are_none_or_are_cut():
    assert body_of(response(PAGE, Transfer_Encoding="chunked")) == PAGE
    assert body_of(response(b"xyz\r\nis no length", Transfer_Encoding="chunked")) == b"xyz\r\nis no length"
    cut = chunked(PAGE, 1000)[:2500]
    assert PAGE.startswith(body_of(response(cut, Transfer_Encoding="chunked")))
    assert len(body_of(response(cut, Transfer_Encoding="chunked"))) > 2400


@pytest.mark.parametrize("coding", ["gzip", "deflate", "Deflate", "br", "zstd"])
def test_a_bomb_ends_at_the_limit(coding):
    bomb = CODINGS[coding](bytes(1 << 26))
    with pytest.raises(BodyError, match="body_too_large"):
        body_of(response(bomb, Content_Encoding=coding))
    assert body_of(response(CODINGS[coding](PAGE), Content_Encoding=coding), limit=len(PAGE)) == PAGE
    with pytest.raises(BodyError, match="body_too_large"):
        body_of(response(CODINGS[coding](PAGE), Content_Encoding=coding), limit=len(PAGE) - 1)
    with pytest.raises(BodyError, match="body_too_large"):
        body_of(response(PAGE), limit=len(PAGE) - 1)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_damaged_codings_cost_the_page_unless_the_crawler_cut_it(coding):
    data = CODINGS[coding](b"".join(b"<p>%d" % (k * 7919) for k in range(5000)))
    cut = response(data[: len(data) // 2], Content_Encoding=coding)
    with pytest.raises(BodyError, match="content_encoding_invalid"):
        body_of(cut)
    assert body_of(cut, is_truncated=True).startswith(b"<p>0<p>7919")
    wrong = data[: len(data) // 2] + b"\xff" * 40 + data[len(data) // 2 + 40 :]
    with pytest.raises(BodyError, match="content_encoding_invalid"):
        body_of(response(wrong, Content_Encoding=coding))


@pytest.mark.parametrize("value", ["gzip, gzip, gzip, gzip", "compress"])
def test_codings_that_nobody_uses(value):
    with pytest.raises(BodyError, match="content_encoding_invalid"):
        body_of(response(b"\x1f\x9d\x90", Content_Encoding=value))


@given(st.binary(max_size=200), st.sampled_from([*CODINGS, "chunked"]), st.booleans())
def test_nothing_else_is_ever_raised(data, coding, is_truncated):
    headers = {"Transfer_Encoding": "chunked"} if coding == "chunked" else {"Content_Encoding": coding}
    for body in (data, b"\x1f\x8b\x08" + data, b"\x28\xb5\x2f\xfd" + data):
        size, reason = 0, ""
        try:
            size = len(body_of(response(body, **headers), 1000, is_truncated))
        except BodyError as error:
            reason = error.reason
        assert size <= 1000
        assert reason in ("", "body_too_large", "content_encoding_invalid")
