"""Reading sound files: every packing, header variants, real crawls against warcio."""

import base64
import csv
import datetime
import hashlib
import io
import itertools
import pathlib
import re
from collections.abc import Iterator

import pytest
from warcio.archiveiterator import ArchiveIterator
from warcio.warcwriter import WARCWriter
from wet_records import (
    ALL,
    CRLF,
    HEADER_LINE,
    LIMIT,
    PACKINGS,
    PAGES,
    Dribble,
    contents,
    expected,
    members,
    one_member,
    plain,
    read,
    reasons,
    records,
    text,
    wet,
)

from cc100.transforms.warc import Reject, parse_date, parse_header, proves, read_records


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
