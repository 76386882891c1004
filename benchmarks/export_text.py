"""Measures `cc100 export --format cc100-txt` beside `xz` itself on the same text.

    python benchmarks/export_text.py --corpus OUT [--limit 60] [--json FILE]

OUT is a finished corpus. The shards of its languages, by code, up to LIMIT MB of text become those of one language of a
corpus of its own, so that there is a file of several blocks. It is exported with one thread and with two, as xz and as zst;
then `xz -6` with one thread and with two compresses the text and decompresses it again, because the export reads back what
it wrote. Rates are MB of text per CPU-second of user and system time of the command and its children, start-up included.
"""

import argparse
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from typing import Any

from cc100.shards import layout
from cc100.shards.manifest import to_json
from cc100.shards.records import FORMAT_VERSION


def make_corpus(corpus: pathlib.Path, folder: pathlib.Path, limit_mb: float) -> int:
    """A corpus with one language, `mix`; bytes of its text as lines."""
    manifest = json.loads((corpus / layout.MANIFEST).read_bytes())
    taken: dict[str, Any] = {}
    for code, row in sorted(manifest["languages"].items()):
        if sum(other["text_bytes"] for other in taken.values()) + row["text_bytes"] <= limit_mb * 1e6:
            taken[code] = row
    parts = sorted(
        path for path in manifest["files"] if path.startswith("shards/") and layout.language_of(path) in taken
    )
    files = {}
    for number, path in enumerate(parts):
        name = layout.shard("mix", number, len(parts))
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(corpus / path, folder / name)
        files[name] = manifest["files"][path]
    counts = {key: sum(row[key] for row in taken.values()) for key in ("pages", "paragraphs", "text_bytes")}
    (folder / layout.MANIFEST).write_bytes(
        to_json({"format_version": FORMAT_VERSION, "files": files, "languages": {"mix": counts}})
    )
    return counts["text_bytes"] + counts["paragraphs"] + counts["pages"] - 1


def measure(command: list[str]) -> dict[str, float]:
    """Wall and CPU seconds of a command and its children."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": round(time.monotonic() - begin, 2), "cpu_s": round(cpu, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=pathlib.Path, required=True)
    parser.add_argument("--limit", type=float, default=60, metavar="LIMIT", help="MB of text")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=options.corpus.parent) as name:
        folder = pathlib.Path(name)
        text_bytes = make_corpus(options.corpus, folder, options.limit)
        for compression in ("xz", "zst"):
            for threads in (1, 2):
                target = folder / f"{compression}-{threads}"
                command = [
                    sys.executable,
                    "-m",
                    "cc100.pipeline.cli",
                    "export",
                    str(folder),
                    "--format",
                    "cc100-txt",
                    "--to",
                    str(target),
                ]
                run = measure([*command, "--compression", compression, "--workers", str(threads)])
                run["stored_bytes"] = (target / f"mix.txt.{compression}").stat().st_size
                results[f"export {compression}, {threads} threads"] = run
        with open(folder / "text", "wb") as out:
            subprocess.run(["xz", "-dc", str(folder / "xz-1/mix.txt.xz")], check=True, stdout=out)
        for threads in (1, 2):
            run = measure(["xz", "-6", "-k", f"-T{threads}", str(folder / "text")])
            back = measure(["xz", "-dc", f"-T{threads}", str(folder / "text.xz")])
            run = {key: round(run[key] + back[key], 2) for key in run}
            run["stored_bytes"] = (folder / "text.xz").stat().st_size
            (folder / "text.xz").unlink()
            results[f"xz -6 -T{threads}, and -d"] = run
    for run in results.values():
        run["mb_per_cpu_s"] = round(text_bytes / 1e6 / run["cpu_s"], 2)
        run["mb_per_s"] = round(text_bytes / 1e6 / run["wall_s"], 2)
    found = {
        "text_bytes": text_bytes, "runs": results, "processor": processor(), "python": platform.python_version(),
        "versions": {name: version(name) for name in ("pyarrow", "zstandard")}, "usable_cpus": len(os.sched_getaffinity(0)),
    }  # fmt: skip
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def processor() -> str:
    """Name of the processor."""
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
