"""WET records, the ways in which files pack them, and what is read from them."""

import base64
import datetime
import gzip
import hashlib
import io
import re

import zstandard

from cc100.transforms.warc import REJECT_REASONS, Record, Reject, read_records

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
