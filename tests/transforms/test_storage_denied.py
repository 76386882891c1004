"""A bucket whose server refuses everything: one line that names the file, the operation and the remedy, before anything starts."""

import http.server
import pathlib
import threading

import pytest

from cc100.pipeline.cli import main

CRAWL = pathlib.Path(__file__).parent.parent.parent / "examples" / "crawl"
ANSWER = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message><RequestId>1</RequestId></Error>'


class Refusal(http.server.BaseHTTPRequestHandler):
    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(403)
        self.send_header("Content-Length", str(len(ANSWER) if self.command != "HEAD" else 0))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(ANSWER)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 - names that the server asks for

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def flags():
    pytest.importorskip("boto3")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusal)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield [
        "--",
        f"--s3_endpoint_url=http://127.0.0.1:{server.server_port}",
        "--s3_access_key_id=test",
        "--s3_secret_access_key=test",
        "--s3_region_name=us-east-1",
    ]
    server.shutdown()


@pytest.mark.parametrize(
    ("source", "target", "beginning"),
    [
        (
            "s3://closed/crawl",
            None,
            "cannot list s3://closed/crawl/*: An error occurred (AccessDenied) when calling the ListObjects",
        ),
        (
            str(CRAWL),
            "s3://closed/out",
            "cannot write s3://closed/out/run/lock: An error occurred (AccessDenied) when calling the ",
        ),
    ],
)
def test_a_right_that_is_missing_is_named_before_anything_starts(flags, tmp_path, capsys, source, target, beginning):
    assert main(["corpus", "--input", source, "--output", target or str(tmp_path / "out"), *flags]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"cc100: {beginning}")
    assert line.endswith("operation: Access Denied. Give the account that right, or name other credentials.")
    assert not (tmp_path / "out" / "documents").exists()
