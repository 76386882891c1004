"""From `--input` to the list of input files: sorted by URI, each once, with their sizes."""

import posixpath
import re
import urllib.parse
from collections.abc import Iterable, Mapping

from cc100.pipeline.crawls import CRAWL, crawl_files, estimate_bytes, listed_files
from cc100.shards.errors import ConfigurationError, InputError
from cc100.transforms.http_file import is_http
from cc100.transforms.job import InputFile
from cc100.transforms.settings import CorpusSettings
from cc100.transforms.storage import absolute, is_local, list_folder, local_path, match, size_of

_CRAWL_FILE = re.compile(r"\.(wet|warc)(\.gz|\.zst)?$", re.IGNORECASE)
_PATHS_FILE = re.compile(r"\.paths(\.gz)?$", re.IGNORECASE)
_CRAWL = re.compile(r"CC-MAIN-\d{4}-\d{2}(?!\d)")
_GLOB = re.compile(r"[*?\[]")


def resolve_inputs(arguments: Iterable[str], base: str | None, settings: CorpusSettings) -> tuple[InputFile, ...]:
    """Files that the arguments name.

    Args:
        arguments: files, folders, globs or paths files, on any Beam file system, files and paths files on web servers,
            and crawls by their names.
        base: what names in a paths file are relative to; None: the paths file's folder, for a crawl `input.base`.
        settings: scopes of duplicates, and which files of a list are wanted.

    Raises:
        InputError: something is named that does not exist, or nothing is named at all.
    """
    found: dict[str, int | None] = {}
    for argument in arguments:
        found.update(_resolve(argument, base, settings))
    uris = sorted(found)
    if not uris:
        raise InputError("no input: give at least one --input with a file, folder, glob, paths file or crawl")
    scopes = _scope_numbers(uris)
    exact, near = (section.scope == "per-crawl" for section in (settings.exact, settings.near))
    unknown = [uri for uri in uris if found[uri] is None]
    estimate = estimate_bytes(unknown, settings.remote) if unknown else 0
    return tuple(
        InputFile(
            uri,
            estimate if (size := found[uri]) is None else size,
            scope if exact else 0,
            scope if near else 0,
            size is not None,
        )
        for uri, scope in zip(uris, scopes, strict=True)
    )


def _resolve(argument: str, base: str | None, settings: CorpusSettings) -> Mapping[str, int | None]:
    if argument.startswith(CRAWL):
        return crawl_files(argument, absolute(base or settings.input.base), settings)
    if is_http(argument):
        if not urllib.parse.urlsplit(argument).hostname:
            raise InputError(f"--input {argument}: the URL names no host")
        if not _PATHS_FILE.search(argument):
            return {argument: None}
    uri = argument if is_http(argument) else absolute(argument)
    if _PATHS_FILE.search(uri) and (is_http(uri) or size_of(uri) is not None):
        folder = absolute(base) if base is not None else posixpath.dirname(uri)
        return listed_files(uri, folder, settings, f"--input {uri}")
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
