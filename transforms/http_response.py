"""The block of a WARC `response` record: HTTP status and headers, and the body as the server meant it.

Format: HTTP/1.1 messages (RFC 9112), transfer coding `chunked`, content codings gzip, deflate, br and zstd (RFC 9110).
Crawlers store the message as it came over the wire, or decoded with the old headers left in place (CommonCrawl renames
them to `X-Crawl-...`); so a coding is undone only where the bytes show it.
"""

import re
import zlib
from typing import NamedTuple

import brotli
import zstandard

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/\d(?:\.\d)?[ \t]+(\d{3})(?!\d)", re.IGNORECASE)
_FOLD = re.compile(rb"\r?\n[ \t]+")
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,12})[ \t]*(?:;[^\n]{0,1024})?\r?\n")
_MAX_HEAD_BYTES = 1 << 17
_STEP = 1 << 16  # stored bytes fed to a decoder at once; bounds what comes out at once to some 64 MiB
_MAX_CODINGS = 3  # a body encoded more often is a trap


class BodyError(Exception):
    """A body that cannot be used.

    Attributes:
        reason: A reject reason.
        detail: What was found, for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class Response(NamedTuple):
    """An HTTP response.

    Attributes:
        status: Status code.
        headers: Fields by name in lower case, values stripped, decoded as Latin-1; the first of a name counts.
        body: What follows the header, as stored.
    """

    status: int
    headers: dict[str, str]
    body: memoryview

    @property
    def media_type(self) -> str:
        """Type and subtype of the Content-Type in lower case; empty if absent."""
        return media_type(self.headers.get("content-type", ""))


def media_type(content_type: str) -> str:
    """Type and subtype of a Content-Type in lower case, without its parameters."""
    return content_type.partition(";")[0].partition(",")[0].strip().lower()


def parse_response(block: bytes) -> Response | None:
    """Split the block of a `response` record; None if it is no HTTP response (DNS answers, for example)."""
    status = _STATUS_LINE.match(block)
    if status is None:
        return None
    end = _HEAD_END.search(block, 0, _MAX_HEAD_BYTES)
    head, begin = (block, len(block)) if end is None else (block[: end.start()], end.end())
    if end is None and len(block) > _MAX_HEAD_BYTES:
        head = block[:_MAX_HEAD_BYTES]
    headers: dict[str, str] = {}
    for line in _FOLD.sub(b" ", head).split(b"\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            headers.setdefault(name.strip().lower().decode("latin-1"), value.strip().decode("latin-1"))
    return Response(int(status[1]), headers, memoryview(block)[begin:])


def decoded_body(response: Response, max_bytes: int, is_truncated: bool = False) -> bytes:
    """The body without its transfer and content codings.

    Args:
        response: The response.
        max_bytes: Longest result; decoding stops there, however much more would come.
        is_truncated: Whether the crawler cut the body: what decodes of it is then the body.

    Raises:
        BodyError: `body_too_large`, or `content_encoding_invalid`: a stated coding begins, and then does not decode.
    """
    body = response.body
    if "chunked" in response.headers.get("transfer-encoding", "").lower():
        body = _joined_chunks(body)
    codings = [name.strip().lower() for name in response.headers.get("content-encoding", "").split(",")]
    codings = [name for name in codings if name not in ("", "identity", "none")]
    if len(codings) > _MAX_CODINGS:
        raise BodyError("content_encoding_invalid", f"{len(codings)} content codings")
    for name in reversed(codings):
        body = memoryview(_decompressed(name.removeprefix("x-"), body, max_bytes, is_truncated))
    if len(body) > max_bytes:
        raise BodyError("body_too_large", f"{len(body)} bytes")
    return bytes(body)


def _joined_chunks(body: memoryview) -> memoryview:
    """Body of a chunked message; the body as it is where no chunk begins, up to the first one that is damaged or cut."""
    data = body.obj
    assert isinstance(data, bytes)
    at = len(data) - len(body)
    parts: list[bytes] = []
    while match := _CHUNK_SIZE.match(data, at):
        size, at = int(match[1], 16), match.end()
        if not parts and not _fits(data, at, size):
            return body  # text that begins like a length
        parts.append(data[at : at + size])
        at += size
        if not size or at >= len(data):
            break
        at += 2 if data.startswith(b"\r\n", at) else 1
    return memoryview(b"".join(parts)) if parts else body


def _fits(data: bytes, at: int, size: int) -> bool:
    """Whether a chunk ends with a line end, or is cut by the end of the data."""
    return at + size >= len(data) or data[at + size : at + size + 1] in (b"\r", b"\n")


def _decompressed(name: str, body: memoryview, max_bytes: int, is_truncated: bool) -> bytes:
    """Undo one content coding; bytes that show no sign of it are as they were meant."""
    data = bytes(body)
    if name == "gzip":
        return _inflated(data, 31, max_bytes, is_truncated) if data[:2] == b"\x1f\x8b" else data
    if name == "deflate":
        has_header = len(data) > 1 and data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
        return data if _is_markup(data) else _inflated(data, 15 if has_header else -15, max_bytes, is_truncated)
    if name == "br":
        return data if _is_markup(data) else _unbrotlied(data, max_bytes, is_truncated)
    if name == "zstd":
        return _unzstd(data, max_bytes, is_truncated) if data[:4] == b"\x28\xb5\x2f\xfd" else data
    if _is_markup(data):
        return data
    raise BodyError("content_encoding_invalid", f"content coding {name[:40]!r} is not known")


def _is_markup(data: bytes) -> bool:
    """Whether data is text that begins with a tag, as no compressed body is likely to do."""
    begin = data[:64].lstrip(b"\xef\xbb\xbf\0\t\n\r ")
    return begin[:1] == b"<" and (begin[1:2].isalpha() or begin[1:2] in (b"!", b"?"))


def _too_large(max_bytes: int) -> BodyError:
    return BodyError("body_too_large", f"over {max_bytes} bytes when decoded")


def _inflated(data: bytes, wbits: int, max_bytes: int, is_truncated: bool) -> bytes:
    decoder = zlib.decompressobj(wbits)
    try:
        found = decoder.decompress(data, max_bytes + 1)
    except zlib.error as error:
        if is_truncated:
            return _inflated_prefix(data, wbits, max_bytes)
        raise BodyError("content_encoding_invalid", f"the body does not inflate ({error})") from error
    if len(found) > max_bytes:
        raise _too_large(max_bytes)
    if not (decoder.eof or is_truncated):
        raise BodyError("content_encoding_invalid", "the compressed body ends early")
    return found


def _inflated_prefix(data: bytes, wbits: int, max_bytes: int) -> bytes:
    """What inflates before an error, to within a few bytes of input."""
    decoder, size = zlib.decompressobj(wbits), 0
    parts: list[bytes] = []
    for at in range(0, len(data), 64):
        try:
            parts.append(decoder.decompress(data[at : at + 64]))
        except zlib.error:
            break
        size += len(parts[-1])
        if size > max_bytes:
            raise _too_large(max_bytes)
    return b"".join(parts)


def _unbrotlied(data: bytes, max_bytes: int, is_truncated: bool) -> bytes:
    decoder = brotli.Decompressor()
    parts, size, at = [], 0, 0
    try:
        while not decoder.is_finished() and (at < len(data) or not decoder.can_accept_more_data()):
            chunk = data[at : at + _STEP] if decoder.can_accept_more_data() else b""
            at += len(chunk)
            parts.append(decoder.process(chunk, output_buffer_limit=max_bytes + 1 - size))
            size += len(parts[-1])
            if size > max_bytes:
                raise _too_large(max_bytes)
    except brotli.error as error:
        raise BodyError("content_encoding_invalid", f"the body is no brotli ({error})") from error
    if not (decoder.is_finished() or is_truncated):
        raise BodyError("content_encoding_invalid", "the compressed body ends early")
    return b"".join(parts)


def _unzstd(data: bytes, max_bytes: int, is_truncated: bool) -> bytes:
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(data) as reader:
            found = reader.read(max_bytes + 1)
    except zstandard.ZstdError as error:
        raise BodyError("content_encoding_invalid", f"the body is no zstd ({error})") from error
    del is_truncated  # a cut frame gives what it holds
    if len(found) > max_bytes:
        raise _too_large(max_bytes)
    return found
