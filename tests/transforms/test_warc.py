import base64
import csv
import datetime
import gzip
import hashlib
import io
import itertools
import pathlib
import random
import re
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator
from warcio.warcwriter import WARCWriter

from cc100.transforms.warc import REJECT_REASONS, Record, Reject, parse_date, parse_header, proves, read_records

CRLF = b"\r\n"
PAGES = 12
LIMIT = 1 << 20
HEADER_LINE = re.compile(rb"^(?:WARC/\d\.\d\r?$|WARC-[A-Za-z-]+:)", re.MULTILINE)


def text(number: int) -> bytes:
    lines = [f"Page {number}, line {k}: слово 語 {number * 7919 + k * 104729}." for k in range(6 + number * 5 % 13)]
    return "\n".join(lines).encode()


def wet(
    number: int, block: bytes | None = None, kind: str = "conversion", eol: bytes = CRLF, **changes: str | None
) -> bytes:
    """A record; `changes` replace header fields (by names in lower case with underscores), or with None drop them."""
    block = text(number) if block is None else block
    fields = {
        "WARC-Type": kind,
        "WARC-Target-URI": f"http://site-{number}.example/ä/{number}",
        "WARC-Date": f"2018-12-{number + 1:02d}T10:16:51Z",
        "WARC-Record-ID": f"<urn:uuid:00000000-0000-4000-8000-{number:012d}>",
        "WARC-Block-Digest": "sha1:" + base64.b32encode(hashlib.sha1(block).digest()).decode(),
        "Content-Type": "text/plain",
        "Content-Length": str(len(block)),
    }
    fields = {name: changes.get(name.lower().replace("-", "_"), value) for name, value in fields.items()}
    lines = ["WARC/1.0", *(f"{name}: {value}" for name, value in fields.items() if value is not None)]
    return eol.join(line.encode() for line in lines) + eol * 2 + block + eol * 2


def info() -> bytes:
    return wet(99, b"software: none\r\noperator: none\r\n", "warcinfo", warc_target_uri=None)


def records() -> list[bytes]:
    return [info(), *(wet(number) for number in range(PAGES))]


def expected(number: int) -> tuple[str, str | None, int | None, bytes]:
    record_id = f"urn:uuid:00000000-0000-4000-8000-{number:012d}"
    day = datetime.datetime(2018, 12, number + 1, 10, 16, 51, tzinfo=datetime.UTC)
    return record_id, f"http://site-{number}.example/ä/{number}", int(day.timestamp()) * 10**6, text(number)


ALL = [expected(number) for number in range(PAGES)]


def plain(parts: list[bytes]) -> bytes:
    return b"".join(parts)


def members(parts: list[bytes]) -> bytes:
    return b"".join(gzip.compress(part, mtime=0) for part in parts)


def one_member(parts: list[bytes]) -> bytes:
    return gzip.compress(b"".join(parts), mtime=0)


def pairs(parts: list[bytes]) -> bytes:
    return members([b"".join(parts[k : k + 2]) for k in range(0, len(parts), 2)])


def odd_borders(parts: list[bytes]) -> bytes:
    whole = b"".join(parts)
    return members([whole[k : k + 1000] for k in range(0, len(whole), 1000)])


def frames(parts: list[bytes]) -> bytes:
    return b"".join(zstandard.compress(part) for part in parts)


def one_frame(parts: list[bytes]) -> bytes:
    return zstandard.compress(b"".join(parts))


def twice(parts: list[bytes]) -> bytes:
    return gzip.compress(members(parts), mtime=0)


PACKINGS = [plain, members, one_member, pairs, odd_borders, frames, one_frame, twice]


class Dribble(io.BytesIO):
    """A stream whose reads return fewer bytes than asked for."""

    def read(self, size: int = -1) -> bytes:
        return super().read(min(size, 1 + self.tell() * 31 % 4099))


def read(stored: bytes, limit: int = LIMIT) -> tuple[list[Record], list[Reject]]:
    rejects: list[Reject] = []
    found = list(read_records(io.BytesIO(stored), max_record_bytes=limit, on_reject=rejects.append))
    for reject in rejects:
        assert reject.reason in REJECT_REASONS
        assert 0 <= reject.offset <= len(stored)
    for record in found:
        assert not HEADER_LINE.search(record.payload)
    return found, rejects


def contents(found: list[Record]) -> list[tuple[str, str | None, int | None, bytes]]:
    return [tuple(record)[1:5] for record in found]


def reasons(rejects: list[Reject]) -> list[tuple[str, int | None]]:
    """Reasons with the number of the record concerned."""
    return [(reject.reason, int(reject.record_id[-12:]) if reject.record_id else None) for reject in rejects]


def read_slowly(path: pathlib.Path) -> Iterator[tuple[str, str | None, int | None, bytes]]:
    """The same by warcio."""
    with open(path, "rb") as stream:
        for record in ArchiveIterator(stream):
            if record.rec_type == "conversion":
                header = record.rec_headers.get_header
                date = datetime.datetime.fromisoformat(header("WARC-Date").replace("Z", "+00:00"))
                record_id = header("WARC-Record-ID").strip("<>")
                yield (
                    record_id,
                    header("WARC-Target-URI"),
                    int(date.timestamp()) * 10**6,
                    record.content_stream().read(),
                )


# --- Sound files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", PACKINGS)
@pytest.mark.parametrize("stream", [io.BytesIO, Dribble])
def test_packings(pack, stream):
    rejects: list[Reject] = []
    stored = stream(pack(records()))
    assert contents(list(read_records(stored, max_record_bytes=LIMIT, on_reject=rejects.append))) == ALL
    assert rejects == []


@pytest.mark.parametrize(
    "change",
    [
        lambda part: part.replace(b"WARC/1.0", b"WARC/1.1"),
        lambda part: part.replace(CRLF, b"\n"),
        lambda part: part.replace(CRLF, b"\n", 8),
        lambda part: re.sub(rb"(?m)^[A-Za-z-]+:", lambda match: match[0].lower(), part),
        lambda part: re.sub(rb"(?m)^[A-Za-z-]+:", lambda match: match[0].upper(), part),
        lambda part: part.replace(b"Content-Length: ", b"Content-Length:"),
        lambda part: part.replace(b": ", b":\r\n\t", 1).replace(b"Length: ", b"Length:\r\n  "),
        lambda part: part.replace(b"\r\n\r\n", b"\r\nContent-Length: 7\r\nWARC-Type: other\r\n\r\n", 1),
        lambda part: part + CRLF,
        lambda part: part.removesuffix(CRLF),
        lambda part: part.removesuffix(CRLF * 2),
        lambda part: b"" if b"warcinfo" in part else part,
        lambda part: part.replace(b"sha1:", b"sha1:WRONG"),
    ],
    ids=[
        "version 1.1",
        "LF",
        "LF in headers",
        "lower case",
        "upper case",
        "no space",
        "folded",
        "repeated fields",
        "more line ends",
        "one line end",
        "no line end",
        "no warcinfo",
        "wrong digest",
    ],
)
@pytest.mark.parametrize("pack", [plain, members, one_member])
def test_variants(change, pack):
    found, rejects = read(pack([change(part) for part in records()]))
    assert contents(found) == ALL
    assert rejects == []


def test_offsets():
    parts = records()
    starts = [0, *itertools.accumulate(len(part) for part in parts)]
    assert [record.offset for record in read(plain(parts))[0]] == starts[1:-1]
    starts = [0, *itertools.accumulate(len(members([part])) for part in parts)]
    assert [record.offset for record in read(members(parts))[0]] == starts[1:-1]
    assert {record.offset for record in read(one_member(parts))[0]} == {0}


def test_what_warcio_writes():
    stream = io.BytesIO()
    writer = WARCWriter(stream, gzip=True)
    for number in range(PAGES):
        record = writer.create_warc_record(
            expected(number)[1],
            "conversion",
            payload=io.BytesIO(text(number)),
            warc_content_type="text/plain",
            warc_headers_dict={
                "WARC-Record-ID": f"<{expected(number)[0]}>",
                "WARC-Date": f"2018-12-{number + 1:02d}T10:16:51Z",
            },
        )
        writer.write_record(record)
    found, rejects = read(stream.getvalue())
    assert [record[2:] for record in contents(found)] == [page[2:] for page in ALL]
    assert [record.record_id for record in found] == [page[0] for page in ALL]
    assert rejects == []


def test_odd_header_fields():
    parts = [
        wet(0).replace("ä/0".encode(), b"\xe4 b/0"),
        wet(1, warc_target_uri=None, warc_date=None, warc_record_id=None),
        wet(2, warc_target_uri="<http://site-2.example/>", warc_date="2018-13-01T00:00:00Z"),
        wet(3, b""),
    ]
    found, rejects = read(members(parts))
    assert [record.url for record in found] == [
        "http://site-0.example/\ufffd b/0",
        None,
        "http://site-2.example/",
        expected(3)[1],
    ]
    assert [record.date_us for record in found] == [expected(0)[2], None, None, expected(3)[2]]
    assert found[1].record_id == ""
    assert found[3].payload == b""
    assert rejects == []


@pytest.mark.parametrize(
    ("value", "iso"),
    [
        (b"2018-12-11T10:16:51Z", "2018-12-11T10:16:51"),
        (b"1969-12-31T23:59:59.9Z", "1969-12-31T23:59:59.900000"),
        (b"2018-12-11T10:16:51.123456789Z", "2018-12-11T10:16:51.123456"),
        (b"2018-12-11T10:16Z", "2018-12-11T10:16:00"),
        (b"2020-02-29", "2020-02-29T00:00:00"),
        (b"2018-12", "2018-12-01T00:00:00"),
        (b"2018", "2018-01-01T00:00:00"),
        *((value, None) for value in (b"", b"2019-02-29", b"2018-12-11T10:16:51", b"20181211101651", b"x", b"0000")),
        *((value, None) for value in (b"2018-12-11T24:00:00Z", b"2018-12-11 10:16:51Z", b"2018-W49-2T10:16:51Z")),
    ],
)
def test_dates(value, iso):
    microsecond = datetime.timedelta(microseconds=1)
    epoch = datetime.datetime(1970, 1, 1)
    assert parse_date(value) == (iso and (datetime.datetime.fromisoformat(iso) - epoch) // microsecond)


def test_header_fields():
    header = b"WARC-Type: conversion\r\nX: a b:c\r\nwarc-type: other\r\nX-Empty:\r\n"
    fields = {name: value.strip() for name, value in parse_header(header).items()}
    assert fields[b"warc-type"] == b"conversion"
    assert fields[b"x"] == b"a b:c"
    assert fields[b"x-empty"] == b""


def test_digests():
    for name, encode in itertools.product(["sha1", "SHA256"], [base64.b32encode, base64.b16encode]):
        digest = f"{name}:".encode() + encode(hashlib.new(name.lower(), b"block").digest())
        assert proves({b"warc-block-digest": b" " + digest + b"\r"}, b"block")
        assert proves({b"warc-block-digest": digest.replace(b"A", b"a")}, b"block")
        assert not proves({b"warc-block-digest": digest}, b"Block")
    assert not proves({b"warc-block-digest": b"md5:00"}, b"block")
    assert not proves({}, b"block")


def test_other_types_are_passed_over():
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<p>no</p>"
    kinds = ["request", "metadata", "resource", "continuation"]
    parts = [wet(20 + number, page, kind) for number, kind in enumerate(kinds)]
    assert read(members(parts)) == ([], [])


def test_responses_and_revisits_are_read_whole():
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<p>no</p>"
    parts = [wet(20, page, "response"), wet(21, page[:-9], "revisit"), wet(22)]
    parts[0] = parts[0].replace(
        b"\r\n", b"\r\nWARC-Truncated: length\r\nWARC-Identified-Payload-Type: text/html\r\n", 1
    )
    found, rejects = read(members(parts))
    assert rejects == []
    assert [(record.kind, record.payload) for record in found] == [
        ("response", page), ("revisit", page[:-9]), ("conversion", text(22)),
    ]  # fmt: skip
    assert [(record.is_truncated, record.media_type) for record in found] == [
        (True, "text/html"),
        (False, ""),
        (False, ""),
    ]


def test_digests_are_verified_where_that_is_asked_for():
    parts = [wet(0), wet(1, warc_block_digest="sha1:" + "A" * 32), wet(2, warc_block_digest=None)]
    rejects: list[Reject] = []
    stream = io.BytesIO(members(parts))
    found = list(read_records(stream, max_record_bytes=LIMIT, on_reject=rejects.append, verify_digests=True))
    assert contents(found) == [expected(0), expected(2)]
    assert reasons(rejects) == [("digest_wrong", 1)]
    assert contents(read(members(parts))[0]) == ALL[:3]


def test_a_page_about_warc_stays_whole():
    quote = b"How a record looks:\n\n" + wet(55).replace(CRLF, b"\n") + b"\nThat was it.\nWARC/1.0\nWARC-Type: none"
    stored = plain([wet(0), wet(1, quote), wet(2)])
    rejects: list[Reject] = []
    found = list(read_records(io.BytesIO(stored), max_record_bytes=LIMIT, on_reject=rejects.append))
    assert [record.payload for record in found] == [text(0), quote, text(2)]
    assert rejects == []


# --- Damaged files --------------------------------------------------------------------------------------------------


def with_length(number: int, value: str | None) -> list[bytes]:
    parts = records()
    parts[number + 1] = wet(number, content_length=value)
    return parts


@pytest.mark.parametrize("pack", PACKINGS)
@pytest.mark.parametrize("number", [0, 5, PAGES - 1])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (57, "content_length_wrong"),
        (-100, "content_length_wrong"),
        (10**6, "content_length_wrong"),
        (10**14, "content_length_wrong"),
        (None, "content_length_missing"),
        ("12a4", "content_length_invalid"),
        ("-5", "content_length_invalid"),
        ("", "content_length_invalid"),
        ("9" * 5000, "content_length_invalid"),
    ],
)
def test_wrong_lengths_cost_nothing(pack, number, change, reason):
    value = str(len(text(number)) + change) if isinstance(change, int) else change
    found, rejects = read(pack(with_length(number, value)))
    assert contents(found) == ALL
    assert reasons(rejects) == [(reason, number)]


@pytest.mark.parametrize("pack", PACKINGS)
@pytest.mark.parametrize("swallowed", [1, 3])
@pytest.mark.parametrize("kind", ["conversion", "warcinfo"])
def test_a_length_that_ends_with_another_record(pack, swallowed, kind):
    parts = records()
    length = len(text(4)) + 4 + sum(len(part) for part in parts[6 : 6 + swallowed]) - 4
    parts[5] = wet(4, kind=kind, content_length=str(length))
    found, rejects = read(pack(parts))
    assert contents(found) == (ALL if kind == "conversion" else ALL[:4] + ALL[5:])
    assert reasons(rejects) == [("content_length_wrong", 4)]


def test_all_lengths_are_huge():
    parts = [wet(number % PAGES, content_length=str(LIMIT - 1)) for number in range(4000)]
    for pack in (plain, members):
        found, rejects = read(pack(parts))
        assert [record.payload for record in found] == [text(number % PAGES) for number in range(4000)]
        assert len(rejects) == 4000


def test_a_wrong_length_before_a_damaged_header():
    for damaged in (b"X" + wet(5)[1:], wet(5)[:10] + b"\0" * 250 + wet(5)[260:]):
        parts = with_length(4, "10")
        parts[6] = damaged
        found, rejects = read(plain(parts))
        assert contents(found) == ALL[:4] + ALL[6:]
        assert reasons(rejects) == [("record_truncated", 4)]


@pytest.mark.parametrize("pack", [plain, one_member, one_frame])
def test_a_record_that_is_cut(pack):
    parts = records()
    for number in (3, PAGES - 1):
        whole = parts[number + 1]
        begin = whole.index(CRLF * 2) + 4
        for size in (begin, begin + 1, begin + 50, len(whole) - 5):
            found, rejects = read(pack([*parts[: number + 1], whole[:size], *parts[number + 2 :]]))
            assert contents(found) == ALL[:number] + ALL[number + 1 :]
            assert reasons(rejects) == [("record_truncated", number)]


@pytest.mark.parametrize("pack", [plain, members])
def test_a_header_that_is_cut(pack):
    parts = records()
    for number in (3, PAGES - 1):
        whole = parts[number + 1]
        for size in (30, 150, whole.index(CRLF * 2), whole.index(CRLF * 2) + 2):
            found, rejects = read(pack([*parts[: number + 1], whole[:size], *parts[number + 2 :]]))
            assert contents(found) == ALL[:number] + ALL[number + 1 :]
            assert [reject.reason for reject in rejects] == ["header_invalid"]


def test_a_header_without_end_or_type():
    parts = records()
    parts[3] = b"WARC/1.0\r\nWARC-Type: conversion\r\n" + b"X-Long: " + b"y" * 100_000 + CRLF + parts[3]
    parts[6] = wet(5, warc_type=None)
    parts[8] = wet(7, warc_type="cnversion")
    found, rejects = read(plain(parts))
    assert contents(found) == ALL[:5] + ALL[6:7] + ALL[8:]
    assert reasons(rejects) == [("header_invalid", None), ("header_invalid", 5), ("header_invalid", 7)]


@pytest.mark.parametrize("pack", [plain, members, one_member])
def test_garbage_between_records(pack):
    parts = records()
    parts.insert(5, random.Random(1).randbytes(300))
    found, rejects = read(pack(parts))
    assert contents(found) == ALL
    assert [reject.reason for reject in rejects] == ["garbage"]
    assert rejects[0].offset == {plain: len(b"".join(parts[:5])), members: len(members(parts[:5])), one_member: 0}[pack]


def test_garbage_between_members():
    parts = [members([part]) for part in records()]
    parts.insert(5, random.Random(1).randbytes(300))
    found, rejects = read(b"".join(parts))
    assert contents(found) == ALL
    assert [(reject.offset, reject.reason) for reject in rejects] == [(len(b"".join(parts[:5])), "garbage")]


@pytest.mark.parametrize("pack", PACKINGS)
def test_zero_padding(pack):
    assert contents(read(pack(records()) + bytes(512))[0]) == ALL
    assert read(pack(records()) + bytes(512))[1] == []


def test_a_wrong_checksum():
    parts = [members([part]) for part in records()]
    bad = parts[6][:-8] + b"\0\0\0\0" + parts[6][-4:]
    found, rejects = read(b"".join([*parts[:6], bad, *parts[7:]]))
    assert contents(found) == ALL  # the block digest proves the text
    assert [(reject.offset, *reject[1:3]) for reject in rejects] == [(len(b"".join(parts[:6])), None, "bad_checksum")]
    unproved = members([wet(5, warc_block_digest=None)])
    bad = unproved[:-8] + b"\0\0\0\0" + unproved[-4:]
    found, rejects = read(b"".join([*parts[:6], bad, *parts[7:]]))
    assert contents(found) == ALL[:5] + ALL[6:]
    assert reasons(rejects) == [("bad_checksum", 5)]


def test_damaged_compression():
    parts = [members([part]) for part in records()]
    middle = len(parts[6]) // 2
    bad = parts[6][:middle] + random.Random(2).randbytes(40) + parts[6][middle + 40 :]
    found, rejects = read(b"".join([*parts[:6], bad, *parts[7:]]))
    assert contents(found) == ALL[:5] + ALL[6:]
    assert reasons(rejects)[0][0] in ("bad_compression", "bad_checksum")
    assert reasons(rejects)[0][1] == 5
    assert len(rejects) == 1


def test_a_file_that_is_cut():
    parts = [members([part]) for part in records()]
    whole = b"".join(parts)
    for missing in (1, 5, 8):
        found, rejects = read(whole[:-missing])
        assert contents(found) == ALL
        assert reasons(rejects) == [("truncated_member", None)]
    for missing in (40, 200, len(parts[-1]) - 6):
        found, rejects = read(whole[:-missing])
        assert contents(found) == ALL[:-1]
        assert [reject.reason for reject in rejects] == ["truncated_member"]


@pytest.mark.parametrize("pack", PACKINGS)
def test_large_records(pack):
    large = b"\n".join(b"%d words of a large page" % k for k in range(20_000))
    parts = records()
    parts[2] = wet(20, large)
    parts[5] = wet(21, large, "resource")
    parts[8] = wet(22, large, content_length=str(10**12))
    found, rejects = read(pack(parts), limit=50_000)
    assert contents(found) == [ALL[number] for number in range(PAGES) if number not in (1, 4, 7)]
    assert reasons(rejects) == [("record_too_large", 20), ("record_too_large", 22)]
    assert read(pack(parts), limit=len(large))[0][1].payload == large


@pytest.mark.parametrize("kind", ["conversion", "response", "resource"])
@pytest.mark.parametrize("pack", [plain, one_member])
def test_memory_is_bounded(kind, pack):
    stored = io.BytesIO(pack([wet(0), wet(1, b"a line\n" * 8_000_000, kind), wet(2)]))
    tracemalloc.start()
    found = list(read_records(stored, max_record_bytes=LIMIT, on_reject=lambda reject: None))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert contents(found) == [ALL[0], ALL[2]]
    assert peak < 30_000_000


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        (b"", {"empty_file"}),
        (gzip.compress(b""), {"no_records"}),
        (bytes(1000), {"no_records"}),
        (b"<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code></Error>", {"garbage", "no_records"}),
        (random.Random(3).randbytes(20_000), {"garbage", "no_records"}),
        (gzip.compress(b"hello world"), {"garbage", "no_records"}),
        (
            gzip.compress(b"filedesc://x.arc 0.0.0.0 20140301 text/plain 76\n1 0 Bad Capture\n"),
            {"garbage", "no_records"},
        ),
        (b"\x04\x22\x4d\x18\x40\x40\xc0c\x02\0\0\xa0WARC/1.0\r\nWARC-Type: conversion\r\n", {"garbage", "no_records"}),
    ],
)
def test_nothing_to_read(stored, found):
    records_found, rejects = read(stored)
    assert records_found == []
    assert {reject.reason for reject in rejects} == found


def test_reasons_are_names():
    assert all(re.fullmatch("[a-z0-9_]+", name) and meaning for name, meaning in REJECT_REASONS.items())


# --- Mutants --------------------------------------------------------------------------------------------------------


def spans(parts: list[bytes]) -> list[tuple[int, int]]:
    ends = list(itertools.accumulate(len(part) for part in parts))
    return [(end - len(part), end) for part, end in zip(parts, ends, strict=True)]


@st.composite
def mutants(draw: st.DrawFn, stored: bytes) -> tuple[bytes, int, int]:
    """A damaged file, and the range of the sound one that was changed."""
    begin = draw(st.integers(0, len(stored) - 1))
    kind = draw(st.sampled_from(["flip", "cut", "insert", "overwrite", "truncate"]))
    junk = draw(st.integers(1, 300).map(lambda size: random.Random(size * 7 + begin).randbytes(size)))
    if kind == "flip":
        return (
            stored[:begin] + bytes([stored[begin] ^ 1 << draw(st.integers(0, 7))]) + stored[begin + 1 :],
            begin,
            begin + 1,
        )
    if kind == "insert":
        return stored[:begin] + junk + stored[begin:], begin, begin
    if kind == "truncate":
        return stored[:begin], begin, len(stored)
    end = min(len(stored), begin + draw(st.integers(1, 1500)))
    return stored[:begin] + (junk if kind == "overwrite" else b"") + stored[end:], begin, end


PLAIN = records()
MEMBERS = [members([part]) for part in PLAIN]
ONE = one_member(PLAIN)


@settings(max_examples=400)
@given(mutants(b"".join(MEMBERS)))
def test_mutants_of_members(mutant):
    stored, begin, end = mutant
    found, rejects = read(stored)
    sure = [number for number, span in enumerate(spans(MEMBERS)[1:]) if span[1] <= begin or span[0] >= end]
    got = contents(found)
    assert [page for page in got if page in [ALL[number] for number in sure]] == [ALL[number] for number in sure]
    assert {page[3] for page in got} <= {page[3] for page in ALL}  # checksum or digest vouch for every text
    assert len(got) == PAGES or rejects or begin in {span[0] for span in spans(MEMBERS)}


@settings(max_examples=400)
@given(mutants(b"".join(PLAIN)))
def test_mutants_of_plain_records(mutant):
    stored, begin, end = mutant
    found, _ = read(stored)
    numbered = list(enumerate(spans(PLAIN)[1:]))
    before = [ALL[number] for number, span in numbered if span[1] <= begin]
    after = [ALL[number] for number, span in numbered if span[0] >= end]
    got = contents(found)
    assert got[: len(before)] == before
    assert got[len(got) - len(after) :] == after
    assert len(before) + len(after) <= len(got) <= PAGES


@settings(max_examples=300)
@given(mutants(ONE))
def test_mutants_of_one_member(mutant):
    stored, begin, _ = mutant
    known = len(zlib.decompressobj(31).decompress(ONE[:begin]))
    found, rejects = read(stored)
    before = [ALL[number] for number, span in enumerate(spans(PLAIN)[1:]) if span[1] <= known]
    got = contents(found)
    assert got[: len(before)] == before
    assert {page[3] for page in got} <= {page[3] for page in ALL}
    assert len(got) == PAGES or rejects


# --- Real files -----------------------------------------------------------------------------------------------------


def test_crawl_is_what_warcio_reads(shared_data):
    count = 0
    for path in sorted((shared_data / "wet" / "crawl").glob("*.warc.wet.gz")):
        rejects: list[Reject] = []
        with open(path, "rb") as stream:
            found = read_records(stream, max_record_bytes=1 << 26, on_reject=rejects.append)
            for record, slow in itertools.zip_longest(found, read_slowly(path)):
                assert record[1:5] == slow
                count += 1
        assert rejects == []
    assert count == 29_704


DAMAGED = re.compile(r"\bcut\b|without its block|ends in the middle|\d damaged")
NOTHING_LOST = ("zero bytes after the last member", "CRC/ISIZE of the last member cut")


@pytest.mark.parametrize(("folder", "prefix"), [("malformed", "records"), ("wet/real", "conversion")])
def test_expected_records_of_real_files(shared_data, folder, prefix):
    with open(shared_data / folder / "EXPECTED.tsv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert len(rows) >= 10
    for row in rows:
        rejects: list[Reject] = []
        with open(shared_data / folder / row["file"], "rb") as stream:
            found = list(read_records(stream, max_record_bytes=1 << 26, on_reject=rejects.append))
        strict, lenient = int(row[f"{prefix}_strict"]), int(row[f"{prefix}_lenient"])
        note = row.get("what_is_wrong") or row["note"]
        if "gzip of a gzip" in note:
            strict, lenient = 12, 12
        if ".wet" in row["file"] or ".txt" in row["file"]:
            assert strict <= len(found) <= lenient, row["file"]
            assert rejects or len(found) == lenient, row["file"]
        else:
            assert strict <= sum(record.kind == "response" for record in found) <= lenient, row["file"]
        members = row.get("gzip_members") or row.get("gzip") or ""
        is_damaged = DAMAGED.search(note) or re.search(r"[1-9]\d* damaged", members)
        if lenient == 0 or (is_damaged and not any(words in note for words in NOTHING_LOST)):
            assert rejects, row["file"]
        for record in found:
            assert not HEADER_LINE.search(record.payload), row["file"]
