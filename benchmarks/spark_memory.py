"""Measures what the corpus job needs in memory on Spark, step by step, for inputs of several sizes.

    python benchmarks/spark_memory.py --input out/crawl-2 --input out/crawl-8 --input out/crawl-32 --work out/spark \\
        --json benchmarks/results/spark_memory.json

Runs `cc100 corpus` for each input on the master `local[2]`, so that driver and executors are one JVM. For each step: the largest heap
that was left after a collection (from the JVM's log), the largest resident size of that JVM, and the largest of any one Python worker,
sampled ten times a second. The step is the first that has no record in run/steps. Linux only.
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
)  # fmt: skip
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


def measure(source, work, heap):
    """Run the corpus of an input; memory by step, in MB (10^6 bytes)."""
    out, log = work / "out", work / "gc.log"
    shutil.rmtree(out, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    program = pathlib.Path(sys.executable).parent / "cc100"
    command = [
        program,
        "corpus",
        "--input",
        source,
        "--output",
        out,
        "--",
        "--runner=SparkRunner",
        "--spark_master_url=local[2]",
    ]
    command += [f"--job_server_jvm_property=-Xmx{heap}", f"--job_server_jvm_property=-Xlog:gc:file={log}"]
    begin = time.monotonic()
    process = subprocess.Popen([str(part) for part in command])
    memory = {step: {"heap_mb": 0.0, "jvm_mb": 0.0, "worker_mb": 0.0} for step in STEPS}
    read, ours = 0, {process.pid}
    while process.poll() is None:
        step, running = memory[current_step(out)], commands()
        for pid, (parent, line) in sorted(running.items()):
            if parent in ours:  # a server of workers is found while the worker that started it lives
                ours.add(pid)
            if pid in ours and pid != process.pid:
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
    plan = json.loads((out / "run" / "run.json").read_bytes())["plan"]
    return {
        "input": source.name,
        "stored_bytes": sum(entry["bytes"] for entry in manifest["inputs"]),
        "text_bytes": sum(entry["text_bytes"] for entry in manifest["inputs"]),
        "files": len(manifest["inputs"]),
        "plan": plan,
        "wall_s": round(time.monotonic() - begin, 1),
        "steps": {step: {name: round(value) for name, value in row.items()} for step, row in memory.items()},
    }


def main():
    parser = argparse.ArgumentParser(description="Memory of the corpus job on Spark.")
    parser.add_argument("--input", type=pathlib.Path, action="append", required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--json", type=pathlib.Path, required=True)
    parser.add_argument("--heap", default="2g")
    options = parser.parse_args()
    runs = [measure(source, options.work, options.heap) for source in options.input]
    result = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "heap_limit": options.heap,
        "runs": runs,
    }
    options.json.write_text(json.dumps(result, indent=2) + "\n")
    for run in runs:
        print(run["input"], run["stored_bytes"], run["wall_s"])
        for step, row in run["steps"].items():
            print(f"  {step:12} heap {row['heap_mb']:6.0f}  JVM {row['jvm_mb']:6.0f}  worker {row['worker_mb']:6.0f}")


if __name__ == "__main__":
    main()
