"""The whole job on the bundled crawl, compared with plain Python and with itself under other circumstances."""

import json
import os
import pathlib
import shutil

import fasttext
import plain
import pyarrow.parquet as pq
import pytest

from cc100.pipeline import corpus as steps
from cc100.pipeline.config import load_settings
from cc100.pipeline.inputs import resolve_inputs
from cc100.pipeline.progress import StepProgress
from cc100.pipeline.run import Request, run
from cc100.shards.errors import ConfigurationError, InputError, LockedError
from cc100.transforms.language_model import default_model_path
from cc100.transforms.storage import Storage

CRAWL = pathlib.Path(__file__).parent.parent.parent / "examples" / "crawl"
OTHER_CUT = ["runner.block_files=3", "runner.passes=2", "runner.buckets=40"]


def corpus(folder, *, inputs=(str(CRAWL),), overrides=(), workers=1, flags=()):
    settings = load_settings(None, list(overrides))
    request = Request(resolve_inputs(inputs, None, settings), settings, workers, tuple(flags))
    return run(Storage(str(folder)), request, StepProgress(live=False))


def content(folder):
    """Everything but run/: path -> bytes."""
    root = pathlib.Path(folder)
    files = [path for path in root.rglob("*") if path.is_file() and path.relative_to(root).parts[0] != "run"]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished corpus of the bundled crawl."""
    folder = tmp_path_factory.mktemp("finished") / "out"
    return folder, corpus(folder)


@pytest.fixture(scope="module")
def pages():
    return plain.build(list(CRAWL.glob("*.gz")), fasttext.load_model(default_model_path()))


def read_near(folder):
    found = {}
    for path in sorted(pathlib.Path(folder, "removed").rglob("*.parquet")):
        language = path.parent.name.removeprefix("language=")
        for row in pq.ParquetFile(path).read().to_pylist():
            found[row["paragraph_id"]] = (row["keeper_id"], row["jaccard"], language)
    return found


def read_shards(folder):
    found = {}
    for path in sorted(pathlib.Path(folder, "shards").rglob("*.parquet")):
        language = path.parent.name.removeprefix("language=")
        for row in pq.ParquetFile(path).read().to_pylist():
            for number, text in zip(row["paragraph_ids"], row["paragraphs"], strict=True):
                found[number] = (text, language, row["record_id"])
    return found


def test_documents_and_languages_are_those_of_plain_python(finished, pages):
    folder, _ = finished
    rows = []
    for index in range(4):
        documents = pq.ParquetFile(folder / f"documents/{index:06d}.parquet").read().to_pylist()
        languages = pq.ParquetFile(folder / f"languages/{index:06d}.parquet").read().to_pylist()
        rows += [left | right for left, right in zip(documents, languages, strict=True)]
    assert len(rows) == len(pages)
    for row, page in zip(rows, pages, strict=True):
        assert (row["record_id"], row["url"], row["first_paragraph"]) == (page.record_id, page.url, page.first)
        assert row["paragraphs"] == page.paragraphs
        assert (row["language"], row["status"]) == (page.language, page.status)
        assert row["score"] == (None if page.score is None else pytest.approx(page.score, abs=1e-5))


def test_the_manifest_is_the_golden_one(finished):
    """Everything but sizes and sums of files, which change with pyarrow's version, and where the input lies."""
    manifest = json.loads((finished[0] / "manifest.json").read_text(encoding="utf-8"))
    assert manifest.pop("files")
    for entry in manifest["inputs"]:
        entry["uri"] = entry["uri"].rpartition("/")[2]
    golden = pathlib.Path(__file__).parent.parent / "golden" / "manifest.json"
    assert manifest == json.loads(golden.read_text(encoding="utf-8"))


def test_every_paragraph_has_the_fate_of_plain_python(finished, pages):
    folder, manifest = finished
    near, kept = read_near(folder), read_shards(folder)
    counts = dict.fromkeys(manifest["counts"]["paragraphs"], 0)
    for page in pages:
        for number, fate in enumerate(page.fates, page.first):
            if fate == "kept" and number in near:
                fate = "near_duplicate"
            counts[fate] += 1
            assert (number in kept) == (fate == "kept")
            if fate == "kept":
                assert kept[number] == (page.paragraphs[number - page.first], page.language, page.record_id)
    assert counts == manifest["counts"]["paragraphs"]
    assert all(count > 0 for count in counts.values())


def test_near_duplicates_obey_the_invariants_and_are_the_greedy_ones(finished, pages):
    folder, _ = finished
    near, kept = read_near(folder), read_shards(folder)
    texts = {page.first + k: text for page in pages for k, text in enumerate(page.paragraphs)}
    for number, (keeper, stated, language) in near.items():
        assert keeper < number
        assert kept[keeper][1] == language
        similarity = plain.jaccard(plain.shingles(texts[number]), plain.shingles(texts[keeper]))
        assert similarity >= 0.8
        assert stated == pytest.approx(similarity, abs=1e-6)
    elected = {}
    for page in pages:
        for number, fate in enumerate(page.fates, page.first):
            if fate == "kept":
                elected.setdefault(page.language, []).append((number, plain.shingles(texts[number])))
    expected = set()
    for members in elected.values():
        stayed = []
        for number, mine in sorted(members):
            if mine and any(plain.jaccard(mine, other) >= 0.8 for other in stayed):
                expected.add(number)
            else:
                stayed.append(mine)
    missed = expected ^ set(near)
    assert len(missed) <= 0.02 * len(expected), missed


@pytest.mark.parametrize(
    ("workers", "overrides"),
    [(1, OTHER_CUT), (2, ["runner.worker_processes_from=0", "runner.passes=3"])],
    ids=["other blocks, passes and buckets", "worker processes"],
)
def test_the_same_bytes_however_the_work_is_cut(finished, tmp_path, workers, overrides):
    corpus(tmp_path / "out", overrides=overrides, workers=workers)
    assert content(tmp_path / "out") == content(finished[0])


def test_the_same_bytes_for_inputs_in_any_order(finished, tmp_path):
    inputs = sorted((str(path) for path in CRAWL.glob("*.gz")), reverse=True)
    corpus(tmp_path / "out", inputs=[*inputs, inputs[0]])
    assert content(tmp_path / "out") == content(finished[0])


def test_the_same_command_again_changes_nothing(finished, capsys):
    folder, manifest = finished
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert corpus(folder) == manifest
    assert "is complete; nothing to do" in capsys.readouterr().err
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != "lock"}
    assert {path: time for path, time in before.items() if path.name != "lock"} == after


@pytest.mark.parametrize(
    "lost",
    ["documents/000001.parquet", "languages/000002.parquet", "shards/language=en/*", "removed/near/language=de/*"],
)
def test_a_lost_file_is_made_again(finished, tmp_path, lost):
    shutil.copytree(finished[0], tmp_path / "out")
    victims = list((tmp_path / "out").glob(lost))
    assert victims
    for victim in victims:
        victim.unlink()
    corpus(tmp_path / "out")
    assert content(tmp_path / "out") == content(finished[0])


STEPS = [
    "extract",
    "mark",
    "language",
    "elect",
    "sign",
    "candidates",
    "components",
    "shingle",
    "decide",
    "scatter",
    "gather",
]


@pytest.mark.parametrize("stopped_in", STEPS)
def test_a_stopped_run_continues_without_doing_again_what_is_done(finished, tmp_path, monkeypatch, stopped_in):
    class StoppedError(Exception):
        pass

    original, begun = steps.Runner.run, []

    def stop_there(self, *arguments):
        original(self, *arguments)
        begun.append(1)
        if len(begun) == STEPS.index(stopped_in) + 1:
            raise StoppedError

    monkeypatch.setattr(steps.Runner, "run", stop_there)
    with pytest.raises(StoppedError):
        corpus(tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "documents").iterdir()}
    again = []

    def count(self, *arguments):
        again.append(1)
        original(self, *arguments)

    monkeypatch.setattr(steps.Runner, "run", count)
    corpus(tmp_path / "out")
    assert len(again) == len(STEPS) - 1 - STEPS.index(stopped_in)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "documents").iterdir()} == done
    assert content(tmp_path / "out") == content(finished[0])


def test_another_configuration_or_input_is_refused(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "out")
    with pytest.raises(ConfigurationError, match=r"configuration\.language\.threshold: 0\.5 there, 0\.6 now"):
        corpus(tmp_path / "out", overrides=["language.threshold=0.6"])
    one = str(next(iter(sorted(CRAWL.glob("*.gz")))))
    with pytest.raises(ConfigurationError, match=r"input .*00001\.warc\.wet\.gz: there, not given now"):
        corpus(tmp_path / "out", inputs=[one])
    (tmp_path / "out" / "manifest.json").unlink()
    with pytest.raises(ConfigurationError, match=r"near\.threshold: 0\.8 there, 0\.9 now"):
        corpus(tmp_path / "out", overrides=["near.threshold=0.9"])


def test_where_the_runner_is_missing_nothing_has_begun(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ConfigurationError, match="no Spark master answers there"):
        corpus(out, flags=["--runner=SparkRunner", "--spark_master_url=spark://127.0.0.1:1"])
    manifest = corpus(out, overrides=["near.threshold=0.7"])  # not refused as another corpus
    assert manifest["configuration"]["near"]["threshold"] == 0.7


def test_a_foreign_folder_is_refused(tmp_path):
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "x.parquet").write_bytes(b"")
    with pytest.raises(ConfigurationError, match=r"holds shards/ but no run/run\.json"):
        corpus(tmp_path)


def test_a_second_process_is_refused(tmp_path):
    with Storage(str(tmp_path)).lock(), pytest.raises(LockedError, match="Wait until it has ended"):
        corpus(tmp_path)


def test_a_damaged_intermediate_file_is_named_and_made_again(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "out")
    (tmp_path / "out" / "manifest.json").unlink()
    victim = tmp_path / "out" / "run" / "digests" / "000001.arrays"
    size = victim.stat().st_size
    victim.write_bytes(b"\0" * size)  # as large as it should be
    shutil.rmtree(tmp_path / "out" / "run" / "steps")
    shutil.rmtree(tmp_path / "out" / "run" / "done" / "mark")
    with pytest.raises(Exception, match=r"digests/000001\.arrays is damaged.*Delete it and run the same command again"):
        corpus(tmp_path / "out")
    victim.unlink()
    corpus(tmp_path / "out")
    assert content(tmp_path / "out") == content(finished[0])


def test_drop_all_drops_every_repeated_form(tmp_path):
    manifest = corpus(tmp_path / "out", overrides=["exact.mode=drop-all", "near.mode=none", *OTHER_CUT])
    expected = plain.build(list(CRAWL.glob("*.gz")), fasttext.load_model(default_model_path()), drop_all=True)
    fates = [fate for page in expected for fate in page.fates]
    assert {fate: count for fate, count in manifest["counts"]["paragraphs"].items() if count} == {
        fate: fates.count(fate) for fate in set(fates)
    }
    assert not (tmp_path / "out" / "removed").exists()


def test_crawls_can_be_kept_apart(tmp_path, finished):
    for crawl in ("CC-MAIN-2018-51", "CC-MAIN-2019-04"):
        (tmp_path / crawl).mkdir()
        for path in sorted(CRAWL.glob("*.gz"))[:2]:
            shutil.copy(path, tmp_path / crawl)
    inputs = [str(tmp_path / "*" / "*.gz")]
    apart = corpus(tmp_path / "apart", inputs=inputs, overrides=["exact.scope=per-crawl", "near.scope=per-crawl"])
    together = corpus(tmp_path / "together", inputs=inputs)
    first = [entry["paragraphs_by_fate"] for entry in apart["inputs"]]
    assert first[:2] == first[2:]
    assert first[0]["kept"] > 0
    # A page of which nothing occurs first is judged by all its text, so a few pages fare otherwise the second time.
    kept = [entry["paragraphs_by_fate"]["kept"] for entry in together["inputs"]]
    assert sum(kept[2:]) < 0.02 * sum(kept[:2])


def test_languages_can_be_selected(tmp_path):
    manifest = corpus(tmp_path / "out", overrides=["language.languages=[de, ja]"])
    assert sorted(manifest["languages"]) == ["de", "ja"]
    assert manifest["counts"]["pages"]["not_selected"] > 100
    with pytest.raises(ConfigurationError, match=r"language\.languages names xx"):
        corpus(tmp_path / "other", overrides=["language.languages=[de, xx]"])


def test_damaged_input_is_named_and_can_be_too_much(tmp_path):
    whole = sorted(CRAWL.glob("*.gz"))[0].read_bytes()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "cut.warc.wet.gz").write_bytes(whole[: len(whole) // 2])
    manifest = corpus(tmp_path / "out", inputs=[str(tmp_path / "in")])
    assert manifest["inputs"][0]["rejects"] == 1
    assert manifest["inputs"][0]["pages"] > 10
    lines = [json.loads(line) for line in (tmp_path / "out/rejects/000000.jsonl").read_text().splitlines()]
    assert lines[0].keys() == {"offset", "record_id", "reason", "detail"}
    with pytest.raises(InputError, match=r"1 rejects beside .*cut\.warc\.wet\.gz"):
        corpus(tmp_path / "strict", inputs=[str(tmp_path / "in")], overrides=["input.max_damaged_share=0.001"])
    assert not (tmp_path / "strict" / "manifest.json").exists()


def test_a_model_that_is_none_is_refused(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"no model at all")
    for path in (tmp_path / "model.bin", tmp_path / "nothing.bin"):
        with pytest.raises(ConfigurationError, match=f"language.model {path} cannot be used"):
            corpus(tmp_path / "out", overrides=[f"language.model={path}"])


def test_a_corpus_on_s3_has_the_same_bytes(finished, s3_folder, s3_flags):
    storage = Storage(s3_folder)
    for path in sorted(CRAWL.glob("*.gz")):
        storage.write(f"in/{path.name}", path.read_bytes())
    manifest = corpus(f"{s3_folder}/out", inputs=[f"{s3_folder}/in"], flags=s3_flags)
    local = {path: data for path, data in content(finished[0]).items() if path != "manifest.json"}
    out = Storage(f"{s3_folder}/out")
    assert {path: out.read(path) for path in manifest["files"]} == local
    expected = json.loads((finished[0] / "manifest.json").read_text())
    for key in ("configuration", "counts", "languages", "files"):
        assert manifest[key] == expected[key]


def test_no_text_at_all_makes_an_empty_corpus(tmp_path):
    (tmp_path / "empty.warc.wet.gz").write_bytes(b"")
    manifest = corpus(tmp_path / "out", inputs=[str(tmp_path / "empty.warc.wet.gz")])
    assert manifest["languages"] == {}
    assert manifest["inputs"][0]["rejects"] == 1
    assert os.path.exists(tmp_path / "out" / "documents" / "000000.parquet")
