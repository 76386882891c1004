"""Where files lie: the only module that lists, opens, commits, deletes and locks, through Beam's FileSystems.

A file gets its final name when it is complete: it is written under `run/tmp/` of the same output folder and renamed. On a
local folder that is `rename(2)`; on an object store it is a server-side copy, visible as a whole or not at all, and
a deletion. Local folders are also memory-mapped for reading.
"""

import contextlib
import dataclasses
import errno
import hashlib
import io
import json
import os
import pathlib
import secrets
import socket
import urllib.parse
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import pyarrow as pa
from apache_beam.io.aws.clients.s3.messages import S3ClientError
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from cc100.shards.errors import LockedError, StorageError
from cc100.transforms.s3 import share_clients

_TEMPORARY = "run/tmp"
LOCK = "run/lock"
_HASHED_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class StoredFile:
    """A complete file: its size in bytes and the SHA-256 of its content in hexadecimal digits."""

    bytes: int
    sha256: str


def use_beam_flags(flags: list[str]) -> None:
    """Tell the file systems of this process Beam's own flags, such as the address of an S3 server."""
    FileSystems.set_options(PipelineOptions(flags))


def is_local(uri: str) -> bool:
    """True for a path without a scheme."""
    scheme = FileSystems.get_scheme(uri)
    if scheme == "s3":
        share_clients()
    return scheme is None


def absolute(uri: str) -> str:
    """A URI with an absolute path where it is local (file:// too); symbolic links keep their names."""
    if uri.startswith("file://"):
        uri = urllib.parse.unquote(uri[len("file://") :])
    return str(local_path(uri).absolute()) if is_local(uri) else uri.rstrip("/")


def local_path(uri: str) -> pathlib.Path:
    """Path of a local URI."""
    return pathlib.Path(uri)


def join(folder: str, name: str) -> str:
    """URI of a file below a folder."""
    return f"{folder.rstrip('/')}/{name}"


@contextlib.contextmanager
def _errors(action: str, uri: str) -> Iterator[None]:
    """Turn what a file system raises into one line that names the file and what to do."""
    try:
        yield
    except (BeamIOError, ValueError, S3ClientError) as error:
        raise StorageError(f"cannot {action} {uri}: {_first_line(error)}") from error
    except OSError as error:
        remedy = {
            errno.ENOSPC: "Free some space and run the same command again: it continues where it stopped.",
            errno.EDQUOT: "Raise the quota and run the same command again: it continues where it stopped.",
            errno.EACCES: "Change its permissions or choose another folder.",
            errno.EPERM: "Change its permissions or choose another folder.",
            errno.EROFS: "Choose a folder on a file system that can be written.",
            errno.ENOTDIR: "Choose a folder for --output.",
        }.get(error.errno or 0, "")
        raise StorageError(f"cannot {action} {uri}: {error.strerror or error}. {remedy}".rstrip()) from error


def _first_line(error: Any) -> str:
    """What is at the bottom of an error, and what to do where the file system says that it is a matter of rights."""
    while isinstance(error, BeamIOError) and error.exception_details:
        error = next(iter(error.exception_details.values()))
    line = (str(getattr(error, "message", error)).splitlines() or [type(error).__name__])[0].rstrip(".")
    is_denied = getattr(error, "code", None) in (401, 403)
    return f"{line}. {'Give the account that right, or name other credentials.' if is_denied else ''}".rstrip()


def match(pattern: str) -> dict[str, int]:
    """URIs that match a glob, with their sizes in bytes; empty where nothing does."""
    with _errors("list", pattern):
        found = FileSystems.match([pattern])[0].metadata_list
    return {metadata.path: metadata.size_in_bytes for metadata in found}


def list_folder(uri: str) -> dict[str, int]:
    """URIs and sizes in bytes of the files directly in a folder, by code point; empty where it does not exist."""
    if not is_local(uri):
        return dict(sorted(match(join(uri, "*")).items()))
    with _errors("list", uri):
        if not local_path(uri).is_dir():
            return {}
        entries = [entry for entry in os.scandir(uri) if entry.is_file()]
        return {join(uri, entry.name): entry.stat().st_size for entry in sorted(entries, key=lambda entry: entry.name)}


def size_of(uri: str) -> int | None:
    """Size of a file in bytes; None where there is none."""
    if is_local(uri):
        path = local_path(uri)
        return path.stat().st_size if path.is_file() else None
    with _errors("look up", uri):
        try:
            return FileSystems.match([_literal(uri)])[0].metadata_list[0].size_in_bytes
        except (BeamIOError, IndexError):
            return None


def _literal(uri: str) -> str:
    """A pattern that matches one URI only: brackets are the one wildcard that Beam lets us quote with."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in uri)


def open_stream(uri: str) -> BinaryIO:
    """Open a stored file for reading as it is, never decompressed by its name."""
    with _errors("open", uri):
        if is_local(uri):
            return open(uri, "rb")
        return cast(BinaryIO, FileSystems.open(uri, compression_type=CompressionTypes.UNCOMPRESSED))


class Storage:
    """Files of one output folder, by path relative to it. Cheap to make; can be pickled.

    Args:
        root: URI of the folder on any file system that Beam knows.
    """

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/") or "/"
        self._local = is_local(self.root)

    def uri(self, name: str) -> str:
        """URI of a file of the folder."""
        return join(self.root, name)

    # --- Reading ----------------------------------------------------------------------------------------------------

    def files(self, folder: str) -> dict[str, int]:
        """Paths and sizes in bytes of the files directly in a folder; empty where it does not exist."""
        begin = len(self.uri(""))
        return {uri[begin:]: size for uri, size in list_folder(self.uri(folder)).items()}

    def files_below(self, folder: str) -> dict[str, int]:
        """Paths and sizes in bytes of the files in a folder and in all folders below it."""
        root, begin = self.uri(folder), len(self.uri(""))
        if not self._local:
            return {uri[begin:]: size for uri, size in sorted(match(join(root, "**")).items())}
        found = sorted(path for path in local_path(root).rglob("*") if path.is_file())
        return {str(path)[begin:]: path.stat().st_size for path in found}

    def size(self, name: str) -> int | None:
        """Size of a file in bytes; None where there is none."""
        return size_of(self.uri(name))

    def read(self, name: str) -> bytes:
        """Content of a file."""
        with open_stream(self.uri(name)) as stream, _errors("read", self.uri(name)):
            return stream.read()

    def read_json(self, name: str) -> Any:
        """Content of a JSON file.

        Raises:
            StorageError: the file cannot be read or is no JSON.
        """
        try:
            return json.loads(self.read(name))
        except ValueError as error:
            raise StorageError(
                f"{self.uri(name)} is damaged: {_first_line(error)}. Delete it and run the same command again."
            ) from error

    def fingerprint(self, name: str) -> StoredFile:
        """Size and SHA-256 of a file, read from beginning to end."""
        digest, size = hashlib.sha256(), 0
        with open_stream(self.uri(name)) as stream, _errors("read", self.uri(name)):
            while piece := stream.read(_HASHED_BYTES):
                digest.update(piece)
                size += len(piece)
        return StoredFile(size, digest.hexdigest())

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """Open a file for reading at any position."""
        with open_stream(self.uri(name)) as stream:
            yield stream

    @contextlib.contextmanager
    def open_arrow(self, name: str) -> Iterator[pa.NativeFile]:
        """Open a file for pyarrow: memory-mapped where it is local."""
        uri = self.uri(name)
        with _errors("open", uri):
            if self._local and self.size(name):
                source = pa.memory_map(uri)
            else:
                source = pa.PythonFile(open_stream(uri), mode="r")
        with source:
            yield source

    # --- Writing ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def create(self, name: str) -> Iterator["HashingStream"]:
        """Write a file; it appears under its name, complete, when the block ends without an exception.

        The stream's `stored` says what was written once the block has ended.
        """
        temporary = self.uri(f"{_TEMPORARY}/{secrets.token_hex(8)}.tmp")
        final = self.uri(name)
        with _errors("write", final):
            stream = HashingStream(self._create(temporary), final)
        try:
            yield stream
            with _errors("write", final):
                stream.finish()
                self._rename(temporary, final)
        except BaseException:
            with contextlib.suppress(Exception):
                stream.finish()
            with contextlib.suppress(Exception):
                self._remove(temporary)
            raise

    def _create(self, uri: str) -> BinaryIO:
        if self._local:
            local_path(uri).parent.mkdir(parents=True, exist_ok=True)
            return open(uri, "wb")
        return cast(BinaryIO, FileSystems.create(uri, compression_type=CompressionTypes.UNCOMPRESSED))

    def write(self, name: str, data: bytes) -> StoredFile:
        """Write a whole file at once."""
        with self.create(name) as stream:
            stream.write(data)
        return stream.stored

    def _rename(self, temporary: str, final: str) -> None:
        if self._local:
            local_path(final).parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary, final)
        else:
            FileSystems.rename([temporary], [final])

    def _remove(self, uri: str) -> None:
        if self._local:
            local_path(uri).unlink(missing_ok=True)
        else:
            FileSystems.delete([uri])

    def link(self, source: "Storage", name: str, link: str) -> bool:
        """Give a file of another folder a name here, without a copy of its bytes; False where that cannot be."""
        if not (self._local and source._local):
            return False
        temporary = local_path(self.uri(f"{_TEMPORARY}/{secrets.token_hex(8)}.tmp"))
        with _errors("write", self.uri(link)):
            temporary.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source.uri(name), temporary)
            except OSError:  # another file system, or one without links
                return False
            self._rename(str(temporary), self.uri(link))
            temporary.unlink(missing_ok=True)  # rename(2) leaves it where both names are links to the same file
        return True

    def delete(self, names: list[str]) -> None:
        """Delete files; those that do not exist are no error."""
        for name in names:
            with _errors("delete", self.uri(name)):
                if self._local or self.size(name) is not None:
                    self._remove(self.uri(name))

    def delete_folder(self, name: str) -> None:
        """Delete a folder with the files directly in it."""
        self.delete(list(self.files(name)))
        if self._local:
            with contextlib.suppress(OSError):
                local_path(self.uri(name)).rmdir()

    def delete_temporary(self) -> None:
        """Delete what killed processes left half-written."""
        self.delete_folder(_TEMPORARY)

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Be the only process that works on this folder.

        Raises:
            LockedError: another process holds the lock.
        """
        if self._local:
            return _local_lock(self)
        from cc100.transforms.lease import hold_lease  # it needs this module

        return hold_lease(self)


class HashingStream(io.RawIOBase):
    """Writable stream that counts and hashes what passes through.

    Args:
        raw: the underlying stream.
        name: URI of the file, for messages.
    """

    def __init__(self, raw: BinaryIO, name: str) -> None:
        super().__init__()
        self._raw, self._name, self._hash, self._bytes = raw, name, hashlib.sha256(), 0

    def writable(self) -> bool:
        """True: pyarrow asks."""
        return True

    def tell(self) -> int:
        """Bytes written so far."""
        return self._bytes

    def write(self, data: Any) -> int:
        """Write all of `data` (bytes-like)."""
        with _errors("write", self._name):
            self._raw.write(data)
        self._hash.update(data)
        size = memoryview(data).nbytes
        self._bytes += size
        return size

    def close(self) -> None:
        """Do nothing: writers close what they are given, but only the end of the `create` block completes the file."""

    def finish(self) -> None:
        """Close the underlying file."""
        self._raw.close()

    @property
    def stored(self) -> StoredFile:
        """Size and SHA-256 of what was written."""
        return StoredFile(self._bytes, self._hash.hexdigest())


def owner() -> dict[str, Any]:
    """Who this process is, as a lock says it."""
    return {"host": socket.gethostname(), "pid": os.getpid()}


def locked(storage: Storage, holder: dict[str, Any]) -> LockedError:
    """The error where another process holds the lock."""
    who = f"process {holder.get('pid', '?')} on {holder.get('host', '?')}"
    return LockedError(f"{storage.root} is in use by {who}. Wait until it has ended, or choose another --output.")


@contextlib.contextmanager
def _local_lock(storage: Storage) -> Iterator[None]:
    """flock(2): the kernel releases it when the process ends, however it ends."""
    import fcntl

    path = local_path(storage.uri(LOCK))
    with _errors("write", str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = open(path, "a+", encoding="utf-8")  # noqa: SIM115
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            handle.seek(0)
            try:
                holder = json.loads(handle.read())
            except ValueError:
                holder = {}
            raise locked(storage, holder) from error
        with _errors("write", str(path)):
            handle.truncate(0)
            handle.write(json.dumps(owner()))
            handle.flush()
        yield
