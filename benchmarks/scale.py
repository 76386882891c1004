"""Measures `cc100 corpus` on a small and a large input: text per CPU-second, and whether memory stays bounded.

    python benchmarks/scale.py --cc100 .venv/bin/cc100 --input-8 out/crawl-8 --input-64 out/crawl-64 [--large out/crawl-1] \\
        --work out/scale --json benchmarks/results/scale.json

Runs `cc100 corpus --input X --output WORK/out --workers 2` once for each input. CPU seconds are user and system time of
the command and all its descendants: a process adds what the children that it waited for have used, and children that it
left behind come to this process, which is their subreaper. Peak memory is the largest resident size that any one process
of the tree had (VmHWM ten times a second, and the kernel's own maximum when a process ends); the peak of the tree is the
largest sum, in which pages that processes share count in each. "text" are the bytes of paragraphs in the manifest, the
marginal rate is that of the further text between the first two inputs: without start-up. Linux only.
"""

import argparse
import contextlib
import ctypes
import dataclasses
import json
import os
import pathlib
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import Any

PACKAGES = ("apache-beam", "pyarrow", "numpy", "numba")
PR_SET_CHILD_SUBREAPER = 36
SAMPLE_S = 0.1
GRACE_S = 20.0  # for processes that outlive the command
VERSIONS = """
import json, platform, sys
from importlib.metadata import version
print(json.dumps({"python": platform.python_version(), **{name: version(name) for name in sys.argv[1:]}}))
"""


@dataclasses.dataclass(frozen=True)
class Usage:
    """What a command and all its descendants used; MB are 10^6 bytes."""

    status: int
    cpu_s: float
    wall_s: float
    peak_process_mb: float
    peak_tree_mb: float
    killed: int


# --- Processes --------------------------------------------------------------------------------------------------------


def become_subreaper() -> None:
    """From now on descendants without a parent become children of this process."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def descendants(root: int) -> list[int]:
    """Process ids of the living descendants of a process."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):  # it ended meanwhile
                state, parent = pathlib.Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    children.setdefault(int(parent), []).append(int(entry))
    found, todo = [], [root]
    while todo:
        mine = children.get(todo.pop(), [])
        found += mine
        todo += mine
    return found


def resident_bytes(pid: int) -> tuple[int, int]:
    """Resident size of a process now, and its maximum; zeros if it has ended."""
    try:
        lines = pathlib.Path("/proc", str(pid), "status").read_text().splitlines()
    except OSError:
        return 0, 0
    values = {
        name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines) if "kB" in rest
    }
    return values.get("VmRSS", 0), values.get("VmHWM", 0)


class MemorySampler(threading.Thread):
    """Follows the memory of all descendants of this process until `stop`.

    Attributes:
        process: largest resident size of any one, in bytes.
        tree: largest sum, in bytes.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.process = 0
        self.tree = 0
        self._end = threading.Event()

    def run(self) -> None:
        while not self._end.wait(SAMPLE_S):
            sizes = [resident_bytes(pid) for pid in descendants(os.getpid())]
            self.process = max([self.process, *(high for _, high in sizes)])
            self.tree = max(self.tree, sum(now for now, _ in sizes))

    def stop(self) -> None:
        """End the thread."""
        self._end.set()
        self.join()


def measure(command: list[str], log: pathlib.Path) -> Usage:
    """Runs a command until it and all its descendants have ended; its output goes to `log`.

    Call `become_subreaper` first, and have no other children. Descendants that still run 20 s after the command has
    ended are killed and counted.
    """
    begin = time.monotonic()
    with log.open("wb") as stream:
        main = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT).pid
    sampler = MemorySampler()
    sampler.start()
    status, cpu_s, wall_s, largest, killed = -1, 0.0, 0.0, 0, 0
    while True:
        try:
            pid, code, usage = os.wait4(-1, os.WNOHANG if wall_s else 0)
        except ChildProcessError:
            break
        if pid == 0:  # the command has ended, others have not
            if time.monotonic() > begin + wall_s + GRACE_S:
                for other in descendants(os.getpid()):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(other, signal.SIGKILL)
                        killed += 1
            time.sleep(SAMPLE_S)
            continue
        cpu_s += usage.ru_utime + usage.ru_stime
        largest = max(largest, usage.ru_maxrss * 1024)
        if pid == main:
            status, wall_s = os.waitstatus_to_exitcode(code), time.monotonic() - begin
    sampler.stop()
    peak = max(largest, sampler.process) / 1e6
    return Usage(status, round(cpu_s, 2), round(wall_s, 2), round(peak, 1), round(sampler.tree / 1e6, 1), killed)


# --- Runs -------------------------------------------------------------------------------------------------------------


def run_corpus(cc100: list[str], source: pathlib.Path, work: pathlib.Path, workers: int) -> dict[str, Any]:
    """One run: what it used and what it made of how much; its output is removed."""
    output, log = work / "out", work / "log.txt"
    shutil.rmtree(output, ignore_errors=True)
    command = [*cc100, "corpus", "--input", str(source), "--output", str(output), "--workers", str(workers)]
    try:
        usage = measure(command, log)
        if usage.status != 0:
            end = log.read_text(errors="replace")[-2000:]
            raise SystemExit(f"exit code {usage.status}: {shlex.join(command)}\n{end}")
        manifest = json.loads((output / "manifest.json").read_text(encoding="utf-8"))
        output_bytes = sum(entry["bytes"] for entry in manifest["files"].values())
    finally:
        shutil.rmtree(output, ignore_errors=True)
    inputs = manifest["inputs"]
    text = sum(entry["text_bytes"] for entry in inputs) / 1e6
    return {
        **dataclasses.asdict(usage),
        "files": len(inputs),
        "stored_mb": round(sum(entry["bytes"] for entry in inputs) / 1e6, 3),
        "pages": sum(entry["pages"] for entry in inputs),
        "paragraphs": sum(entry["paragraphs"] for entry in inputs),
        "paragraphs_by_fate": manifest["counts"]["paragraphs"],
        "text_mb": round(text, 3),
        "output_mb": round(output_bytes / 1e6, 3),
        "text_mb_per_cpu_s": round(text / usage.cpu_s, 2),
    }


def marginal(small: dict[str, Any], large: dict[str, Any]) -> float | None:
    """MB of text per CPU-second of what the larger run has more."""
    cpu_s = large["cpu_s"] - small["cpu_s"]
    return round((large["text_mb"] - small["text_mb"]) / cpu_s, 2) if cpu_s > 0 else None


def versions(cc100: list[str]) -> dict[str, str]:
    """Versions in the environment of the command."""
    python = pathlib.Path(shutil.which(cc100[0]) or cc100[0]).parent / "python"
    command = [str(python) if python.exists() else sys.executable, "-c", VERSIONS, *PACKAGES]
    found: dict[str, str] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return found


def cpu_model() -> str:
    """The processor's name."""
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def print_table(runs: dict[str, dict[str, Any]]) -> None:
    """The runs, a line each."""
    columns = {
        "input": 8, "files": 6, "text MB": 10, "paragraphs": 12, "CPU s": 9, "wall s": 9, "MB/CPU-s": 9, "peak MB": 9,
        "tree MB": 9,
    }  # fmt: skip
    keys = ("files", "text_mb", "paragraphs", "cpu_s", "wall_s", "text_mb_per_cpu_s", "peak_process_mb", "peak_tree_mb")
    print("".join(name.rjust(width) for name, width in columns.items()))
    for name, run in runs.items():
        cells = [name, *(f"{run[key]:,}" for key in keys)]
        print("".join(cell.rjust(width) for cell, width in zip(cells, columns.values(), strict=True)))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measures cc100 corpus on a small and a large input.")
    add = parser.add_argument
    add("--cc100", default="cc100", metavar="COMMAND", help="the command to measure (default: cc100)")
    add("--input-8", type=pathlib.Path, required=True, metavar="DIR", help="the smaller crawl, such as 8 files")
    add("--input-64", type=pathlib.Path, required=True, metavar="DIR", help="the larger crawl, such as 64 files")
    add("--large", type=pathlib.Path, metavar="DIR", help="a crawl with a file of a real crawl's size")
    add("--workers", type=int, default=2, metavar="N", help="worker processes (default: 2)")
    add("--work", type=pathlib.Path, required=True, metavar="DIR", help="folder for outputs, which are removed")
    add("--json", type=pathlib.Path, required=True, metavar="FILE", help="where the report goes")
    options = parser.parse_args()
    cc100 = shlex.split(options.cc100)
    inputs = {"8": options.input_8, "64": options.input_64, "large": options.large}
    options.work.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {"cpu": cpu_model(), "workers": options.workers, "versions": versions(cc100)}
    become_subreaper()
    runs = {name: run_corpus(cc100, path, options.work, options.workers) for name, path in inputs.items() if path}
    report |= {"runs": runs, "marginal_text_mb_per_cpu_s": marginal(runs["8"], runs["64"])}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print_table(runs)
    print(f"marginal: {report['marginal_text_mb_per_cpu_s']} MB of text per CPU-second")


if __name__ == "__main__":
    main()
