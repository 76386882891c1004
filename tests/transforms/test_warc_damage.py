"""Reading damaged files: wrong lengths, cuts, garbage, random changes; nothing sound is lost, nothing damaged passes."""

import gzip
import io
import itertools
import random
import re
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wet_records import (
    ALL,
    CRLF,
    LIMIT,
    PACKINGS,
    PAGES,
    contents,
    members,
    one_frame,
    one_member,
    plain,
    read,
    reasons,
    records,
    text,
    wet,
)

from cc100.transforms.warc import REJECT_REASONS, read_records

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
