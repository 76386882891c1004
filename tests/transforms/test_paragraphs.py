"""Splitting pages against Python's own decode, split and strip."""

import io
import itertools
import pathlib
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from cc100.transforms import paragraphs as module
from cc100.transforms.paragraphs import Paragraphs, split_pages, string_array, text_buffers
from cc100.transforms.unicode_tables import WHITE_SPACE


def split_slowly(page: bytes) -> list[str]:
    lines = (line.strip() for line in page.decode("utf-8", "replace").split("\n"))
    return [line for line in lines if line]


def concatenated(pages: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *(len(page) for page in pages)])
    return np.frombuffer(b"".join(pages), np.uint8), offsets


def check(pages: list[bytes]) -> Paragraphs:
    """Compares one call for all pages with Python, and returns its result."""
    paragraphs = split_pages(*concatenated(pages))
    array = string_array(paragraphs)
    array.validate(full=True)
    assert array.to_pylist() == [split_slowly(page) for page in pages]
    return paragraphs


def real_pages(path: pathlib.Path) -> list[bytes]:
    with path.open("rb") as stream:
        return [record.content_stream().read() for record in ArchiveIterator(stream) if record.rec_type == "conversion"]


# Bytes on both sides of every border of the definition of UTF-8, and what ends or trims a line.
BORDERS = bytes.fromhex("0a20417f 80858f909fa0bf c0c1c2dfe0e1e2e3ecedeeeff0f1f3f4f5f8feff")
SPACES = [chr(code_point).encode() for code_point in WHITE_SPACE]
FRAGMENTS = [
    *SPACES,
    *(bytes([byte]) for byte in BORDERS),
    *(c.encode("utf-8", "surrogatepass") for c in "\0\x1b\u07ff\u0800\u180e\u200b\ud7ff\ud800\udfff\ue000\ufeff\ufffd"),
    *(c.encode() for c in "\U00010000\U0010ffff😀"),
    b"word",
    b"eight by",
    b"\r\n",
    "словами".encode(),
    "漢字かな".encode(),
    "हिन्दी".encode(),
]
PAGE = st.lists(
    st.sampled_from(FRAGMENTS) | st.binary(max_size=9) | st.text(max_size=9).map(str.encode), max_size=24
).map(b"".join)


@settings(max_examples=200, deadline=None)
@given(pages=st.lists(PAGE, max_size=6))
def test_split_pages_is_decode_split_and_strip(pages: list[bytes]) -> None:
    check(pages)


@pytest.mark.parametrize("phase", range(8))
@pytest.mark.parametrize("tail", [b"", b"tail"])
def test_every_sequence_of_border_bytes_at_every_place_of_a_word(phase: int, tail: bytes) -> None:
    check([b"." * phase + bytes(sequence) + tail for sequence in itertools.product(BORDERS, repeat=3)])


def test_sequences_of_four_bytes() -> None:
    leads, others = b"\xe0\xed\xef\xf0\xf1\xf4\xf5", b"\x41\x80\x8f\x90\x9f\xa0\xbf\xc2"
    sequences = [bytes(s) for s in itertools.product(leads, others, others, others)]
    check([b"." * phase + sequence + b"!" for sequence in sequences for phase in (0, 4, 5, 6, 7)])


@pytest.mark.parametrize("character", ["é", "€", "😀", "\u2028"])
def test_a_sequence_cut_at_the_end_of_a_page_is_not_continued_by_the_next_one(character: str) -> None:
    sequence = character.encode()
    for before, cut in itertools.product(range(10), range(1, len(sequence))):
        check([b"." * before + sequence[:cut], sequence[cut:] + b"second page"])


@pytest.mark.parametrize("space", SPACES)
def test_white_space_is_stripped_at_the_ends_only(space: bytes) -> None:
    line = space * 3 + b"a" + space + "é".encode() + space * 2
    check([line, line + b"\n" + line, space * 9, space + b"\n" + space, b"x\n" + space * 4, space[:-1] + b"\n" + line])


def test_lines_end_at_line_feeds_only_and_zero_bytes_are_text() -> None:
    check([b"a\rb\x0bc\x0cd\x1ce\xc2\x85f\xe2\x80\xa8g\n\0\n \0 \n\xef\xbb\xbf", b"", b"\n\n", b"one", b"two\n"])


def test_lone_surrogates_overlong_forms_and_code_points_out_of_range() -> None:
    paragraphs = check([b"\xed\xa0\x80", b"\xc0\x80", b"\xe0\x80\x80", b"\xf4\x90\x80\x80", b"\xf0\x9f\x98"])
    assert np.diff(paragraphs.offsets).tolist() == [9, 6, 9, 12, 3]


@pytest.mark.parametrize("size", [1, 63, 64, 65, 1000, 100_000])
def test_text_may_be_three_times_as_long_as_the_pages(size: int) -> None:
    check([b"\xff" * size, b"a" * size, b"\xff" * size])


def test_random_bytes() -> None:
    blob = np.random.default_rng(0).integers(0, 256, 300_000, np.uint8).tobytes()
    check([blob[i : i + 10_000] for i in range(0, len(blob), 10_000)])


def test_types_layout_and_views() -> None:
    blocks, offsets = concatenated([b"one\ntwo", b" ", "drei €".encode()])
    paragraphs = split_pages(blocks, offsets)
    assert [a.dtype for a in (paragraphs.text, paragraphs.offsets, paragraphs.page_paragraphs)] == [
        np.uint8,
        np.int32,
        np.int32,
    ]
    assert paragraphs.text.tobytes() == "onetwodrei €".encode()
    assert paragraphs.offsets.tolist() == [0, 3, 6, 14]
    assert paragraphs.page_paragraphs.tolist() == [0, 2, 2, 3]
    writable, strided = blocks.copy(), np.repeat(blocks, 2)[::2]
    for same in (writable, strided):
        assert split_pages(same, offsets).text.tobytes() == paragraphs.text.tobytes()
    inner = split_pages(blocks, np.array([1, 5]))
    assert inner.text.tobytes() == b"net"


def test_pages_compile_one_kernel() -> None:
    blocks, offsets = concatenated([b"a"])
    for pages in (blocks, blocks.copy(), np.zeros(0, np.uint8)):
        for bounds in (offsets, offsets.astype(np.int32), np.zeros(1, np.int64)):
            split_pages(pages, np.minimum(bounds, pages.size))
    assert len(module._split.signatures) == 1


@pytest.mark.parametrize("offsets", [[], [0, 4], [-1, 2], [0, 2, 1], [[0, 1]]])
def test_bad_page_offsets_are_refused(offsets: list[int]) -> None:
    with pytest.raises(ValueError, match="page offsets"):
        split_pages(np.zeros(3, np.uint8), np.array(offsets, np.int64))


def test_text_beyond_arrow_offsets_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TEXT_BYTES", 8)
    with pytest.raises(ValueError, match="pages of 9 bytes"):
        split_pages(*concatenated([b"123456789"]))
    with pytest.raises(ValueError, match="text has 9 bytes"):
        split_pages(*concatenated([b"\xff\xff\xff"]))


# --- Arrow ------------------------------------------------------------------------------------------------------------

LISTS = st.lists(st.lists(st.text(max_size=5), max_size=4), max_size=6)


def as_lists(paragraphs: Paragraphs) -> list[list[str]]:
    text, bounds, pages = paragraphs.text.tobytes(), paragraphs.offsets, paragraphs.page_paragraphs
    strings = [text[bounds[i] : bounds[i + 1]].decode() for i in range(len(bounds) - 1)]
    return [strings[pages[j] : pages[j + 1]] for j in range(len(pages) - 1)]


@settings(deadline=None)
@given(lists=LISTS, cut=st.tuples(st.integers(0, 6), st.integers(0, 6)))
def test_text_buffers_of_slices(lists: list[list[str]], cut: tuple[int, int]) -> None:
    array = pa.array(lists, pa.list_(pa.string())).slice(*cut)
    paragraphs = text_buffers(array)
    assert as_lists(paragraphs) == array.to_pylist()
    assert paragraphs.offsets[0] == 0
    assert paragraphs.offsets[-1] == paragraphs.text.size
    assert paragraphs.page_paragraphs[-1] == paragraphs.offsets.size - 1
    assert string_array(paragraphs).equals(array)


@settings(deadline=None)
@given(lists=LISTS, skipped=st.integers(0, 3))
def test_text_buffers_of_lists_over_sliced_strings(lists: list[list[str]], skipped: int) -> None:
    strings = pa.array(["skipped"] * skipped + [string for strings in lists for string in strings], pa.string())
    offsets = np.cumsum([0, *map(len, lists)]).astype(np.int32)
    array = pa.ListArray.from_arrays(pa.array(offsets), strings.slice(skipped))
    assert as_lists(text_buffers(array)) == lists


def test_text_is_not_copied() -> None:
    paragraphs = split_pages(*concatenated([b"one\ntwo", b"three"]))
    array = string_array(paragraphs)
    back = text_buffers(array)
    assert array.type == pa.list_(pa.string())
    assert array.values.buffers()[2].address == paragraphs.text.ctypes.data == back.text.ctypes.data
    assert array.values.buffers()[1].address == paragraphs.offsets.ctypes.data == back.offsets.ctypes.data
    assert np.shares_memory(array.offsets.to_numpy(), paragraphs.page_paragraphs)
    assert text_buffers(array.slice(1)).text.ctypes.data == paragraphs.text.ctypes.data + 6


def test_array_outlives_the_paragraphs() -> None:
    array = string_array(split_pages(*concatenated([b"one\ntwo"] * 1000)))
    assert array.to_pylist() == [["one", "two"]] * 1000


def test_text_buffers_of_parquet() -> None:
    lists = [["a", "b"], [], ["ç"]]
    file = io.BytesIO()
    pq.write_table(pa.table({"paragraphs": pa.array(lists, pa.list_(pa.field("element", pa.string())))}), file)
    column = pq.read_table(file)["paragraphs"]
    assert as_lists(text_buffers(column.chunk(0))) == lists


@pytest.mark.parametrize("lists", [[["a"], None], [["a", None]]])
def test_nulls_are_refused(lists: list[list[str]]) -> None:
    with pytest.raises(ValueError, match="null"):
        text_buffers(pa.array(lists, pa.list_(pa.string())))


@pytest.mark.parametrize(
    "type_", [pa.list_(pa.large_string()), pa.large_list(pa.string()), pa.list_(pa.int32()), pa.string()]
)
def test_other_types_are_refused(type_: pa.DataType) -> None:
    with pytest.raises(TypeError, match=r"list<string> expected"):
        text_buffers(pa.array([], type_))


# --- Real data --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["wet/crawl/*-00002.warc.wet.gz", "wet/real/whatsinthebox_v1.warc.wet.gz"])
def test_real_pages(shared_data: pathlib.Path, pattern: str) -> None:
    (path,) = shared_data.glob(pattern)
    pages = real_pages(path)
    check(pages)
    check([zlib.compress(page) for page in pages[:50]])  # what a wrong content type brings
