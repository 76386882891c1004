"""From `--input` to the list of input files: sorted by URI, each once, with their sizes."""

import gzip
import posixpath
import re
from collections.abc import Iterable

from cc100.shards.errors import ConfigurationError, InputError
from cc100.transforms.job import InputFile
from cc100.transforms.settings import CorpusSettings
from cc100.transforms.storage import absolute, is_local, join, list_folder, local_path, match, open_stream, size_of

_CRAWL_FILE = re.compile(r"\.(wet|warc)(\.gz|\.zst)?$", re.IGNORECASE)
_PATHS_FILE = re.compile(r"\.paths(\.gz)?$", re.IGNORECASE)
_CRAWL = re.compile(r"CC-MAIN-\d{4}-\d{2}(?!\d)")
_GLOB = re.compile(r"[*?\[]")


def resolve_inputs(arguments: Iterable[str], base: str | None, settings: CorpusSettings) -> tuple[InputFile, ...]:
    """Files that the arguments name.

    Args:
        arguments: files, folders, globs or paths files, on any Beam file system.
        base: what names in a paths file are relative to; None: the paths file's folder.
        settings: scopes of duplicates.

    Raises:
        InputError: something is named that does not exist, or nothing is named at all.
    """
    found: dict[str, int] = {}
    for argument in arguments:
        found.update(_resolve(_absolute(argument), base))
    uris = sorted(found)
    if not uris:
        raise InputError("no input: give at least one --input with a file, folder, glob or paths file")
    scopes = _scope_numbers(uris)
    exact, near = (section.scope == "per-crawl" for section in (settings.exact, settings.near))
    return tuple(
        InputFile(uri, found[uri], scope if exact else 0, scope if near else 0)
        for uri, scope in zip(uris, scopes, strict=True)
    )


def _absolute(argument: str) -> str:
    """URI with an absolute path; symbolic links keep their names."""
    if argument.startswith(("http://", "https://")):
        raise InputError(
            f"--input {argument}: reading over http(s) is not built yet. Download the file, or use s3:// or gs://"
        )
    return absolute(argument)


def _resolve(uri: str, base: str | None) -> dict[str, int]:
    if _PATHS_FILE.search(uri) and size_of(uri) is not None:
        return _read_paths(uri, base)
    size = size_of(uri)
    if size is not None:
        return {uri: size}
    if is_local(uri) and local_path(uri).is_dir():
        return _folder(uri)
    if _GLOB.search(uri):
        found = {path: length for path, length in match(uri).items() if not _PATHS_FILE.search(path)}
        if not found:
            raise InputError(
                f"--input {uri}: no file matches. Check the pattern; quote it from the shell if it holds *"
            )
        return found
    if not is_local(uri):
        found = _folder(uri)
        if found:
            return found
    raise InputError(f"--input {uri}: there is no such file or folder")


def _folder(uri: str) -> dict[str, int]:
    found = {path: size for path, size in list_folder(uri).items() if _CRAWL_FILE.search(path)}
    if not found and is_local(uri):
        raise InputError(
            f"--input {uri}: the folder holds no crawl files (*.wet, *.warc, these with .gz or .zst). "
            "Name files outright or with a glob if theirs are other names"
        )
    return found


def _read_paths(uri: str, base: str | None) -> dict[str, int]:
    """Files named by a paths file, a name per line."""
    with open_stream(uri) as stream:
        data = stream.read()
    try:
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"--input {uri}: not a readable paths file ({error}). Download it again") from error
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if not names:
        raise InputError(f"--input {uri}: the paths file names no file")
    folder = base if base is not None else posixpath.dirname(uri)
    return _sizes([(name, join(_absolute(folder), name)) for name in names], uri, base)


def _sizes(files: list[tuple[str, str]], paths_file: str, base: str | None) -> dict[str, int]:
    """Sizes of named files; each folder is listed once."""
    found: dict[str, int] = {}
    for folder in sorted({posixpath.dirname(uri) for _, uri in files}):
        found.update(list_folder(folder))
    missing = [name for name, uri in files if uri not in found]
    if missing:
        remedy = "Give --base with the folder or bucket that the names are relative to"
        if base is None and all(name.startswith("crawl-data/") for name in missing):
            remedy = "Its names begin at the bucket's root: give --base, such as --base s3://commoncrawl or your mirror's folder"
        raise InputError(
            f"--input {paths_file}: {len(missing)} of {len(files)} named files do not exist, the first is {missing[0]}. {remedy}"
        )
    return {uri: found[uri] for _, uri in files}


def _scope_numbers(uris: list[str]) -> list[int]:
    """Number of each file's crawl: CC-MAIN-YYYY-WW in the URI, else its folder; numbered in order of name."""
    names = [crawl_of(uri) for uri in uris]
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    return [numbers[name] for name in names]


def crawl_of(uri: str) -> str:
    """Crawl that a file belongs to."""
    found = _CRAWL.search(uri)
    return found[0] if found else posixpath.dirname(uri)


def check_count(inputs: tuple[InputFile, ...]) -> None:
    """Refuse more files than ids can name.

    Raises:
        ConfigurationError: there are too many.
    """
    if len(inputs) > 1 << 24:
        raise ConfigurationError(f"{len(inputs)} input files; at most {1 << 24} fit into paragraph ids")
