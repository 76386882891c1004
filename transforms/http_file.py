"""A file on a web server as a stream: one GET, gone on with after failures, bounded in attempts and time."""

import email.utils
import io
import random
import re
import time
import urllib.parse
import zlib
from collections.abc import Callable
from typing import Any

import requests
import urllib3

from cc100.transforms.settings import RemoteSettings

QUARANTINE_REASONS = {
    "not_found": "the file is not there (404, 410)",
    "refused": "the server refuses the file (401, 403, and other statuses of 400 to 499)",
    "busy": "the server is busy or broken (408, 425, 429, 500 to 599)",
    "connection": "no connection, or it broke and could not be taken up again",
    "timeout": "no answer, or no further bytes, within remote.timeout_s",
    "early_end": "the file ended before its stated length, again and again",
    "too_slow": "it took longer than remote.max_seconds",
    "redirect": "redirected in a circle, or to a host or scheme that was not asked for",
    "changed": "the file changed while it was read",
    "not_warc": "what came is no crawl file, such as an error page",
    "read_error": "the file system of the URI failed",
}
"""Why a file that lies elsewhere could not be read (`inputs[].quarantined`)."""

_TRANSIENT = (403, 408, 425, 429)
_MOST_REDIRECTS = 5
_READ_BYTES = 1 << 18
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


class FetchError(Exception):
    """A file could not be fetched.

    Attributes:
        reason: A name in `QUARANTINE_REASONS`.
        is_final: Whether another attempt is pointless.
    """

    def __init__(self, reason: str, is_final: bool = True) -> None:
        super().__init__(reason)
        self.reason, self.is_final = reason, is_final


class Patience:
    """Waits between attempts: exponential backoff with jitter, bounded in number and time.

    Args:
        settings: The bounds.
        sleep: Waits so many seconds.
    """

    def __init__(self, settings: RemoteSettings, sleep: Callable[[float], None] = time.sleep) -> None:
        self._settings, self._sleep = settings, sleep
        self._failures = 0
        self._restarts = 0
        self.seconds = 0.0  # spent on the network and in waits

    def progress(self) -> None:
        """Something came: failures count anew."""
        self._failures = 0

    def fail(self, reason: str, retry_after_s: float = 0.0) -> None:
        """Count a failure without progress and wait.

        Raises:
            FetchError: there were too many, or there is no time for another attempt.
        """
        self._failures += 1
        self._wait(self._failures, reason, retry_after_s)

    def restart(self, reason: str) -> None:
        """Count a file that has to be read from its begin again, and wait.

        Raises:
            FetchError: as by `fail`.
        """
        self._failures = 0
        self._restarts += 1
        self._wait(self._restarts, reason, 0.0)

    def _wait(self, failures: int, reason: str, retry_after_s: float) -> None:
        settings = self._settings
        if failures >= settings.attempts:
            raise FetchError(reason)
        wait = min(settings.max_wait_s, settings.first_wait_s * 2 ** (failures - 1)) * random.uniform(0.5, 1)
        wait = max(wait, min(retry_after_s, settings.max_wait_s))
        if self.seconds + wait > settings.max_seconds:
            raise FetchError("too_slow" if reason == "timeout" else reason)
        self.seconds += wait
        self._sleep(wait)

    def spend(self, seconds: float) -> None:
        """Count time.

        Raises:
            FetchError: it is used up.
        """
        self.seconds += seconds
        if self.seconds > self._settings.max_seconds:
            raise FetchError("too_slow")


class HttpFile(io.RawIOBase):
    """A file on a web server, read from its begin to its end.

    After a failure it goes on at the byte where it stopped (Range), or, where the server does not do that, reads the
    begin again and checks that it is the same.

    Args:
        uri: http:// or https://.
        settings: How.
        patience: Waits; shared between attempts on the same file.
        is_length_trusted: Whether the file ends where Content-Length says; else the server is asked whether more follows.
    """

    def __init__(self, uri: str, settings: RemoteSettings, patience: Patience, is_length_trusted: bool = True) -> None:
        super().__init__()
        self._uri, self._settings, self._patience = uri, settings, patience
        self._is_length_trusted = is_length_trusted
        self._session = requests.Session()
        self._session.get_redirect_target = lambda resp: None  # type: ignore[method-assign] # it would parse them, and raise
        self._response: requests.Response | None = None
        self._total: int | None = None
        self._validator = ""
        self._crc = 0
        self._is_done = False
        self.offset = 0

    def readable(self) -> bool:
        """True."""
        return True

    def close(self) -> None:
        """Close the connection."""
        self._drop()
        self._session.close()
        super().close()

    def read(self, size: int | None = -1) -> bytes:
        """At least one byte and at most `size` of them; nothing at the end only; all that follow without a size.

        Raises:
            FetchError: the file cannot be read to its end.
        """
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(_READ_BYTES), b""))
        while not self._is_done:
            begin = time.monotonic()
            data = self._attempt(size)
            self._patience.spend(time.monotonic() - begin)
            if data:
                self._patience.progress()
                self.offset += len(data)
                self._crc = zlib.crc32(data, self._crc)
                return data
        return b""

    def has_more(self) -> bool:
        """Whether the server has bytes behind those that were read, whatever length it stated."""
        self._drop()
        for _ in range(self._settings.attempts):
            try:
                status, response = self._get(self.offset)
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, FetchError):
                self._session.close()  # the server may have closed the connection that was kept
                continue
            response.close()
            return status == 206
        return False

    @property
    def is_end_certain(self) -> bool:
        """Whether the server said how long the file is."""
        return self._total is not None

    def _attempt(self, size: int) -> bytes:
        """Some bytes; none where this attempt failed or the file ended."""
        try:
            if self._response is None and not self._connect():
                return b""
            assert self._response is not None
            data: bytes = self._response.raw.read1(size, decode_content=False)
        except FetchError:
            raise
        except (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError):
            return self._failed("timeout")
        except (
            urllib3.exceptions.IncompleteRead,
            urllib3.exceptions.ProtocolError,
            requests.exceptions.ChunkedEncodingError,
        ):
            return self._failed("early_end")
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError):
            return self._failed("connection")
        if data:
            return data
        if self._total is not None and self.offset < self._total:
            return self._failed("early_end")
        self._drop()
        if self._is_length_trusted or self.offset == 0 or not self.has_more():
            self._is_done = True
        else:
            self._total = None
        return b""

    def _failed(self, reason: str, retry_after_s: float = 0.0) -> bytes:
        self._drop()
        self._patience.fail(reason, retry_after_s)
        return b""

    def _drop(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None

    def _get(self, offset: int) -> tuple[int, requests.Response]:
        """Ask for the file from a byte on; follows redirects."""
        headers = {"User-Agent": self._settings.user_agent, "Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if self._validator:
                headers["If-Range"] = self._validator
        uri = self._uri
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._session.get(
                uri, headers=headers, stream=True, allow_redirects=False, timeout=self._settings.timeout_s
            )
            if response.status_code not in (301, 302, 303, 307, 308):
                return response.status_code, response
            location = response.headers.get("Location", "")
            response.close()
            uri = self._redirected(uri, location)
        raise FetchError("redirect")

    def _redirected(self, uri: str, location: str) -> str:
        """Where a server sends us, if that is allowed."""
        try:
            target = urllib.parse.urljoin(uri, location)
            old, new = urllib.parse.urlsplit(uri), urllib.parse.urlsplit(target)
            is_same = new.hostname == old.hostname and (
                new.port == old.port or (old.scheme, new.scheme) == ("http", "https")
            )
        except ValueError:
            raise FetchError("redirect") from None
        is_safe = new.scheme == "https" or (new.scheme == "http" and old.scheme == "http")
        if not (location and is_safe and (is_same or new.hostname in self._settings.redirect_hosts)):
            raise FetchError("redirect")
        return target

    def _connect(self) -> bool:
        """Begin, or go on, with a response; False where that failed or nothing follows."""
        status, response = self._get(self.offset)
        self._response = response
        if status == 200:
            return self._begin(response)
        if status == 206 and self.offset:
            return self._resume(response)
        if status == 416 and self.offset:
            found = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
            if found is None or found[2] in ("*", str(self.offset)):
                self._total, self._is_done = self.offset, True
                self._drop()
                return False
            self._failed("early_end")
        elif status in (404, 410):
            raise FetchError("not_found")
        elif status in _TRANSIENT or status >= 500:
            reason = "refused" if status == 403 else "busy"
            self._failed(reason, _retry_after(response.headers.get("Retry-After", "")))
        elif 400 <= status < 500:
            raise FetchError("refused")
        else:
            self._failed("connection")
        return False

    def _begin(self, response: requests.Response) -> bool:
        """A whole file; what was read already is read again and compared."""
        length = response.headers.get("Content-Length", "")
        self._total = int(length) if length.isdigit() and self._is_length_trusted else None
        etag = response.headers.get("ETag", "")
        self._validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
        crc = passed = 0
        while passed < self.offset:
            begin = time.monotonic()
            data: bytes = response.raw.read1(min(_READ_BYTES, self.offset - passed), decode_content=False)
            self._patience.spend(time.monotonic() - begin)
            if not data:
                self._failed("early_end")
                return False
            crc, passed = zlib.crc32(data, crc), passed + len(data)
        if crc != self._crc:
            raise FetchError("changed", is_final=False)
        return True

    def _resume(self, response: requests.Response) -> bool:
        found = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        if found is None or found[1] != str(self.offset):
            self._failed("connection")
            return False
        if found[2] != "*" and self._is_length_trusted:
            self._total = int(found[2])
        return True


def _retry_after(value: str) -> float:
    """Seconds of a Retry-After header, which may be a date; nonsense is 0."""
    value = value.strip()
    if value.isdigit():
        return float(value[:8])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def is_http(uri: Any) -> bool:
    """Whether a URI is that of a file on a web server."""
    return str(uri).startswith(("http://", "https://"))
