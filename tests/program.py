"""The program as its users start it, its workers, and what it leaves."""

import json
import pathlib
import subprocess
import sys
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
CRAWL = REPOSITORY / "examples" / "crawl"
CC100 = pathlib.Path(sys.executable).parent / "cc100"
DEMO = ["--config", str(REPOSITORY / "configs" / "demo.yaml")]


def start(*arguments):
    """Start the program."""
    return subprocess.Popen([CC100, *map(str, arguments)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def cc100(*arguments, code=0):
    """Run the program to its end; what it said."""
    process = start(*arguments)
    _, said = process.communicate(timeout=540)
    assert process.returncode == code, said
    return said


def job_folders():
    """Temporary folders of job servers; none may stay."""
    return list(pathlib.Path("/tmp").glob("cc100-job-server-*"))


def wait_for(condition, process, seconds=240):
    """Wait until something holds while a process runs; what it gave."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(
        f"waited in vain; the process said {process.communicate()[1] if process.poll() is not None else 'nothing'}"
    )


def workers_of(executors):
    """Process numbers of the Python workers of some executors: the forks of their servers."""
    parents, forks = {}, []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            parents[int(path.name)] = (int(fields[1]), (path / "cmdline").read_bytes().split(b"\0"))
        except OSError:
            continue
    servers = {
        pid for pid, (_, command) in parents.items() if len(command) > 4 and command[-2].decode() in map(str, executors)
    }
    for pid, (parent, _) in parents.items():
        if pid in servers and parent in servers:
            forks.append(pid)
    return forks


def on(master):
    """Beam's flags for a master."""
    return ["--", "--runner=SparkRunner", f"--spark_master_url={master}"]


def corpus_only(files):
    """The part of a run's files that `cc100 corpus` leaves."""
    return {name: data for name, data in files.items() if not name.startswith(("tokenizer/", "tokens/"))}


def history(folder):
    return json.loads((pathlib.Path(folder) / "run" / "history.json").read_bytes())


def bucket_content(client, prefix):
    """Name -> bytes of what lies below a prefix, but run/."""
    found = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="spark", Prefix=f"{prefix}/"):
        for entry in page.get("Contents", []):
            name = entry["Key"].removeprefix(f"{prefix}/")
            if not name.startswith("run/"):
                found[name] = client.get_object(Bucket="spark", Key=entry["Key"])["Body"].read()
    return found
