"""The reader of model files, and the dictionary."""

import pathlib
import struct

import numpy as np
import pytest
from fasttext_files import NATIVE, Spec, folder, path_of
from hypothesis import given, settings
from hypothesis import strategies as st

from cc100.transforms.fasttext_dictionary import make_dictionary
from cc100.transforms.fasttext_model import read_fasttext_model
from cc100.transforms.language_model import LanguageModel


def test_dictionary_of_many_words() -> None:
    """Every entry lies in one of its two places, also where the table has to grow."""
    entries = [f"{number:x}".encode() * (1 + number % 5) for number in range(20_000)] + [b"__label__en"]
    dictionary = make_dictionary(entries, 20_000)
    mask, keys = np.uint64(len(dictionary.slots) - 1), dictionary.keys[:-1]
    places = np.stack([dictionary.slots[keys & mask], dictionary.slots[keys >> np.uint64(32) & mask]])
    first = {entry: number for number, entry in reversed(list(enumerate(entries)))}
    assert (places == [first[entry] for entry in entries]).any(axis=0).all()


def is_mapped(array: np.ndarray | None) -> bool:
    return array is not None and (isinstance(array, np.memmap) or is_mapped(array.base))


def test_matrices_of_dense_models_stay_in_the_file(tmp_path: pathlib.Path) -> None:
    aligned = []
    for shift in range(4):
        path = tmp_path / f"{shift}.bin"
        Spec(words=(("w" * (shift + 1), 1),)).write(path)
        model = read_fasttext_model(str(path))
        aligned.append(is_mapped(model.input))
        assert model.input.shape == (1 + 1000, 5)
    assert sum(aligned) == 1  # the others start at no multiple of four bytes


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "has 0 bytes"),
        (b"abc", "starts with b'abc'"),
        (b"<!DOCTYPE html><html><body>Not found", "DOCTYPE"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs"),
        (struct.pack("<2i", 793712314, 13), "format version is 13"),
        (struct.pack("<2i", 793712314, 12), "ends within the arguments"),
    ],
)
def test_other_files_are_refused(tmp_path: pathlib.Path, content: bytes, found: str) -> None:
    path = tmp_path / "model.ftz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.ftz is not a usable fastText model.*lid\.176\.ftz") as error:
        LanguageModel.load(str(path))
    assert found in str(error.value)


def test_missing_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.ftz"):
        LanguageModel.load(str(tmp_path / "none.ftz"))


@pytest.mark.parametrize("name", ["dense", "pruned_norms", "quantised"])
def test_truncated_files_are_refused(name: str, tmp_path: pathlib.Path) -> None:
    content, path = pathlib.Path(path_of(name)).read_bytes(), tmp_path / "cut.bin"
    for size in [*range(0, 600, 7), *range(600, len(content), 997), len(content) - 1]:
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"cut\.bin is not a usable fastText model"):
            read_fasttext_model(str(path))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["dense", "pruned_norms"]), st.booleans(), st.integers(8, 500), st.integers(0, 255))
def test_damaged_headers_are_refused_or_read(name: str, in_matrix: bool, at: int, value: int) -> None:
    spec, content = NATIVE[name], bytearray(pathlib.Path(path_of(name)).read_bytes())
    rows = len(spec.words) + (spec.bucket if spec.kept is None else spec.kept)
    matrix = content.index(struct.pack("<qq", rows, spec.dim)) - 2
    content[matrix + at % 24 if in_matrix else at] = value
    path = folder() / "damaged.bin"
    path.write_bytes(content)
    try:
        model = read_fasttext_model(str(path))
    except ValueError as error:
        message = str(error)
    else:
        message = f"{path} has {len(model.entries)} entries"
    assert message.startswith(str(path))


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        (Spec(kind=2), "a fastText skipgram model"),
        (Spec(kind=1), "a fastText cbow model"),
        (Spec(labels=()), "with 0 labels"),
        (Spec(kept=300), "pruned but not quantised"),
        (Spec(bucket=0), "0 buckets"),
        (Spec(loss=9), "loss 9"),
    ],
)
def test_unusable_models_are_refused(tmp_path: pathlib.Path, spec: Spec, found: str) -> None:
    path = tmp_path / "other.bin"
    spec.write(path)
    with pytest.raises(ValueError, match=r"other\.bin.*lid\.176\.ftz") as error:
        LanguageModel.load(str(path))
    assert found in str(error.value)
