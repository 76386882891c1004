"""Lists of files: paths files, and crawls by their names. Names in a list are data, and nothing else is ever opened."""

import hashlib
import posixpath
import re
import urllib.parse
import zlib

import requests

from cc100.shards.errors import InputError
from cc100.shards.settings import MIB
from cc100.transforms.http_file import QUARANTINE_REASONS, FetchError, is_http
from cc100.transforms.remote import fetch, is_remote
from cc100.transforms.settings import CorpusSettings, InputSettings, RemoteSettings
from cc100.transforms.storage import join, list_folder, open_stream

CRAWL = "crawl:"
_CRAWL_ID = re.compile(r"CC-MAIN-\d{4}(-\d{2,4})?")
_SHORT_ID = re.compile(r"\d{4}(-\d{2,4})?")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_MAX_LIST_BYTES = 256 * MIB
_MAX_NAME_BYTES = 1024
_SIZES_ASKED = 8
_USUAL_BYTES = {True: 150 * MIB, False: 1000 * MIB}  # of a WET file and of a WARC file of CommonCrawl


def crawl_files(argument: str, base: str, settings: CorpusSettings) -> dict[str, int | None]:
    """Files of a crawl that is given by its name.

    Args:
        argument: `crawl:CC-MAIN-2018-51`, or `crawl:2018-51`.
        base: URI under which `crawl-data/` lies.
        settings: kind of files, and which of them.

    Returns:
        Sizes in bytes by URI; None where the size is not known, or the file is not there.

    Raises:
        InputError: there is no such crawl, or its list cannot be used.
    """
    name = argument.removeprefix(CRAWL)
    name = f"CC-MAIN-{name}" if _SHORT_ID.fullmatch(name) else name
    if not _CRAWL_ID.fullmatch(name):
        raise InputError(
            f"--input {argument}: not a crawl's name. Names are like crawl:CC-MAIN-2018-51 or crawl:2018-51"
        )
    uri = join(base, f"crawl-data/{name}/{settings.input.kind}.paths.gz")
    return listed_files(uri, base, settings, f"--input {argument}")


def listed_files(uri: str, base: str, settings: CorpusSettings, what: str) -> dict[str, int | None]:
    """Files that a paths file names, a name per line, relative to `base`; `what` begins messages.

    Raises:
        InputError: the list cannot be read, or names what lies elsewhere, or a local file that is not there.
    """
    names = [line.strip() for line in _read_list(uri, settings.remote, what).splitlines() if line.strip()]
    if not names:
        raise InputError(f"{what}: the paths file names no file")
    for name in names:
        _check_name(name, what)
    chosen = choose(names, settings.input)
    if not chosen:
        raise InputError(
            f"{what}: input.files = {settings.input.files} leaves none of {len(names)} files. Give other positions"
        )
    if is_http(base):
        return {join(base, urllib.parse.quote(name)): None for name in chosen}
    files = {join(base, name): name for name in chosen}
    found: dict[str, int] = {}
    for folder in sorted({posixpath.dirname(path) for path in files}):
        found.update(list_folder(folder))
    missing = [name for path, name in files.items() if path not in found]
    if missing and (not is_remote(base) or len(missing) == len(files)):
        remedy = "Give --base with the folder or bucket that the names are relative to"
        if all(name.startswith("crawl-data/") for name in missing):
            remedy = "Its names begin at the bucket's root: give --base, such as --base s3://commoncrawl or your mirror's folder"
        raise InputError(
            f"{what}: {len(missing)} of {len(files)} named files do not exist, the first is {missing[0]}. {remedy}"
        )
    return {path: found.get(path) for path in files}


def _read_list(uri: str, settings: RemoteSettings, what: str) -> str:
    if is_remote(uri):
        try:
            data = fetch(uri, settings, lambda stream: stream.read(_MAX_LIST_BYTES) + stream.read())
        except FetchError as error:
            raise InputError(
                f"{what}: {uri} cannot be read: {QUARANTINE_REASONS[error.reason]}. Check the name, --base and the connection"
            ) from error
    else:
        with open_stream(uri) as stream:
            data = stream.read(_MAX_LIST_BYTES + 1)
    try:
        if data[:2] == b"\x1f\x8b":
            decoder = zlib.decompressobj(31)
            data = decoder.decompress(data, _MAX_LIST_BYTES)
            if not decoder.eof:
                raise ValueError("it is cut, or has no end")
        return data.decode()
    except (zlib.error, ValueError) as error:
        raise InputError(f"{what}: not a readable paths file ({error}). Download it again") from error


def _check_name(name: str, what: str) -> None:
    """Refuse what is no plain path below the base: a list from elsewhere must not choose what is opened here."""
    is_path = not (name.startswith("/") or _SCHEME.match(name) or ".." in name.split("/") or "\\" in name)
    if not (is_path and name.isprintable() and len(name.encode()) <= _MAX_NAME_BYTES):
        raise InputError(f"{what}: its list names {name[:80]!r}, which is no path below the base. Use another list")


def choose(names: list[str], settings: InputSettings) -> list[str]:
    """The names that `input.files` and `input.sample` leave, in the list's order.

    A sample is made of the names with the smallest SHA-256 of seed and name: it does not depend on the list's order.
    """
    if settings.files:
        first, _, end = settings.files.partition(":")
        names = names[int(first or 0) : int(end) if end else len(names)]
    if settings.sample:
        ranked = sorted(names, key=lambda name: hashlib.sha256(f"{settings.sample_seed}:{name}".encode()).digest())
        sampled = set(ranked[: settings.sample])
        names = [name for name in names if name in sampled]
    return names


def estimate_bytes(uris: list[str], settings: RemoteSettings) -> int:
    """Estimated stored size of files of which no size is known: the mean of some that the server is asked for.

    Only the plan depends on it, and that changes no byte of the result.
    """
    web = [uri for uri in uris if is_http(uri)]
    asked = [web[k * len(web) // _SIZES_ASKED] for k in range(_SIZES_ASKED)] if len(web) > _SIZES_ASKED else web
    sizes = [size for uri in asked if (size := _ask_size(uri, settings))]
    usual = [_USUAL_BYTES[".wet" in uri.lower()] for uri in uris]
    return sum(sizes) // len(sizes) if sizes else sum(usual) // max(len(usual), 1)


def _ask_size(uri: str, settings: RemoteSettings) -> int:
    headers = {"User-Agent": settings.user_agent, "Accept-Encoding": "identity"}
    try:
        response = requests.head(uri, headers=headers, timeout=min(10.0, settings.timeout_s), allow_redirects=False)
    except (requests.RequestException, ValueError):
        return 0
    length = response.headers.get("Content-Length", "")
    return int(length) if response.status_code == 200 and length.isdigit() and len(length) < 13 else 0
