"""What the tests of readers share; needs nothing but NumPy and pytest."""

import importlib
import importlib.util
import os
import pathlib
from typing import Any

import numpy as np
import pytest

REQUIRED = os.environ.get("CC100_READERS") == "required"


def need(package: str) -> None:
    """Skip a test where a package is not installed; fail where all have to be."""
    if REQUIRED:
        importlib.import_module(package)
    elif importlib.util.find_spec(package.partition(".")[0]) is None:
        pytest.skip(f"{package} is not installed here: make readers-test")


class Pair:
    """A pair of token files, read by the documented layout alone."""

    def __init__(self, prefix: pathlib.Path) -> None:
        data = prefix.with_name(prefix.name + ".idx").read_bytes()
        self.prefix = prefix
        sequences, documents = np.frombuffer(data, "<u8", 2, 18).astype(int).tolist()
        self.lengths = np.frombuffer(data, "<i4", sequences, 34)
        self.starts = np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])
        self.documents = np.frombuffer(data, "<i8", documents, 34 + 12 * sequences)
        self.tokens = np.fromfile(prefix.with_name(prefix.name + ".bin"), "<i4")

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, number: int) -> Any:
        return self.tokens[self.starts[number] : self.starts[number + 1]]
