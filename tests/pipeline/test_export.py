"""`cc100 export`: what is in the folders, resuming, verification."""

import hashlib
import itertools
import json
import lzma
import os
import shutil

import numpy as np
import pytest
import zstandard
from export_runs import TOKEN_FORMATS, content, run, spoil, state

from cc100.pipeline import export_target, export_tokens
from cc100.pipeline.cli import EXPORT_FORMATS
from cc100.pipeline.export import FORMATS
from cc100.shards.errors import ConfigurationError, DamagedFileError
from cc100.shards.token_arrays import TokenArrays
from cc100.transforms.storage import Storage


def tokens_manifest(folder):
    return json.loads((folder / "tokens/manifest.json").read_bytes())


def arrays(folder, language, split):
    """Tokens of a language and split, by part."""
    found = sorted((folder / "tokens" / language).glob(f"{split}-*.bin"))
    return [TokenArrays(str(path.with_suffix(""))) for path in found]


def test_the_command_line_offers_all_formats():
    assert EXPORT_FORMATS == FORMATS


# --- Contents -----------------------------------------------------------------------------------------------------------


class FairseqItems:
    """fairseq's `MMapIndexedDataset`, by the documented layout of its index."""

    def __init__(self, prefix):
        data = prefix.with_name(prefix.name + ".idx").read_bytes()
        assert data[:18] == b"MMIDIDX\0\0" + (1).to_bytes(8, "little") + b"\4"
        items = int.from_bytes(data[18:26], "little")
        self.sizes = np.frombuffer(data, "<i4", items, 26)
        self.pointers = np.frombuffer(data, "<i8", items, 26 + 4 * items)
        self.trailing_bytes = len(data) - 26 - 12 * items
        self.tokens = prefix.with_name(prefix.name + ".bin").read_bytes()

    def __getitem__(self, number):
        return np.frombuffer(self.tokens, "<i4", self.sizes[number], self.pointers[number])


def test_fairseq_reads_every_line(out):
    run(out, "fairseq")
    root = out / "export/fairseq"
    assert sorted(name for name in os.listdir(root) if (root / name).is_dir()) == ["de", "sw", "zh-Hant"]
    assert sorted(os.listdir(root / "de")) == [
        "train.bin", "train.idx", "train1.bin", "train1.idx", "train2.bin", "train2.idx", "valid.bin", "valid.idx",
    ]  # fmt: skip
    assert sorted(os.listdir(root / "sw")) == ["train.bin", "train.idx"]
    for language in ("de", "sw", "zh-Hant"):
        for number, part in enumerate(arrays(out, language, "train")):
            items = FairseqItems(root / language / f"train{number or ''}")
            assert (len(items.sizes), items.trailing_bytes) == (len(part), 0)
            assert all(np.array_equal(items[at], part[at]) for at in range(len(part)))
    valid = [sequence for part in arrays(out, "de", "valid") for sequence in part]
    items = FairseqItems(root / "de/valid")
    assert [items[at].tolist() for at in range(len(items.sizes))] == [sequence.tolist() for sequence in valid]
    assert len(arrays(out, "de", "valid")) > 1
    assert (root / "dict.txt").read_bytes() == (out / "tokenizer/dict.txt").read_bytes()


def test_fairseq_would_read_garbage_from_an_index_of_megatron(made):
    """Why the two never share a prefix: nothing that fairseq looks at tells them apart."""
    part = arrays(made[0], "de", "train")[0]
    items = FairseqItems(made[0] / "tokens/de/train-00000")
    assert items.sizes[:2].tolist() == [len(part.index.documents), 0]
    assert items.sizes[2:].tolist() == part.index.lengths[:-2].tolist()


def test_datatrove_has_the_documents(out):
    run(out, "datatrove")
    for split in ("train", "valid"):
        for number, part in enumerate(arrays(out, "zh-Hant", split)):
            path = out / f"export/datatrove/zh-Hant/{split}/{number:05d}.ds"
            assert path.read_bytes() == part.tokens.tobytes()
            ends = np.frombuffer(path.with_name(path.name + ".index").read_bytes(), "<u8")
            assert len(ends) == len(part.index.documents) - 1
            assert ends[-1] == len(part.tokens)
            assert np.array_equal(ends, np.cumsum([len(part.document(at)) for at in range(len(ends))]))
            lines = path.with_name(path.name + ".metadata").read_text().split("\n")
            assert lines[0].endswith("|4")
            assert lines[1] == str(len(part.tokens))


def test_chunks_of_litdata_have_all_tokens(out, monkeypatch):
    cut = export_tokens.litdata_cuts
    monkeypatch.setattr(export_tokens, "litdata_cuts", lambda index: cut(index, 2000))
    run(out, "litdata")
    folder = out / "export/litdata/de/train"
    listed = json.loads((folder / "index.json").read_bytes())["chunks"]
    assert len(listed) == len(list(folder.glob("*.bin"))) > 6
    found = b""
    for chunk in listed:
        data = (folder / chunk["filename"]).read_bytes()
        assert np.frombuffer(data, "<u4", 3).tolist() == [1, 12, len(data)]
        assert (chunk["chunk_bytes"], chunk["dim"] * 4 + 12) == (len(data), len(data))
        found += data[12:]
    assert found == b"".join(part.tokens.tobytes() for part in arrays(out, "de", "train"))


def test_blend_for_megatron(out):
    run(out, "megatron-blend")
    blends = json.loads((out / "export/megatron-blend/per-split.json").read_bytes())
    probability = {code: entry["probability"] for code, entry in tokens_manifest(out)["languages"].items()}
    for split in ("train", "valid"):
        weights, prefixes = [float(weight) for weight in blends[split][::2]], blends[split][1::2]
        pairs = [TokenArrays(prefix) for prefix in prefixes]
        assert sum(weights) == pytest.approx(1)
        present = {code for code in probability if arrays(out, code, split)}
        for code in present:
            mine = [at for at, prefix in enumerate(prefixes) if f"/tokens/{code}/{split}-" in prefix]
            share = probability[code] / sum(probability[other] for other in present)
            assert sum(weights[at] for at in mine) == pytest.approx(share)
            per_token = [weights[at] / len(pairs[at].tokens) for at in mine]
            assert per_token == pytest.approx([per_token[0]] * len(mine))
        assert (out / f"export/megatron-blend/{split}.txt").read_text().split() == blends[split]
    assert blends["test"] is None
    before = state(out / "export")
    assert any("complete" in line for line in run(out, "megatron-blend"))
    assert state(out / "export") == before
    run(out, "megatron-blend", languages=("sw",))
    assert json.loads((out / "export/megatron-blend/per-split.json").read_bytes())["train"][0] == "1"


def expected_text(pages):
    return "\n".join("".join(f"{line}\n" for line in lines) for part in pages for _, lines in part).encode()


@pytest.mark.parametrize(
    ("compression", "decompress"),
    [("xz", lzma.decompress), ("zst", lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data))],
)
def test_text_of_cc100(out, made, compression, decompress):
    run(out, "cc100-txt", compression=compression)
    root = out / "export/cc100-txt"
    assert sorted(os.listdir(root)) == sorted([*(f"{code}.txt.{compression}" for code in made[1]), "manifest.json"])
    manifest = json.loads((root / "manifest.json").read_bytes())
    for code, pages in made[1].items():
        text = decompress((root / f"{code}.txt.{compression}").read_bytes())
        assert text == expected_text(pages)
        assert manifest["languages"][code]["text_sha256"] == hashlib.sha256(text).hexdigest()
        assert manifest["languages"][code]["pages"] == sum(map(len, pages))


def test_text_does_not_depend_on_threads(out, tmp_path, monkeypatch):
    from cc100.pipeline import export_text
    from cc100.shards import corpus_text

    monkeypatch.setattr(export_text, "BLOCK_BYTES", 2000)
    monkeypatch.setattr(corpus_text.XzCompressor.__init__, "__defaults__", (None, 1, 1000))
    for compression in ("xz", "zst"):
        made = []
        for workers in (1, 3):
            folder = tmp_path / f"{compression}{workers}"
            run(out, "cc100-txt", to=str(folder), compression=compression, workers=workers)
            made.append(content(folder))
        assert made[0] == made[1]


@pytest.mark.parametrize("form", FORMATS)
def test_the_manifest_lists_every_file(out, form):
    run(out, form)
    root = out / "export" / form
    manifest = json.loads((root / "manifest.json").read_bytes())
    assert (manifest["format"], manifest["format_version"]) == (form, 1)
    assert manifest["corpus_sha256"] == hashlib.sha256((out / "manifest.json").read_bytes()).hexdigest()
    if form != "cc100-txt":
        model = hashlib.sha256((out / "tokenizer/sentencepiece.bpe.model").read_bytes()).hexdigest()
        assert manifest["tokenizer"]["model_sha256"] == model
    assert set(manifest["languages"]) == {"de", "sw", "zh-Hant"}
    there = content(root)
    del there["manifest.json"]
    assert manifest["files"] == {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in there.items()
    }
    left = [path for path in (out / "run").rglob("*") if path.is_file() and path.name != "lock"]
    assert left == []


# --- Links, copies, other folders ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["fairseq", "datatrove"])
def test_tokens_are_linked_or_copied(out, tmp_path, form, monkeypatch):
    run(out, form)
    name = {"fairseq": "sw/train.bin", "datatrove": "sw/train/00000.ds"}[form]
    assert (out / "export" / form / name).samefile(out / "tokens/sw/train-00000.bin")
    monkeypatch.setattr(Storage, "link", lambda *_: False)
    monkeypatch.setattr(export_tokens, "PIECE_BYTES", 100)
    run(out, form, to=str(tmp_path / "copy"))
    assert not (tmp_path / "copy" / name).samefile(out / "tokens/sw/train-00000.bin")
    assert content(tmp_path / "copy") == content(out / "export" / form)
    assert not (tmp_path / "copy/run").exists()


def test_never_an_index_of_megatron_beside_one_of_fairseq(out):
    run(out, "fairseq")
    assert not list(out.glob("export/fairseq/**/*-0*.idx"))
    for path in out.glob("export/fairseq/**/*.idx"):
        assert path.read_bytes() not in [other.read_bytes() for other in out.glob("tokens/**/*.idx")]


def test_to_an_object_store_and_back(made, s3_folder):
    run(made[0], "datatrove", to=s3_folder, languages=("sw",))
    storage = Storage(s3_folder)
    assert storage.read("sw/train/00000.ds") == (made[0] / "tokens/sw/train-00000.bin").read_bytes()
    assert storage.files("run") == {}
    assert "complete" in run(made[0], "datatrove", to=s3_folder, languages=("sw",))[0]


def test_tokens_alone_are_enough(out):
    shutil.rmtree(out / "shards")
    (out / "manifest.json").unlink()
    run(out, "datatrove")


# --- Resuming -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [*TOKEN_FORMATS, "cc100-txt"])
def test_the_second_run_changes_nothing(out, form):
    run(out, form)
    before = state(out / "export")
    assert run(out, form) == [f"{out}/export/{form} is complete; nothing to do"]
    assert run(out, form, languages=("sw",)) == [f"{out}/export/{form} is complete; nothing to do"]
    assert state(out / "export") == before


@pytest.mark.parametrize("form", [*TOKEN_FORMATS, "cc100-txt"])
def test_languages_can_be_added(out, tmp_path, form):
    run(out, form, to=str(tmp_path / "all"))
    run(out, form, to=str(tmp_path / "some"), languages=("sw",))
    first = state(tmp_path / "some")
    run(out, form, to=str(tmp_path / "some"), languages=("de", "zh-Hant"))
    assert content(tmp_path / "some") == content(tmp_path / "all")
    kept = {
        path: seen for path, seen in state(tmp_path / "some").items() if "sw" in path.parts and path.suffix == ".bin"
    }
    assert kept.items() <= first.items()


@pytest.mark.parametrize("form", [*TOKEN_FORMATS, "cc100-txt"])
@pytest.mark.parametrize("stop", [1, 3])
def test_a_stopped_export_goes_on(out, tmp_path, form, stop, monkeypatch):
    run(out, form, to=str(tmp_path / "whole"))
    record = export_target.Target.record
    count = itertools.count(1)

    def stopping(self, unit, written):
        if next(count) >= stop:
            raise KeyboardInterrupt
        record(self, unit, written)

    with monkeypatch.context() as patch:
        patch.setattr(export_target.Target, "record", stopping)
        with pytest.raises(KeyboardInterrupt):
            run(out, form)
    assert not (out / "export" / form / "manifest.json").exists()
    receipts = list((out / "run/export" / form).glob("*.json"))
    assert len(receipts) == stop  # with the identity
    run(out, form)
    assert content(out / "export" / form) == content(tmp_path / "whole")


@pytest.mark.parametrize("form", [*TOKEN_FORMATS, "cc100-txt"])
def test_a_deleted_file_is_made_again(out, form):
    run(out, form)
    before = content(out / "export")
    for name in list(before)[::2]:
        if not name.endswith("manifest.json"):
            (out / "export" / name).unlink()
    run(out, form)
    assert content(out / "export") == before


@pytest.mark.parametrize("form", [*TOKEN_FORMATS, "cc100-txt"])
def test_languages_that_were_exported_before_are_kept_whole(out, form):
    run(out, form)
    before = content(out / "export")
    next(
        path
        for path in (out / "export" / form).rglob("*")
        if "zh-Hant" in str(path.relative_to(out)) and path.is_file()
    ).unlink()
    run(out, form, languages=("sw",))
    assert content(out / "export") == before


# --- Verify -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [*TOKEN_FORMATS, "cc100-txt"])
def test_verify(out, form):
    with pytest.raises(ConfigurationError, match="holds no finished export"):
        run(out, form, verify=True)
    run(out, form)
    before = state(out / "export")
    said = run(out, form, verify=True)
    assert said[-1].endswith(f"{len(before) - 1} files verified")
    assert state(out / "export") == before
    victim = next(path for path in sorted(before) if path.name != "manifest.json" and path.stat().st_size > 10)
    spoil(victim, "changed")
    with pytest.raises(DamagedFileError, match=f"{victim} is not "):
        run(out, form, verify=True)
    victim.unlink()
    with pytest.raises(DamagedFileError, match=f"{victim} is missing"):
        run(out, form, verify=True)
