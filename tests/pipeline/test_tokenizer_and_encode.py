"""From shards to token arrays: equal to plain Python, the same bytes under other circumstances, every stop resumed, nothing mixed."""

import hashlib
import json
import pathlib
import shutil
import unicodedata

import numpy as np
import pyarrow.parquet as pq
import pytest
import sentencepiece
from small_corpus import content, make_corpus, two_languages, words

from cc100.pipeline.config import load_settings
from cc100.pipeline.encode import run_encode
from cc100.pipeline.progress import StepProgress
from cc100.pipeline.stage import StageRequest
from cc100.pipeline.tokenizer import run_tokenizer
from cc100.shards.errors import Cc100Error, ConfigurationError, DamagedFileError, InputError, LockedError
from cc100.shards.token_arrays import TokenArrays
from cc100.transforms import encode as encoding
from cc100.transforms import sample as sampling
from cc100.transforms.storage import Storage

SMALL = ["tokenizer.vocab_size=300", "tokens.valid_fraction=0.2", "tokens.valid_min_pages=20"]


def request(*overrides, workers=1, flags=()):
    return StageRequest(load_settings(None, [*SMALL, *overrides]), workers, tuple(flags))


def make_tokenizer(folder, *overrides, **options):
    return run_tokenizer(Storage(str(folder)), request(*overrides, **options), StepProgress(live=False))


def make_arrays(folder, *overrides, **options):
    return run_encode(Storage(str(folder)), request(*overrides, **options), StepProgress(live=False))


def make_both(folder):
    make_tokenizer(folder)
    make_arrays(folder)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with corpus, tokenizer and token arrays."""
    folder = make_corpus(tmp_path_factory.mktemp("tokens") / "out", two_languages())
    make_tokenizer(folder)
    make_arrays(folder)
    return folder


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished folder that a test may change."""
    shutil.copytree(finished, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def corpus_only(finished, tmp_path):
    """The corpus alone."""
    shutil.copytree(finished / "shards", tmp_path / "out" / "shards")
    shutil.copy(finished / "manifest.json", tmp_path / "out")
    return tmp_path / "out"


# --- What comes out -------------------------------------------------------------------------------------------------


def plain_arrays(folder):
    """prefix -> (tokens, lengths, documents), by the definitions."""
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer" / "sentencepiece.bpe.model"))
    shards = sorted(pathlib.Path(folder, "shards").rglob("*.parquet"))
    pages = {}
    for path in shards:
        language = path.parent.name.removeprefix("language=")
        pages.setdefault(language, []).append((path.name[5:10], pq.ParquetFile(path).read().to_pylist()))
    found = {}
    for language, parts in pages.items():
        is_split = sum(len(rows) for _, rows in parts) >= 20
        for number, rows in parts:
            for row in rows:
                head = int.from_bytes(hashlib.sha256(row["record_id"].encode()).digest()[:8], "big") >> 11
                split = "valid" if is_split and head * 2.0**-53 < 0.2 else "train"
                tokens, lengths, documents = found.setdefault(f"{language}/{split}-{number}", ([], [], [0]))
                for text in row["paragraphs"]:
                    ids = [piece + 1 if piece else 3 for piece in model.encode(unicodedata.normalize("NFC", text))]
                    tokens += [*ids, 2]
                    lengths.append(len(ids) + 1)
                documents.append(len(lengths))
    return found


def test_arrays_are_those_of_plain_python(finished):
    expected = plain_arrays(finished)
    prefixes = {path.relative_to(finished / "tokens").as_posix()[:-4] for path in (finished / "tokens").rglob("*.bin")}
    assert prefixes == set(expected)
    assert any("valid" in prefix for prefix in prefixes)
    for prefix, (tokens, lengths, documents) in expected.items():
        pair = TokenArrays(str(finished / "tokens" / prefix))
        assert pair.tokens.tolist() == tokens
        assert pair.index.lengths.tolist() == lengths
        assert pair.index.documents.tolist() == documents


def test_the_manifest_counts_what_is_there(finished):
    manifest = json.loads((finished / "tokens" / "manifest.json").read_text())
    expected = plain_arrays(finished)
    for code, row in manifest["languages"].items():
        mine = {prefix: entry for prefix, entry in expected.items() if prefix.startswith(f"{code}/")}
        assert row["tokens"] == sum(len(tokens) for tokens, _, _ in mine.values())
        assert row["sequences"] == sum(len(lengths) for _, lengths, _ in mine.values())
        assert row["documents"] == sum(len(documents) - 1 for _, _, documents in mine.values())
        assert row["unknown"] == sum(tokens.count(3) for tokens, _, _ in mine.values())
        valid = [entry for prefix, entry in mine.items() if "valid" in prefix]
        assert row["splits"]["valid"]["documents"] == sum(len(documents) - 1 for _, _, documents in valid)
    assert sum(row["probability"] for row in manifest["languages"].values()) == pytest.approx(1)
    for name, entry in manifest["files"].items():
        data = (finished / "tokens" / name).read_bytes()
        assert entry == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_the_tokenizer_records_what_it_was_made_of(finished):
    manifest = json.loads((finished / "tokenizer" / "manifest.json").read_text())
    corpus = hashlib.sha256((finished / "manifest.json").read_bytes()).hexdigest()
    assert manifest["corpus_sha256"] == corpus
    assert manifest["sampling"] == {
        "alpha": 0.3, "unit": "paragraphs", "seed": 0, "target": 420, "max_repeats": 1, "max_bytes": 16384
    }  # fmt: skip
    assert manifest["options"]["num_threads"] == 16
    assert str(finished) not in json.dumps(manifest)
    assert str(finished).encode() not in (finished / "tokenizer" / "sentencepiece.bpe.model").read_bytes()
    assert all(0 < row["coverage"] <= 1 for row in manifest["languages"].values())


def test_repeats_fill_a_small_language_up(corpus_only):
    manifest = make_tokenizer(corpus_only, "tokenizer.max_repeats=3", "tokenizer.alpha=0")
    rows = manifest["languages"]
    assert rows["el"]["rate"] == pytest.approx(210 / 120)
    assert rows["el"]["sampled_paragraphs"] > 120
    assert rows["xx"]["sampled_paragraphs"] < 300


# --- The same bytes -------------------------------------------------------------------------------------------------


def test_worker_processes_give_the_same_bytes(finished, corpus_only):
    options = ["runner.worker_processes_from=0"]
    make_tokenizer(corpus_only, *options, workers=2)
    make_arrays(corpus_only, *options, workers=2)
    assert content(corpus_only) == content(finished)


def test_an_object_store_gives_the_same_bytes(finished, s3_folder, s3_flags, tmp_path):
    storage = Storage(s3_folder)
    for name, data in content(finished, "shards", "manifest.json").items():
        storage.write(name, data)
    make_tokenizer(s3_folder, flags=s3_flags)
    make_arrays(s3_folder, flags=s3_flags)
    expected = content(finished)
    found = {name: storage.read(name) for name in storage.files_below("") if not name.startswith("run/")}
    assert found == expected


def test_complete_folders_are_left_alone(copy):
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.is_file() and path.name != "lock"}
    make_tokenizer(copy)
    make_arrays(copy)
    assert {
        path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.is_file() and path.name != "lock"
    } == before


def test_arrays_need_nothing_of_run(finished, copy):
    shutil.rmtree(copy / "run")
    make_tokenizer(copy)
    make_arrays(copy)
    shutil.rmtree(copy / "tokens")
    make_arrays(copy)
    assert content(copy) == content(finished)


# --- Stops ----------------------------------------------------------------------------------------------------------


class StoppedError(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize(
    ("module", "name"), [(sampling, "sample_part"), (sampling, "cover_part"), (encoding, "encode_part")]
)
def test_a_stopped_run_continues(finished, corpus_only, monkeypatch, module, name, after):
    original, calls = getattr(module, name), []

    def stop(job, number):
        calls.append(number)
        if len(calls) > after:
            raise StoppedError
        return original(job, number)

    monkeypatch.setattr(module, name, stop)
    with pytest.raises(Exception, match="StoppedError"):
        make_both(corpus_only)
    monkeypatch.setattr(module, name, original)
    assert not (corpus_only / "tokens" / "manifest.json").exists()
    receipts = {path: path.stat().st_mtime_ns for path in (corpus_only / "run" / "done").rglob("*.json")}
    make_both(corpus_only)
    assert {path: path.stat().st_mtime_ns for path in receipts} == receipts, "what was done is done again"
    assert content(corpus_only) == content(finished)


def test_a_lost_file_is_made_again(finished, copy):
    (copy / "tokens" / "el" / "train-00000.idx").unlink()
    (copy / "tokens" / "xx" / "train-00001.bin").write_bytes(b"cut")
    (copy / "tokenizer" / "dict.txt").unlink()
    make_tokenizer(copy)
    make_arrays(copy)
    assert content(copy) == content(finished)


def test_one_process_at_a_time(copy):
    with Storage(str(copy)).lock(), pytest.raises(LockedError, match="in use by process"):
        make_arrays(copy)


# --- Nothing is mixed -----------------------------------------------------------------------------------------------


def test_another_tokenizer_is_noticed(copy):
    old = json.loads((copy / "tokens" / "manifest.json").read_text())["tokenizer"]["model_sha256"]
    shutil.rmtree(copy / "tokenizer")
    make_tokenizer(copy, "tokenizer.vocab_size=200")
    new = hashlib.sha256((copy / "tokenizer" / "sentencepiece.bpe.model").read_bytes()).hexdigest()
    with pytest.raises(ConfigurationError) as caught:
        make_arrays(copy)
    assert old in str(caught.value)
    assert new in str(caught.value)
    shutil.rmtree(copy / "tokens")
    assert make_arrays(copy)["tokenizer"]["model_sha256"] == new


def test_unfinished_arrays_of_another_tokenizer_are_not_continued(copy):
    (copy / "tokens" / "manifest.json").unlink()
    shutil.rmtree(copy / "tokenizer")
    make_tokenizer(copy, "tokenizer.vocab_size=200")
    with pytest.raises(ConfigurationError, match=r"tokenizer\.model_sha256: .* there, .* now"):
        make_arrays(copy)


def test_arrays_that_nobody_knows_are_refused(copy):
    shutil.rmtree(copy / "run")
    (copy / "tokens" / "manifest.json").unlink()
    with pytest.raises(ConfigurationError, match="neither a manifest nor the state of a run"):
        make_arrays(copy)


def test_another_corpus_is_noticed(copy):
    shutil.rmtree(copy / "shards")
    make_corpus(copy, {"xx": [[[line] for line in words(3, 200)]]})
    with pytest.raises(ConfigurationError, match="was made for the corpus with the manifest"):
        make_arrays(copy)
    with pytest.raises(ConfigurationError, match="corpus_sha256"):
        make_tokenizer(copy)


def test_other_settings_are_refused_with_their_difference(copy):
    with pytest.raises(ConfigurationError, match=r"configuration\.alpha: 0\.3 there, 0\.7 now"):
        make_tokenizer(copy, "tokenizer.alpha=0.7")
    with pytest.raises(ConfigurationError, match=r"split\.valid_fraction: 0\.2 there, 0\.1 now"):
        make_arrays(copy, "tokens.valid_fraction=0.1")


def test_a_changed_shard_is_noticed(copy):
    path = next((copy / "shards" / "language=el").glob("*.parquet"))
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    shutil.rmtree(copy / "tokens")
    with pytest.raises(Cc100Error, match=r"part-00000-of-00001\.parquet is not the file that manifest\.json lists"):
        make_arrays(copy)


def test_a_changed_model_is_noticed(copy):
    path = copy / "tokenizer" / "sentencepiece.bpe.model"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedFileError, match="is not the model that its manifest lists"):
        make_arrays(copy)


def test_some_languages(copy):
    shutil.rmtree(copy / "tokens")
    manifest = make_arrays(copy, "tokens.languages=[el]")
    assert sorted(manifest["languages"]) == ["el"]
    assert not (copy / "tokens" / "xx").exists()
    with pytest.raises(ConfigurationError, match=r"no shards of zz; it has el, xx"):
        make_arrays(copy, "tokens.languages=[zz]")


# --- Bad input ------------------------------------------------------------------------------------------------------


def test_what_is_missing_is_named_with_the_command(tmp_path, corpus_only):
    with pytest.raises(InputError, match="cc100 corpus --input"):
        make_tokenizer(tmp_path / "nothing")
    with pytest.raises(InputError, match="cc100 corpus --input"):
        make_arrays(tmp_path / "nothing")
    with pytest.raises(InputError, match="cc100 tokenizer --output"):
        make_arrays(corpus_only)
    assert not (tmp_path / "nothing").exists()


def test_an_empty_corpus(tmp_path):
    folder = make_corpus(tmp_path / "out", {})
    with pytest.raises(InputError, match="the corpus kept no paragraph"):
        make_tokenizer(folder)


def test_a_manifest_of_something_else(tmp_path):
    (tmp_path / "manifest.json").write_text('{"files": {}}')
    with pytest.raises(InputError, match="is not the manifest of a corpus"):
        make_tokenizer(tmp_path)


def test_one_language_with_one_paragraph(tmp_path):
    folder = make_corpus(tmp_path / "out", {"xx": [[["one paragraph, and nothing else in this corpus"]]]})
    with pytest.raises(InputError, match=r"at most \d+ pieces can be made of it"):
        make_tokenizer(folder)
    assert not (folder / "tokenizer").exists()
    make_tokenizer(folder, "tokenizer.vocab_size=auto")
    manifest = make_arrays(folder)
    assert manifest["languages"]["xx"]["documents"] == 1
    assert manifest["languages"]["xx"]["probability"] == 1
    assert sorted(path.name for path in (folder / "tokens" / "xx").iterdir()) == ["train-00000.bin", "train-00000.idx"]


def test_a_language_with_one_paragraph_beside_a_large_one(tmp_path):
    folder = make_corpus(tmp_path / "out", {"xx": [[[line] for line in words(4, 400)]], "yy": [[["lonely words"]]]})
    rows = make_tokenizer(folder)["languages"]
    assert rows["yy"]["sampled_paragraphs"] == 1
    assert make_arrays(folder)["languages"]["yy"]["sequences"] == 1


def test_text_that_the_trainer_would_drop_is_counted(tmp_path):
    lines = words(5, 200)
    lines[3] += " \u2585"
    lines[4] = "long " * 100
    folder = make_corpus(tmp_path / "out", {"xx": [[lines]]})
    row = make_tokenizer(folder, "tokenizer.max_bytes=400", "tokenizer.vocab_size=200")["languages"]["xx"]
    assert (row["too_long"], row["reserved"], row["sampled_paragraphs"]) == (1, 1, 198)


def test_nothing_is_left_for_the_sample(tmp_path):
    folder = make_corpus(tmp_path / "out", {"xx": [[["long " * 100]]]})
    with pytest.raises(InputError, match="the sample is empty"):
        make_tokenizer(folder, "tokenizer.max_bytes=100")


# --- A model that is given ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("below", ["", "tokenizer", "tokenizer/sentencepiece.bpe.model"])
def test_an_existing_model_is_used_as_it_is(finished, tmp_path, below):
    folder = make_corpus(tmp_path / "other", {"xx": [[[line] for line in words(6, 50)]]})
    model = finished / below
    manifest = make_tokenizer(folder, f"tokenizer.model={model}")
    assert content(folder / "tokenizer").keys() - {"manifest.json"} == set(manifest["files"])
    used = (folder / "tokenizer" / "sentencepiece.bpe.model").read_bytes()
    assert used == (finished / "tokenizer" / "sentencepiece.bpe.model").read_bytes()
    assert manifest["given_model"] == {"sha256": hashlib.sha256(used).hexdigest()}
    assert manifest["options"]["vocab_size"] == 300
    assert str(model) not in json.dumps(manifest)
    assert make_arrays(folder)["languages"]["xx"]["sequences"] == 50


def test_a_model_that_cannot_be_used_is_named(corpus_only, tmp_path):
    with pytest.raises(ConfigurationError, match=r"tokenizer\.model .*nowhere cannot be reached"):
        make_tokenizer(corpus_only, f"tokenizer.model={tmp_path / 'nowhere'}")
    (tmp_path / "text.model").write_text("no model")
    with pytest.raises(ConfigurationError, match=r"text\.model is no SentencePiece model"):
        make_tokenizer(corpus_only, f"tokenizer.model={tmp_path / 'text.model'}")
    assert not (corpus_only / "tokenizer").exists()


def test_tokens_per_part_do_not_depend_on_row_groups(finished):
    """The shards of the fixture have row groups of 7 pages: sequences go on from one to the next."""
    pair = TokenArrays(str(finished / "tokens" / "xx" / "train-00000"))
    assert len(pair.index.documents) > 14
    assert np.all(np.diff(pair.index.documents) >= 1)
