"""WARC records: the records with pages of a stored WET or WARC file, and what in it could not be read.

`read_records` needs sequential reads only and holds a bounded part of the file. It trusts the Content-Length of a
record if the block is framed: a record's end, the next record or the end of the file follows it, and no other record
header stands in it. Else it looks for the next record header, so that a record whose length is wrong costs at most
itself, never its neighbours, and the text of a header never becomes part of a payload.

Format: WARC 1.0 and 1.1 (ISO 28500:2009 and 28500:2017, https://iipc.github.io/warc-specifications/).
"""

import base64
import datetime
import hashlib
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from cc100.transforms.decompress import FAULTS, Fault, decode
from cc100.transforms.warc_window import HEADER, LOOK_AHEAD, Window

REJECT_REASONS = {
    **FAULTS,
    "no_records": "the stored file has bytes, but no WARC record",
    "header_invalid": "a record header is cut, too long or without a type that WARC knows; its record is lost",
    "content_length_missing": "a record states no Content-Length; its text, up to the next record, is kept",
    "content_length_invalid": "the Content-Length of a record is no number; its text, up to the next record, is kept",
    "content_length_wrong": "the Content-Length of a record does not fit; its text, up to the next record, is kept",
    "record_truncated": "a record ends before its block does, or it cannot be told where it ends; it is lost",
    "digest_wrong": "a block is not what its WARC-Block-Digest states (with input.verify_digests); it is lost",
    "record_too_large": "the block of a record is larger than the limit; it is lost",
}
"""Reasons of a `Reject` and what they mean. Where the reason is damage (a name in `FAULTS`), the record that the reject
names, if it names one, is lost to it."""

_TYPES = frozenset(b"warcinfo response resource request metadata revisit conversion continuation".split())
_WANTED = frozenset((b"conversion", b"response", b"revisit"))
_MAX_HEADER_BYTES = 1 << 16
_MAX_LENGTH_DIGITS = 18
_CRLF_END, _LF_END = b"\r\n\r\n", b"\n\n"  # what a record ends with, and its header too
_HEAD = re.compile(rb"WARC/\d\.\d[ \t]*\r?\n((?:\S.*\n)+)\r?\n")  # a whole header without folded lines
_VERSION = re.compile(rb"WARC/\d\.\d[ \t]*\r?\n")
_TRACE = re.compile(  # of a header that is damaged itself
    rb"^WARC(?:/\d\.\d[ \t]*\r?$|-(?:Type|Date|Record-ID|Target-URI|Refers-To|Block-Digest):)",
    re.IGNORECASE | re.MULTILINE,
)
_BLANK_LINE = re.compile(rb"\n\r?\n")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_LINE_ENDS = re.compile(rb"[\r\n]{0,32}")
_PADDING = re.compile(rb"[\0\t\n\r ]+")
_DATE = re.compile(rb"\d{4}(-\d\d(-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?Z)?)?)?")
_FIRST_MOMENT = "0001-01-01T00:00:00"
_EPOCH = datetime.datetime(1970, 1, 1)


class Record(NamedTuple):
    """A record that may hold a page.

    Attributes:
        offset: Byte in the stored file of the compressed member that holds it, or, in a plain file, of the record.
        record_id: WARC-Record-ID without its angle brackets; empty if absent.
        url: WARC-Target-URI, with U+FFFD for bytes that are not UTF-8; None if absent.
        date_us: WARC-Date in microseconds since 1970-01-01T00:00:00Z; None if absent or not a date.
        payload: The block, as it is.
        kind: WARC-Type: `conversion` (text of a page), `response` (what a server answered) or `revisit` (that it
            answered what another record holds).
        is_truncated: Whether the crawler cut the block (WARC-Truncated).
        media_type: WARC-Identified-Payload-Type; empty if absent.
    """

    offset: int
    record_id: str
    url: str | None
    date_us: int | None
    payload: bytes
    kind: str = "conversion"
    is_truncated: bool = False
    media_type: str = ""


class Reject(NamedTuple):
    """Something in a stored file that could not be read, or was read against what its header states.

    Attributes:
        offset: Byte in the stored file where the member, record or garbage begins.
        record_id: WARC-Record-ID of the record concerned, or None.
        reason: A name in `REJECT_REASONS`.
        detail: What was found, for people.
    """

    offset: int
    record_id: str | None
    reason: str
    detail: str


def read_records(
    stream: BinaryIO, *, max_record_bytes: int, on_reject: Callable[[Reject], None], verify_digests: bool = False
) -> Iterator[Record]:
    """Read the `conversion`, `response` and `revisit` records of a stored file, in file order.

    Records of other types are passed over.

    Args:
        stream: Stored bytes as they are: gzip with any number of records in a member, zstd, plain, or compressed twice.
            Only `read(n)` is used; it may return fewer bytes than asked for.
        max_record_bytes: Longest block that is read. A few times as many bytes are held.
        on_reject: Called with whatever could not be read. Damage raises no exception; errors of `stream` pass through.
        verify_digests: Whether a block that is not what its WARC-Block-Digest states is a reject. Costs a SHA-1.

    Yields:
        Every such record that can be read. A file without any WARC record gets a reject.
    """
    return _Reader(Window(decode(stream.read)), max_record_bytes, on_reject, verify_digests).records()


def parse_header(header: bytes) -> dict[bytes, bytes]:
    """Fields of an unfolded header: names in lower case, values with their white space; the first of a name counts."""
    fields = {}
    for line in reversed(header.split(b"\n")):
        name, _, value = line.partition(b":")
        fields[name.lower()] = value
    return fields


def parse_date(value: bytes) -> int | None:
    """A WARC-Date, in any precision of WARC 1.1, in microseconds since 1970-01-01T00:00:00Z; None if it is no date."""
    if _DATE.fullmatch(value) is None:
        return None
    text = value.rstrip(b"Z").decode()
    try:
        since = datetime.datetime.fromisoformat(text[:19] + _FIRST_MOMENT[len(text) :]) - _EPOCH
    except ValueError:
        return None
    microseconds = (since.days * 86_400 + since.seconds) * 1_000_000
    return microseconds + int(text[20:26].ljust(6, "0")) if len(text) > 19 else microseconds


def proves(fields: dict[bytes, bytes], block: bytes) -> bool | None:
    """Whether the WARC-Block-Digest (SHA-1 or SHA-256, in base 32 or 16) is that of the block; None without one."""
    name, _, stated = fields.get(b"warc-block-digest", b"").strip().partition(b":")
    if name.lower() not in (b"sha1", b"sha256"):
        return None
    actual = hashlib.new(name.lower().decode(), block, usedforsecurity=False).digest()
    return stated.upper() in (base64.b32encode(actual), base64.b16encode(actual))


class _Block(NamedTuple):
    """The block of the record at the position of a window."""

    size: int
    taken: int  # bytes from the position to where the next record is looked for
    problem: str = ""  # a reject reason, and its detail
    detail: str = ""
    is_lost: bool = False  # the block cannot be used


class _Reader:
    """Takes records off a window."""

    def __init__(
        self, window: Window, max_record_bytes: int, on_reject: Callable[[Reject], None], verify_digests: bool
    ) -> None:
        self._window = window
        self._verify = verify_digests
        self._max_bytes = max_record_bytes
        self._on_reject = on_reject
        self._is_empty = False
        self._has_records = False
        self._is_fault_named = False  # the segment's fault stands in the reject of a record

    def records(self) -> Iterator[Record]:
        """All records that may hold a page."""
        window = self._window
        while True:
            while window.need(LOOK_AHEAD):
                record = self._next_record()
                if record is not None:
                    yield record
            self._end_segment()
            if not window.next_segment():
                break
        if not (self._has_records or self._is_empty):
            self._on_reject(Reject(0, None, "no_records", "no WARC record in the file"))

    def _end_segment(self) -> None:
        fault = self._window.fault
        if fault is not None:
            self._is_empty = fault.reason == "empty_file"
            if not self._is_fault_named:
                self._on_reject(Reject(fault.offset, None, fault.reason, fault.detail))
        self._is_fault_named = False

    def _next_record(self) -> Record | None:
        """Take the record at the position; None if there is none, if its type is not wanted or it cannot be read."""
        window = self._window
        head = _HEAD.match(window.data, window.pos, window.pos + _MAX_HEADER_BYTES)
        header_size, lines = (head.end() - window.pos, head[1]) if head is not None else self._odd_header()
        if not header_size:
            return None
        self._has_records = True
        offset = window.stored_offset()
        fields = parse_header(lines)
        kind = fields.get(b"warc-type", b"").strip().lower()
        is_wanted = kind in _WANTED
        block = self._block(header_size, fields, is_wanted)
        begin = window.pos + header_size
        end = begin + block.size
        window.pos += block.taken
        if block.problem:
            self._reject(offset, fields, block.problem, block.detail)
        if block.is_lost or not is_wanted:
            if not block.is_lost and kind not in _TYPES:
                self._reject(offset, fields, "header_invalid", f"WARC-Type is {kind[:40]!r}")
            return None
        payload = window.data[begin:end]
        if end > window.suspect and window.fault is not None and not proves(fields, payload):
            self._reject_damaged(offset, fields, window.fault)
            return None
        if self._verify and proves(fields, payload) is False:
            self._reject(offset, fields, "digest_wrong", "the block is not what its WARC-Block-Digest states")
            return None
        date = parse_date(fields.get(b"warc-date", b"").strip())
        record_id, url = _record_id(fields), _url(fields)
        if kind == b"conversion":
            return Record(offset, record_id, url, date, payload)
        media_type = fields.get(b"warc-identified-payload-type", b"").strip().decode("latin-1")
        return Record(offset, record_id, url, date, payload, kind.decode(), b"warc-truncated" in fields, media_type)

    def _odd_header(self) -> tuple[int, bytes]:
        """Bytes of a header that is folded or not yet loaded, and its lines; without one, moves on and returns 0."""
        window = self._window
        if _VERSION.match(window.data, window.pos) is None:
            self._skip_garbage()
            return 0, b""
        window.need(_MAX_HEADER_BYTES)
        end = _BLANK_LINE.search(window.data, window.pos, window.pos + _MAX_HEADER_BYTES)
        if end is None:
            self._has_records = True
            self._skip_header()
            return 0, b""
        return end.end() - window.pos, _FOLD.sub(b" ", window.data[window.pos : end.start()])

    def _block(self, header_size: int, fields: dict[bytes, bytes], is_wanted: bool) -> _Block:
        """Find where the block of the record at the position ends."""
        window = self._window
        stated = fields.get(b"content-length")
        if stated is None:
            return self._cut_block(header_size, "content_length_missing", "no Content-Length")
        stated = stated.strip()
        if not stated.isdigit() or len(stated) > _MAX_LENGTH_DIGITS:
            return self._cut_block(header_size, "content_length_invalid", f"Content-Length is {stated[:40]!r}")
        size = int(stated)
        if size <= self._max_bytes:
            ending = self._ending(header_size, size)
            begin = window.pos + header_size
            end = begin + size
            header = HEADER.search(window.data, window.pos + 1, end) if ending >= 0 else None
            is_quoted = header is not None and header.start() >= begin and bool(proves(fields, window.data[begin:end]))
            if ending >= 0 and (header is None or is_quoted):
                return _Block(size, header_size + size + ending)
        passable = 0 if is_wanted else size
        return self._cut_block(header_size, "content_length_wrong", f"Content-Length is {size}", passable)

    def _ending(self, header_size: int, size: int) -> int:
        """Bytes between a block of `size` bytes and the next record; -1 if it does not end as a block does."""
        window = self._window
        record_size = header_size + size
        if not window.data.startswith(_CRLF_END, window.pos + record_size):
            window.need(record_size + LOOK_AHEAD)
        data, end = window.data, window.pos + record_size
        if data.startswith(_CRLF_END, end):
            return len(_CRLF_END)
        if data.startswith(_LF_END, end) and data.startswith(_LF_END, window.pos + header_size - len(_LF_END)):
            return len(_LF_END)
        following = _LINE_ENDS.match(data, end)
        if following is None or end > len(data):
            return -1
        is_end = window.is_last and following.end() == len(data)
        return following.end() - end if is_end or _VERSION.match(data, following.end()) else -1

    def _cut_block(self, header_size: int, problem: str, detail: str, passable: int = 0) -> _Block:
        """The block of a record whose length cannot be trusted: up to the next header, if it has a record's end.

        A block that is too large for the window is lost; if it has the `passable` size, there is no problem in that.
        """
        window = self._window
        taken = window.find_header(1, header_size + self._max_bytes + LOOK_AHEAD)
        if 0 < taken < header_size:
            self._skip_header()
            return _Block(0, 0, is_lost=True)
        if taken < 0:
            window.pos += header_size
            passed = window.skip_to_header()
            if 0 < passable <= passed <= passable + LOOK_AHEAD:
                return _Block(0, 0, is_lost=True)
            return _Block(0, 0, "record_too_large", f"{detail}; {passed} bytes up to the next header", is_lost=True)
        block = window.data[window.pos + header_size : window.pos + taken]
        detail = f"{detail}; {len(block)} bytes up to the next header"
        ending = next((end for end in (_CRLF_END, _LF_END) if block.endswith(end)), b"")
        if ending and not _TRACE.search(block):
            return _Block(len(block) - len(ending), taken, problem, detail)
        if window.fault is not None and window.pos + taken == len(window.data):
            self._is_fault_named = True
            return _Block(0, taken, window.fault.reason, window.fault.detail, is_lost=True)
        return _Block(0, taken, "record_truncated", detail, is_lost=True)

    def _skip_garbage(self) -> None:
        """Move over bytes that belong to no record."""
        window = self._window
        padding = _PADDING.match(window.data, window.pos)
        if padding is not None:
            window.pos = padding.end()
            return
        offset, begin = window.stored_offset(), window.data[window.pos : window.pos + 16]
        passed = window.skip_to_header()
        self._on_reject(Reject(offset, None, "garbage", f"{passed} bytes without a record, from {begin!r} on"))

    def _skip_header(self) -> None:
        """Move over a header that does not end."""
        window = self._window
        following = HEADER.search(window.data, window.pos + 1)
        end = window.pos + _MAX_HEADER_BYTES if following is None else following.start()
        fields = parse_header(window.data[window.pos : end])
        offset = window.stored_offset()
        window.pos += len(b"WARC/")
        window.skip_to_header()
        if window.fault is not None and window.pos == len(window.data):
            self._reject_damaged(offset, fields, window.fault)
        else:
            self._reject(offset, fields, "header_invalid", "the header does not end")

    def _reject_damaged(self, offset: int, fields: dict[bytes, bytes], fault: Fault) -> None:
        self._is_fault_named = True
        self._reject(offset, fields, fault.reason, fault.detail)

    def _reject(self, offset: int, fields: dict[bytes, bytes], reason: str, detail: str) -> None:
        self._on_reject(Reject(offset, _record_id(fields) or None, reason, detail))


def _record_id(fields: dict[bytes, bytes]) -> str:
    return fields.get(b"warc-record-id", b"").strip(b"<> \t\r").decode("utf-8", "replace")


def _url(fields: dict[bytes, bytes]) -> str | None:
    url = fields.get(b"warc-target-uri")
    if url is None:
        return None
    url = url.strip()
    if url.startswith(b"<") and url.endswith(b">"):  # the grammar of WARC 1.0 can be read so, and some writers did
        url = url[1:-1]
    return url.decode("utf-8", "replace")
