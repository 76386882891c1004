"""Reading input files that lie elsewhere: attempts, and what makes a file that came a bad one."""

import io
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar, cast

from cc100.shards.errors import StorageError
from cc100.transforms.http_file import FetchError, HttpFile, Patience, is_http
from cc100.transforms.settings import RemoteSettings
from cc100.transforms.storage import is_local, open_stream

T = TypeVar("T")


class _CheckedStream(io.RawIOBase):
    """A file on one of Beam's file systems, whatever they raise turned into a `FetchError`."""

    is_end_certain = True

    def __init__(self, uri: str) -> None:
        super().__init__()
        self.offset = 0
        try:
            self._stream = open_stream(uri)
        except StorageError as error:
            raise _fetch_error(error.__cause__ or error) from error
        except Exception as error:  # each file system has errors of its own
            raise _fetch_error(error) from error

    def readable(self) -> bool:
        """True."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """At most `size` further bytes."""
        try:
            data = self._stream.read(-1 if size is None else size)
        except Exception as error:
            raise _fetch_error(error) from error
        self.offset += len(data)
        return data

    def has_more(self) -> bool:
        """False: these file systems know how long a file is."""
        return False

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        super().close()


def _fetch_error(error: BaseException) -> FetchError:
    text = str(error)
    if (
        isinstance(error, FileNotFoundError)
        or getattr(error, "code", None) == 404
        or "NoSuchKey" in text
        or "404" in text
    ):
        return FetchError("not_found")
    return FetchError("read_error", is_final=False)


def is_remote(uri: str) -> bool:
    """Whether a file is read over a network."""
    return is_http(uri) or not is_local(uri)


def fetch(
    uri: str, settings: RemoteSettings, work: Callable[[BinaryIO], T], doubt: Callable[[T], str] = lambda result: ""
) -> T:
    """Work on a file that lies elsewhere, attempt by attempt.

    Args:
        uri: The file.
        settings: Bounds of attempts and time.
        work: Reads the file to its end; done again from the begin where that is needed.
        doubt: Says of a result why the file may not have come as it is: a reason of `QUARANTINE_REASONS`, or empty.
            `early_end` is believed only if more of the file exists or its length is not known.

    Raises:
        FetchError: the file cannot be read.
    """
    patience = Patience(settings)
    is_length_trusted = True
    sizes: set[int] = set()
    while True:
        try:
            with _open(uri, settings, patience, is_length_trusted) as stream:
                result = work(cast(BinaryIO, stream))
                reason = doubt(result)
                if reason == "early_end":
                    has_more = stream.has_more()
                    is_length_trusted &= not has_more
                    if not has_more and (stream.is_end_certain or stream.offset in sizes):
                        reason = ""
                    sizes.add(stream.offset)
        except FetchError as error:
            if error.is_final:
                raise
            reason = error.reason
        if not reason:
            return result
        patience.restart(reason)


def _open(uri: str, settings: RemoteSettings, patience: Patience, is_length_trusted: bool) -> Any:
    return HttpFile(uri, settings, patience, is_length_trusted) if is_http(uri) else _CheckedStream(uri)
