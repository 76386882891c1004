"""The comparison of tokenizers: what is measured was in no sample, and samples are those of the job."""

import importlib
import json
import pathlib
import sys

import numpy as np
import pyarrow as pa
import pytest
import small_corpus

from cc100.tokenizer.sampling import copies, sampling_rates, shares, uniform
from cc100.tokenizer.settings import TokenizerSettings

sys.path.append(
    str(pathlib.Path(__file__).resolve().parents[2] / "benchmarks")
)  # scripts beside each other, not a package
quality = importlib.import_module("tokenizer_quality")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return small_corpus.make_corpus(tmp_path_factory.mktemp("corpus"), small_corpus.two_languages())


def test_held_out_paragraphs(corpus):
    texts = quality.read_text(str(corpus))
    assert set(texts) == {"xx", "el"}
    assert {code: len(text.lines) + len(text.held_out) for code, text in texts.items()} == {"xx": 300, "el": 120}
    for text in texts.values():
        assert len(text.ids) == len(text.lines)
        assert np.all(uniform(text.ids, quality.HELD_OUT_SEED) >= quality.HELD_OUT)
        assert 0.02 < len(text.held_out) / (len(text.lines) + len(text.held_out)) < 0.2
    assert not any("e\u0301".encode() in line for line in texts["xx"].lines + texts["xx"].held_out)


def test_sample(corpus, tmp_path):
    texts = quality.read_text(str(corpus))
    settings = TokenizerSettings(sample_paragraphs=150, alpha=0.5, seed=3)
    size = quality.write_sample(texts, settings, tmp_path / "sample.arrow")
    with pa.ipc.open_file(tmp_path / "sample.arrow") as reader:
        rows = reader.read_all().to_pylist()
    counts = {code: len(text.lines) for code, text in texts.items()}
    rates = sampling_rates(counts, shares(counts, 0.5), 150, 1)
    wanted = []
    for code in ("el", "xx"):
        taken = copies(texts[code].ids, rates[code], 3) == 1
        wanted += [line for line, is_taken in zip(texts[code].lines, taken, strict=True) if is_taken]
    assert [row["text"] for row in rows] == wanted
    assert all(row["copies"] == 1 for row in rows)
    assert 100 < len(wanted) < 200
    assert size["bytes"] == sum(map(len, wanted)) == sum(size["language_bytes"].values())


def test_results(repository):
    """The figures of docs/tokenizer.md: each choice changes one value, and training again gives the same model."""
    report = json.loads((repository / "benchmarks" / "results" / "tokenizer_quality.json").read_text())
    models = report["models"]
    assert list(models) == list(quality.CHOICES)
    assert models["alpha 0.3"]["model_sha256"] == models["alpha 0.3, again"]["model_sha256"]
    assert len({model["model_sha256"] for model in models.values()}) == len(models) - 1
    assert len({model["quality"]["languages"]["en"]["bytes"] for model in models.values()}) == 1
