"""A web server on this machine that serves files, and misbehaves on demand."""

import contextlib
import dataclasses
import http.server
import pathlib
import re
import threading
import time
from collections.abc import Callable, Iterator

Behaviour = Callable[["Handler", bytes, int], bool]
"""Answers a request for a path (its content, how often it was asked before); False leaves it to the server."""


@dataclasses.dataclass
class Site:
    """What a server serves, and what it was asked.

    Attributes:
        files: content by path.
        behaviours: how paths misbehave.
        requests: path and Range header of every GET, in order.
        most_at_once: most GETs that were answered at the same time.
    """

    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    behaviours: dict[str, Behaviour] = dataclasses.field(default_factory=dict)
    requests: list[tuple[str, str | None]] = dataclasses.field(default_factory=list)
    agents: set[str] = dataclasses.field(default_factory=set)
    ranges: bool = True
    delay_s: float = 0.0
    most_at_once: int = 0
    url: str = ""
    _at_once: int = 0
    _lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def add_folder(self, folder: pathlib.Path, below: str) -> None:
        for path in sorted(folder.iterdir()):
            self.files[f"{below}/{path.name}"] = path.read_bytes()

    def asked(self, path: str) -> int:
        return sum(asked == path for asked, _ in self.requests)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers requests for one site."""

    protocol_version = "HTTP/1.1"
    site: Site

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        content = self.site.files.get(self.path)
        self.begin(404 if content is None else 200, {"Content-Length": str(len(content or b""))})

    def do_GET(self) -> None:
        site = self.site
        with site._lock:
            before = site.asked(self.path)
            site.requests.append((self.path, self.headers.get("Range")))
            site.agents.add(self.headers.get("User-Agent", ""))
            site._at_once += 1
            site.most_at_once = max(site.most_at_once, site._at_once)
        try:
            time.sleep(site.delay_s)
            content = site.files.get(self.path, b"")
            behaviour = site.behaviours.get(self.path)
            if behaviour is None or not behaviour(self, content, before):
                self.serve(content, self.path in site.files)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with site._lock:
                site._at_once -= 1

    def begin(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def answer(self, status: int, body: bytes = b"", **headers: str) -> bool:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.begin(status, {"Content-Length": str(len(body))} | named)
        self.wfile.write(body)
        return True

    def serve(self, content: bytes, exists: bool = True) -> None:
        """As a server does that behaves."""
        if not exists:
            self.answer(404, b"no such file")
            return
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if wanted is None or not self.site.ranges:
            self.answer(200, content, ETag='"1"')
        elif int(wanted[1]) >= len(content):
            self.answer(416, Content_Range=f"bytes */{len(content)}")
        else:
            begin = int(wanted[1])
            self.answer(
                206, content[begin:], Content_Range=f"bytes {begin}-{len(content) - 1}/{len(content)}", ETag='"1"'
            )

    def cut(self, content: bytes, size: int, length: int | None = None) -> bool:
        """State a length, send fewer bytes, and hang up."""
        self.begin(200, {"Content-Length": str(len(content) if length is None else length), "ETag": '"1"'})
        self.wfile.write(content[:size])
        self.wfile.flush()
        self.close_connection = True
        return True


@contextlib.contextmanager
def serve(site: Site) -> Iterator[Site]:
    handler = type("SiteHandler", (Handler,), {"site": site})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # clients hang up on purpose
    thread = threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.05})
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
