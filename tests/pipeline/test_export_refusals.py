"""`cc100 export`: what it refuses, and damage that it names."""

import contextlib
import json
import os
import shutil

import output_folder
import pytest
from export_runs import TOKEN_FORMATS, run, spoil

from cc100.pipeline import export_target
from cc100.pipeline.export import FORMATS
from cc100.shards.errors import ConfigurationError, DamagedFileError, InputError
from cc100.transforms.storage import Storage

# --- Refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", TOKEN_FORMATS)
def test_another_corpus_is_refused_with_both_names(out, form):
    run(out, form)
    path = out / "tokens/manifest.json"
    manifest = json.loads(path.read_bytes())
    old = manifest["tokenizer"]["model_sha256"]
    manifest["tokenizer"]["model_sha256"] = "f" * 64
    path.write_text(json.dumps(manifest))
    tokenizer = out / "tokenizer/manifest.json"
    tokenizer.write_text(tokenizer.read_text().replace(old, "f" * 64))
    with pytest.raises(ConfigurationError, match="holds another export") as caught:
        run(out, form)
    assert old in str(caught.value)
    assert "f" * 64 in str(caught.value)


def test_an_unfinished_export_of_another_kind_is_refused(out, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(export_target.Target, "finish", lambda *_: stop())
        with pytest.raises(KeyboardInterrupt):
            run(out, "cc100-txt")
    with pytest.raises(ConfigurationError, match='compression: "xz" there, "zst" now'):
        run(out, "cc100-txt", compression="zst")
    shutil.rmtree(out / "export")
    run(out, "cc100-txt", compression="zst")
    assert sorted(os.listdir(out / "export/cc100-txt")) == [
        "de.txt.zst",
        "manifest.json",
        "sw.txt.zst",
        "zh-Hant.txt.zst",
    ]


def stop():
    raise KeyboardInterrupt


def test_a_folder_of_something_else_is_refused(out):
    with pytest.raises(ConfigurationError, match="something else than an export"):
        run(out, "fairseq", to=str(out))
    run(out, "fairseq", to=str(out / "x"))
    with pytest.raises(ConfigurationError, match='format: "fairseq" there, "litdata" now'):
        run(out, "litdata", to=str(out / "x"))
    with pytest.raises(ConfigurationError, match='format: "fairseq" there, "megatron-blend" now'):
        run(out, "megatron-blend", to=str(out / "x"))


@pytest.mark.parametrize(
    ("form", "gone", "message"),
    [
        ("fairseq", "tokens/manifest.json", "has no tokens/manifest.json: run cc100 encode --output "),
        ("litdata", "tokens", "run cc100 encode"),
        ("megatron-blend", "tokens", "run cc100 encode"),
        ("fairseq", "tokenizer", "has no tokenizer/manifest.json: run cc100 tokenizer --output "),
        ("fairseq", "tokenizer/dict.txt", "has no tokenizer/dict.txt: run cc100 tokenizer"),
        ("cc100-txt", "manifest.json", "has no manifest.json: run cc100 corpus"),
    ],
)
def test_what_is_missing_says_which_command_makes_it(out, form, gone, message):
    shutil.rmtree(out / gone) if (out / gone).is_dir() else (out / gone).unlink()
    with pytest.raises(InputError, match=message):
        run(out, form)
    assert not (out / "export").exists()


def test_a_manifest_of_something_else_is_refused(out):
    path = out / "tokens/manifest.json"
    manifest = json.loads(path.read_bytes())
    path.write_text(json.dumps(manifest | {"format_version": 9}))
    with pytest.raises(InputError, match=r"tokens/manifest\.json is of format_version 9; this cc100 reads 1"):
        run(out, "fairseq")
    path.write_text("{}")
    with pytest.raises(
        InputError, match=r"tokens/manifest\.json is not the manifest of token arrays \(no corpus_sha256\)"
    ):
        run(out, "fairseq")


def test_arrays_of_another_corpus_are_refused(out):
    (out / "manifest.json").write_bytes((out / "manifest.json").read_bytes() + b"\n")
    with pytest.raises(InputError, match=r"are those of corpus [0-9a-f]{64}, its manifest.json is [0-9a-f]{64}"):
        run(out, "datatrove")


def test_a_tokenizer_of_another_run_is_refused(out):
    path = out / "tokenizer/manifest.json"
    manifest = json.loads(path.read_bytes())
    manifest["files"]["sentencepiece.bpe.model"]["sha256"] = "0" * 64
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"are those of tokenizer [0-9a-f]{64}, its tokenizer/ is 0{64}"):
        run(out, "fairseq")


@pytest.mark.parametrize("form", FORMATS)
def test_an_unknown_language_is_refused_with_those_there_are(out, form):
    with pytest.raises(ConfigurationError, match=r"--languages names xx, .* it has de, sw, zh-Hant"):
        run(out, form, languages=("de", "xx"))


# --- Damage -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", TOKEN_FORMATS)
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("tokens/de/train-00001.idx", "cut"),
        ("tokens/de/train-00001.idx", "changed"),
        ("tokens/de/train-00001.idx", "missing"),
        ("tokens/de/train-00001.bin", "cut"),
        ("tokens/de/train-00001.bin", "longer"),
        ("tokens/de/train-00001.bin", "missing"),
        ("tokens/de/train-00001.bin", "changed"),
    ],
)
def test_damaged_arrays_are_named(out, form, name, how, monkeypatch):
    monkeypatch.setattr(Storage, "link", lambda *_: False)
    spoil(out / name, how)
    with pytest.raises(DamagedFileError, match=f"{name} .*[Rr]un cc100 encode"):
        run(out, form)
    assert not (out / "export" / form / "manifest.json").exists()
    left = [path.name for path in (out / "export").rglob("*") if path.is_file()]
    assert not [name for name in left if name.endswith(".tmp")]


@pytest.mark.parametrize("how", ["cut", "changed", "missing"])
def test_damaged_shards_are_named(out, how):
    name = "shards/language=de/part-00001-of-00003.parquet"
    spoil(out / name, how)
    with pytest.raises(DamagedFileError, match=f"{name} .*run cc100 corpus"):
        run(out, "cc100-txt")
    assert not (out / "export/cc100-txt/de.txt.xz").exists()


@pytest.mark.parametrize(("bad", "message"), [("a\nb", "a paragraph has a line feed"), ("", "a paragraph is empty")])
def test_a_paragraph_that_is_no_line_is_named(tmp_path, bad, message):
    pages = {"de": [[("a", ["x", "y"]), ("b", ["z"])], [("c", ["t"]), ("d", ["u", bad])]]}
    output_folder.write_corpus(tmp_path, pages)
    with pytest.raises(
        DamagedFileError, match=rf"part-00001-of-00002.parquet is damaged: {message} \(paragraph \[5\]\)"
    ):
        run(tmp_path, "cc100-txt")


def test_a_corpus_that_does_not_fit_its_manifest_is_named(out):
    manifest = json.loads((out / "manifest.json").read_bytes())
    manifest["languages"]["sw"]["paragraphs"] += 1
    (out / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DamagedFileError, match=r"the shards of sw .* paragraphs 24, 25 in the manifest"):
        run(out, "cc100-txt")


@pytest.mark.parametrize("compression", ["xz", "zst"])
def test_what_the_disk_changed_is_noticed_when_it_is_read_back(out, compression, monkeypatch):
    create = export_target.Target.create

    @contextlib.contextmanager
    def lying(self, path):
        with create(self, path) as stream:
            write = stream._raw.write
            stream._raw = type(
                "Raw", (), {"write": lambda _, data: write(bytes(data)[:-1] + b"?"), "close": stream._raw.close}
            )()
            yield stream

    monkeypatch.setattr(export_target.Target, "create", lying)
    with pytest.raises(DamagedFileError, match=r"\.txt\..* was not what was written when it was read back"):
        run(out, "cc100-txt", compression=compression)
    assert list((out / "export").rglob("*.txt.*")) == []
