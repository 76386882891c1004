"""Reader of fastText's binary model files (`.bin` and `.ftz`).

The format is that of fastText 0.9 (`FastText::saveModel`, `Dictionary::save`, `QuantMatrix::save`; file version 12; in
version 11 supervised models have no character n-grams): arguments, dictionary, input matrix, output matrix, all
little-endian. Source: https://github.com/facebookresearch/fastText/tree/main/src
"""

import dataclasses
import struct
from typing import NoReturn, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

LABEL_PREFIX = b"__label__"  # fastText's default; the file does not say which one was used
END_OF_LINE = b"</s>"
MAGIC = 793712314
NEWEST_VERSION = 12
LOSSES = {1: "hs", 2: "ns", 3: "softmax", 4: "ova"}
KINDS = {1: "cbow", 2: "skipgram", 3: "supervised"}
CENTROIDS = 256  # per sub-quantiser

FloatArray: TypeAlias = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Quantiser:
    """Product quantiser: the centroids of every sub-vector of a row.

    Attributes:
        dim: Length of a row.
        length: Length of a sub-vector; the last one may be shorter.
        centroids: float32[256 * dim]; per sub-vector its 256 centroids one after another.
    """

    dim: int
    length: int
    centroids: FloatArray

    def expand(self, codes: npt.NDArray[np.uint8]) -> FloatArray:
        """Rows, float32[n, dim], from the numbers of their centroids, uint8[n, sub-vectors]."""
        rows = np.empty((len(codes), self.dim), np.float32)
        for part, first in enumerate(range(0, self.dim, self.length)):
            last = min(first + self.length, self.dim)
            table = self.centroids[CENTROIDS * first : CENTROIDS * last].reshape(CENTROIDS, last - first)
            rows[:, first:last] = table[codes[:, part]]
        return rows


@dataclasses.dataclass(frozen=True)
class QuantisedMatrix:
    """Matrix of `shape` as centroid numbers, uint8[n, sub-vectors], with float32[n] norms of the rows or None."""

    shape: tuple[int, int]
    codes: npt.NDArray[np.uint8]
    quantiser: Quantiser
    norms: FloatArray | None

    def expand(self) -> FloatArray:
        """The rows in full, float32[n, dim], rounded as fastText rounds them when it adds a row."""
        rows = self.quantiser.expand(self.codes)
        if self.norms is not None:
            rows *= self.norms[:, None]
        return rows


Matrix: TypeAlias = FloatArray | QuantisedMatrix
_Value = TypeVar("_Value", bound=np.generic)


@dataclasses.dataclass(frozen=True)
class FastTextModel:
    """What a fastText model file says.

    Attributes:
        kind: "supervised", "skipgram" or "cbow".
        loss: "hs", "ns", "softmax" or "ova".
        word_ngrams: Longest word n-gram.
        bucket: Number of hash buckets of character n-grams.
        minn: Shortest character n-gram, in characters.
        maxn: Longest character n-gram; 0: none.
        entries: The dictionary: `words` words, then the labels with their prefix.
        counts: int64[len(entries)], occurrences in the training text.
        words: Number of words.
        kept: int32[n, 2] of a pruned model: bucket and the row after those of the words that holds it; None: every
            bucket has its own row.
        input: Rows of words and buckets, a float32[n, dim] view of the mapped file if dense.
        output: Rows of the classifier.
    """

    kind: str
    loss: str
    word_ngrams: int
    bucket: int
    minn: int
    maxn: int
    entries: list[bytes]
    counts: npt.NDArray[np.int64]
    words: int
    kept: npt.NDArray[np.int32] | None
    input: Matrix
    output: Matrix

    @property
    def labels(self) -> list[bytes]:
        """The labels with their prefix."""
        return self.entries[self.words :]


def read_fasttext_model(path: str) -> FastTextModel:
    """Reads a fastText model file.

    Dense matrices stay in the file, which is mapped into memory, so that processes of one machine share them.

    Args:
        path: A local file.

    Raises:
        OSError: The file cannot be opened.
        ValueError: It is no fastText model, or a damaged one; says which file, what was found, and what to do.
    """
    return _Reader(path).read()


class _Reader:
    """Cursor over the bytes of a model file."""

    def __init__(self, path: str) -> None:
        self._path = path
        with open(path, "rb") as stream:  # an empty file cannot be mapped
            mapped = np.memmap(stream, np.uint8, "r") if stream.seek(0, 2) else np.zeros(0, np.uint8)
        self._data: npt.NDArray[np.uint8] = np.asarray(mapped)
        self._at = 0

    def read(self) -> FastTextModel:
        version = self._header()
        dim, _, _, _, _, word_ngrams, loss, kind, bucket, minn, maxn, _, _ = self._unpack("<12id", "the arguments")
        if loss not in LOSSES or kind not in KINDS or dim < 1 or bucket < 0:
            self._fail(f"its arguments are out of range (loss {loss}, model {kind}, dim {dim}, bucket {bucket})")
        if version == 11 and KINDS[kind] == "supervised":
            maxn = 0
        entries, counts, words, kept = self._dictionary()
        quantised = self._flag("the kind of the input matrix")
        rows = self._matrix(quantised, dim, "the input matrix")
        quantised_output = self._flag("the kind of the output matrix") and quantised
        output = self._matrix(quantised_output, dim, "the output matrix")
        if kept is not None and not quantised:
            self._fail("it is pruned but not quantised, an early form that fastText itself refuses")
        used = bucket if maxn > 0 else 0
        needed = words + (used if kept is None else int(kept[:, 1].max(initial=-1)) + 1)
        if kept is not None and len(kept) and kept.min() < 0:
            self._fail("its table of pruned buckets has negative entries")
        if rows.shape[0] < needed or (maxn > 0 and bucket == 0):
            self._fail(f"its input matrix has {rows.shape[0]} rows for {words} words and {used} buckets")
        if KINDS[kind] == "supervised" and output.shape[0] < len(entries) - words:
            self._fail(f"its output matrix has {output.shape[0]} rows for {len(entries) - words} labels")
        return FastTextModel(
            KINDS[kind], LOSSES[loss], word_ngrams, bucket, minn, maxn, entries, counts, words, kept, rows, output
        )

    def _header(self) -> int:
        head = self._data[:8].tobytes()
        if len(head) < 8 or struct.unpack("<i", head[:4])[0] != MAGIC:
            start = self._data[:24].tobytes()
            self._fail(f"it has {len(self._data):,} bytes and starts with {start!r}, not with fastText's magic number")
        version = struct.unpack("<i", head[4:])[0]
        if version > NEWEST_VERSION:
            self._fail(f"its format version is {version}, the newest known one is {NEWEST_VERSION}")
        self._at = 8
        return int(version)

    def _dictionary(self) -> tuple[list[bytes], npt.NDArray[np.int64], int, npt.NDArray[np.int32] | None]:
        size, words, labels, _, pruned = self._unpack("<iiiqq", "the dictionary's header")
        if min(size, words, labels) < 0 or words + labels != size:
            self._fail(f"its dictionary has {size} entries, {words} words and {labels} labels")
        # Entries are found with bytes.find, which needs a real bytes object: a window of them at a time.
        entries, counts, window, base = [], [], b"", self._at
        for number in range(size):
            end = window.find(b"\0", self._at - base)
            if end < 0 or end + 10 > len(window):
                base, window = self._at, self._data[self._at : self._at + (1 << 20)].tobytes()
                end = window.find(b"\0")
            if end < 0 or end + 10 > len(window):
                self._fail(f"it ends within word {number} of its dictionary")
            count, is_label = struct.unpack_from("<q?", window, end + 1)
            if is_label != (number >= words):
                self._fail("its dictionary has labels among the words")
            entries.append(window[self._at - base : end])
            counts.append(count)
            self._at = base + end + 10
        kept = None
        if pruned >= 0:
            kept = self._array(np.int32, 2 * pruned, "the table of pruned buckets").reshape(-1, 2)
        return entries, np.array(counts, np.int64), words, kept

    def _matrix(self, quantised: bool, dim: int, what: str) -> Matrix:
        norms_quantised = quantised and self._flag(what)
        rows, columns = self._unpack("<qq", what)
        if rows < 0 or columns != dim:
            self._fail(f"{what} has {rows} rows of {columns} values, expected {dim}")
        if not quantised:
            return self._array(np.float32, rows * columns, what).reshape(rows, columns)
        (size,) = self._unpack("<i", what)
        codes = self._array(np.uint8, size, what)
        quantiser, parts = self._quantiser(dim, what)
        if size != rows * parts:
            self._fail(f"{what} has {size} codes for {rows} rows of {parts}")
        norms = None
        if norms_quantised:
            norm_codes = self._array(np.uint8, rows, what).reshape(rows, 1)
            norms = self._quantiser(1, what)[0].expand(norm_codes)[:, 0]
        return QuantisedMatrix((rows, columns), codes.reshape(rows, parts), quantiser, norms)

    def _quantiser(self, dim: int, what: str) -> tuple[Quantiser, int]:
        found, parts, length, last = self._unpack("<4i", what)
        if found != dim or length < 1 or parts != -(-dim // length) or last != dim - (parts - 1) * length:
            self._fail(f"the quantiser of {what} has {parts} parts of {length} and {last} for {found} values")
        return Quantiser(dim, length, self._array(np.float32, CENTROIDS * dim, what)), parts

    def _flag(self, what: str) -> bool:
        return bool(self._unpack("<?", what)[0])

    def _unpack(self, layout: str, what: str) -> tuple[int, ...]:
        data = self._take(struct.calcsize(layout), what)
        return struct.unpack(layout, data.tobytes())

    def _array(self, dtype: type[_Value], count: int, what: str) -> npt.NDArray[_Value]:
        stored = np.dtype(dtype).newbyteorder("<")
        data = self._take(count * stored.itemsize, what)
        return np.require(data.view(stored), dtype, "A")  # copied only where it is not aligned

    def _take(self, size: int, what: str) -> npt.NDArray[np.uint8]:
        if size < 0 or self._at + size > len(self._data):
            self._fail(f"it has {len(self._data):,} bytes and ends within {what}, which reaches to {self._at + size:,}")
        self._at += size
        return self._data[self._at - size : self._at]

    def _fail(self, found: str) -> NoReturn:
        raise ValueError(
            f"{self._path} is not a usable fastText model: {found}. Give a complete file as fastText saves it (.bin or "
            ".ftz), such as lid.176.ftz from https://fasttext.cc/docs/en/language-identification.html"
        )
