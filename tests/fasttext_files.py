"""Small fastText model files, written byte by byte: the module that reads them cannot train any."""

import dataclasses
import functools
import pathlib
import struct
import tempfile

import numpy as np

from cc100.transforms.language_model import default_model_path

WORDS = {
    "</s>": 90, "de": 80, "the": 70, "longerword": 60, "и": 50, "日本": 40, "naïveté": 30, "a": 20, "<": 10, "x" * 40: 9,
    "12345678": 8, "123456789": 7, "__labelled": 6, "пространство": 5,
}  # fmt: skip
LABELS = {"en": 900, "fr": 500, "ru": 300, "ja": 200, "x-odd": 40, "uk": 40, "be": 3}


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a made model file says; weights follow from a fixed seed."""

    words: tuple[tuple[str, int], ...] = tuple(WORDS.items())
    labels: tuple[tuple[str, int], ...] = tuple(LABELS.items())
    dim: int = 5
    minn: int = 2
    maxn: int = 4
    bucket: int = 1000
    loss: int = 1  # hierarchical softmax
    kind: int = 3  # supervised
    word_ngrams: int = 1
    version: int = 12
    kept: int | None = None  # buckets left by pruning
    quantised: bool = False
    norms: bool = False
    quantised_output: bool = False
    scale: float = 1.0
    prefix: str = "__label__"

    def write(self, path: pathlib.Path) -> None:
        random = np.random.default_rng(20)
        arguments = (self.dim, 5, 5, 1, 5, self.word_ngrams, self.loss, self.kind, self.bucket, self.minn, self.maxn)
        data = [struct.pack("<2i12id", 793712314, self.version, *arguments, 100, 1e-4)]
        pruned = -1 if self.kept is None else self.kept
        data.append(
            struct.pack("<iiiqq", len(self.words + self.labels), len(self.words), len(self.labels), 10_000, pruned)
        )
        names = [*self.words, *((self.prefix + label, count) for label, count in self.labels)]
        for number, (name, count) in enumerate(names):
            data.append(name.encode() + b"\0" + struct.pack("<q?", count, number >= len(self.words)))
        if self.kept is not None:
            buckets = random.permutation(self.bucket)[: self.kept]
            data.append(np.stack([buckets, random.permutation(self.kept)], 1).astype("<i4").tobytes())
        rows = len(self.words) + (self.bucket if self.kept is None else self.kept)
        data.append(self._matrix(random, rows, self.quantised))
        data.append(self._matrix(random, len(self.labels), self.quantised and self.quantised_output))
        path.write_bytes(b"".join(data))

    def _matrix(self, random: np.random.Generator, rows: int, quantised: bool) -> bytes:
        def values(count: int) -> bytes:
            return (random.normal(size=count) * self.scale).astype("<f4").tobytes()

        if not quantised:
            return struct.pack("<?qq", False, rows, self.dim) + values(rows * self.dim)
        parts, last = -(-self.dim // 2), self.dim % 2 or 2
        codes = random.integers(0, 256, rows * parts, np.uint8).tobytes()
        data = struct.pack("<??qqi", True, self.norms, rows, self.dim, len(codes)) + codes
        data += struct.pack("<4i", self.dim, parts, 2, last) + values(256 * self.dim)
        if self.norms:
            data += random.integers(0, 256, rows, np.uint8).tobytes() + struct.pack("<4i", 1, 1, 1, 1) + values(256)
        return data


NATIVE = {
    "dense": Spec(),
    "no_end_of_line": Spec(words=tuple(WORDS.items())[1:], bucket=300),
    "one_to_two": Spec(minn=1, maxn=2, dim=1, bucket=7),
    "three_to_six": Spec(minn=3, maxn=6, dim=16, bucket=5000),
    "zero_to_one": Spec(minn=0, maxn=1, dim=9),
    "words_only": Spec(minn=0, maxn=0, bucket=0),
    "old_version": Spec(version=11, minn=0, maxn=0, bucket=0),
    "impossible_ngrams": Spec(minn=5, maxn=3),
    "pruned": Spec(quantised=True, kept=400),
    "pruned_to_words": Spec(quantised=True, kept=0),
    "pruned_norms": Spec(quantised=True, kept=700, norms=True, dim=6),
    "quantised": Spec(quantised=True, quantised_output=True, norms=True),
    "power_of_two": Spec(bucket=1024),
    "one_bucket": Spec(bucket=1),
    "equal_labels": Spec(scale=0.0),
    "confident": Spec(scale=40.0),
    "one_label": Spec(labels=(("en", 1),)),
    "two_labels": Spec(labels=(("en", 7), ("fr", 7))),
    "other_prefix": Spec(prefix="__class__"),
}
FALLBACK = {
    "softmax": Spec(loss=3),
    "one_vs_all": Spec(loss=4),
    "word_ngrams": Spec(word_ngrams=2),
    "quantised_softmax": Spec(loss=3, quantised=True, kept=400),
    "long_ngrams": Spec(maxn=40),
}


@functools.cache
def folder() -> pathlib.Path:
    holder = tempfile.TemporaryDirectory()
    folder.holder = holder  # type: ignore[attr-defined]  # removed when the process ends
    return pathlib.Path(holder.name)


@functools.cache
def path_of(name: str) -> str:
    if name == "lid.176":
        return default_model_path()
    path = folder() / f"{name}.bin"
    (NATIVE | FALLBACK)[name].write(path)
    return str(path)
