"""Where an export lies, what of it is done, and its manifest.

An export is a folder with a `manifest.json` that is written last: `DIR/export/<format>/`, or any other that the user names. Until then
`run/export/<format>/` of the same folder (of DIR for the default) has the identity of the export and a receipt for every unit.
"""

import contextlib
import dataclasses
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cc100.shards import layout
from cc100.shards.errors import ConfigurationError, DamagedFileError, StorageError
from cc100.shards.manifest import differences, to_json
from cc100.transforms.storage import LOCK, HashingStream, Storage, StoredFile, absolute

FORMAT_VERSION = 1
PIECE_BYTES = 8 << 20

Files = dict[str, StoredFile]


@dataclasses.dataclass(frozen=True)
class Written:
    """What a unit leaves.

    Attributes:
        files: by path in the export.
        facts: what the manifest says about its language.
    """

    files: Files
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Unit:
    """What is made, recorded and resumed as a whole.

    Attributes:
        name: what distinguishes it from other units.
        language: whose it is; None: everybody's.
        source_bytes: stored bytes that it reads.
        write: makes its files.
        alone: it uses all threads itself.
    """

    name: str
    language: str | None
    source_bytes: int
    write: Callable[["Target"], Written]
    alone: bool = False


@dataclasses.dataclass(frozen=True)
class Plan:
    """An export that was asked for.

    Attributes:
        identity: what its manifest begins with; two exports with the same go into one folder.
        languages: what the manifest says about each language, before the units add to it.
        units: in the order of the manifest.
        finish: makes files that need all units; gets their files by path.
    """

    identity: dict[str, Any]
    languages: dict[str, dict[str, Any]]
    units: list[Unit]
    finish: Callable[["Target", Mapping[str, StoredFile]], Files] = lambda target, files: {}


class Target:
    """The folder of an export.

    Args:
        source: the output folder that is exported.
        form: name of the format.
        to: URI of the folder; None: `export/<format>/` of the output folder.
    """

    def __init__(self, source: Storage, form: str, to: str | None) -> None:
        self.storage = source if to is None else Storage(absolute(to))
        self._folder = f"export/{form}/" if to is None else ""
        self._own = to is not None
        self._state = f"{layout.RUN}/export/{form}"
        self.uri = self.storage.uri(self._folder).rstrip("/")

    # --- Files ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def create(self, path: str) -> Iterator[HashingStream]:
        """Write a file of the export; it appears when the block ends without an exception."""
        with self.storage.create(self._folder + path) as stream:
            yield stream

    def write(self, path: str, data: bytes) -> StoredFile:
        """Write a whole file at once."""
        return self.storage.write(self._folder + path, data)

    def link(self, source: Storage, name: str, path: str) -> bool:
        """Give a file of the output folder a name in the export; False where it has to be copied."""
        return self.storage.link(source, name, self._folder + path)

    def pieces(self, path: str) -> Iterator[bytes]:
        """Content of a file."""
        with self.open(path) as stream:
            while piece := stream.read(PIECE_BYTES):
                yield piece

    def open(self, path: str) -> contextlib.AbstractContextManager[Any]:
        """Open a file for reading."""
        return self.storage.open(self._folder + path)

    def delete(self, paths: list[str]) -> None:
        """Delete files."""
        self.storage.delete([self._folder + path for path in paths])

    def sizes(self, paths: Mapping[str, Any]) -> dict[str, int]:
        """Sizes in bytes of the files in the folders of some paths; each folder is listed once."""
        begin = len(self._folder)
        folders = {(self._folder + path).rpartition("/")[0] for path in paths}
        return {name[begin:]: size for folder in sorted(folders) for name, size in self.storage.files(folder).items()}

    # --- What is done -----------------------------------------------------------------------------------------------

    def manifest(self) -> dict[str, Any] | None:
        """The manifest of a complete export; None where there is none.

        Raises:
            ConfigurationError: the folder holds something else.
        """
        name = self._folder + layout.MANIFEST
        if self.storage.size(name) is None:
            return None
        manifest = self.storage.read_json(name)
        if not isinstance(manifest, dict) or not {"format", "languages", "files"} <= manifest.keys():
            raise ConfigurationError(
                f"{self.storage.uri(name)} is that of something else than an export. Choose another --to"
            )
        return manifest

    def begin(self, identity: dict[str, Any]) -> None:
        """Record what is exported, before the first file; receipts of anything else are void."""
        self.storage.delete_temporary()
        if self.begun() != identity:
            self.storage.delete_folder(self._state)
        self.storage.write(f"{self._state}/identity.json", to_json(identity))

    def begun(self) -> dict[str, Any] | None:
        """Identity of an export that is not complete; None where there is none."""
        name = f"{self._state}/identity.json"
        with contextlib.suppress(StorageError):
            return dict(self.storage.read_json(name)) if self.storage.size(name) is not None else None
        return None

    def record(self, unit: Unit, written: Written) -> None:
        """Write the receipt of a unit."""
        content = {"files": as_json(written.files), "facts": written.facts}
        self.storage.write(self._receipt(unit), to_json(content))

    def receipt(self, unit: Unit) -> Written | None:
        """What a unit left; None unless all of it is there."""
        name = self._receipt(unit)
        return self._read_receipt(name) if self.storage.size(name) is not None else None

    def has_receipts(self) -> bool:
        """Whether anything of an export that is not complete is there."""
        names = [name for name in self.storage.files(self._state) if not name.endswith("/identity.json")]
        return any(self._read_receipt(name) for name in names)

    def _read_receipt(self, name: str) -> Written | None:
        try:
            content = self.storage.read_json(name)
            written = Written({path: StoredFile(**file) for path, file in content["files"].items()}, content["facts"])
        except (StorageError, KeyError, TypeError, AttributeError):
            return None
        return written if self.has(written.files) else None

    def has(self, files: Mapping[str, StoredFile]) -> bool:
        """Whether files are there with their sizes."""
        present = self.sizes(files)
        return all(present.get(path) == file.bytes for path, file in files.items())

    def _receipt(self, unit: Unit) -> str:
        return f"{self._state}/{urllib.parse.quote(unit.name, safe='')}.json"

    def leave(self) -> None:
        """Leave nothing but the export, when the lock is free: what the work needed is deleted if the folder is its own."""
        if self._own:
            self.storage.delete([LOCK])
            for folder in (f"{layout.RUN}/export", layout.RUN):
                if not self.storage.files(folder):
                    self.storage.delete_folder(folder)

    def finish(self, manifest: dict[str, Any]) -> None:
        """Write the manifest: the export is complete."""
        self.storage.write(self._folder + layout.MANIFEST, to_json(manifest))
        self.storage.delete_folder(self._state)
        self.storage.delete_temporary()

    def refuse_other(self, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        """Refuse to mix two exports.

        Raises:
            ConfigurationError: they differ; the line says in what.
        """
        lines = [line for key in wanted for line in differences(there.get(key), wanted[key], key)]
        if lines:
            raise ConfigurationError(
                f"{self.uri} holds another export: {'; '.join(lines[:6])}. Choose another --to, or delete that folder"
            )


def as_json(files: Mapping[str, StoredFile]) -> dict[str, Any]:
    """Files as a manifest lists them."""
    return {path: {"bytes": file.bytes, "sha256": file.sha256} for path, file in files.items()}


def from_json(files: Mapping[str, Any]) -> Files:
    """Files of a manifest."""
    return {path: StoredFile(int(file["bytes"]), str(file["sha256"])) for path, file in files.items()}


def damaged(name: str, what: str, command: str) -> DamagedFileError:
    """Error for a file of the output folder.

    Args:
        name: its URI.
        what: what is wrong.
        command: what makes it anew, with its arguments.
    """
    return DamagedFileError(f"{name} {what}. Delete it and run {command} again: it will be made anew")
