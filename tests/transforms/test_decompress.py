import gzip
import io
import random
import tracemalloc
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from cc100.transforms.decompress import FAULTS, decode

TEXT = b"Page %d.\r\n" + b"".join(b"Line %d, \xd0\xb4\xd0\xb0 %d\n" % (k, k * k * 7919 % 1009) for k in range(40))


class Dribble(io.BytesIO):
    """A stream whose reads return fewer bytes than asked for."""

    def read(self, size: int = -1) -> bytes:
        return super().read(min(size, 1 + self.tell() * 31 % 97))


def pages(count: int) -> list[bytes]:
    return [TEXT % number for number in range(count)]


def members(texts: list[bytes]) -> list[bytes]:
    return [gzip.compress(text, mtime=0) for text in texts]


def frames(texts: list[bytes]) -> list[bytes]:
    return [zstandard.ZstdCompressor(write_checksum=True).compress(text) for text in texts]


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size).replace(b"\x1f\x8b", b"..")


def decoded(stored: bytes) -> tuple[bytes, list[str]]:
    pieces = list(decode(io.BytesIO(stored).read))
    assert pieces == list(decode(Dribble(stored).read))
    faults = [piece.fault for piece in pieces if piece.fault]
    assert all(fault.reason in FAULTS and 0 <= fault.offset <= len(stored) for fault in faults)
    return b"".join(piece.data for piece in pieces), [fault.reason for fault in faults]


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(0, 9))
def test_members_are_what_zlib_gives(texts, level):
    stored = [gzip.compress(text, level, mtime=0) for text in [b"first", *texts]]
    expected, offset = [], 0
    for member in stored:
        expected.append((offset, zlib.decompress(member, 31)))
        offset += len(member)
    pieces = list(decode(io.BytesIO(b"".join(stored)).read))
    assert [(piece.offset, piece.data) for piece in pieces] == [(at, text) for at, text in expected if text]


@pytest.mark.parametrize(
    "stored",
    [
        b"WARC/1.0\r\n" + b"".join(pages(5)),
        gzip.compress(b"WARC/1.0\r\n" + b"".join(pages(5))),
        b"".join(members([b"WARC/1.0\r\n", *pages(5)])),
        b"".join(frames([b"WARC/1.0\r\n", *pages(5)])),
        b"\x50\x2a\x4d\x18\x04\0\0\0user" + b"".join(frames([b"WARC/1.0\r\n", *pages(5)])),
        members([b"WARC/1.0\r\n"])[0] + b"".join(frames(pages(5))),
        gzip.compress(b"".join(members([b"WARC/1.0\r\n", *pages(5)]))),
        b"".join(members([b"".join(members([b"WARC/1.0\r\n", *pages(2)])), b"".join(members(pages(5)[2:]))])),
        b"".join(members([b"WARC/1.0\r\n", *pages(5)])) + bytes(700),
        b"\r\n\r\n\0WARC/1.0\r\n"[:4] + b"WARC/1.0\r\n" + b"".join(pages(5)),
    ],
    ids=["plain", "one", "members", "frames", "skippable", "mixed", "twice", "twice members", "padding", "blank lines"],
)
def test_formats(stored):
    assert decoded(stored) == (b"WARC/1.0\r\n" + b"".join(pages(5)), [])


def test_a_file_compressed_three_times_stays_compressed():
    inner = gzip.compress(TEXT)
    assert decoded(gzip.compress(gzip.compress(inner))) == (inner, [])


def test_offsets_of_a_file_compressed_twice_are_in_the_stored_file():
    inner = members(pages(6))
    outer = members([b"".join(inner[:3]), b"".join(inner[3:])])
    offsets = [piece.offset for piece in decode(io.BytesIO(b"".join(outer)).read)]
    assert offsets == [0] * 3 + [len(outer[0])] * 3


def test_plain_offsets():
    text = b"WARC/1.0\r\n" + b"x" * 700_000
    pieces = list(decode(io.BytesIO(b"rubbish\n" + text).read))
    assert pieces[0].fault.reason == "garbage"
    assert [piece.offset for piece in pieces[1:]] == [8, *(k << 18 for k in (1, 2))]
    assert b"".join(piece.data for piece in pieces) == text


@pytest.mark.parametrize(("stored", "reasons"), [(b"", ["empty_file"]), (bytes(999), []), (gzip.compress(b""), [])])
def test_nothing_to_read(stored, reasons):
    assert decoded(stored) == (b"", reasons)


@pytest.mark.parametrize(
    "stored", [noise(20_000), b"<?xml version='1.0'?><Error/>", b"\x04\x22\x4d\x18@@\xc0c WARC/1.0"]
)
def test_neither_members_nor_records(stored):
    assert decoded(stored) == (b"", ["garbage"])


def test_garbage_between_members():
    stored = members(pages(4))
    assert decoded(noise(50) + b"".join(stored)) == (b"".join(pages(4)), ["garbage"])
    assert decoded(stored[0] + noise(300_000) + b"".join(stored[1:])) == (b"".join(pages(4)), ["garbage"])
    assert decoded(stored[0] + bytes(300_000) + b"".join(stored[1:])) == (b"".join(pages(4)), [])
    assert decoded(b"".join(stored) + noise(50)) == (b"".join(pages(4)), ["garbage"])
    false_start = b"\x1f\x8b\x08\0 not a member "
    assert decoded(stored[0] + noise(9) + false_start + b"".join(stored[1:])) == (b"".join(pages(4)), ["garbage"])


def test_a_wrong_checksum_loses_no_decoded_bytes():
    for make, place in ((members, -8), (members, -1), (frames, -1)):
        stored = make(pages(4))
        damaged = bytearray(stored[1])
        damaged[place] ^= 1
        pieces = list(decode(io.BytesIO(b"".join([stored[0], damaged, *stored[2:]])).read))
        assert b"".join(piece.data for piece in pieces) == b"".join(pages(4))
        (fault,) = [piece.fault for piece in pieces if piece.fault]
        assert fault == (len(stored[0]), "bad_checksum", fault.detail, True)


def test_damaged_compression_keeps_what_is_before_it():
    text = noise(3000).hex().encode()
    stored = gzip.compress(text, mtime=0)
    damaged = stored[:1500] + b"\xff" * 40 + stored[1540:]
    before = zlib.decompressobj(31).decompress(stored[:1500])
    got, reasons = decoded(damaged + gzip.compress(TEXT))
    assert reasons in (["bad_compression"], ["bad_checksum"])
    assert got.startswith(before)
    assert got.endswith(TEXT)
    assert len(before) > 1000


def test_a_cut_member_does_not_cost_the_next():
    stored = members(pages(5))
    for size in range(4, len(stored[1])):
        got, reasons = decoded(b"".join([stored[0], stored[1][:size], *stored[2:]]))
        assert got.startswith(pages(1)[0])
        assert got.endswith(b"".join(pages(5)[2:]))
        assert len(reasons) == 1


def test_a_cut_file():
    stored = members(pages(3))
    for size in range(3, len(stored[2])):
        got, reasons = decoded(b"".join(stored[:2]) + stored[2][:size])
        assert got == b"".join(pages(2)) + zlib.decompressobj(31).decompress(stored[2][:size])
        assert reasons == ["truncated_member"]


def test_a_long_damaged_member():
    text = noise(4_000_000).hex().encode()
    stored = gzip.compress(text, 1, mtime=0)
    middle = len(stored) // 2
    pieces = list(decode(io.BytesIO(stored[:middle] + b"\xff" * 99 + stored[middle + 99 :] + gzip.compress(TEXT)).read))
    assert [piece.fault.reason for piece in pieces if piece.fault] == ["bad_compression"]
    lost = next(k for k, piece in enumerate(pieces) if piece.fault)
    before = b"".join(piece.data for piece in pieces[: lost + 1])
    assert len(before) > len(text) // 2 - 5000
    assert text.startswith(before[: len(text) // 2 - 5000])
    assert pieces[-1].data == TEXT


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lambda text: zstandard.compress(text)])
def test_memory_is_bounded(compress):
    stored = io.BytesIO(compress(b"WARC/1.0\r\n" + bytes(80_000_000)))
    tracemalloc.start()
    size = sum(len(piece.data) for piece in decode(stored.read))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == 80_000_010
    assert peak < 50_000_000


@given(st.data())
def test_damage_is_bounded(data):
    texts = pages(8)
    stored = members(texts)
    target = data.draw(st.integers(0, 7))
    begin = data.draw(st.integers(0, len(stored[target]) - 1))
    end = data.draw(st.integers(begin, len(stored[target])))
    damaged = stored[target][:begin] + data.draw(st.binary(max_size=40)) + stored[target][end:]
    got, _ = decoded(b"".join([*stored[:target], damaged, *stored[target + 1 :]]))
    assert got.startswith(b"".join(texts[:target]))
    assert got.endswith(b"".join(texts[target + 1 :]))
