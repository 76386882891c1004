"""CC-100's text files: UTF-8, a paragraph a line, a blank line between pages, compressed as `.xz` or `.zst`.

Lines end in LF alone. Other characters at which some programs break lines (CR, U+0085, U+2028 and others) may stand inside a paragraph,
and stay: read with `newline="\\n"`.

`.xz` files are streams of 24 MiB of text each, one after the other, as the format allows; `xz`, Python's lzma and all that build on
liblzma read them as one file. Each is compressed by itself, so that the bytes do not depend on the number of threads. `.zst` files
are one frame, because some readers stop after the first; libzstd's multi-threaded mode, which is used with one thread too,
does not depend on their number either.
"""

import collections
import hashlib
import lzma
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import BinaryIO, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import zstandard

from cc100.shards.array_file import Writable

COMPRESSIONS = ("xz", "zst")
BLOCK_BYTES = 24 << 20  # three dictionaries of preset 6, as xz --threads takes
_XZ_PRESET, _ZSTD_LEVEL = 6, 12
_READ_BYTES = 8 << 20


class LineError(ValueError):
    """A paragraph is no line.

    Attributes:
        position: number of the paragraph in the array.
    """

    def __init__(self, position: int, what: str) -> None:
        super().__init__(what)
        self.position = position


def page_text(paragraphs: pa.ListArray) -> pa.Buffer:
    """Text of pages: paragraphs as lines, a blank line between pages, no line feed at the end.

    Args:
        paragraphs: list<string>[n], n > 0.

    Raises:
        LineError: a paragraph is empty or has a line feed, or a page has no paragraph.
    """
    pages = pc.binary_join(paragraphs, "\n")
    text = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(pages)], pa.int32()), pages), "\n\n")[0].as_buffer()
    flat = paragraphs.flatten()
    if pc.min(pc.list_value_length(paragraphs)).as_py() < 1:
        raise LineError(0, "a page has no paragraph")
    lengths = pc.binary_length(flat)
    if pc.min(lengths).as_py() < 1:
        raise LineError(pc.index(lengths, 0).as_py(), "a paragraph is empty")
    if np.count_nonzero(np.frombuffer(text, np.uint8) == 10) != len(flat) + len(pages) - 2:
        raise LineError(pc.index(pc.match_substring(flat, "\n"), True).as_py(), "a paragraph has a line feed")
    return text


class TextTotals:
    """Counts and SHA-256 of a text that passes by in pieces.

    Attributes:
        bytes: its size.
        lines: number of line feeds.
        pages: 1 + number of blank lines; 0 for no text.
    """

    def __init__(self) -> None:
        self._hash, self._after_feed = hashlib.sha256(), False
        self.bytes = self.lines = self._blank = 0

    def add(self, piece: bytes | pa.Buffer) -> None:
        """Count a piece."""
        data = np.frombuffer(piece, np.uint8)
        if not len(data):
            return
        feeds = data == 10
        self._hash.update(memoryview(piece))
        self.bytes += len(data)
        self.lines += int(np.count_nonzero(feeds))
        self._blank += int(np.count_nonzero(feeds[1:] & feeds[:-1])) + int(self._after_feed and feeds[0])
        self._after_feed = bool(feeds[-1])

    def facts(self) -> dict[str, int | str]:
        """`pages`, `paragraphs`, `text_bytes` (with line feeds) and `text_sha256`."""
        return {
            "pages": self._blank + 1 if self.bytes else 0,
            "paragraphs": self.lines - self._blank,
            "text_bytes": self.bytes,
            "text_sha256": self._hash.hexdigest(),
        }


class Compressor(Protocol):
    """Compresses a text that is written in pieces."""

    def write(self, piece: bytes | pa.Buffer) -> None:
        """Add a piece."""

    def close(self) -> None:
        """Write what is left; the stream below stays open."""


class XzCompressor:
    """Writes `.xz`: independent streams, compressed by the threads of a pool.

    Args:
        out: where the file goes.
        pool: threads that compress; None: this one.
        threads: number of its threads; at most twice as many blocks wait in memory.
        block_bytes: text in a stream.

    Attributes:
        stream_bytes: size of each stream that was written.
    """

    def __init__(
        self, out: Writable, pool: Executor | None = None, threads: int = 1, block_bytes: int = BLOCK_BYTES
    ) -> None:
        self._out, self._pool, self._most, self._block_bytes = out, pool, 2 * threads, block_bytes
        self._buffer = bytearray()
        self._waiting: collections.deque[Future[bytes]] = collections.deque()
        self.stream_bytes: list[int] = []

    def write(self, piece: bytes | pa.Buffer) -> None:
        """Add a piece."""
        self._buffer += memoryview(piece)
        begin = 0
        while len(self._buffer) - begin >= self._block_bytes:
            self._compress(bytes(memoryview(self._buffer)[begin : begin + self._block_bytes]))
            begin += self._block_bytes
        if begin:
            del self._buffer[:begin]

    def close(self) -> None:
        """Write what is left."""
        if self._buffer:
            self._compress(bytes(self._buffer))
            self._buffer.clear()
        while self._waiting:
            self._finish(self._waiting.popleft().result())

    def _compress(self, block: bytes) -> None:
        if self._pool is None:
            self._finish(_xz(block))
            return
        while len(self._waiting) >= self._most:
            self._finish(self._waiting.popleft().result())
        self._waiting.append(self._pool.submit(_xz, block))

    def _finish(self, stream: bytes) -> None:
        self._out.write(stream)
        self.stream_bytes.append(len(stream))


def _xz(block: bytes) -> bytes:
    return lzma.compress(block, lzma.FORMAT_XZ, lzma.CHECK_CRC64, _XZ_PRESET)


class ZstdCompressor:
    """Writes `.zst`: one frame with a checksum, compressed by libzstd's own threads.

    Args:
        out: where the file goes.
        threads: number of threads, at least 1.
    """

    def __init__(self, out: Writable, threads: int = 1) -> None:
        parameters = zstandard.ZstdCompressionParameters.from_level(_ZSTD_LEVEL, threads=threads, write_checksum=1)
        self._out = out
        self._stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()

    def write(self, piece: bytes | pa.Buffer) -> None:
        """Add a piece."""
        data = self._stream.compress(piece)
        if data:
            self._out.write(data)

    def close(self) -> None:
        """Write what is left."""
        self._out.write(self._stream.flush())


def decompressed(stream: BinaryIO, compression: str) -> Iterator[bytes]:
    """Text of a compressed file, in pieces.

    Args:
        stream: the file, open for reading.
        compression: `xz` or `zst`.

    Raises:
        ValueError: the file is damaged or was cut.
    """
    try:
        if compression == "xz":
            with lzma.LZMAFile(stream) as file:
                while piece := file.read(_READ_BYTES):
                    yield piece
        else:
            yield from _zstd_pieces(stream)
    except (lzma.LZMAError, zstandard.ZstdError, EOFError) as error:
        raise ValueError(str(error)) from error


def _zstd_pieces(stream: BinaryIO) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    while piece := stream.read(_READ_BYTES):
        if decompressor.eof:
            raise ValueError("there is more after the end of its frame")
        if text := decompressor.decompress(piece):
            yield text
    if not decompressor.eof or decompressor.unused_data:
        raise ValueError("it does not end where its frame does")


def decompressed_streams(stream: BinaryIO, sizes: Iterable[int], pool: Executor, threads: int) -> Iterator[bytes]:
    """Text of an `.xz` file whose streams are known, decompressed by several threads.

    Args:
        stream: the file, open for reading.
        sizes: bytes of its streams, as `XzCompressor.stream_bytes` has them.
        pool: threads that decompress.
        threads: their number; at most twice as many streams wait in memory.

    Raises:
        ValueError: the file is damaged or was cut, or has more.
    """
    waiting: collections.deque[Future[bytes]] = collections.deque()
    try:
        for size in sizes:
            waiting.append(pool.submit(lzma.decompress, stream.read(size), lzma.FORMAT_XZ))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        for future in waiting:
            yield future.result()
    except (lzma.LZMAError, EOFError) as error:
        raise ValueError(str(error)) from error
    if stream.read(1):
        raise ValueError("there is more after its last stream")
