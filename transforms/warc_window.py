"""The decoded bytes of a stored WARC file as a window that moves over them, segment by segment."""

import bisect
import re
import sys
from collections.abc import Iterator

from cc100.transforms.decompress import Fault, Piece

LOOK_AHEAD = 64  # bytes: longer than all that is looked for at a record's start and behind its end
HEADER = re.compile(rb"WARC/\d\.\d[ \t]{0,8}\r?\n(?:[Ww][Aa][Rr][Cc]|[Cc][Oo][Nn][Tt][Ee][Nn][Tt])-")
"""Where a record begins: its version line and the first letters of a field."""


class Window:
    """The part of the decoded bytes that is being read, within one segment: pieces without a loss between them.

    Attributes:
        data: Decoded bytes.
        pos: Index in `data` of the next byte to read.
        is_last: True where nothing of the segment follows `data`.
        fault: Why the segment ends, if not with the file; known where `is_last`.
        suspect: Index in `data` from which on bytes may be wrong.
    """

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self._pieces = pieces
        self._is_done = False
        self.next_segment()

    def next_segment(self) -> bool:
        """Move behind the segment; False at the end of the file."""
        self.data = b""
        self.pos = 0
        self.is_last = self._is_done
        self.fault: Fault | None = None
        self.suspect = sys.maxsize
        self._starts: list[int] = []  # where pieces begin in `data`, ...
        self._loaded: list[Piece] = []  # ... and these pieces
        return not self._is_done

    def need(self, size: int) -> bool:
        """Have `size` bytes from the position on, or all that are left in the segment; False where there are none."""
        have = len(self.data) - self.pos
        if have < size and not self.is_last:
            self._load(max(size, 2 * have))  # twice as many, so that a byte is moved a bounded number of times
            have = len(self.data)
        return have > 0

    def _load(self, size: int) -> None:
        """Give up what was read, and load pieces until `size` bytes are there."""
        have = len(self.data) - self.pos
        parts: list[bytes] = []
        if have:
            first = bisect.bisect_right(self._starts, self.pos) - 1
            self._starts = [start - self.pos for start in self._starts[first:]]
            self._loaded = self._loaded[first:]
            parts.append(self.data[self.pos :])
        else:
            self._starts, self._loaded = [], []
        while have < size and not self.is_last:
            piece = next(self._pieces, None)
            if piece is None:
                self._is_done = self.is_last = True
                break
            self._starts.append(have)
            self._loaded.append(piece)
            if piece.fault is not None:
                self.is_last = True
                self.fault = piece.fault
                self.suspect = have if piece.fault.is_suspect else sys.maxsize
            parts.append(piece.data)
            have += len(piece.data)
        self.data = parts[0] if len(parts) == 1 else b"".join(parts)
        self.pos = 0

    def stored_offset(self) -> int:
        """Offset in the stored file of the member that holds the position, or, in a plain file, of the position."""
        index = bisect.bisect_right(self._starts, self.pos) - 1
        piece = self._loaded[index]
        return piece.offset + self.pos - self._starts[index] if piece.is_plain else piece.offset

    def skip_to_header(self) -> int:
        """Move to the next record header, or to the end of the segment; returns how many bytes were passed."""
        passed = 0
        while True:
            match = HEADER.search(self.data, self.pos)
            if match is not None:
                end = match.start()
            else:
                end = len(self.data) if self.is_last else max(self.pos, len(self.data) - LOOK_AHEAD)
            passed += end - self.pos
            self.pos = end
            if match is not None or self.is_last:
                return passed
            self.need(LOOK_AHEAD + 1)

    def find_header(self, begin: int, limit: int) -> int:
        """Bytes to the first header that is at least `begin` bytes on, or to the segment's end; -1 if over `limit`."""
        while True:
            match = HEADER.search(self.data, self.pos + begin)
            have = (len(self.data) if match is None else match.start()) - self.pos
            if have > limit:
                return -1
            if match is not None or self.is_last:
                return have
            begin = max(begin, have - LOOK_AHEAD)
            self.need(have + 1)
