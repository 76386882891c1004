"""CC-100's text: lines by a slow twin, bytes that do not depend on threads, damage."""

import concurrent.futures
import hashlib
import io
import itertools
import lzma
import shutil
import subprocess

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from cc100.shards.corpus_text import (
    LineError,
    TextTotals,
    XzCompressor,
    ZstdCompressor,
    decompressed,
    decompressed_streams,
    page_text,
)

LINES = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1, max_size=8)
PAGES = st.lists(st.lists(LINES, min_size=1, max_size=4), min_size=1, max_size=6)


def array(pages):
    return pa.array(pages, pa.list_(pa.string()))


@given(PAGES)
def test_text_of_pages(pages):
    assert page_text(array(pages)).to_pybytes().decode() == "\n\n".join("\n".join(page) for page in pages)


def test_characters_that_look_like_ends_of_lines_stay():
    page = ["a\rb", "c\x0bd\x0ce", "f\x1cg\x85h\u2028i\u2029j"]
    assert page_text(array([page])).to_pybytes().decode().split("\n") == page


@pytest.mark.parametrize(
    ("pages", "position", "message"),
    [
        ([["a"], ["b", "c\nd"]], 2, "line feed"),
        ([["a", ""], ["b"]], 1, "is empty"),
        ([["a"], []], 0, "no paragraph"),
    ],
)
def test_what_is_no_line_is_refused(pages, position, message):
    with pytest.raises(LineError, match=message) as caught:
        page_text(array(pages))
    assert caught.value.position == position


def test_a_slice_of_pages():
    pages = array([["a", "b"], ["c"], ["d", "e"], ["f"]]).slice(1, 2)
    assert page_text(pages).to_pybytes() == b"c\n\nd\ne"
    with pytest.raises(LineError) as caught:
        page_text(array([["a", "b"], ["c", "d\n"]]).slice(1, 1))
    assert caught.value.position == 1


@given(PAGES, st.lists(st.integers(0, 60), max_size=6))
def test_totals_do_not_depend_on_the_pieces(pages, cuts):
    text = ("\n\n".join("\n".join(page) for page in pages) + "\n").encode()
    totals = TextTotals()
    bounds = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    for begin, end in itertools.pairwise(bounds):
        totals.add(text[begin:end])
    assert totals.facts() == {
        "pages": len(pages),
        "paragraphs": sum(map(len, pages)),
        "text_bytes": len(text),
        "text_sha256": hashlib.sha256(text).hexdigest(),
    }


TEXT = "".join(f"Zeile {number * number % 9973} einer langen Seite.\n" for number in range(60_000)).encode()


def xz(threads, pieces=7, block_bytes=100_000):
    out = io.BytesIO()
    with concurrent.futures.ThreadPoolExecutor(max(threads, 1)) as pool:
        compressor = XzCompressor(out, pool if threads else None, max(threads, 1), block_bytes)
        for number in range(pieces):
            compressor.write(TEXT[number * len(TEXT) // pieces : (number + 1) * len(TEXT) // pieces])
        compressor.close()
    return out.getvalue(), compressor.stream_bytes


def test_xz_does_not_depend_on_threads_or_pieces():
    data, sizes = xz(0)
    assert lzma.decompress(data) == TEXT
    assert sum(sizes) == len(data)
    assert len(sizes) == -(-len(TEXT) // 100_000)
    assert xz(1)[0] == xz(3, 100)[0] == data
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert b"".join(decompressed_streams(io.BytesIO(data), sizes, pool, 2)) == TEXT
        with pytest.raises(ValueError, match="more after its last stream"):
            list(decompressed_streams(io.BytesIO(data + b"\0"), sizes, pool, 2))
        with pytest.raises(ValueError, match="Compressed data ended"):
            list(decompressed_streams(io.BytesIO(data[:-1]), sizes, pool, 2))


def zst(threads, pieces=7):
    out = io.BytesIO()
    compressor = ZstdCompressor(out, threads)
    for number in range(pieces):
        compressor.write(TEXT[number * len(TEXT) // pieces : (number + 1) * len(TEXT) // pieces])
    compressor.close()
    return out.getvalue()


def test_zst_is_one_frame_and_does_not_depend_on_threads():
    data = zst(1)
    assert zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).readall() == TEXT
    assert zst(2) == zst(4, 100) == data


@pytest.mark.parametrize(("compression", "data"), [("xz", xz(0)[0]), ("zst", zst(2))])
def test_damage_is_found(compression, data):
    assert b"".join(decompressed(io.BytesIO(data), compression)) == TEXT
    for wrong in (data[:-5], data[: len(data) // 2], data[:5000] + b"~" + data[5001:], data + b"\1\2\3\4", b""):
        with pytest.raises(ValueError):  # noqa: PT011 - the libraries' own words
            b"".join(decompressed(io.BytesIO(wrong), compression))


@pytest.mark.parametrize(("tool", "data"), [("xz", xz(0)[0]), ("zstd", zst(2))])
def test_the_usual_programs_read_it(tool, data):
    if not shutil.which(tool):
        pytest.skip(f"no {tool} here")
    assert subprocess.run([tool, "-dc"], input=data, capture_output=True, check=True).stdout == TEXT
