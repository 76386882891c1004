"""A lease instead of a lock, for file systems that have no locks."""

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any, cast

from cc100.shards.errors import StorageError
from cc100.transforms.storage import LOCK, Storage, locked, owner

_LEASE_BEAT_S = 5.0


@contextlib.contextmanager
def hold_lease(storage: Storage) -> Iterator[None]:
    """Be the only process that works on a folder: the holder rewrites it all the time, so one that stands still is nobody's."""
    token = secrets.token_hex(8)
    lease = _Lease(storage, token)
    found = lease.read()
    if found is not None:
        time.sleep(3 * _LEASE_BEAT_S)
        later = lease.read()
        if later is not None and later != found:
            raise locked(storage, later)
    lease.beat()
    time.sleep(_LEASE_BEAT_S / 2)  # two that found it free at once: the last writer has it
    held = lease.read()
    if held is None or held.get("token") != token:
        raise locked(storage, held or {})
    stop = threading.Event()
    thread = threading.Thread(target=lease.keep, args=(stop,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        storage.delete([LOCK])


class _Lease:
    """The lease's file."""

    def __init__(self, storage: Storage, token: str) -> None:
        self._storage, self._token, self._beats = storage, token, 0

    def read(self) -> dict[str, Any] | None:
        """Who holds it, or None."""
        if self._storage.size(LOCK) is None:
            return None
        try:
            return cast(dict[str, Any], self._storage.read_json(LOCK))
        except StorageError:
            return {}

    def beat(self) -> None:
        """Show that the holder is alive."""
        self._beats += 1
        self._storage.write(LOCK, json.dumps(owner() | {"token": self._token, "beat": self._beats}).encode())

    def keep(self, stop: threading.Event) -> None:
        """Beat until told to stop."""
        while not stop.wait(_LEASE_BEAT_S):
            with contextlib.suppress(StorageError):
                self.beat()
