import dataclasses
import email.utils
import gzip
import random
import time

import pytest
from http_server import Site, serve

from cc100.transforms.http_file import QUARANTINE_REASONS, FetchError, HttpFile, Patience, _retry_after
from cc100.transforms.remote import fetch, is_remote
from cc100.transforms.settings import RemoteSettings

CONTENT = random.Random(1).randbytes(700_000)
QUICK = RemoteSettings(first_wait_s=0.001, max_wait_s=0.002, attempts=4, timeout_s=0.3, max_seconds=5)


@pytest.fixture
def site():
    with serve(Site({"/f": CONTENT})) as running:
        yield running


def read(site, path="/f", settings=QUICK, trusted=True):
    with HttpFile(site.url + path, settings, Patience(settings), trusted) as stream:
        return stream.read()


def reason(site, path="/f", settings=QUICK):
    with pytest.raises(FetchError) as caught:
        read(site, path, settings)
    assert caught.value.reason in QUARANTINE_REASONS
    return caught.value.reason


def test_a_file_is_one_get(site):
    assert read(site, settings=dataclasses.replace(QUICK, user_agent="me <me@example.org>")) == CONTENT
    assert site.requests == [("/f", None)]
    assert site.agents == {"me <me@example.org>"}


def test_reads_return_at_most_what_is_asked_for(site):
    with HttpFile(site.url + "/f", QUICK, Patience(QUICK)) as stream:
        sizes = [len(stream.read(1000)) for _ in range(5)]
        assert all(0 < size <= 1000 for size in sizes)
        assert stream.offset == sum(sizes)


@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_a_server_that_is_busy_for_a_while(site, status):
    site.behaviours["/f"] = lambda handler, content, before: before < 3 and handler.answer(status)
    assert read(site) == CONTENT
    assert len(site.requests) == 4


@pytest.mark.parametrize(
    ("status", "expected", "requests"),
    [
        (503, "busy", 4),
        (403, "refused", 4),
        (404, "not_found", 1),
        (410, "not_found", 1),
        (400, "refused", 1),
        (204, "connection", 4),
    ],
)
def test_attempts_are_bounded(site, status, expected, requests):
    site.behaviours["/f"] = lambda handler, content, before: handler.answer(status)
    assert reason(site) == expected
    assert len(site.requests) == requests


def test_waits_grow_with_jitter_and_honour_retry_after(site):
    waits = []
    settings = RemoteSettings(first_wait_s=1, max_wait_s=6, attempts=6, max_seconds=100)
    patience = Patience(settings, waits.append)
    for _ in range(4):
        patience.fail("busy")
    assert all(most / 2 <= wait <= most for wait, most in zip(waits, (1, 2, 4, 6), strict=True))
    patience.progress()
    patience.fail("busy", retry_after_s=5)
    patience.fail("busy", retry_after_s=50)
    assert waits[4:] == [5, 6]
    with pytest.raises(FetchError, match="busy"):
        Patience(dataclasses.replace(settings, max_seconds=0.1), waits.append).fail("busy")


def test_retry_after_is_read(site):
    site.behaviours["/f"] = lambda handler, content, before: not before and handler.answer(503, Retry_After="1")
    settings = dataclasses.replace(QUICK, max_wait_s=0.4)
    begin = time.monotonic()
    assert read(site, settings=settings) == CONTENT
    assert time.monotonic() - begin >= 0.4  # not the whole second: remote.max_wait_s bounds it


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("7", 7, 7),
        ("", 0, 0),
        ("soon", 0, 0),
        ("-3", 0, 0),
        ("Mon, 10 Dec 2018 10:16:51 GMT", 0, 0),
        ("9" * 400, 1e7, 1e8),
    ],
)
def test_values_of_retry_after(value, least, most):
    assert least <= _retry_after(value) <= most


def test_retry_after_may_be_a_date():
    later = email.utils.formatdate(time.time() + 100, usegmt=True)
    assert 90 < _retry_after(later) < 110


def test_a_connection_that_breaks_goes_on_where_it_stopped(site):
    site.behaviours["/f"] = lambda handler, content, before: not before and handler.cut(content, 300_000)
    assert read(site) == CONTENT
    assert site.requests == [("/f", None), ("/f", "bytes=300000-")]


def test_without_range_the_begin_is_read_again_and_compared(site):
    site.ranges = False
    site.behaviours["/f"] = lambda handler, content, before: not before and handler.cut(content, 300_000)
    assert read(site) == CONTENT
    other = bytes(len(CONTENT))
    site.requests.clear()
    site.behaviours["/f"] = lambda handler, content, before: (
        handler.answer(200, other) if before else handler.cut(content, 300_000)
    )
    assert reason(site) == "changed"


def test_a_file_that_ends_early_again_and_again(site):
    site.ranges = False
    site.behaviours["/f"] = lambda handler, content, before: handler.cut(content, 1000)
    assert reason(site) == "early_end"


def test_a_length_that_is_too_large(site):
    """The server says so when it is asked for the rest."""
    site.behaviours["/f"] = lambda handler, content, before: (
        not before and handler.cut(content, len(content), len(content) + 99)
    )
    assert read(site) == CONTENT


def test_a_length_that_is_too_small(site):
    site.behaviours["/f"] = lambda handler, content, before: not before and handler.cut(content, 1000, 1000)
    assert read(site) == CONTENT[:1000]
    site.requests.clear()
    assert read(site, trusted=False) == CONTENT


def test_a_length_that_is_too_small_is_noticed_by_who_misses_the_rest(site):
    site.files["/g"] = gzip.compress(CONTENT)
    site.behaviours["/g"] = lambda handler, content, before: (
        not handler.headers.get("Range") and handler.cut(content, 1000, 1000)
    )

    def doubt(data):
        return "" if data == site.files["/g"] else "early_end"

    assert fetch(site.url + "/g", QUICK, lambda stream: stream.read(), doubt) == site.files["/g"]


def test_a_file_that_is_cut_where_it_lies_is_taken_as_it_is(site):
    assert fetch(site.url + "/f", QUICK, lambda stream: stream.read(), lambda data: "early_end") == CONTENT
    assert [asked for _, asked in site.requests] == [None, f"bytes={len(CONTENT)}-"]


def test_slow_bytes(site):
    def trickle(handler, content, before):
        handler.begin(200, {"Content-Length": str(len(content))})
        for at in range(0, 100):
            handler.wfile.write(content[at : at + 1])
            handler.wfile.flush()
            time.sleep(0.05)
        return True

    site.behaviours["/f"] = trickle
    assert reason(site, settings=dataclasses.replace(QUICK, max_seconds=0.5)) == "too_slow"


def test_no_answer_in_time(site):
    def hang(handler, content, before):
        time.sleep(1 if before < 1 else 0)
        return False

    site.behaviours["/f"] = hang
    assert read(site) == CONTENT
    assert len(site.requests) == 2


def test_redirects_stay_where_they_were_asked_for(site):
    def to(location):
        return lambda handler, content, before: handler.answer(302, Location=location)

    site.behaviours["/here"] = to("/f")
    assert read(site, "/here") == CONTENT
    for location in (
        "/loop",
        "file:///etc/passwd",
        "http://elsewhere.example/f",
        "ftp://127.0.0.1/f",
        "",
        "http://[bad",
    ):
        site.behaviours["/loop"] = to(location)
        assert reason(site, "/loop") == "redirect"
    with serve(Site({"/f": b"other"})) as other:
        site.behaviours["/away"] = to(other.url.replace("127.0.0.1", "localhost") + "/f")
        assert reason(site, "/away") == "redirect"
        allowed = dataclasses.replace(QUICK, redirect_hosts=("localhost",))
        assert read(site, "/away", allowed) == b"other"


def test_nobody_answers():
    with serve(Site()) as gone:
        pass
    assert reason(gone) == "connection"


def test_what_is_remote(s3_folder, tmp_path):
    assert is_remote("https://host/f")
    assert is_remote(f"{s3_folder}/f")
    assert not is_remote(str(tmp_path / "f"))


def test_files_on_beams_file_systems(s3_folder):
    from cc100.transforms.storage import Storage

    Storage(s3_folder).write("f", CONTENT)
    assert fetch(f"{s3_folder}/f", QUICK, lambda stream: stream.read()) == CONTENT
    with pytest.raises(FetchError) as caught:
        fetch(f"{s3_folder}/missing", QUICK, lambda stream: stream.read())
    assert caught.value.reason == "not_found"
