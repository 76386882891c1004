"""Measures what all stages need in memory on Spark, step by step, for inputs of several sizes.

    python benchmarks/spark_memory.py --input crawl-8 --input out/crawl-32 --input out/crawl-128 --work out/spark \\
        --json benchmarks/results/spark_memory.json

Runs `cc100 run` for each input on the master `local[2]`, so that driver and executors are one JVM, with all settings at
their defaults but for a small tokenizer (its training is no Beam job, and left out). For each shuffle: its cut, the MB of the
files that it reads, and the mean of its keys. For each step: the largest heap that was left after a collection (from the JVM's
log), the largest resident size of that JVM, and the largest of any one Python worker, sampled ten times a second. The step is
the first that has no record in run/steps. Linux only.
"""

import argparse
import json
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import time

SAMPLE_S = 0.1
STEPS = (
    "extract", "mark", "language", "elect", "sign", "candidates", "components", "shingle", "decide", "scatter", "gather",
    "tokenizer-sample", "tokenizer-coverage", "encode",
)  # fmt: skip
TRAINER = "trainer_process"
SETTINGS = ("tokenizer.vocab_size=5000", "tokenizer.sample_paragraphs=20000")
WRITTEN = {"digests": "digests", "bands": "bands", "components": "shingled"}
GC = re.compile(r"\[([\d.]+)s\].* (\d+)M->(\d+)M\((\d+)M\)")


def commands():
    """Process number -> (parent, command line) of everything that runs."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            found[int(path.name)] = parent, (path / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
    return found


def resident_mb(pid):
    try:
        pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * 4096 / 1e6


def current_step(out):
    return next((step for step in STEPS if not (out / "run" / "steps" / f"{step}.json").exists()), STEPS[-1])


def measure(source, work):
    """Run the corpus of an input; memory by step, in MB (10^6 bytes)."""
    out, log = work / "out", work / "gc.log"
    shutil.rmtree(out, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    program = pathlib.Path(sys.executable).parent / "cc100"
    command = [program, "run", "--input", source, "--output", out, "--workers", "2"]
    command += [part for setting in SETTINGS for part in ("--set", setting)]
    command += [
        "--",
        "--runner=SparkRunner",
        "--spark_master_url=local[2]",
        f"--job_server_jvm_property=-Xlog:gc:file={log}",
    ]
    begin = time.monotonic()
    process = subprocess.Popen([str(part) for part in command])
    memory = {step: {"heap_mb": 0.0, "jvm_mb": 0.0, "worker_mb": 0.0} for step in STEPS}
    read, ours = 0, {process.pid}
    while process.poll() is None:
        step, running = memory[current_step(out)], commands()
        for pid, (parent, line) in sorted(running.items()):
            if parent in ours:  # a server of workers is found while the worker that started it lives
                ours.add(pid)
            if pid in ours and pid != process.pid and TRAINER not in line:
                kind = "jvm_mb" if "--spark-master-url" in line else "worker_mb"
                step[kind] = max(step[kind], resident_mb(pid))
        if log.exists():
            lines = log.read_text(errors="replace").splitlines()
            for line in lines[read:]:
                found = GC.search(line)
                if found:
                    step["heap_mb"] = max(step["heap_mb"], int(found[3]) * 1.048576)
            read = len(lines)
        time.sleep(SAMPLE_S)
    if process.returncode:
        sys.exit(f"cc100 ended with {process.returncode}")
    manifest = json.loads((out / "manifest.json").read_bytes())
    return {
        "input": source.name,
        "stored_bytes": sum(entry["bytes"] for entry in manifest["inputs"]),
        "text_bytes": sum(entry["text_bytes"] for entry in manifest["inputs"]),
        "files": len(manifest["inputs"]),
        "shuffles": {name: shuffle(out, name) for name in WRITTEN},
        "wall_s": round(time.monotonic() - begin, 1),
        "steps": {step: {name: round(value) for name, value in row.items()} for step, row in memory.items()},
    }


def shuffle(out, name):
    """How a shuffle was cut, and what its keys hold on average: MB of the files that it reads."""
    cut = json.loads((out / "run" / "cuts" / f"{name}.json").read_bytes())
    payload = sum(path.stat().st_size for path in (out / "run" / WRITTEN[name]).iterdir()) / 1e6
    return cut | {"payload_mb": round(payload, 1), "key_mb": round(payload / cut["passes"] / cut["buckets"], 2)}


def main():
    parser = argparse.ArgumentParser(description="Memory of the corpus job on Spark.")
    parser.add_argument("--input", type=pathlib.Path, action="append", required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--json", type=pathlib.Path, required=True)
    options = parser.parse_args()
    runs = [measure(source, options.work) for source in options.input]
    result = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "runs": runs,
    }
    options.json.write_text(json.dumps(result, indent=2) + "\n")
    for run in runs:
        print(run["input"], run["stored_bytes"], run["wall_s"])
        for step, row in run["steps"].items():
            print(f"  {step:12} heap {row['heap_mb']:6.0f}  JVM {row['jvm_mb']:6.0f}  worker {row['worker_mb']:6.0f}")


if __name__ == "__main__":
    main()
