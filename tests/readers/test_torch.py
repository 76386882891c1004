"""Readers that need torch, with the real packages. Every block is that of docs/readers.md."""

import json

import numpy as np
import pytest
from reader_support import need


def test_megatron_reads_every_pair(out, pairs):
    need("megatron.core")
    from megatron.core.datasets.indexed_dataset import DType, IndexedDataset

    assert len(pairs) > 3
    for prefix, pair in pairs.items():
        dataset = IndexedDataset(str(out / "tokens" / prefix))
        assert dataset.index.dtype == np.int32
        assert len(dataset) == len(pair)
        assert np.array_equal(dataset.document_indices, pair.documents)
        for number in range(len(pair)):
            assert np.array_equal(dataset[number], pair[number])
    assert DType.optimal_dtype(250_002) == np.int32


def test_megatron_writes_the_same_bytes(out, pairs, tmp_path):
    need("megatron.core")
    import torch
    from megatron.core.datasets.indexed_dataset import DType, IndexedDatasetBuilder

    pair = pairs["de/train-00000"]
    builder = IndexedDatasetBuilder(str(tmp_path / "x.bin"), dtype=DType.optimal_dtype(250_002))
    for first, last in zip(pair.documents[:-1], pair.documents[1:], strict=True):
        for number in range(first, last):
            builder.add_item(torch.from_numpy(pair[number].copy()))
        builder.end_document()
    builder.finalize(str(tmp_path / "x.idx"))
    for suffix in (".bin", ".idx"):
        written = (tmp_path / f"x{suffix}").read_bytes()
        assert written == pair.prefix.with_name(pair.prefix.name + suffix).read_bytes()


def test_megatron_blends_by_our_weights(snippet, out, pairs):
    need("megatron.core")
    import torch

    try:
        names = snippet("Megatron")
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    assert np.array_equal(names["paragraph"], pairs["de/train-00000"][7])
    train, blends = names["train"], names["blends"]
    weights = np.array([float(weight) for weight in blends["train"][::2]])
    drawn = np.bincount(train.dataset_index[:2000], minlength=len(weights)) / 2000
    assert np.abs(drawn - weights).max() <= 1 / 2000
    languages = json.loads((out / "tokens/manifest.json").read_bytes())["languages"]
    for code, entry in languages.items():
        mine = [at for at, prefix in enumerate(blends["train"][1::2]) if f"/{code}/train-" in prefix]
        assert drawn[mine].sum() == pytest.approx(entry["probability"], abs=len(mine) / 2000)
    sample = train[0]["tokens"].numpy()
    assert sample.shape == (64,)
    part = pairs["/".join(blends["train"][1::2][train.dataset_index[0]].split("/")[-2:])]
    paragraphs = {pair_line.tobytes() for pair_line in (part[number] for number in range(len(part)))}
    ends = np.flatnonzero(sample == 2)
    if len(ends) > 1:
        assert sample[ends[0] + 1 : ends[1] + 1].astype("<i4").tobytes() in paragraphs
    assert not (out / "tokens/de/train-00000").exists()


def test_olmo_core_reads_the_bin_file_as_it_is(snippet, pairs):
    need("olmo_core")
    names, tokens = snippet("OLMo-core"), pairs["de/train-00000"].tokens
    dataset = names["dataset"]
    assert len(dataset) == len(tokens) // 64
    for number in range(len(dataset)):
        assert dataset[number]["input_ids"].tolist() == tokens[64 * number : 64 * number + 64].tolist()


def test_datatrove(snippet, out, pairs):
    need("datatrove")
    names, pair = snippet("datatrove and Nanotron"), pairs["de/train-00000"]
    file = names["file"]
    position = np.concatenate(
        [
            np.arange(pair.starts[last] - pair.starts[first])
            for first, last in zip(pair.documents[:-1], pair.documents[1:], strict=True)
        ]
    )
    assert len(file) == len(pair.tokens) // 64
    for number in range(len(file)):
        window = file[number]
        begin = 64 * number
        assert window["input_ids"].tolist() == pair.tokens[begin : begin + 64].tolist()
        expected = np.minimum(position[begin : begin + 64], np.arange(64))  # a window begins at 0
        assert window["positions"].tolist() == expected.tolist()
    parts = [part for prefix, part in pairs.items() if prefix.startswith("de/train-")]
    assert len(names["folder"]) == sum(len(part.tokens) // 64 for part in parts)


def test_metadata_of_datatrove(out, pairs):
    need("datatrove")
    import humanize

    for prefix, pair in pairs.items():
        language, _, name = prefix.partition("/")
        split, _, part = name.partition("-")
        text = (out / f"export/datatrove/{language}/{split}/{part}.ds.metadata").read_text()
        assert text.split("\n")[1:] == [str(len(pair.tokens)), humanize.metric(len(pair.tokens), unit="T")]


def test_litdata(snippet, out, pairs):
    need("litdata")
    before = sorted(path.name for path in (out / "export/litdata/de/train").iterdir())
    names = snippet("litdata")
    tokens = [
        part.tokens[: len(part.tokens) // 64 * 64] for prefix, part in pairs.items() if prefix.startswith("de/train-")
    ]
    found = np.concatenate([np.asarray(block) for block in names["dataset"]])
    assert found.dtype == np.int32
    assert np.array_equal(found, np.concatenate(tokens))
    assert np.array_equal(names["block"], found[:64])
    assert sorted(path.name for path in (out / "export/litdata/de/train").iterdir()) == before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_megatron_does_not_open_an_index_of_fairseq(out):
    need("megatron.core")
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    with pytest.raises(ValueError, match="buffer"):
        IndexedDataset(str(out / "export/fairseq/de/train"))
