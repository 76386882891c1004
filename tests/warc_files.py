"""Records for tests of WARC files."""

import base64
import hashlib
import zlib


def response_record(
    body: bytes,
    *,
    status: int = 200,
    content_type: str | None = "text/html; charset=utf-8",
    encoding: str | None = None,
    payload_type: str | None = None,
    kind: str = "response",
    block: bytes | None = None,
    url: str = "http://site.example/",
    **fields: str,
) -> bytes:
    """A WARC record with an HTTP response."""
    headers = {"Content-Type": content_type, "Content-Encoding": encoding}
    head = [f"HTTP/1.1 {status} Reason", *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    block = "\r\n".join(head).encode() + b"\r\n\r\n" + body if block is None else block
    named = {
        "WARC-Type": kind,
        "WARC-Target-URI": url,
        "WARC-Date": "2018-12-10T10:16:51Z",
        "WARC-Record-ID": f"<urn:test:{zlib.crc32(block + url.encode())}>",
        "WARC-Identified-Payload-Type": payload_type,
        "WARC-Block-Digest": "sha1:" + base64.b32encode(hashlib.sha1(block).digest()).decode(),
        "Content-Type": "application/http; msgtype=response",
        "Content-Length": str(len(block)),
        **{name.replace("_", "-"): value for name, value in fields.items()},
    }
    lines = ["WARC/1.0", *(f"{name}: {value}" for name, value in named.items() if value is not None)]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"
