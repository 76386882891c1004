import gzip

import pytest

from cc100.pipeline.inputs import crawl_of, resolve_inputs
from cc100.shards.errors import InputError
from cc100.transforms.settings import CorpusSettings, ExactSettings, NearSettings
from cc100.transforms.storage import Storage

DEFAULTS = CorpusSettings()


def names(inputs):
    return [entry.uri.rpartition("/")[2] for entry in inputs]


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(["b.warc.wet.gz", "a.wet", "c.WARC.GZ", "d.wet.zst", "notes.txt", "wet.paths"]):
        (tmp_path / name).write_bytes(b"x" * number)
    return tmp_path


def test_a_folder_gives_its_crawl_files_by_code_point(folder):
    found = resolve_inputs([str(folder)], None, DEFAULTS)
    assert names(found) == ["a.wet", "b.warc.wet.gz", "c.WARC.GZ", "d.wet.zst"]
    assert [entry.bytes for entry in found] == [1, 0, 2, 3]


def test_files_count_whatever_their_name_and_each_once(folder):
    arguments = [str(folder / "notes.txt"), str(folder / "*.wet"), str(folder / "a.wet"), f"file://{folder}/a.wet"]
    assert names(resolve_inputs(arguments, None, DEFAULTS)) == ["a.wet", "notes.txt"]


def test_relative_paths_become_absolute(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert resolve_inputs(["a.wet"], None, DEFAULTS) == resolve_inputs([str(folder / "a.wet")], None, DEFAULTS)


@pytest.mark.parametrize("compress", [False, True])
def test_paths_files_name_files_beside_them(folder, compress):
    data = b"a.wet\n\nb.warc.wet.gz\n"
    path = folder / ("x.paths.gz" if compress else "x.paths")
    path.write_bytes(gzip.compress(data) if compress else data)
    assert names(resolve_inputs([str(path)], None, DEFAULTS)) == ["a.wet", "b.warc.wet.gz"]


def test_paths_files_from_the_root_of_a_bucket_need_a_base(tmp_path):
    (tmp_path / "wet.paths").write_text("crawl-data/CC-MAIN-2018-51/x.warc.wet.gz\n")
    with pytest.raises(InputError, match=r"1 of 1 named files do not exist.*give --base"):
        resolve_inputs([str(tmp_path / "wet.paths")], None, DEFAULTS)
    target = tmp_path / "mirror" / "crawl-data" / "CC-MAIN-2018-51"
    target.mkdir(parents=True)
    (target / "x.warc.wet.gz").write_bytes(b"1")
    found = resolve_inputs([str(tmp_path / "wet.paths")], str(tmp_path / "mirror"), DEFAULTS)
    assert names(found) == ["x.warc.wet.gz"]


def test_what_is_missing_is_named(tmp_path, folder):
    (tmp_path / "bad.paths").write_text("a.wet\nnot-there.wet.gz\n")
    for argument, message in [
        (str(tmp_path / "nothing.wet"), "there is no such file or folder"),
        (str(tmp_path / "*.nothing"), "no file matches"),
        (str(tmp_path / "bad.paths"), r"1 of 2 named files do not exist, the first is not-there\.wet\.gz"),
        ("https:///x.wet.gz", "names no host"),
    ]:
        with pytest.raises(InputError, match=message):
            resolve_inputs([argument], None, DEFAULTS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no crawl files"):
        resolve_inputs([str(tmp_path / "empty")], None, DEFAULTS)
    (tmp_path / "empty.paths").write_text("\n")
    with pytest.raises(InputError, match="names no file"):
        resolve_inputs([str(tmp_path / "empty.paths")], None, DEFAULTS)
    (tmp_path / "damaged.paths.gz").write_bytes(b"\x1f\x8b\x08garbage")
    with pytest.raises(InputError, match="not a readable paths file"):
        resolve_inputs([str(tmp_path / "damaged.paths.gz")], None, DEFAULTS)


def test_crawls_are_scopes(tmp_path):
    for name in ("CC-MAIN-2019-01/x.wet", "CC-MAIN-2018-51/y.wet", "CC-MAIN-2018-51/z.wet", "other/x.wet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    settings = CorpusSettings(exact=ExactSettings(scope="per-crawl"), near=NearSettings(scope="all-input"))
    found = resolve_inputs([str(tmp_path / "*" / "*.wet")], None, settings)
    assert names(found) == ["y.wet", "z.wet", "x.wet", "x.wet"]
    assert [entry.exact_scope for entry in found] == [1, 1, 2, 0]
    assert {entry.near_scope for entry in found} == {0}
    assert crawl_of("s3://commoncrawl/crawl-data/CC-MAIN-2018-51/segments/1/wet/a.wet.gz") == "CC-MAIN-2018-51"


def test_inputs_on_s3(s3_folder):
    storage = Storage(s3_folder)
    storage.write("in/b.wet", b"12")
    storage.write("in/a.wet.gz", b"1")
    storage.write("in/readme", b"x")
    storage.write("in/wet.paths", b"b.wet\n")
    assert names(resolve_inputs([storage.uri("in")], None, DEFAULTS)) == ["a.wet.gz", "b.wet"]
    assert names(resolve_inputs([storage.uri("in/*.wet")], None, DEFAULTS)) == ["b.wet"]
    assert names(resolve_inputs([storage.uri("in/wet.paths")], None, DEFAULTS)) == ["b.wet"]
    with pytest.raises(InputError, match="no such file or folder"):
        resolve_inputs([storage.uri("nothing")], None, DEFAULTS)
