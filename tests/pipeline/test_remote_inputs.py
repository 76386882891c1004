"""The job on files that lie elsewhere: a web server that misbehaves, an S3 server, crawls by their names."""

import gzip
import json
import pathlib

import pytest
from http_server import Site, serve

from cc100.pipeline.config import load_settings
from cc100.pipeline.inputs import resolve_inputs
from cc100.pipeline.progress import StepProgress
from cc100.pipeline.run import Request, run
from cc100.shards.errors import ConfigurationError, InputError
from cc100.transforms.storage import Storage

CRAWL = pathlib.Path(__file__).parent.parent.parent / "examples" / "crawl"
LAYOUT = "crawl-data/CC-MAIN-2018-51/segments/1544376823009.19/wet"
QUICK = [
    "remote.first_wait_s=0.001", "remote.max_wait_s=0.002", "remote.attempts=3", "remote.timeout_s=0.5", "near.mode=none",
]  # fmt: skip


def content(folder):
    """Everything but run/: path -> bytes."""
    root = pathlib.Path(folder)
    files = [path for path in root.rglob("*") if path.is_file() and path.relative_to(root).parts[0] != "run"]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def names(folder: pathlib.Path) -> list[str]:
    return [f"{LAYOUT}/{path.name}" for path in sorted(folder.glob("*.gz")) if ".paths" not in path.name]


def crawl_site(folder: pathlib.Path) -> Site:
    """A server with a crawl in CommonCrawl's layout."""
    site = Site()
    for name in names(folder):
        site.files["/" + name] = (folder / name.rpartition("/")[2]).read_bytes()
    listing = gzip.compress("".join(name + "\n" for name in names(folder)).encode())
    site.files["/crawl-data/CC-MAIN-2018-51/wet.paths.gz"] = listing
    return site


@pytest.fixture
def site():
    with serve(crawl_site(CRAWL)) as running:
        yield running


def corpus(folder, inputs, overrides=(), base=None, said=None, flags=(), workers=1):
    settings = load_settings(None, [*QUICK, *overrides])
    progress = StepProgress(live=False)
    if said is not None:
        progress.say = said.append
    request = Request(resolve_inputs(inputs, base, settings), settings, workers, tuple(flags))
    return run(Storage(str(folder)), request, progress)


def same_but_for_places(left, right):
    """Equal outputs, but for the URIs and what depends on them."""
    left, right = content(left), content(right)
    assert left.keys() == right.keys()
    for name in left.keys() - {"manifest.json"}:
        assert left[name] == right[name], name
    manifests = [json.loads(side["manifest.json"]) for side in (left, right)]
    for manifest in manifests:
        for entry in manifest["inputs"]:
            entry["uri"] = entry["uri"].rpartition("/")[2]
    assert manifests[0] == manifests[1]


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    folder = tmp_path_factory.mktemp("local") / "out"
    corpus(folder, [str(CRAWL)])
    return folder


@pytest.mark.parametrize("name", ["crawl:CC-MAIN-2018-51", "crawl:2018-51"])
def test_a_crawl_by_its_name_from_a_web_server(site, tmp_path, local, name):
    manifest = corpus(tmp_path / "out", [name], base=site.url)
    assert [entry["uri"] for entry in manifest["inputs"]] == [f"{site.url}/{path}" for path in names(CRAWL)]
    same_but_for_places(tmp_path / "out", local)
    assert all(site.asked("/" + path) == 1 for path in names(CRAWL))
    said = []
    corpus(tmp_path / "out", [name], base=site.url, said=said)
    assert "is complete; nothing to do" in said[0]
    assert all(site.asked("/" + path) == 1 for path in names(CRAWL))


def test_a_crawl_by_its_name_from_a_local_folder(tmp_path, local):
    for name in names(CRAWL):
        target = tmp_path / "mirror" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((CRAWL / target.name).read_bytes())
    listing = tmp_path / "mirror" / "crawl-data/CC-MAIN-2018-51/wet.paths.gz"
    listing.write_bytes(gzip.compress("\n".join(names(CRAWL)).encode()))
    corpus(tmp_path / "out", ["crawl:2018-51"], [f"input.base={tmp_path}/mirror"])
    same_but_for_places(tmp_path / "out", local)
    pathlib.Path(tmp_path / "mirror" / names(CRAWL)[2]).unlink()
    with pytest.raises(InputError, match="1 of 4 named files do not exist"):
        corpus(tmp_path / "out2", ["crawl:2018-51"], base=str(tmp_path / "mirror"))


def upload(folder: pathlib.Path, root: str) -> None:
    storage = Storage(root)
    for name in names(folder):
        storage.write(name, (folder / name.rpartition("/")[2]).read_bytes())
    storage.write("crawl-data/CC-MAIN-2018-51/wet.paths.gz", gzip.compress("\n".join(names(folder)).encode()))


def test_a_crawl_by_its_name_from_s3(s3_folder, s3_flags, tmp_path, local):
    upload(CRAWL, s3_folder)
    corpus(tmp_path / "out", ["crawl:CC-MAIN-2018-51"], base=s3_folder, flags=s3_flags)
    same_but_for_places(tmp_path / "out", local)


def test_an_object_that_is_not_there_is_quarantined(s3_folder, s3_flags, tmp_path, local):
    upload(CRAWL, s3_folder)
    Storage(s3_folder).delete([names(CRAWL)[1]])
    more = ["input.max_quarantined=0.5"]
    manifest = corpus(tmp_path / "out", ["crawl:2018-51"], more, base=s3_folder, flags=s3_flags)
    assert [entry["quarantined"] for entry in manifest["inputs"]] == [None, "not_found", None, None]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["web", "s3"])
def test_a_real_crawl(shared_data, tmp_path, where, request):
    folder = shared_data / "wet" / "crawl"
    chosen = ["input.files=2:4"]
    if where == "web":
        with serve(crawl_site(folder)) as site:
            manifest = corpus(tmp_path / "out", ["crawl:2018-51"], chosen, base=site.url, workers=2)
    else:
        root = request.getfixturevalue("s3_folder")
        upload(folder, root)
        manifest = corpus(
            tmp_path / "out", ["crawl:2018-51"], chosen, base=root, flags=request.getfixturevalue("s3_flags")
        )
    corpus(tmp_path / "local", [str(folder / name.rpartition("/")[2]) for name in names(folder)[2:4]])
    assert sum(entry["pages"] for entry in manifest["inputs"]) > 7000
    same_but_for_places(tmp_path / "out", tmp_path / "local")


def test_a_server_that_misbehaves_for_a_while_costs_nothing(site, tmp_path, local):
    first, second, third, fourth = ("/" + name for name in names(CRAWL))
    site.behaviours = {
        first: lambda handler, data, before: before < 2 and handler.answer(503, Retry_After="0"),
        second: lambda handler, data, before: not before and handler.cut(data, len(data) // 2),
        third: lambda handler, data, before: (
            not before and handler.answer(200, b"<html><body>We are sorry</body></html>", Content_Type="text/html")
        ),
        fourth: lambda handler, data, before: (
            not handler.headers.get("Range") and handler.cut(data, len(data) - 400, len(data) - 400)
        ),
    }
    manifest = corpus(tmp_path / "out", ["crawl:2018-51"], base=site.url)
    assert all(entry["quarantined"] is None for entry in manifest["inputs"])
    same_but_for_places(tmp_path / "out", local)


BAD = {
    "busy": lambda handler, data, before: handler.answer(503),
    "refused": lambda handler, data, before: handler.answer(403),
    "not_found": lambda handler, data, before: handler.answer(404),
    "redirect": lambda handler, data, before: handler.answer(302, Location=handler.path),
    "early_end": lambda handler, data, before: (
        handler.cut(data, 50) if not handler.headers.get("Range") else handler.answer(503)
    ),
    "not_warc": lambda handler, data, before: handler.answer(200, b"<html>We are sorry</html>"),
}


NO_SPARK = ["--runner=SparkRunner", "--spark_master_url=spark://127.0.0.1:1"]


@pytest.mark.parametrize("reason", BAD)
def test_quarantine_and_what_the_same_command_does_later(site, tmp_path, local, reason):
    path = "/" + names(CRAWL)[2]
    site.behaviours[path] = BAD[reason]
    few, many = [], ["input.max_quarantined=0.25"]
    with pytest.raises(InputError, match=r"1 of 4 files could not be fetched.*Run the same command again"):
        corpus(tmp_path / "few", ["crawl:2018-51"], few, base=site.url)
    assert not (tmp_path / "few" / "manifest.json").exists()
    out = tmp_path / "out"
    with pytest.raises(InputError, match="1 of 4"):
        corpus(out, ["crawl:2018-51"], few, base=site.url)
    manifest = corpus(out, ["crawl:2018-51"], many, base=site.url)  # the setting may change
    expected = "busy" if reason == "early_end" else reason
    assert [entry["quarantined"] for entry in manifest["inputs"]] == [None, None, expected, None]
    assert manifest["inputs"][2]["pages"] == manifest["inputs"][2]["rejects"] == 0
    for name in ("documents/000002.parquet", "languages/000002.parquet"):
        assert name in manifest["files"]
        assert (out / name).exists()
    before = content(out)
    site.requests.clear()
    said = []
    corpus(out, ["crawl:2018-51"], many, base=site.url, said=said)  # still bad
    assert "1 files could not be fetched before" in said[0]
    assert content(out) == before
    with pytest.raises(ConfigurationError, match="no Spark master"):
        corpus(out, ["crawl:2018-51"], many, base=site.url, flags=NO_SPARK)
    assert content(out) == before
    del site.behaviours[path]
    site.requests.clear()
    corpus(out, ["crawl:2018-51"], many, base=site.url)
    assert [asked for asked, _ in site.requests if not asked.endswith(".paths.gz")] == [path]
    reference = tmp_path / "reference"
    corpus(reference, [str(CRAWL)], many)
    same_but_for_places(out, reference)


def test_a_retry_that_was_killed_is_settled_by_the_next_run(site, tmp_path, monkeypatch):
    from cc100.pipeline import run as runs

    path, more = "/" + names(CRAWL)[0], ["input.max_quarantined=0.25"]
    site.behaviours[path] = BAD["not_found"]
    out = tmp_path / "out"
    corpus(out, ["crawl:2018-51"], more, base=site.url)
    del site.behaviours[path]

    def die(*arguments):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(runs, "settle_retry", die)
        with pytest.raises(MemoryError):
            corpus(out, ["crawl:2018-51"], more, base=site.url)
    corpus(out, ["crawl:2018-51"], more, base=site.url)
    corpus(tmp_path / "reference", [str(CRAWL)], more)
    same_but_for_places(out, tmp_path / "reference")


@pytest.mark.slow
def test_connections_are_limited_for_the_whole_job(site, tmp_path):
    site.delay_s = 0.2
    some = ["remote.max_connections=2", "runner.worker_processes_from=0", "input.files='0:4'"]
    corpus(tmp_path / "out", ["crawl:2018-51"], some, base=site.url, workers=4)
    assert site.most_at_once == 2


def test_single_files_and_paths_files_on_a_web_server(site):
    settings = load_settings(None, QUICK)
    path = "/" + names(CRAWL)[0]
    found = resolve_inputs([site.url + path], None, settings)
    assert [(entry.uri, entry.bytes, entry.is_size_known) for entry in found] == [
        (site.url + path, len(site.files[path]), False)
    ]
    site.files[f"/{LAYOUT}/wet.paths"] = b"a b.wet.gz\nc%d.wet.gz\n"
    found = resolve_inputs([f"{site.url}/{LAYOUT}/wet.paths"], None, settings)
    assert [entry.uri.rpartition("/")[2] for entry in found] == ["a%20b.wet.gz", "c%25d.wet.gz"]
    for argument, message in [
        (f"{site.url}/none.paths", "the file is not there"), ("https:///x", "names no host"),
        ("crawl:1999-01", "not there"), ("crawl:../../etc", "not a crawl's name"), ("crawl:", "not a crawl's name"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=message):
            resolve_inputs([argument], site.url, settings)


@pytest.mark.parametrize(
    "name",
    [
        "../../../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "http://elsewhere.example/x", "a/../../b", "a\\..\\b", "a\0b",
        "x" * 2_000_000, "a\x1b[31mb",
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["web", "local"])
def test_hostile_names_in_a_list_open_nothing(site, tmp_path, name, where):
    settings = load_settings(None, QUICK)
    data = f"{names(CRAWL)[0]}\n{name}\n".encode()
    listing = "crawl-data/CC-MAIN-2018-51/wet.paths.gz"
    site.files["/" + listing] = gzip.compress(data)
    (tmp_path / listing).parent.mkdir(parents=True)
    (tmp_path / listing).write_bytes(gzip.compress(data))
    site.requests.clear()
    with pytest.raises(InputError, match="no path below the base") as caught:
        resolve_inputs(["crawl:2018-51"], site.url if where == "web" else str(tmp_path), settings)
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()
    assert [asked for asked, _ in site.requests] == (["/" + listing] if where == "web" else [])


@pytest.mark.parametrize(
    "data",
    [b"\x1f\x8b\x08garbage", gzip.compress(b"a.wet.gz\n", mtime=0)[:-6], b"\xff\xfe", gzip.compress(b"\n\n", mtime=0)],
)
def test_lists_that_cannot_be_read(site, data):
    site.files["/crawl-data/CC-MAIN-2018-51/wet.paths.gz"] = data
    with pytest.raises(InputError, match=r"not a readable paths file|names no file"):
        resolve_inputs(["crawl:2018-51"], site.url, load_settings(None, QUICK))


def test_some_files_of_a_crawl(site):
    def chosen(*overrides):
        settings = load_settings(None, [*QUICK, *overrides])
        return [
            names(CRAWL).index(entry.uri.removeprefix(site.url + "/"))
            for entry in resolve_inputs(["crawl:2018-51"], site.url, settings)
        ]

    assert chosen() == [0, 1, 2, 3]
    assert chosen("input.files='1:3'") == [1, 2]
    assert chosen("input.files='2:'") == [2, 3]
    samples = {tuple(chosen("input.sample=2", f"input.sample_seed={seed}")) for seed in range(8)}
    assert len(samples) > 2
    assert all(len(sample) == 2 for sample in samples)
    assert chosen("input.sample=2") == chosen("input.sample=2")
    with pytest.raises(InputError, match="leaves none of 4 files"):
        chosen("input.files='9:'")
