import multiprocessing
import os
import pickle

import pytest

from cc100.shards.errors import LockedError, StorageError
from cc100.transforms import lease
from cc100.transforms import storage as module
from cc100.transforms.storage import Storage


@pytest.fixture(params=["local", "s3"])
def storage(request, tmp_path):
    """An empty folder on the local file system and on an S3 server."""
    if request.param == "local":
        return Storage(str(tmp_path / "out"))
    return Storage(request.getfixturevalue("s3_folder"))


def test_written_files_come_back(storage):
    stored = storage.write("a/b.bin", b"content")
    assert stored.bytes == 7
    assert stored.sha256 == "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
    assert storage.read("a/b.bin") == b"content"
    assert storage.size("a/b.bin") == 7
    assert storage.files("a") == {"a/b.bin": 7}
    with storage.open_arrow("a/b.bin") as source:
        assert source.read() == b"content"
    with storage.open("a/b.bin") as stream:
        stream.seek(3)
        assert stream.read(2) == b"te"


def test_a_file_is_replaced_as_a_whole(storage):
    storage.write("a.json", b"1")
    storage.write("a.json", b"22")
    assert storage.read("a.json") == b"22"


def _write_half(storage):
    with storage.create("a.bin") as stream:
        stream.write(b"half")
        raise RuntimeError("boom")


def test_a_failed_write_leaves_nothing(storage):
    storage.write("a.bin", b"old")
    with pytest.raises(RuntimeError, match="boom"):
        _write_half(storage)
    assert storage.read("a.bin") == b"old"
    assert storage.files("run/tmp") == {}


def test_missing_things_are_no_error_where_one_asks(storage):
    assert storage.size("nothing") is None
    assert storage.files("nothing") == {}
    storage.delete(["nothing"])


def test_reading_what_is_missing_names_it(storage):
    with pytest.raises(StorageError, match=r"nothing\.bin"):
        storage.read("nothing.bin")


def test_deleting(storage):
    storage.write("a/1", b"x")
    storage.write("a/2", b"y")
    storage.delete(["a/1"])
    assert list(storage.files("a")) == ["a/2"]
    storage.delete_folder("a")
    assert storage.files("a") == {}


def test_names_with_wildcards(storage):
    storage.write("a/x[1]*.bin", b"123")
    assert storage.size("a/x[1]*.bin") == 3
    assert storage.size("a/x1y.bin") is None


def test_damaged_json_is_named(storage):
    storage.write("a.json", b"{")
    with pytest.raises(StorageError, match=r"a\.json is damaged.*Delete it"):
        storage.read_json("a.json")


def test_storage_can_be_pickled(storage):
    storage.write("a", b"1")
    assert pickle.loads(pickle.dumps(storage)).read("a") == b"1"


def test_a_lock_is_released_at_its_end(storage, monkeypatch):
    monkeypatch.setattr(lease, "_LEASE_BEAT_S", 0.1)
    with storage.lock():
        pass
    with storage.lock():
        pass


def test_the_second_process_is_refused(storage, monkeypatch):
    monkeypatch.setattr(lease, "_LEASE_BEAT_S", 0.1)
    with storage.lock(), pytest.raises(LockedError, match=f"in use by process {os.getpid()}"), storage.lock():
        pass


def _hold_and_die(root):
    lock = Storage(root).lock()
    lock.__enter__()
    os._exit(9)


def test_a_crashed_holder_does_not_block_a_local_folder(tmp_path):
    root = str(tmp_path / "out")
    process = multiprocessing.get_context("fork").Process(target=_hold_and_die, args=(root,))
    process.start()
    process.join()
    with Storage(root).lock():
        pass


def test_a_lease_that_stands_still_is_taken_over(s3_folder, monkeypatch):
    monkeypatch.setattr(lease, "_LEASE_BEAT_S", 0.1)
    storage = Storage(s3_folder)
    storage.write("run/lock", b'{"token": "someone", "beat": 5, "host": "h", "pid": 1}')
    with storage.lock():
        assert b'"someone"' not in storage.read("run/lock")


def test_a_link_is_the_same_file(tmp_path):
    here, there = Storage(str(tmp_path / "here")), Storage(str(tmp_path / "there"))
    here.write("a.bin", b"content")
    assert there.link(here, "a.bin", "b/c.bin")
    assert there.link(here, "a.bin", "b/c.bin")  # once more over itself
    assert (tmp_path / "there/b/c.bin").samefile(tmp_path / "here/a.bin")
    assert there.files("run/tmp") == {}
    assert not there.link(here, "missing", "d")
    assert there.size("d") is None


def test_object_stores_have_no_links(s3_folder, tmp_path):
    here, there = Storage(str(tmp_path)), Storage(s3_folder)
    here.write("a", b"1")
    assert not there.link(here, "a", "b")
    assert not here.link(there, "a", "b")


def test_a_full_disk_is_named(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "wb", buffering=0) as full:
        stream = module.HashingStream(full, "out/a.parquet")
        with pytest.raises(
            StorageError, match=r"cannot write out/a\.parquet: No space left on device.*Free some space"
        ):
            stream.write(b"x" * 100_000)


def test_a_file_where_a_folder_should_be_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="Choose a folder"):
        Storage(str(tmp_path / "file")).write("a/b", b"x")
