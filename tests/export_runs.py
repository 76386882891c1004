"""Runs of `cc100 export` on a small folder, and what they leave."""

import contextlib

from cc100.pipeline.export import ExportRequest, export
from cc100.transforms.storage import Storage

TOKEN_FORMATS = ("fairseq", "datatrove", "litdata")


class Lines:
    """Progress that keeps what it says."""

    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)

    def step(self, *arguments):
        return contextlib.nullcontext()


def run(folder, form, **options):
    progress = Lines()
    assert export(Storage(str(folder)), ExportRequest(form, **options), progress) == 0
    return progress.said


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def state(folder):
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def spoil(path, how):
    data = path.read_bytes()
    path.unlink()
    if how != "missing":
        middle = len(data) // 2
        changed = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        path.write_bytes({"cut": data[:-4], "changed": changed, "longer": data + bytes(4)}[how])
