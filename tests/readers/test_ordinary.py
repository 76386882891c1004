"""Readers of the ordinary environment: NumPy, Hugging Face datasets and transformers, lzma. Every block is that of a page."""

import json

import numpy as np
import pytest
from reader_support import need


@pytest.mark.parametrize(
    ("page", "heading"), [("docs/readers.md", "NumPy"), ("README.md", "What reads the token arrays")]
)
def test_numpy(snippet, pairs, page, heading):
    names, pair = snippet(heading, page), pairs["de/train-00000"]
    assert names["paragraph"].tolist() == pair[7].tolist()
    assert names["paragraph"][-1] == 2
    assert len(names["tokens"]) == len(pair.tokens)
    if "first" in names:
        assert names["first"].tolist() == pair.documents.tolist()


def test_numpy_with_random_access(snippet, pairs):
    names = snippet("NumPy", number=1)
    assert np.array_equal(names["tokens"], pairs["de/train-00000"].tokens)
    assert names["batch"].shape == (8, 64)


def test_languages_are_drawn_by_the_manifest(snippet, out):
    names = snippet("How often to read a language")
    assert sum(names["probabilities"]) == pytest.approx(1)
    counts = np.bincount(names["drawn"], minlength=len(names["codes"])) / 1000
    assert np.abs(counts - names["probabilities"]).max() < 0.06


def test_ids_are_those_of_the_tokenizer(snippet, pairs, monkeypatch):
    need("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    names = snippet("NumPy", number=2)
    text, pair = names["text"], pairs["de/train-00000"]
    assert text.count("</s>") == int(np.sum(pair.tokens[:40] == 2))
    lines = [names["tokenizer"].decode(pair[number][:-1]) for number in range(20)]
    again = names["tokenizer"](lines, add_special_tokens=False)["input_ids"]
    same = [ids == pair[number][:-1].tolist() for number, ids in enumerate(again) if 3 not in pair[number]]
    assert len(same) > 5
    assert all(same)


def test_hugging_face_datasets(snippet, out, monkeypatch, tmp_path):
    need("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets
    import pyarrow.dataset

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    names = snippet("Hugging Face datasets")
    rows = pyarrow.dataset.dataset(out / "shards", partitioning="hive").to_table(
        filter=pyarrow.dataset.field("language") == "de"
    )
    assert [page["record_id"] for page in names["pages"]] == rows["record_id"].to_pylist()
    assert names["text"] == "\n".join(rows["paragraphs"][0].as_py())
    whole = datasets.load_dataset(
        "parquet", data_dir=str(out / "shards"), split="train", cache_dir=str(tmp_path / "all")
    )
    manifest = json.loads((out / "manifest.json").read_bytes())
    assert len(whole) == sum(entry["pages"] for entry in manifest["languages"].values())


def test_text_files(snippet, out):
    pages = snippet("CC-100's text files")["pages"]
    entry = json.loads((out / "manifest.json").read_bytes())["languages"]["de"]
    assert len(pages) == entry["pages"]
    assert sum(map(len, pages)) == entry["paragraphs"]
    assert all(line for page in pages for line in page)
