"""Stored crawl files as decoded bytes: gzip and zstd members, plain streams, and what is damaged in them.

A crawl file is a row of small gzip members, normally one for each record. `decode` reads such files, files of one
member, zstd frames, plain files under any name, and compressed files that were compressed once more. It asks a stream
for nothing but sequential reads, holds a bounded number of bytes, and gives the same however many bytes a read returns.

Damage is data: where stored bytes cannot be decoded, a piece ends with a `Fault`, and decoding goes on at the next
member. Every checksum is verified; gzip members always have one, zstd frames mostly.
"""

import bisect
import re
from collections.abc import Callable, Generator, Iterator
from functools import partial
from itertools import chain
from typing import Literal, NamedTuple, Protocol, cast

import zstandard
from isal import isal_zlib

FAULTS = {
    "empty_file": "the stored file has no bytes",
    "garbage": "bytes that belong to no record; reading goes on at the next member or record header",
    "bad_compression": "a compressed member does not decode; what follows the damage in it is lost",
    "bad_checksum": "the checksum or length that a compressed member states is not that of its decoded bytes",
    "truncated_member": "the stored file ends inside a compressed member, or inside its checksum",
}
"""Reasons of a `Fault` and what they mean."""

_BLOCK_BYTES = 1 << 18  # stored bytes read at once
_PIECE_BYTES = 1 << 20  # decoded bytes after which a piece of a long member is handed on
_HELD_BYTES = 1 << 22  # stored bytes of a member that are held, so that it can be read again up to a damage
_LONG_STEP = (
    1 << 10
)  # stored bytes fed at once to a member that is no longer held: no more than these are lost before a damage
_SALVAGE_STEPS = (4096, 256, 16, 1)  # stored bytes fed at once on the way to a damage
_OVERLAP = 64  # bytes kept between two searches: as long as anything searched for
_LAYERS = 2  # a compressed file that was compressed once more is read
_PADDING = b"\0\t\n\r "


class Fault(NamedTuple):
    """Why decoded bytes end: what would follow them is lost.

    Attributes:
        offset: Byte in the stored file where the damaged member, or the garbage, begins.
        reason: A name in `FAULTS`.
        detail: What was found, for people.
        is_suspect: True where the last piece may be wrong itself, because a checksum or the decoding failed.
    """

    offset: int
    reason: str
    detail: str
    is_suspect: bool = False


class Piece(NamedTuple):
    """Decoded bytes; those of two pieces follow each other, unless the first one has a fault.

    Attributes:
        offset: Byte in the stored file of the member that holds the bytes, or, if they are plain, of the first of them.
        data: Decoded bytes; empty only beside a fault.
        is_plain: True where the bytes are stored as they are.
        fault: Why the bytes that followed are lost, or None.
    """

    offset: int
    data: bytes
    is_plain: bool = False
    fault: Fault | None = None


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes | memoryview, /) -> bytes: ...


class _Codec(NamedTuple):
    """A compression format.

    Attributes:
        name: What a member of it is called.
        new_decoder: Makes a decoder for one member, which verifies its checksum.
        step: Stored bytes fed to a decoder at once; bounds what comes out at once to some 16 MiB.
    """

    name: str
    new_decoder: Callable[[], _Decoder]
    step: int


def _zstd_decoder() -> _Decoder:
    return zstandard.ZstdDecompressor().decompressobj()


_GZIP = _Codec("gzip member", partial(isal_zlib.decompressobj, 31), 1 << 13)
_ZSTD = _Codec("zstd frame", _zstd_decoder, 1 << 9)
_ERRORS = (cast(type[Exception], isal_zlib.error), zstandard.ZstdError)
_GZIP_MAGIC = b"\x1f\x8b\x08"
_MEMBER = re.compile(rb"\x1f\x8b\x08[\x00-\x1f]|\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")
_MEMBER_OR_PLAIN = re.compile(
    rb"\x1f\x8b\x08[\x00-\x1f]|\x28\xb5\x2f\xfd|"
    rb"((?<![^\n])WARC/\d\.\d[ \t]{0,8}\r?\n)"
)


class _Source:
    """Stored bytes, read in blocks.

    Attributes:
        data: The bytes at hand.
        view: The same bytes, for slices without a copy.
        pos: Index in `data` of the next byte to decode.
        start: Offset of `data[0]` in the stored file.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self.data = b""
        self.view = memoryview(b"")
        self.pos = 0
        self.start = 0

    @property
    def offset(self) -> int:
        """Offset of the next byte to decode."""
        return self.start + self.pos

    def extend(self, held: int) -> bool:
        """Read one more block, and give up the bytes before index `held`; False and nothing done at the file's end."""
        parts = [self.data[held:]]
        missing = _BLOCK_BYTES  # blocks are full, so that what is found in them does not depend on single reads
        while missing and (part := self._read(missing)):
            parts.append(part)
            missing -= len(part)
        if len(parts) == 1:
            return False
        self.data = b"".join(parts)
        self.view = memoryview(self.data)
        self.pos -= held
        self.start += held
        return True

    def need(self, size: int) -> None:
        """Have `size` bytes at hand, or all that are left."""
        while len(self.data) - self.pos < size and self.extend(self.pos):
            pass


def decode(read: Callable[[int], bytes], layers: int = _LAYERS) -> Iterator[Piece]:
    """Decode a stored file.

    Args:
        read: Returns at most as many further stored bytes as it is asked for, and none only at the end.
        layers: How many times the file may have been compressed.

    Returns:
        Pieces in file order. An empty file, and one in which nothing can be decoded, gives none with data.
    """
    pieces = _pieces(_Source(read))
    first = next(pieces, None)
    if first is None:
        return pieces
    pieces = chain([first], pieces)
    if layers > 1 and not first.is_plain and _MEMBER.match(first.data):
        return _decode_again(pieces, layers - 1)
    return pieces


def _pieces(source: _Source) -> Iterator[Piece]:
    """Decode one layer of compression."""
    if not source.extend(0):
        yield Piece(0, b"", fault=Fault(0, "empty_file", "no bytes"))
        return
    has_members = False  # in a file that begins with a member, or has a good one, only members are looked for
    is_lost = False  # the bytes at the position belong to a damage that was named already
    while True:
        source.need(_GZIP.step)
        codec = None if is_lost else _codec_at(source)
        is_expected = codec is not None
        if codec is None:
            offset, begin = source.offset, source.data[source.pos : source.pos + 16]
            found, is_padding = _scan(source, _MEMBER if has_members else _MEMBER_OR_PLAIN)
            if not (is_lost or is_padding):
                yield Piece(offset, b"", fault=Fault(offset, "garbage", f"no member or record begins with {begin!r}"))
            if found == "plain":
                yield from _plain(source)
            if found != "member":
                return
            codec = _codec_at(source) or _GZIP
        is_good = yield from _member(source, codec, is_expected)
        has_members |= is_good or is_expected
        is_lost = not is_good


def _codec_at(source: _Source) -> _Codec | None:
    """Format of the member that begins at the position."""
    if source.data.startswith(_GZIP_MAGIC, source.pos):
        return _GZIP
    return _ZSTD if _MEMBER.match(source.data, source.pos) else None


def _scan(source: _Source, pattern: re.Pattern[bytes]) -> tuple[Literal["member", "plain", "nothing"], bool]:
    """Move to the next place where a member or a plain record seems to begin, or to the end of the file.

    Returns:
        What begins there; and whether all that was passed is padding.
    """
    is_padding = True
    while True:
        match = pattern.search(source.data, source.pos)
        end = max(source.pos, len(source.data) - _OVERLAP) if match is None else match.start()
        is_padding &= not source.data[source.pos : end].strip(_PADDING)
        source.pos = end
        if match is not None:
            return "plain" if pattern is _MEMBER_OR_PLAIN and match[1] else "member", is_padding
        if not source.extend(max(0, end - 1)):  # the byte before shows whether a line begins
            is_padding &= not source.data[end:].strip(_PADDING)
            source.pos = len(source.data)
            return "nothing", is_padding


def _plain(source: _Source) -> Iterator[Piece]:
    """All further bytes as they are stored."""
    while True:
        yield Piece(source.offset, source.data[source.pos :], is_plain=True)
        source.pos = len(source.data)
        if not source.extend(source.pos):
            return


def _member(source: _Source, codec: _Codec, is_expected: bool) -> Generator[Piece, None, bool]:
    """Decode the member at the position, and move behind it, or to where the search for the next one begins.

    What stands where no member was expected may be none at all: if it cannot be decoded, it is passed over without a
    fault, unless a record begins in it.

    Returns:
        Whether the member is sound.
    """
    decoder = codec.new_decoder()
    offset, begin, step = source.offset, source.pos, codec.step
    parts: list[bytes] = []
    size = 0
    is_held = True  # the stored bytes of the member are at hand, from index `begin` on
    while True:
        chunk = source.view[source.pos : source.pos + step]
        try:
            data = decoder.decompress(chunk)
        except _ERRORS as error:
            fault = _damage(offset, codec, error)
            break
        parts.append(data)
        size += len(data)
        source.pos += len(chunk)
        if decoder.eof:
            source.pos -= len(decoder.unused_data)
            if size:
                yield Piece(offset, b"".join(parts))
            return True
        if size >= _PIECE_BYTES or (is_held and source.pos - begin >= _HELD_BYTES):
            is_held, step = False, min(step, _LONG_STEP)
            if size:
                yield Piece(offset, b"".join(parts))
            parts, size = [], 0
        if source.pos == len(source.data):
            if not source.extend(begin if is_held else source.pos):
                fault = Fault(offset, "truncated_member", f"{codec.name}: the file ends inside it")
                break
            begin = 0
    if is_held:
        parts = [_salvage(codec, source.data[begin : source.pos + step])]
        source.pos = begin + 1  # a member that is cut may seem to run on into the next ones
    data = b"".join(parts)
    if is_expected or not is_held or data.startswith(b"WARC/"):
        yield Piece(offset, data, fault=fault)
    return False


def _damage(offset: int, codec: _Codec, error: Exception) -> Fault:
    if "checksum" in str(error):
        return Fault(offset, "bad_checksum", f"{codec.name}: its checksum or length is wrong", is_suspect=True)
    return Fault(offset, "bad_compression", f"{codec.name}: it does not decode", is_suspect=True)


def _salvage(codec: _Codec, stored: bytes) -> bytes:
    """Everything that a damaged member decodes to before the byte at which decoding fails."""
    good = 0
    parts: list[bytes] = []
    for step in _SALVAGE_STEPS:
        decoder = codec.new_decoder()
        parts = []
        try:
            parts.append(decoder.decompress(stored[:good]))
            while good < len(stored):
                parts.append(decoder.decompress(stored[good : good + step]))
                good += step
        except _ERRORS:
            continue
        break
    return b"".join(parts)


class _Unpacked:
    """Decoded pieces as the stored bytes of a further layer.

    Attributes:
        faults: What the outer layer lost so far.
    """

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self._pieces = pieces
        self._rest = b""
        self._size = 0
        self._starts: list[int] = []  # where pieces begin in the decoded bytes, ...
        self._offsets: list[int] = []  # ... and in the stored file
        self.faults: list[Fault] = []

    def read(self, size: int) -> bytes:
        """At most `size` further bytes."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._starts.append(self._size)
            self._offsets.append(piece.offset)
            self._size += len(piece.data)
            self._rest = piece.data
            if piece.fault is not None:
                self.faults.append(piece.fault)
        part, self._rest = self._rest[:size], self._rest[size:]
        return part

    def stored_offset(self, index: int) -> int:
        """Offset in the stored file of the member that holds a decoded byte."""
        return self._offsets[max(0, bisect.bisect_right(self._starts, index) - 1)]


def _decode_again(pieces: Iterator[Piece], layers: int) -> Iterator[Piece]:
    """Decode what pieces decode to; offsets are those of the stored file."""
    unpacked = _Unpacked(pieces)
    for piece in decode(unpacked.read, layers):
        offset, fault = unpacked.stored_offset(piece.offset), piece.fault
        if fault is not None:
            fault = fault._replace(offset=unpacked.stored_offset(fault.offset))
        yield Piece(offset, piece.data, fault=fault)
    for fault in unpacked.faults:
        yield Piece(fault.offset, b"", fault=fault)
