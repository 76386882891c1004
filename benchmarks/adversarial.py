"""A crawl of the worst cases for memory, and what the corpus job needs on it, locally and on Spark.

    python benchmarks/adversarial.py --work out/adversarial --json benchmarks/results/adversarial.json

Two WET files of made-up English: 10,000 pages that differ in one word, with one paragraph that stands on every other page; and one page
of 200 MB of distinct paragraphs. A hundredth of the pages is German. Measured is the largest resident size of any one process (VmRSS,
ten times a second). All settings are the defaults. Linux only.
"""

import argparse
import gzip
import json
import pathlib
import random
import shutil
import subprocess
import sys
import time

from spark_memory import SAMPLE_S, commands, resident_mb

PAGES = 10_000
LONG_PAGE_BYTES = 200_000_000
_ENGLISH = (
    "the and that with this from have which their about would there other people could first after these where "
    "through because before should between against during without however another nothing morning evening window "
    "garden kitchen letter market winter summer mother father sister brother village station teacher student"
)
_GERMAN = (
    "und der die das nicht ist mit auf für sich von dem eine auch nach wird bei noch nur über durch ihre sein haben "
    "Garten Fenster Küche Morgen Abend Winter Sommer Mutter Vater Schwester Bruder Dorf Bahnhof Lehrer Schüler"
)
ENGLISH, GERMAN = _ENGLISH.split(), _GERMAN.split()


def record(number, text):
    data = text.encode()
    header = (
        f"WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: http://example.org/{number}\r\nWARC-Date: 2018-12-28T00:00:00Z\r\n"
        f"WARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-{number:012d}>\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    return gzip.compress(header.encode() + data + b"\r\n\r\n", 1)


def sentence(rng, words, length):
    return " ".join(rng.choices(words, k=length)) + "."


def make_crawl(folder, long_page_bytes):
    """Write the crawl; the same bytes for the same arguments."""
    rng = random.Random(7)
    folder.mkdir(parents=True, exist_ok=True)
    everywhere = sentence(rng, ENGLISH, 30)
    text = {words[0]: [sentence(rng, words, 40) for _ in range(3)] for words in (ENGLISH, GERMAN)}
    with open(folder / "pages.warc.wet.gz", "wb") as out:
        for number in range(PAGES):
            words = GERMAN if number % 100 == 0 else ENGLISH
            lines = [line.rsplit(" ", 1)[0] + f" {rng.choice(words)}{number}." for line in text[words[0]]]
            out.write(record(number, "\n".join(lines + [everywhere] * (number % 2))))
    with open(folder / "page.warc.wet.gz", "wb") as out:
        lines, size = [], 0
        while size < long_page_bytes:
            lines.append(f"{len(lines)} {sentence(rng, ENGLISH, 14)}")
            size += len(lines[-1]) + 1
        out.write(record(PAGES, "\n".join(lines)))


def measure(crawl, out, flags):
    """Peak of any one process in MB (10^6 bytes), by kind, and the manifest's counts."""
    shutil.rmtree(out, ignore_errors=True)
    program = pathlib.Path(sys.executable).parent / "cc100"
    command = [str(program), "corpus", "--input", str(crawl), "--output", str(out)]
    process = subprocess.Popen([*command, *flags])
    begin, peaks, ours = time.monotonic(), {"program": 0.0, "jvm": 0.0, "worker": 0.0}, {process.pid}
    while process.poll() is None:
        running = commands()
        for pid, (parent, _) in sorted(running.items()):
            if parent in ours:
                ours.add(pid)
        for pid in ours & running.keys():
            kind = "program" if pid == process.pid else "jvm" if "--spark-master-url" in running[pid][1] else "worker"
            peaks[kind] = max(peaks[kind], resident_mb(pid))
        time.sleep(SAMPLE_S)
    if process.returncode:
        sys.exit(f"cc100 ended with {process.returncode}")
    manifest = json.loads((out / "manifest.json").read_bytes())
    peaks = {kind: round(peak) for kind, peak in peaks.items() if peak}
    return {"peak_mb": peaks, "wall_s": round(time.monotonic() - begin, 1), "counts": manifest["counts"]}


def main():
    parser = argparse.ArgumentParser(description="Memory of the corpus job on a crawl of worst cases.")
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--json", type=pathlib.Path, required=True)
    parser.add_argument("--long-page-bytes", type=int, default=LONG_PAGE_BYTES)
    options = parser.parse_args()
    crawl = options.work / "crawl"
    make_crawl(crawl, options.long_page_bytes)
    spark = ["--", "--runner=SparkRunner", "--spark_master_url=local[2]"]
    runs = {
        "local": measure(crawl, options.work / "local", ["--workers", "2", "--set", "runner.worker_processes_from=0"]),
        "spark": measure(crawl, options.work / "spark", spark),
    }
    if runs["local"]["counts"] != runs["spark"]["counts"]:
        sys.exit("the two runs differ")
    options.json.write_text(json.dumps({"long_page_bytes": options.long_page_bytes, **runs}, indent=2) + "\n")
    print(json.dumps(runs, indent=2))


if __name__ == "__main__":
    main()
