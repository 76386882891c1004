"""The program as a user meets it: exit codes, one line for an error, Ctrl-C, a full disk, logs without control characters."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

REPOSITORY = pathlib.Path(__file__).parent.parent.parent
CRAWL = REPOSITORY / "examples" / "crawl"
CC100 = [sys.executable, "-m", "cc100.pipeline.cli"]


def cc100(*arguments, **options):
    """Run the program in an empty folder; the finished process."""
    command = [*CC100, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "out"
    done = cc100("corpus", "--input", CRAWL, "--output", folder, "--workers", 1, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return folder, done


def content(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).parts[0] != "run"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_one_plain_line_per_step(finished):
    lines = finished[1].stderr.splitlines()
    assert len(lines) == 12
    assert lines[0].startswith("extract: 4 files in ")
    assert lines[-1].endswith("shows more")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", finished[1].stderr)
    assert finished[1].stdout == ""


def test_status_of_a_finished_run(finished):
    done = cc100("status", finished[0])
    assert done.returncode == 0
    assert "complete, 4 input files, model lid.176.ftz" in done.stdout
    for word in ("below_threshold", "near_duplicate", "│ de ", "│ zh "):
        assert word in done.stdout


def test_inspect_shows_an_example_of_every_fate(finished):
    done = cc100("inspect", finished[0], "--examples", 1)
    assert done.returncode == 0
    for fate in ("empty", "page_rejected", "exact_duplicate", "near_duplicate", "kept"):
        assert re.search(rf"^{fate}: [\d,]+ paragraphs\n  \d+ ", done.stdout, re.MULTILINE), fate
    assert "the copy that stayed: " in done.stdout
    assert re.search(r"Jaccard (0\.\d+|1\.0000) with \d+", done.stdout)
    assert cc100("inspect", finished[0], "--examples", 1).stdout == done.stdout


def test_inspect_finds_a_page_by_each_of_its_names(finished):
    examples = cc100("inspect", finished[0], "--examples", 1).stdout
    number, url = re.search(r"^near_duplicate: .*\n  (\d+)  (\S+)", examples, re.MULTILINE).groups()
    by_id = cc100("inspect", finished[0], number).stdout
    record = by_id.split()[0]
    assert record.startswith("urn:uuid:")
    assert f"> {number} near_duplicate" in by_id
    assert by_id.replace(f"> {number}", f"  {number}") == cc100("inspect", finished[0], record).stdout
    assert cc100("inspect", finished[0], f"<{record}>").stdout == cc100("inspect", finished[0], record).stdout
    assert f"{number} near_duplicate" in cc100("inspect", finished[0], url).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["corpus", "--input", "nothing.wet", "--output", "out"], 1, r"cc100: --input .*nothing\.wet: there is no such file or folder"),
        (["corpus", "--input", "*.nothing", "--output", "out"], 1, "no file matches"),
        (["corpus", "--input", CRAWL, "--output", "out", "--set", "near.treshold=1"], 2, "did you mean near.threshold"),
        (["corpus", "--input", CRAWL, "--output", "out", "--config", "no.yaml"], 2, r"--config no\.yaml"),
        (["corpus", "--input", CRAWL, "--output", "out", "--", "--no_such_flag=1"], 2, "unknown Beam flag --no_such_flag=1"),
        (["corpus", "--input", CRAWL, "--output", "out", "--runner", "SparkRunner"], 2, "unrecognized arguments"),
        (["corpus", "--input", CRAWL, "--output", "out", "--workers", "0"], 2, "at least 1"),
        (["corpus", "--output", "out"], 2, "required: --input"),
        (["corpus", "--input", CRAWL, "--output", CRAWL / "wet.paths"], 1, "Choose a folder"),
        (["status", "nowhere"], 1, "no run has used it"),
        (["inspect", "nowhere"], 1, "only a complete corpus can be inspected"),
        (["nonsense"], 2, "invalid choice"),
    ],
)  # fmt: skip
def test_wrong_use_is_named_in_a_line(tmp_path, arguments, code, message):
    done = cc100(*arguments, cwd=tmp_path)
    assert done.returncode == code
    assert re.search(message, done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.glob("out/manifest.json")) == []


def test_what_is_not_there_cannot_be_inspected(finished):
    done = cc100("inspect", finished[0], "https://nowhere.example/")
    assert done.returncode == 1
    assert "has no paragraph id, record id or URL https://nowhere.example/" in done.stderr


def test_neither_hash_seed_nor_time_zone_matter(finished, tmp_path):
    environment = os.environ | {"PYTHONHASHSEED": "5", "TZ": "Asia/Kathmandu"}
    done = cc100("corpus", "--input", CRAWL, "--output", tmp_path / "out", "--workers", 1, env=environment)
    assert done.returncode == 0
    assert content(tmp_path / "out") == content(finished[0])


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_leaves_a_run_that_can_be_resumed(finished, tmp_path, workers):
    command = [*CC100, "corpus", "--input", CRAWL, "--output", "out", "--workers", workers]
    command = [str(part) for part in [*command, "--set", "runner.worker_processes_from=0"]]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(lambda: list(tmp_path.glob("out/documents/*.parquet")))
    begin = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes of the group
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - begin < 10
    assert "interrupted" in errors
    assert "run the same command again" in errors
    assert "Traceback" not in errors
    with pytest.raises(ProcessLookupError):
        wait_for(lambda: os.killpg(process.pid, 0), seconds=10)
    status = cc100("status", "out", cwd=tmp_path)
    assert status.returncode == 1
    assert "not complete" in status.stdout
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert content(tmp_path / "out") == content(finished[0])


def test_a_full_disk_is_named_and_the_run_continues(finished, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no small file system can be mounted here")
    try:
        command = ["corpus", "--input", CRAWL, "--output", disk / "out", "--workers", 1]
        done = cc100(*command)
        assert done.returncode == 1
        assert "No space left on device. Free some space and run the same command again" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (disk / "out" / "manifest.json").exists()
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        assert cc100(*command).returncode == 0
        assert content(disk / "out") == content(finished[0])
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    if os.geteuid() == 0 and not os.path.exists("/proc/sys"):
        pytest.skip("root may write anywhere here")
    target = "/proc/sys/cc100" if os.geteuid() == 0 else "/cc100"
    done = cc100("corpus", "--input", CRAWL, "--output", target)
    assert done.returncode == 1
    assert f"cannot write {target}" in done.stderr
    assert "Traceback" not in done.stderr


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
